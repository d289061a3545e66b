//! What a destination that changes, or that others change, does to a sync: another path, another layout, files that
//! were removed, a second sync on the same keys.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Outcome, Running, Site};

fn jsonl(path: &str) -> Value {
    json!({"destination": {"format": "jsonl", "path": path}})
}

fn replace(path: &str) -> Value {
    json!({"destination": {"format": "jsonl", "path": path, "writeMode": "Replace"}})
}

fn site(spec: Value) -> Site {
    let site = Site::directory();
    site.only(spec);
    site.put("t/1.csv", "id\n1\n");
    site
}

fn call(site: &Site, args: &[&str]) -> Outcome {
    Running::start(&site.path(""), args, &[]).wait()
}

fn look(site: &Site, verb: &str) -> Outcome {
    site.start(&[verb], &[]).wait()
}

/// The lines of every file below a directory of the destination, sorted.
fn lines(site: &Site, under: &str) -> Vec<String> {
    fn collect(dir: &Path, lines: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let path = entry.expect("readable").path();
            match std::fs::read_to_string(&path) {
                Ok(text) => lines.extend(text.lines().map(str::to_owned)),
                Err(_) => collect(&path, lines),
            }
        }
    }
    let mut all = Vec::new();
    collect(&site.path("data/lake").join(under), &mut all);
    all.sort();
    all
}

fn claims(site: &Site) -> usize {
    std::fs::read_dir(site.path("data/lake/_s3sync/claims")).map_or(0, Iterator::count)
}

#[test]
fn another_path_begins_an_empty_ledger_once_it_is_accepted() {
    let site = site(jsonl("a/{{UUID}}.{{FORMAT}}"));
    site.run_ok();
    site.only(jsonl("b/{{UUID}}.{{FORMAT}}"));
    let said = [
        "the destination.path changed since the last run",
        "run --accept-spec-change",
        "files under the old path stay",
    ];
    look(&site, "plan").expect(2).says(&said);
    site.run_fails(2).says(&said);
    site.start(&["run"], &["--accept-spec-change", "--dry-run"])
        .wait()
        .expect(0)
        .says(&["t/1.csv", "lake/b/{{UUID}}.jsonl"]);
    site.run_fails(2);
    let accepted = site.start(&["run"], &["--accept-spec-change"]).wait().expect(0);
    accepted.says(&["the destination.path changed: starting with an empty ledger", "1 row of 1 object in 1 file"]);
    site.put("t/2.csv", "id\n2\n");
    site.run_ok();
    site.run_ok();
    assert_eq!(
        (lines(&site, "a").len(), lines(&site, "b")),
        (1, vec!["{\"id\":1}".to_owned(), "{\"id\":2}".to_owned()])
    );
    // The snapshot is that of the new path, and the old one's place is free.
    let exported = site.start(&["state", "export"], &["-o", "json"]).wait().expect(0).stdout;
    assert!(exported.contains("\"b/") && !exported.contains("\"a/"), "{exported}");
    site.only(jsonl("a/{{UUID}}.{{FORMAT}}"));
    site.start(&["run"], &["--state-dir", "other"]).wait().expect(0);
    assert_eq!(lines(&site, "a").len(), 3);
}

/// The cursor of a release that did not keep the path.
#[test]
fn a_cursor_without_a_path_goes_on_and_learns_it() {
    let site = site(jsonl("a/{{UUID}}.{{FORMAT}}"));
    site.run_ok();
    let file = site.path(".s3sync/default/sync.cursor.json");
    let mut cursor: Value = serde_json::from_slice(&std::fs::read(&file).expect("the cursor")).expect("JSON");
    let hash = cursor["specHash"].as_str().expect("a hash").to_owned();
    let (old, _) = hash.rsplit_once('-').expect("three parts");
    cursor["specHash"] = json!(old);
    cursor.as_object_mut().expect("a map").remove("claim").expect("it is kept");
    std::fs::write(&file, cursor.to_string()).expect("writable");
    look(&site, "plan").expect(0);
    site.run_ok();
    let cursor: Value = serde_json::from_slice(&std::fs::read(&file).expect("the cursor")).expect("JSON");
    assert_eq!(cursor["specHash"], json!(hash));
    site.only(jsonl("b/{{UUID}}.{{FORMAT}}"));
    site.run_fails(2);
}

