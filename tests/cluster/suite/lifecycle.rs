//! A resource's life: slots, suspension, triggers, changes, deletion and return.

use std::time::Duration;

use serde_json::json;

use crate::support::{Site, api, history, until};

#[test]
fn slots_pass_unseen_while_suspended_and_the_next_one_runs() {
    let site = Site::new("slots");
    site.put("orders/a.csv", "id\n0\n");
    let spec = json!({"schedule": "* * * * *", "suspend": true});
    site.apply(&site.sync("orders", "orders/", spec)).expect("accepted");
    site.condition("orders", "Ready", "True", "Suspended");
    // One slot at least goes by.
    std::thread::sleep(Duration::from_secs(65));
    assert!(site.jobs("orders").is_empty(), "a run while suspended");
    site.change("orders", json!({"suspend": false}));
    site.condition("orders", "Ready", "True", "Armed");
    // Not at once: unpausing does not make up for what was missed.
    let resumed = jiff::Timestamp::now();
    let sync = site.succeeded("orders", 1);
    let slot: jiff::Timestamp = sync["status"]["lastScheduleTime"].as_str().expect("a slot").parse().expect("a time");
    assert!(slot > resumed, "the slot {slot} was before the sync was resumed at {resumed}");
    assert_eq!(history(&sync).len(), 1, "missed slots made runs: {sync}");
    site.has_each_row_once("orders/", 1);
    // The next slot is announced, and runs.
    assert!(sync["status"]["nextScheduleTime"].is_string(), "{sync}");
    site.put("orders/b.csv", "id\n1\n");
    site.succeeded("orders", 2);
    site.has_each_row_once("orders/", 2);
}

#[test]
fn a_resource_that_is_deleted_and_made_again_reads_nothing_again() {
    let site = Site::new("again");
    site.put("orders/a.csv", "id\n0\n");
    let sync = site.sync("orders", "orders/", json!({}));
    site.apply(&sync).expect("accepted");
    site.succeeded("orders", 1);
    let cursor = site.cursor("orders").expect("a cursor");
    assert!(cursor["metadata"]["ownerReferences"].is_null(), "{cursor}");
    assert!(api::delete(&site.path("orders"), None));
    until("its Jobs to be collected", || if site.jobs("orders").is_empty() { Ok(()) } else { Err(site.story()) });
    assert!(api::find(&site.path("orders")).is_none(), "a finalizer holds the resource");
    assert_eq!(site.cursor("orders").expect("the cursor stays")["metadata"]["uid"], cursor["metadata"]["uid"]);
    site.put("orders/b.csv", "id\n1\n");
    site.apply(&sync).expect("accepted");
    let sync = site.succeeded("orders", 1);
    assert_eq!(sync["status"]["lastRun"]["objects"], 1, "the first object was read again: {sync}");
    site.has_each_row_once("orders/", 2);
}

#[test]
fn a_cursor_that_goes_with_its_resource_goes() {
    let site = Site::new("ondelete");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({"state": {"onDelete": "Delete"}}))).expect("accepted");
    site.succeeded("orders", 1);
    assert!(api::delete(&site.path("orders"), None));
    until("the cursor to be collected", || if site.cursor("orders").is_none() { Ok(()) } else { Err(site.story()) });
}

#[test]
fn a_change_of_what_is_synced_runs_and_a_change_of_pods_does_not() {
    let site = Site::new("change");
    site.put("orders/a.csv", "id,name\n0,ada\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    site.change("orders", json!({"worker": {"podLabels": {"team": "data"}}, "suspend": true}));
    site.condition("orders", "Ready", "True", "Suspended");
    site.change("orders", json!({"suspend": false}));
    site.condition("orders", "Ready", "True", "Armed");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(site.jobs("orders").len(), 1, "a change of pods made a run");
    site.put("orders/b.csv", "id,name\n1,bob\n");
    site.change("orders", json!({"schema": {"drop": ["name"]}}));
    site.succeeded("orders", 2);
    site.has_each_row_once("orders/", 2);
    let labels = site
        .jobs("orders")
        .into_iter()
        .map(|job| job["spec"]["template"]["metadata"]["labels"]["team"].clone())
        .collect::<Vec<_>>();
    assert!(labels.contains(&json!("data")), "{labels:?}");
}

#[test]
fn a_changed_identity_stops_until_it_is_accepted() {
    let site = Site::new("identity");
    site.put("orders/a.csv", "id\n0\n");
    site.put("others/b.csv", "id\n1\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    let changed = site.change("orders", json!({"source": {"prefix": "others/"}}));
    site.condition("orders", "Ready", "False", "SpecChanged");
    site.has_each_row_once("orders/", 1);
    let generation = changed["metadata"]["generation"].to_string();
    api::patch(
        &site.path("orders"),
        &json!({"metadata": {"annotations": {"s3sync.dev/accept-spec-change": generation}}}),
    );
    site.condition("orders", "Ready", "True", "Armed");
    site.succeeded("orders", 2);
    site.has_each_row_once("orders/", 2);
}

#[test]
fn a_trigger_in_the_spec_is_echoed_and_runs_once() {
    let site = Site::new("trigger");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({"trigger": "at-creation"}))).expect("accepted");
    let sync = site.succeeded("orders", 1);
    assert_eq!((&sync["status"]["lastTrigger"], history(&sync).len()), (&json!("at-creation"), 1), "{sync}");
    site.put("orders/b.csv", "id\n1\n");
    site.change("orders", json!({"trigger": "backfill"}));
    let sync = site.succeeded("orders", 2);
    assert_eq!((&sync["status"]["lastTrigger"], history(&sync).len()), (&json!("backfill"), 2), "{sync}");
    site.has_each_row_once("orders/", 2);
}

#[test]
fn finished_jobs_are_kept_by_the_history_limit() {
    let site = Site::new("limit");
    site.apply(&site.sync("orders", "orders/", json!({"successfulRunsHistoryLimit": 1}))).expect("accepted");
    for n in 0..3u64 {
        site.put(&format!("orders/{n}.csv"), format!("id\n{n}\n"));
        site.trigger("orders", &format!("t{n}"));
        let token = format!("t{n}");
        site.wait("orders", "the triggered run", |sync| {
            let idle = sync["status"]["active"].as_array().is_none_or(Vec::is_empty);
            idle && sync["status"]["lastTriggerAnnotation"] == token.as_str()
                && sync["status"]["lastRun"]["result"] == "Succeeded"
        });
    }
    until("old Jobs to go", || {
        if site.jobs("orders").len() == 1 { Ok(()) } else { Err(format!("{} Jobs", site.jobs("orders").len())) }
    });
    site.has_each_row_once("orders/", 3);
}
