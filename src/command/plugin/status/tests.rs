use serde_json::{Value, json};

use super::*;

fn sync(name: &str, spec: Value, status: Value) -> SyncStatus {
    let mut whole = json!({"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "parquet"}});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let resource = json!({
        "apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "metadata": {"name": name, "namespace": "data", "generation": 2},
        "spec": whole, "status": status,
    });
    SyncStatus::new(&serde_json::from_value(resource).unwrap())
}

fn condition(status: &str, reason: &str, message: &str) -> Value {
    json!([{"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-21T00:00:00Z"}])
}

fn run(job: &str, result: &str, reason: &str, message: &str) -> Value {
    json!({
        "job": job, "startTime": "2026-11-21T11:45:00Z", "completionTime": "2026-11-21T11:46:05Z", "result": result, "reason": reason,
        "message": message, "tables": 1, "objects": 1234, "rows": 5_000_000, "bytes": 1 << 30, "files": 3,
    })
}

fn running() -> SyncStatus {
    let status = json!({
        "observedGeneration": 2, "conditions": condition("True", "Armed", "the next run is due at 2026-11-21T12:15:00Z"),
        "active": [{"job": "orders-29", "requestedBy": "backfill", "startTime": "2026-11-21T12:00:01Z"}],
        "progress": {"epoch": 4, "objectsDone": 120, "objectsTotal": 400, "bytesDone": 1 << 20, "bytesTotal": 4 << 20},
        "nextScheduleTime": "2026-11-21T12:15:00Z", "lastSuccessfulTime": "2026-11-21T11:46:05Z",
        "lastRun": run("orders-28", "Succeeded", "Succeeded", "5,000,000 rows of 1,234 objects in 3 files"),
        "history": [run("orders-27", "Failed", "BadData", "a.csv: line 3")],
        "cursor": {"configMap": "orders-cursor", "tables": 3, "watermark": "2026-11-21T11:44:00Z", "sizeBytes": 2048},
    });
    sync("orders", json!({"schedule": "*/15 * * * *", "timeZone": "Europe/Berlin"}), status)
}

fn now() -> Timestamp {
    "2026-11-21T12:02:10Z".parse().unwrap()
}

#[test]
fn people_see_one_line_a_sync() {
    let failed = json!({
        "observedGeneration": 2, "conditions": condition("True", "Armed", ""), "lastSuccessfulTime": "2026-11-17T11:46:05Z",
        "lastRun": run("daily-2", "Failed", "Denied", &"the bucket may not be read ".repeat(4)), "consecutiveFailures": 2,
        "nextScheduleTime": "2026-11-22T00:00:00Z",
    });
    let invalid = json!({"observedGeneration": 2, "conditions": condition("False", "InvalidSpec", "spec.schedule is no cron expression")});
    let suspended = json!({
        "observedGeneration": 2, "conditions": condition("True", "Suspended", "spec.suspend is true"), "nextScheduleTime": "2026-11-22T00:00:00Z",
    });
    let shown = Shown {
        syncs: vec![
            running(),
            sync("daily", json!({"schedule": "@daily"}), failed),
            sync("typo", json!({}), invalid),
            sync("asleep", json!({"suspend": true}), suspended),
            sync(
                "changed",
                json!({}),
                json!({"observedGeneration": 1, "conditions": condition("True", "Armed", "armed")}),
            ),
            sync("new", json!({}), Value::Null),
        ],
    };
    insta::assert_snapshot!(shown.text(false, now()), @"
    SYNC     READY                RUN              PROGRESS  OBJECTS  LAST SUCCESS  NEXT       MESSAGE
    orders   True                 Running               25%    1,234  16m05s ago    in 12m50s  5,000,000 rows of 1,234 objects in 3 files
    daily    True                 Failed (Denied)         -    1,234  4d ago        in 11h57m  the bucket may not be read the bucket may not be read the bucket may not be read the bucket may not be read
    typo     False (InvalidSpec)  -                       -        -  -             -          InvalidSpec: spec.schedule is no cron expression
    asleep   True (Suspended)     -                       -        -  -             -          spec.suspend is true
    changed  Unknown              -                       -        -  -             -          armed
    new      Unknown              -                       -        -  -             -          the operator has not seen it yet; is it there?
    ");
    assert!(shown.text(true, now()).contains("\ndata/orders   True"));
}

#[test]
fn one_sync_shows_its_last_runs() {
    insta::assert_snapshot!(detail::text(&running(), now()), @"
    Sync          data/orders
    Ready         True (Armed): the next run is due at 2026-11-21T12:15:00Z
    Schedule      */15 * * * * (Europe/Berlin)
    Next run      2026-11-21T12:15:00Z (in 12m50s)
    Last success  2026-11-21T11:46:05Z (16m05s ago)
    Running       orders-29 (backfill), since 2026-11-21T12:00:01Z, 120/400 objects, 1.00 MiB of 4.00 MiB
    Cursor        ConfigMap orders-cursor, 3 tables, 2.00 KiB, newest object 2026-11-21T11:44:00Z

    RUN        RESULT     STARTED                TOOK  OBJECTS       ROWS  FILES     BYTES
    orders-28  Succeeded  2026-11-21T11:45:00Z  1m05s    1,234  5,000,000      3  1.00 GiB
    orders-27  BadData    2026-11-21T11:45:00Z  1m05s    1,234  5,000,000      3  1.00 GiB

    The last run: 5,000,000 rows of 1,234 objects in 3 files
    ");
    insta::assert_snapshot!(detail::text(&sync("new", json!({}), Value::Null), now()), @"
    Sync      data/new
    Ready     Unknown: the operator has not seen it yet; is it there?
    Schedule  none: a run per change of what is synced, and on trigger

    No run has ended yet.
    ");
}

#[test]
fn programs_see_the_status_as_it_is() {
    let shown = serde_json::to_value(Shown { syncs: vec![running()] }).unwrap();
    let one = &shown["syncs"][0];
    assert_eq!((&one["namespace"], &one["name"], &one["generation"]), (&json!("data"), &json!("orders"), &json!(2)));
    assert_eq!(one["status"]["lastRun"]["job"], "orders-28");
    assert_eq!(one["schedule"], "*/15 * * * *");
}

#[test]
fn spans_are_what_people_say() {
    for (seconds, expected) in
        [(-5, "0s"), (9, "9s"), (65, "1m05s"), (7380, "2h03m"), (172_799, "47h59m"), (172_800, "2d")]
    {
        assert_eq!(span(seconds), expected);
    }
}

#[test]
fn a_share_is_of_bytes_where_there_are_any() {
    for (objects, bytes, expected) in
        [((1, 4), (0, 0), "25%"), ((1, 4), (50, 100), "50%"), ((9, 4), (0, 0), "100%"), ((0, 0), (0, 0), "-")]
    {
        let shown = Progress {
            objects_done: objects.0,
            objects_total: objects.1,
            bytes_done: bytes.0,
            bytes_total: bytes.1,
            ..Progress::default()
        };
        assert_eq!(share(&shown), expected);
    }
}