#[test]
fn a_changed_layout_is_said_and_shows_before_the_run() {
    let site = site(jsonl("t/"));
    site.run_ok();
    for (number, destination, said) in [
        (2, json!({"format": "csv", "path": "t/"}), "the layout changed (the format from jsonl to csv)"),
        (
            3,
            json!({"format": "csv", "compression": "gzip", "path": "t/"}),
            "the layout changed (the format from csv to csv.gz)",
        ),
        (
            4,
            json!({"format": "csv", "compression": "gzip", "path": "t/", "partitionBy": [{"column": "id"}]}),
            "the layout changed (partitionBy from none to id)",
        ),
    ] {
        site.only(json!({"destination": destination}));
        site.put(&format!("t/{number}.csv"), format!("id,n\n{number},0\n"));
        let said = [said, "what is published stays as it is", "run --accept-spec-change"];
        look(&site, "plan").expect(0).says(&said);
        look(&site, "run").expect(0).says(&said);
        let again = site.run_ok();
        assert_eq!(again.get("remarks"), None, "it is said while it is news: {again}");
    }
    assert_eq!(site.keys().len(), 4);
}

#[test]
fn append_without_a_ledger_says_that_rows_repeat() {
    let all = json!({"incremental": {"enabled": false}, "destination": {"format": "jsonl"}});
    let site = site(all);
    assert_eq!(site.run_ok().get("remarks"), None);
    for verb in ["plan", "run"] {
        look(&site, verb).expect(0).says(&["rows repeat", "destination.writeMode: Replace"]);
    }
    assert_eq!(lines(&site, "t").len(), 2);
}

#[test]
fn two_syncs_that_replace_one_key_are_refused() {
    let site = site(json!({}));
    site.put("u/1.csv", "id\n2\n");
    let one = |name: &str, prefix: &str, destination: Value| {
        site.sync(name, json!({"source": {"prefix": prefix}, "destination": destination}))
    };
    let to =
        |destination: Value| crate::support::merge(json!({"writeMode": "Replace", "format": "jsonl"}), destination);
    // As manifests.
    for (first, second, valid) in [
        (to(json!({"path": "all.jsonl"})), to(json!({"path": "all.{{FORMAT}}"})), false),
        (to(json!({"path": "all.jsonl"})), to(json!({"uri": "s3://lake/all.jsonl", "bucket": null})), false),
        (to(json!({"path": "{{YEAR}}/all.jsonl"})), to(json!({"path": "2026/all.jsonl"})), false),
        (to(json!({"path": "all.jsonl"})), to(json!({"path": "all.jsonl.gz", "compression": "gzip"})), true),
        (to(json!({"path": "{{TABLE}}.jsonl"})), to(json!({"path": "{{TABLE}}.jsonl"})), true),
        (to(json!({"path": "x/{{UUID}}.jsonl"})), to(json!({"path": "x/{{UUID}}.jsonl"})), true),
    ] {
        site.manifest(&[one("one", "t/", first), one("two", "u/", second)]);
        if valid {
            look(&site, "validate").expect(0);
            continue;
        }
        look(&site, "validate").expect(2).says(&[
            "default/two: spec.destination.",
            "default/one at sync.yaml:",
            "another path",
        ]);
        site.run().expect(2);
    }
    assert_eq!(site.keys(), Vec::<String>::new());
    // One manifest after the other: the claim tells, also where a path has the table's name.
    for path in ["all.jsonl", "{{TABLE}}.jsonl"] {
        site.manifest(&[one("one", "t/", to(json!({"path": path})))]);
        site.run().expect(0);
        let fixed = json!({"source": {"prefix": "u/", "tables": {"from": "Fixed", "name": "t"}}, "destination": to(json!({"path": path}))});
        site.manifest(&[site.sync("two", fixed)]);
        for verb in ["plan", "run"] {
            let said = ["is written by another sync already", "one.cursor.json", "another destination.path"];
            look(&site, verb).expect(1).says(&said);
        }
        let file = if path == "all.jsonl" { "all.jsonl" } else { "t.jsonl" };
        assert_eq!(std::fs::read_to_string(site.path("data/lake").join(file)).expect("it is there"), "{\"id\":1}\n");
    }
}

/// The ways on that the sentence names.
#[test]
fn a_renamed_sync_goes_on_by_adoption() {
    let site = site(replace("all.jsonl"));
    site.run_ok();
    let renamed = site.sync("renamed", replace("all.jsonl"));
    site.manifest(&[renamed]);
    look(&site, "run").expect(1).says(&["already synced by the cursor of", "got another name", "s3sync state adopt"]);
    site.start(&["state", "adopt"], &[]).wait().expect(0);
    site.put("t/2.csv", "id\n2\n");
    look(&site, "run").expect(0);
    assert_eq!(lines(&site, "all.jsonl").len(), 0, "a file is no directory");
    assert_eq!(std::fs::read_to_string(site.path("data/lake/all.jsonl")).expect("there").lines().count(), 2);
}

