//! What a person is told: which sync, which object, why nothing happened, and what a run would stop at, before it is
//! run.

use serde_json::{Value, json};

use crate::support::{Outcome, Site, merge};

fn plain() -> Value {
    json!({"destination": {"format": "parquet"}})
}

fn over(spec: Value) -> Site {
    let site = Site::directory();
    site.only(spec);
    site
}

fn look(site: &Site, verb: &str) -> Outcome {
    site.start(&[verb], &[]).wait()
}

/// A run and its plan must fail alike, and say the same.
#[track_caller]
fn stops(site: &Site, code: i32, parts: &[&str]) {
    look(site, "plan").expect(code).says(parts);
    site.run().expect(code).says(parts);
}

#[test]
fn of_several_syncs_the_failed_one_is_named() {
    let site = Site::directory();
    let gone = site.sync("gone", json!({"source": {"bucket": "nowhere"}, "destination": {"format": "csv"}}));
    let good = site.sync("good", plain());
    site.manifest(&[gone, good]);
    site.put("t/a.csv", "id\n1\n");
    for verb in ["plan", "tables", "run"] {
        let outcome = site.start(&[verb], &["-o", "json"]).wait().expect(3).says(&["default/gone: "]);
        let failed = &outcome.json()["syncs"][0];
        assert_eq!(
            (&failed["name"], &failed["result"], &failed["reason"]),
            (&json!("gone"), &json!("Failed"), &json!("NotFound")),
            "{verb}"
        );
        assert!(failed["message"].as_str().is_some_and(|message| message.starts_with("default/gone: ")), "{failed}");
    }
    assert!(!look(&site, "tables").stdout.contains("no object"), "a bucket that is not there is no empty selection");
}

#[test]
fn a_lost_blob_comes_with_advice() {
    let site = over(plain());
    site.put("t/a.csv", "id\n1\n");
    site.run().expect(0);
    let state = site.path("data/lake/_s3sync");
    let ledgers = std::process::Command::new("find")
        .arg(&state)
        .args(["-name", "ledger-*", "-delete"])
        .status()
        .expect("find runs");
    assert!(ledgers.success());
    stops(&site, 1, &["default/sync: ", "ledger-", "s3sync state reset --yes"]);
}

#[test]
fn nothing_selected_is_said_with_where() {
    let mistyped = over(json!({"source": {"prefix": "ordrs/"}, "destination": {"format": "parquet"}}));
    mistyped.put("orders/a.csv", "id\n1\n");
    let left_out = over(json!({"source": {"include": ["orders/*.tsv"]}, "destination": {"format": "parquet"}}));
    left_out.put("orders/a.csv", "id\n1\n");
    for (site, under) in [(&mistyped, "raw/ordrs/"), (&left_out, "raw/orders/")] {
        for verb in ["run", "plan", "tables"] {
            let said = look(site, verb).expect(0).stdout;
            assert!(said.contains("no object is selected") && said.contains(under), "{verb}: {said}");
        }
    }
    assert!(look(&left_out, "plan").stdout.contains("(include orders/*.tsv)"));
    left_out.only(plain());
    left_out.run().expect(0);
    assert!(look(&left_out, "run").stdout.contains("nothing new, nothing written"));
}

/// What `-o json` says of the one sync.
fn ended(site: &Site) -> (Value, String) {
    let sync = site.run().expect(0).json()["syncs"][0].clone();
    (sync["reason"].clone(), sync["message"].as_str().expect("a sentence").to_owned())
}

/// That nothing is selected is another thing than that nothing is new; whether it fails the run is the spec's choice,
/// in each mode and with each cause.
#[test]
fn nothing_found_is_told_from_nothing_new() {
    let to = |mode: &str| json!({"format": "jsonl", "writeMode": mode, "allowEmpty": mode == "Replace"});
    for mode in ["Append", "Replace"] {
        for source in [json!({"prefix": "ordrs/"}), json!({"include": ["**/*.tsv"]}), json!({"exclude": ["**"]})] {
            let spec = |source: &Value, on: &str| json!({"source": source, "destination": to(mode), "errors": {"onNothingFound": on}});
            let site = over(spec(&source, "Succeed"));
            site.put("orders/a.csv", "id\n1\n");
            for _ in 0..2 {
                let (reason, message) = ended(&site);
                assert_eq!(reason, "NothingFound", "{mode} {source}: {message}");
                assert!(message.contains("no object is selected") && message.contains("raw/"), "{message}");
            }
            site.only(spec(&source, "Fail"));
            stops(&site, 3, &["no object is selected", "raw/", "errors.onNothingFound is Fail"]);
            site.only(spec(&json!({}), "Fail"));
            assert_eq!(
                (ended(&site).0, ended(&site).1.as_str()),
                (json!("Succeeded"), "nothing new, nothing written"),
                "{mode}"
            );
            // All is gone: Fail comes before anything is removed.
            let published = site.keys();
            site.remove("orders/a.csv");
            stops(&site, 3, &["there is none under", "errors.onNothingFound is Fail"]);
            assert_eq!(site.keys(), published);
            site.only(spec(&json!({}), "Succeed"));
            let (reason, message) = ended(&site);
            assert_eq!(
                (reason, message.contains("were removed")),
                (json!("NothingFound"), mode == "Replace"),
                "{message}"
            );
        }
    }
}

