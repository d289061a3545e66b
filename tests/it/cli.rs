//! The command line as scripts see it: exit codes, documents on stdout, messages with places, and verbs that write
//! nothing.

use serde_json::{Value, json};

use crate::support::{Running, Site};

fn plain() -> Value {
    json!({"destination": {"format": "parquet"}})
}

#[test]
fn the_report_of_a_run() {
    let site = Site::directory();
    let one = site.sync("one", json!({"source": {"prefix": "a/"}, "destination": {"format": "parquet"}}));
    let two = site
        .sync("two", json!({"source": {"prefix": "b/"}, "destination": {"format": "csv", "path": "two/{{TABLE}}/"}}));
    site.manifest(&[one, two]);
    site.put("a/x.csv", "id\n1\n2\n");
    site.put("b/y.csv", "id\n3\n");
    let report = site.run().expect(0).json();
    let syncs = report["syncs"].as_array().expect("syncs");
    assert_eq!(syncs.iter().map(|sync| &sync["name"]).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(syncs[0]["namespace"], "default");
    for field in ["result", "reason", "message"] {
        assert!(syncs[0].get(field).is_some(), "{field} is missing: {report}");
    }
    let table = &syncs[0]["tables"][0];
    assert_eq!(
        (&table["name"], &table["objects"], &table["rows"], &table["files"]),
        (&json!("a"), &json!(1), &json!(2), &json!(1))
    );
    let written = std::fs::metadata(site.output().join(&site.keys()[0])).expect("there").len();
    assert_eq!(table["bytes"], written, "bytes are those of the files");
    assert_eq!(syncs[0]["badRecords"], 0);
}

#[test]
fn every_sync_runs_and_the_first_failure_gives_the_code() {
    let site = Site::directory();
    let bad = site.sync("bad", json!({"source": {"prefix": "bad/"}, "destination": {"format": "parquet"}}));
    let gone = site.sync("gone", json!({"source": {"bucket": "nowhere"}, "destination": {"format": "csv"}}));
    let good = site.sync("good", json!({"source": {"prefix": "good/"}, "destination": {"format": "parquet"}}));
    site.put("bad/x.csv", "id\n1,2\n");
    site.put("good/x.csv", "id\n1\n");
    site.manifest(&[bad.clone(), gone.clone(), good.clone()]);
    site.run().expect(4);
    assert!(site.keys().iter().all(|key| key.starts_with("good/")) && site.keys().len() == 1, "{:?}", site.keys());
    site.manifest(&[gone, bad, good]);
    site.run().expect(3);
}

#[test]
fn verbs_that_look_write_nothing() {
    let site = Site::directory();
    site.only(plain());
    site.put("t/a.csv", "id\n1\n");
    site.put("t/b.csv", "id\n2\n");
    for (verb, more) in
        [(vec!["plan"], vec![]), (vec!["tables"], vec![]), (vec!["run"], vec!["--dry-run"]), (vec!["validate"], vec![])]
    {
        for output in ["table", "json", "yaml"] {
            let outcome = site.start(&verb, &[more.clone(), vec!["-o", output]].concat()).wait().expect(0);
            if output == "json" {
                outcome.json();
            }
        }
    }
    assert_eq!(site.keys(), Vec::<String>::new());
    assert!(!site.path("data/lake/_s3sync").exists(), "a verb that looks wrote blobs");
    let plan = site.start(&["plan"], &["-o", "json"]).wait().expect(0).stdout;
    assert_eq!(plan, site.start(&["run"], &["--dry-run", "-o", "json"]).wait().expect(0).stdout, "--dry-run is plan");
    site.run_ok();
    site.put("t/c.csv", "id\n3\n");
    let plan = site.start(&["plan"], &["-o", "json"]).wait().expect(0);
    assert!(plan.stdout.contains("new") && !plan.stdout.contains("t/a.csv"), "{}", plan.stdout);
}

#[test]
fn mistakes_in_a_manifest_have_a_place_and_a_suggestion() {
    let site = Site::directory();
    let check = |text: &str, parts: &[&str]| {
        std::fs::write(site.path("sync.yaml"), text).expect("writable");
        site.start(&["validate"], &[]).wait().expect(2).says(parts);
        site.start(&["run"], &[]).wait().expect(2).says(parts);
    };
    let head = "apiVersion: s3sync.dev/v1alpha1\nkind: S3Sync\nmetadata: {name: x}\nspec:\n";
    check(
        &format!(
            "{head}  source: {{endpoint: file:./data, bucket: raw}}\n  destination:\n    endpoint: file:./data\n    bucket: lake\n    fromat: parquet\n"
        ),
        &["sync.yaml:9", "fromat", "format"],
    );
    check(
        &format!(
            "{head}  source:\n    bucket: raw\n    csv: {{header: sometimes}}\n  destination: {{bucket: lake, format: csv}}\n"
        ),
        &["sync.yaml:7", "header"],
    );
    check(
        &format!("{head}  source: {{bucket: raw}}\n  destination: {{bucket: lake, format: parket}}\n"),
        &["sync.yaml:6", "parquet"],
    );
    check(
        &format!("{head}  source: {{bucket: raw, uri: \"s3://raw/\"}}\n  destination: {{bucket: lake, format: csv}}\n"),
        &["uri", "bucket"],
    );
    check(&format!("{head}  source: {{bucket: raw}}\n  destination: {{bucket: lake}}\n"), &["format"]);
    check("kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n", &["S3Sync"]);
    check("a: [", &["sync.yaml"]);
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    let site = Site::directory();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                        "stringData": {"AWS_ACCESS_KEY_ID": "${NOT_SET_ANYWHERE}", "AWS_SECRET_ACCESS_KEY": "x"}});
    let spec = json!({"source": {"endpoint": "http://127.0.0.1:1", "secretRef": {"name": "s"}}, "destination": {"format": "csv"}});
    site.manifest(&[secret, site.sync("x", spec)]);
    // A manifest is checked where its secrets are not.
    site.start(&["validate"], &[]).wait().expect(0);
    site.start(&["run"], &[]).wait().expect(2).says(&["NOT_SET_ANYWHERE"]);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let run = |args: &[&str]| Running::start(dir.path(), args, &[]).wait();
    run(&["run"]).expect(2);
    run(&["fly"]).expect(2);
    run(&["run", "-f", "not-there.yaml"]).expect(2).says(&["not-there.yaml"]);
    run(&["--help"]).expect(0).says(&["run", "plan", "tables", "validate", "state", "crd", "completions"]);
    run(&["run", "--help"]).expect(0).says(&["Examples"]);
    run(&["completions", "bash"]).expect(0).says(&["complete"]);
    run(&["crd"]).expect(0).says(&["s3syncs.s3sync.dev"]);
    run(&["--version"]).expect(0).says(&[env!("CARGO_PKG_VERSION")]);
    let site = Site::directory();
    site.only(plain());
    site.put("t/a.csv", "id\n1\n");
    site.start(&["run"], &["--memory", "1Mi"]).wait().expect(2).says(&["memory"]);
}

