//! Runs by name: S3SyncRuns, and `kubectl wait`.

use serde_json::{Value, json};

use crate::support::{Site, api, kubectl, run, until};

fn runs(site: &Site) -> String {
    format!("/apis/s3sync.dev/v1alpha1/namespaces/{}/s3syncruns", site.namespace)
}

fn ask(site: &Site, name: &str, spec: Value) -> Result<Value, String> {
    let mut whole = json!({"syncRef": {"name": "orders"}});
    whole.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    let run =
        json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3SyncRun", "metadata": {"name": name}, "spec": whole});
    api::apply(&runs(site), &run)
}

fn get(site: &Site, name: &str) -> Value {
    api::get(&format!("{}/{name}", runs(site)))
}

#[track_caller]
fn waits(site: &Site, name: &str, condition: &str) {
    let (what, by) = (format!("s3syncrun/{name}"), format!("--for=condition={condition}"));
    let printed = kubectl(&["--namespace", &site.namespace, "wait", &what, &by, "--timeout=180s"]);
    assert!(printed.stdout.contains("condition met"), "{printed:?} {} {}", get(site, name), site.story());
}

/// As a person does, of a file; what kubectl says.
#[track_caller]
fn applies(site: &Site, yaml: &str) -> String {
    run("kubectl", &["--namespace", &site.namespace, "apply", "--filename", "-"], Some(yaml)).expect().stdout
}

/// Rows and different ids.
fn has(site: &Site, rows: u64, ids: u64) {
    let seen = site.sql("orders/", "select count(*), count(distinct id) from read_parquet(FILES)");
    assert_eq!(seen, json!([[rows, ids]]));
}

#[test]
fn a_run_by_name_reads_what_it_is_asked_for_once() {
    let site = Site::new("requested");
    let rows = site.put_many("orders/", 3, 4);
    let window = json!({"window": {"fromKey": "orders/00001.csv", "toKey": "orders/00002.csv"}});
    ask(&site, "middle", window).expect("accepted");
    until("a word of the sync that is not there", || match get(&site, "middle")["status"]["reason"].as_str() {
        Some("SyncNotFound") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // It runs by itself at the end of the year alone.
    let sync = site.sync("orders", "orders/", json!({"schedule": "59 23 31 12 *"}));
    site.apply(&sync).expect("accepted");
    waits(&site, "middle", "Complete");
    has(&site, 4, 4);
    let status = &get(&site, "middle")["status"];
    assert_eq!((&status["result"], &status["rows"], &status["objects"]), (&json!("Succeeded"), &json!(4), &json!(1)));

    ask(&site, "rest", json!({})).expect("accepted");
    waits(&site, "rest", "Complete");
    has(&site, rows, rows);
    let again = "apiVersion: s3sync.dev/v1alpha1\nkind: S3SyncRun\nmetadata: {name: again}\n\
                 spec: {syncRef: {name: orders}, reread: true}\n";
    assert!(applies(&site, again).contains("s3syncrun.s3sync.dev/again created"));
    waits(&site, "again", "Complete");
    has(&site, 2 * rows, rows);

    // What is applied twice is asked once, and what is asked is not changed.
    let before = get(&site, "again");
    assert!(applies(&site, again).contains("again unchanged"));
    let refusal = ask(&site, "again", json!({"reread": false})).expect_err("refused");
    assert!(refusal.contains("make another S3SyncRun"), "{refusal}");
    ask(&site, "empty", json!({"window": {"fromKey": "b", "toKey": "a"}})).expect("accepted");
    waits(&site, "empty", "Failed");
    assert_eq!(get(&site, "empty")["status"]["reason"], "InvalidSpec");
    assert_eq!(get(&site, "again")["status"], before["status"]);
    assert_eq!(site.jobs("orders").len(), 3);
    has(&site, 2 * rows, rows);
    let listed = kubectl(&["--namespace", &site.namespace, "get", "s3syncruns"]).stdout;
    for part in ["SYNC", "RESULT", "REASON", "ROWS", "again", "Succeeded", "Failed", "InvalidSpec"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    // Its sync's status says who asked; without the sync, what it did stays.
    let sync = site.get("orders");
    assert_eq!(sync["status"]["lastRun"]["requestedBy"], "again");
    assert!(api::delete(&site.path("orders"), None));
    assert_eq!(get(&site, "again")["status"], before["status"]);
}

#[test]
fn a_run_by_name_is_held_back_and_called_off() {
    let site = Site::new("calledoff");
    site.put_many("orders/", 1, 1);
    // Nothing is admitted, so that the run lasts.
    let sync = site.sync(
        "orders",
        "orders/",
        json!({"schedule": "59 23 31 12 *", "suspend": true, "worker": {"queueName": "none"}}),
    );
    site.apply(&sync).expect("accepted");
    ask(&site, "held", json!({"ttlSecondsAfterFinished": 0})).expect("accepted");
    let says = |name: &str, reason: &str| {
        until(&format!("{name} to say {reason}"), || match get(&site, name)["status"]["reason"].as_str() {
            Some(found) if found == reason => Ok(()),
            other => Err(format!("{other:?} {}", site.story())),
        });
    };
    says("held", "Suspended");
    assert!(site.jobs("orders").is_empty());
    site.change("orders", json!({"suspend": false}));
    says("held", "Queued");
    ask(&site, "next", json!({})).expect("accepted");
    says("next", "WaitingForTurn");
    assert!(api::delete(&format!("{}/held", runs(&site)), None));
    says("next", "Queued");
    let last = site.get("orders")["status"]["lastRun"].clone();
    assert_eq!((&last["reason"], &last["requestedBy"]), (&json!("Cancelled"), &json!("held")));
    // What ends with its sync is Failed.
    assert!(api::delete(&site.path("orders"), None));
    waits(&site, "next", "Failed");
    assert_eq!(get(&site, "next")["status"]["reason"], "SyncDeleted");
}