#[test]
fn an_object_that_is_named_and_is_not_there_is_missed() {
    let uri = |uri: &str| json!({"source": {"uri": uri}, "destination": {"format": "parquet"}});
    let slash = over(uri("s3://raw/orders"));
    slash.put("orders/a.csv", "id\n1\n");
    stops(&slash, 3, &["under orders/", "end source.uri with /"]);
    let site = over(uri("s3://raw/orders/b.csv"));
    site.put("orders/a.csv", "id\n1\n");
    stops(&site, 3, &["raw/orders/b.csv", "no object"]);
    // What was read may go.
    site.put("orders/b.csv", "id\n1\n");
    site.run().expect(0);
    site.remove("orders/b.csv");
    look(&site, "plan").expect(0);
    let (reason, message) = ended(&site);
    assert_eq!(
        (reason, message.contains("orders/b.csv is not there any more")),
        (json!("NothingFound"), true),
        "{message}"
    );
    site.only(merge(uri("s3://raw/orders/b.csv"), json!({"errors": {"onNothingFound": "Fail"}})));
    stops(&site, 3, &["orders/b.csv is not there any more"]);
}

#[test]
fn a_replace_by_nothing_is_told() {
    let site = over(json!({"destination": {"format": "parquet", "writeMode": "Replace", "allowEmpty": true}}));
    site.put("t/a.csv", "id\n1\n");
    site.run().expect(0);
    site.remove("t/a.csv");
    let plan = look(&site, "plan").expect(0).stdout;
    assert!(plan.contains("are removed") && !plan.contains("write nothing"), "{plan}");
    let run = site.run().expect(0).json();
    assert!(run["syncs"][0]["message"].as_str().is_some_and(|message| message.contains("were removed")), "{run}");
    let plan = look(&site, "plan").expect(0).stdout;
    assert!(!plan.contains("are removed"), "{plan}");
}

#[test]
fn a_plan_stops_where_a_run_does() {
    let check = |spec: Value, parts: &[&str]| {
        let site = over(spec);
        site.put("t/a.csv", "id,country,_s3sync_key\n1,DE,x\n");
        stops(&site, 2, parts);
    };
    let partition = |rule: Value| json!({"destination": {"format": "parquet", "partitionBy": [rule]}});
    check(partition(json!({"column": "countri"})), &["countri", "it has id, country"]);
    check(partition(json!({"column": "country", "transform": "Day"})), &["country", "utf8", "schema.columns"]);
    check(json!({"destination": {"format": "parquet", "lineage": true}}), &["_s3sync_key", "lineage"]);
}

#[test]
fn rows_without_any_column_are_refused() {
    let site = over(json!({"schema": {"drop": ["id"]}, "destination": {"format": "parquet"}}));
    site.put("t/a.csv", "id\n1\n");
    site.run().expect(2).says(&["no column"]);
}

#[test]
fn two_outputs_of_one_key_are_seen_in_the_plan() {
    let to = json!({"format": "parquet", "writeMode": "Replace", "path": "{{SOURCE_DIR}}/{{SOURCE_STEM}}.{{FORMAT}}"});
    let site = over(json!({"destination": to}));
    site.put("t/a.csv", "id\n1\n");
    site.put("t/a.jsonl", "{\"id\": 1}\n");
    stops(&site, 2, &["{{UUID}}"]);
    look(&site, "plan").says(&["t/a.csv", "t/a.jsonl"]);
}

#[test]
fn quarantined_objects_stay_in_view() {
    let site = over(json!({"errors": {"onBadObject": "Quarantine"}, "destination": {"format": "parquet"}}));
    site.put("t/a.csv", "id\n1\n");
    site.put("t/bad.csv", "id\n1,2\n");
    let run = look(&site, "run").expect(0).stdout;
    for (verb, said) in [
        ("run", run),
        ("plan", look(&site, "plan").expect(0).stdout),
        ("tables", look(&site, "tables").expect(0).stdout),
    ] {
        let line = said
            .lines()
            .find(|line| line.contains("quarantined until it changes"))
            .unwrap_or_else(|| panic!("{verb}: {said}"));
        assert_eq!(line.matches("t/bad.csv").count(), 1, "{verb}: {line}");
    }
    let tables = site.start(&["tables"], &["-o", "json"]).wait().expect(0).json();
    assert_eq!(tables["syncs"][0]["tables"][0]["quarantinedObjects"][0]["key"], "t/bad.csv");
}