#[test]
fn every_example_is_valid() {
    let env = [("AWS_KEY", "k"), ("AWS_SECRET", "s"), ("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let verdict = Running::start(env!("CARGO_MANIFEST_DIR").as_ref(), &["validate", "-f", "examples"], &env)
        .wait()
        .expect(0)
        .stdout;
    let valid = verdict.lines().filter(|line| line.ends_with(" is valid")).count();
    assert!(valid >= 11, "{verdict}");
}

#[test]
fn the_cursor_can_be_shown_reset_and_exported() {
    let site = Site::directory();
    site.only(plain());
    site.put("t/a.csv", "id\n1\n2\n");
    site.run_ok();
    let shown = site.start(&["state", "show"], &["-o", "json"]).wait().expect(0).stdout;
    assert!(shown.contains("t/a.csv") && shown.contains("Idle"), "{shown}");
    let exported = site.start(&["state", "export"], &["-o", "json"]).wait().expect(0).stdout;
    assert!(exported.contains(&site.keys()[0]) && exported.contains("t/a.csv"), "{exported}");
    site.start(&["state", "reset"], &[]).wait().expect(2).says(&["--yes"]);
    site.start(&["state", "reset"], &["--yes"]).wait().expect(0);
    site.run_ok();
    assert_eq!(
        site.sql("", "select count(*) from read_parquet(FILES)"),
        json!([[4]]),
        "after a reset everything is read again"
    );
    assert_eq!(site.epoch(), 2, "epochs go on counting");
}

#[test]
fn logs_are_json_when_asked_and_never_on_stdout() {
    let site = Site::directory();
    site.only(plain());
    site.put("t/a.csv", "id\n1\n");
    let outcome = site.start(&["run"], &["-o", "json", "--log-format", "json", "-v"]).wait().expect(0);
    outcome.json();
    assert!(!outcome.stderr.trim().is_empty(), "no log line");
    for line in outcome.stderr.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("no JSON ({e}): {line}"));
    }
}