#[test]
fn a_run_that_published_nothing_gives_its_claim_back() {
    let site = site(jsonl("a/"));
    site.put("t/1.csv", "id\n1,2\n");
    site.run_fails(4);
    assert_eq!(claims(&site), 0);
    // So another cursor may try.
    site.put("t/1.csv", "id\n1\n");
    site.start(&["run"], &["--state-dir", "other"]).wait().expect(0);
    site.run().expect(1).says(&["already synced"]);
    assert_eq!(claims(&site), 1);
    // Other globs are another claim, and the old one goes.
    site.only(json!({"source": {"exclude": ["x/**"]}, "destination": jsonl("a/")["destination"]}));
    site.start(&["run"], &["--state-dir", "other"]).wait().expect(0);
    assert_eq!(claims(&site), 1);
}

#[test]
fn what_was_removed_of_a_replace_is_written_again() {
    for path in ["all.jsonl", "t/{{UUID}}.jsonl"] {
        let site = site(replace(path));
        site.run_ok();
        assert_eq!(site.run_ok()["message"], json!("nothing new, nothing written"));
        for spoil in [true, false] {
            let published = site.start(&["state", "export"], &["-o", "json"]).wait().expect(0).json();
            let file = site.path("data/lake").join(published[0]["key"].as_str().expect("a key"));
            if spoil {
                std::fs::write(&file, "other").expect("writable");
            } else {
                std::fs::remove_file(&file).expect("there");
            }
            let said =
                [if spoil { "is another object now" } else { "is not there any more" }, "everything is written again"];
            look(&site, "plan").expect(0).says(&said).says(&["t/1.csv"]);
            look(&site, "run").expect(0).says(&said).says(&["1 row of 1 object in 1 file"]);
            assert!(site.keys().len() <= 2, "what somebody else put there may stay");
        }
        assert_eq!(site.run_ok()["message"], json!("nothing new, nothing written"));
    }
}

#[test]
fn a_replace_that_moved_leaves_its_old_path_to_others() {
    let site = site(json!({"source": {"prefix": "t/"}, "destination": replace("a.jsonl")["destination"]}));
    site.put("u/1.csv", "id\n2\n");
    site.run_ok();
    site.only(json!({"source": {"prefix": "t/"}, "destination": replace("b.jsonl")["destination"]}));
    site.run_ok();
    assert_eq!(site.keys(), ["b.jsonl"]);
    let other = json!({"source": {"prefix": "u/"}, "destination": replace("a.jsonl")["destination"]});
    site.manifest(&[site.sync("other", other)]);
    site.run_ok();
    assert_eq!(site.keys(), ["a.jsonl", "b.jsonl"]);
}

/// What Append published, epoch after epoch, is the generation that the first Replace replaces.
#[test]
fn replace_after_append_leaves_each_row_once() {
    let site = site(jsonl("t/"));
    site.run_ok();
    for number in 2..5 {
        site.put(&format!("t/{number}.csv"), format!("id\n{number}\n"));
        site.run_ok();
    }
    site.only(replace("t/"));
    site.run_ok();
    assert_eq!(lines(&site, "t").len(), 4);
}

#[test]
fn credentials_in_a_uri_are_refused_and_said_nowhere() {
    let end = |end: &str, fields: Value| {
        let mut spec = json!({"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "csv"}});
        spec[end] = crate::support::merge(fields, json!({"format": "csv"}));
        spec
    };
    let bucket = |field: &str, value: &str| json!({"bucket": "raw", field: value});
    for spec in [
        end("source", json!({"uri": "s3://raw/x/?access_key_id=AKIAX&secret_access_key=hunter2"})),
        end("destination", json!({"uri": "s3://lake/x/?access_key_id=AKIAX&secret_access_key=hunter2"})),
        end("destination", json!({"uri": "s3://lake?secret_access_key=hunter2"})),
        end("source", json!({"uri": "s3://AKIAX:hunter2@raw/x/"})),
        end("destination", json!({"uri": "https://AKIAX:hunter2@host/lake/x"})),
        end("source", bucket("prefix", "x/?secret_access_key=hunter2")),
        end("source", bucket("prefix", "secret_access_key=hunter2/")),
        end("source", json!({"bucket": "raw", "include": ["secret_access_key=hunter2"]})),
        end("destination", bucket("path", "x/?secret_access_key=hunter2/")),
        end("source", bucket("bucket", "AKIAX:hunter2@raw")),
        end("source", bucket("endpoint", "http://AKIAX:hunter2@minio:9000")),
        end("destination", bucket("endpoint", "minio:9000?secret_access_key=hunter2")),
        end("source", bucket("region", "AKIAX:hunter2@eu")),
    ] {
        let site = Site::directory();
        let document =
            json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "metadata": {"name": "sync"}, "spec": spec});
        site.manifest(&[document]);
        for verb in ["validate", "run", "plan"] {
            let outcome = call(&site, &[verb, "-f", "sync.yaml", "-v"]);
            let text = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(!text.contains("hunter2"), "{spec}: {text}");
            let refused = spec["source"].get("region").is_none();
            assert!(!refused || outcome.code == Some(2), "{spec}: {text}");
        }
    }
}