#[test]
fn the_advice_on_a_changed_type_works() {
    let site = over(plain());
    site.put("t/a.csv", "id\n1\n");
    site.run().expect(0);
    site.put("t/b.csv", "id\nx\n");
    stops(&site, 4, &["t/b.csv", "id is int64", "cast it to int64"]);
    let cast = |to: &str| {
        json!({
            "schema": {"columns": [{"name": "id", "type": to}]}, "errors": {"maxBadRecords": 1, "deadLetterPath": "bad/"},
            "destination": {"format": "parquet"},
        })
    };
    site.only(cast("utf8"));
    stops(&site, 4, &["t/b.csv", "must cast it to int64"]);
    site.only(cast("int64"));
    assert_eq!(site.run().expect(0).json()["syncs"][0]["badRecords"], 1);
}

#[test]
fn a_value_that_needs_quotes_where_there_are_none() {
    let site = over(json!({"destination": {"format": "csv", "csv": {"quote": ""}}}));
    site.put("t/a.csv", "id,text\n1,\"a,b\"\n");
    site.run().expect(4).says(&["t/a.csv", "text", "csv.quote"]);
}

#[test]
fn an_older_cursor_is_told_from_anothers() {
    let site = over(plain());
    site.put("t/a.csv", "id\n1\n");
    site.run().expect(0);
    let copy = site.path("copy");
    let state = site.path(".s3sync");
    let copied = std::process::Command::new("cp").arg("-r").args([&state, &copy]).status().expect("cp runs");
    assert!(copied.success());
    site.put("t/b.csv", "id\n2\n");
    site.run().expect(0);
    std::fs::remove_dir_all(&state).expect("there");
    std::fs::rename(&copy, &state).expect("there");
    stops(&site, 1, &["restored from an older copy", "s3sync state adopt"]);
}

#[test]
fn data_beside_manifests_is_no_manifest() {
    let site = over(plain());
    std::fs::write(site.path("lines.json"), "{\"id\": 1}\n{\"id\": 2}\n").expect("writable");
    crate::support::Running::start(&site.path(""), &["validate", "-f", "."], &[]).wait().expect(0);
    crate::support::Running::start(&site.path(""), &["validate", "-f", "lines.json"], &[]).wait().expect(2);
}

/// A prefix of which little or nothing is read must not look like success without a word.
#[test]
fn what_is_passed_over_is_counted_by_reason() {
    let site = over(
        json!({"source": {"exclude": ["**/old/**"], "tables": {"include": ["t"]}}, "destination": {"format": "jsonl"}}),
    );
    for key in ["t/README.md", "t/notes.txt", "t/x.txt", "t/_SUCCESS", "t/old/a.csv", "u/a.csv"] {
        site.put(key, "id\n1\n");
    }
    let expected = json!({"unknownExtension": 4, "excluded": 1, "otherTable": 1});
    let text = "passed over: 4 of no known extension (.txt 2, .md 1, none 1), 1 in source.exclude, 1 of tables not in tables.include";
    for round in 0..3 {
        if round == 1 {
            site.put("t/a.csv", "id\n1\n");
        }
        for verb in ["tables", "plan", "run"] {
            look(&site, verb).expect(0).says(&[text]);
            let shown = site.start(&[verb], &["-o", "json"]).wait().expect(0).json();
            assert_eq!(shown["syncs"][0]["passedOver"], expected, "{verb} in round {round}");
        }
    }
    // Whatever the key says, where the format is given.
    let all = over(json!({"source": {"format": "csv"}, "destination": {"format": "jsonl"}}));
    for key in ["t/a.csv", "t/b.txt", "t/c.txt"] {
        all.put(key, "id\n1\n");
    }
    for verb in ["plan", "tables"] {
        look(&all, verb).expect(0).says(&["source.format reads all of .csv (1), .txt (2)"]);
        let shown = all.start(&[verb], &["-o", "json"]).wait().expect(0).json();
        assert_eq!(shown["syncs"][0]["tables"][0]["extensions"], json!({".csv": 1, ".txt": 2}));
    }
}

#[test]
fn an_error_of_a_store_names_the_end_and_where_it_is_described() {
    for (spec, code, part) in [
        (json!({"source": {"bucket": "nowhere"}, "destination": {"format": "csv"}}), 3, "(spec.source at sync.yaml:"),
        (
            json!({"destination": {"format": "csv", "endpoint": "file:./sync.yaml"}}),
            1,
            "(spec.destination at sync.yaml:",
        ),
        (
            json!({"source": {"profile": "nosuch", "endpoint": "http://127.0.0.1:1"}, "destination": {"format": "csv"}}),
            3,
            "the profile \"nosuch\" gives no credentials",
        ),
    ] {
        let site = over(spec);
        site.put("t/a.csv", "id\n1\n");
        site.run().expect(code).says(&[part]);
    }
}
