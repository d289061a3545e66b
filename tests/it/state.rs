//! `s3sync state reset`, `adopt` and `abandon`, over a cursor in a state directory: what each does, and what it
//! refuses.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Moment, Outcome, Proxy, Site, merge, python};

pub fn csv(ids: std::ops::Range<u32>) -> String {
    ids.fold("id\n".to_owned(), |text, id| format!("{text}{id}\n"))
}

fn append() -> Value {
    json!({"destination": {"format": "parquet"}})
}

fn state(site: &Site, verb: &str, more: &[&str]) -> Outcome {
    site.start(&["state", verb], more).wait()
}

#[track_caller]
pub fn count(site: &Site) -> Value {
    site.sql("", "select count(*), count(distinct id) from read_parquet(FILES)")
}

fn cursor_file(site: &Site, state_dir: &str) -> PathBuf {
    site.path(state_dir).join("default/sync.cursor.json")
}

#[test]
fn a_reset_reads_everything_again_and_keeps_what_is_published() {
    for site in [Site::directory(), Site::minio()] {
        site.only(append());
        state(&site, "reset", &["--yes"]).expect(0).says(&["nothing to reset"]);
        site.put("orders/a.csv", csv(0..5));
        site.run_ok();
        let before = site.keys();
        let said = [
            "published files stay, and the next run writes the rows",
            "reset at epoch 1; the next run reads everything",
        ];
        state(&site, "reset", &["--yes", "-o", "json"]).expect(0).says(&said);
        site.run_ok();
        assert_eq!((count(&site), site.epoch()), (json!([[10, 5]]), 2));
        assert!(before.iter().all(|key| site.keys().contains(key)));
        // Each object once again, and not with every run from here on.
        site.run_ok();
        assert_eq!(count(&site), json!([[10, 5]]));
    }
}

/// With Replace the list of published files outlives the reset, or the old generation would stay beside the new one.
#[test]
fn a_reset_under_replace_leaves_one_generation() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet", "writeMode": "Replace"}}));
    site.put("orders/a.csv", csv(0..5));
    site.run_ok();
    state(&site, "reset", &["--yes"]).expect(0);
    site.run_ok();
    assert_eq!(count(&site), json!([[5, 5]]));
}

#[test]
fn a_cursor_that_makes_no_sense_is_put_aside_by_a_reset() {
    let site = Site::directory();
    site.only(append());
    site.put("orders/a.csv", csv(0..5));
    site.run_ok();
    let file = cursor_file(&site, ".s3sync");
    std::fs::write(&file, "{}").expect("writable");
    site.run().expect(1).says(&["makes no sense", "state reset --yes"]);
    assert_eq!((count(&site), std::fs::read_to_string(&file).expect("still there").as_str()), (json!([[5, 5]]), "{}"));
    state(&site, "reset", &["--yes"]).expect(0).says(&["put aside", "reset at epoch 1"]);
    assert_eq!(std::fs::read_to_string(file.with_extension("nonsense")).expect("kept"), "{}");
    site.run_ok();
    assert_eq!((count(&site), site.epoch()), (json!([[10, 5]]), 2));
}

/// A site whose run died at the first request that begins with `method` and holds `part`: before the server saw it.
pub fn died_at(method: &str, part: &str) -> (Site, Vec<String>) {
    let upstream = std::env::var("S3SYNC_TEST_ENDPOINT").expect("set by tests/run");
    let life = |at| {
        let site = Site::minio();
        let proxy = Proxy::new(&upstream, at);
        site.put("orders/a.csv", csv(0..5));
        site.put("orders/b.csv", csv(5..10));
        site.only(merge(
            append(),
            json!({"source": {"endpoint": proxy.endpoint}, "destination": {"endpoint": proxy.endpoint}}),
        ));
        let mut running = site.start(&["run"], &["-o", "json"]);
        while running.is_running() {
            if proxy.triggered.recv_timeout(Duration::from_millis(2)).is_ok() {
                // The process lives, and tries again: nobody else may touch its cursor.
                state(&site, "reset", &["--yes"]).expect(5).says(&["another process on this machine is at it"]);
                running.signal("KILL");
            }
        }
        proxy.open();
        (site, proxy.requests())
    };
    let (_, whole) = life(None);
    let matches =
        |request: &String| request.starts_with(method) && request.contains(part) && !request.contains("/probe/");
    let number = whole.iter().position(matches).unwrap_or_else(|| panic!("no {method} with {part:?} in {whole:#?}"));
    let (site, requests) = life(Some((number + 1, Moment::Before)));
    assert!(requests.iter().any(matches), "the run goes its way again: {requests:#?}");
    (site, requests)
}

/// Also one that cannot be finished, because its source is gone.
#[test]
fn a_planned_epoch_is_given_up_by_a_reset() {
    let (site, _) = died_at("PUT /lake", "partNumber=1");
    assert_eq!(site.phase(), "Running");
    state(&site, "abandon", &[]).expect(0).says(&["nothing to give up"]);
    state(&site, "reset", &["--yes"]).expect(0).says(&["epoch 1, of which nothing was visible yet, was given up"]);
    assert_eq!((site.phase(), site.keys()), ("Idle".to_owned(), Vec::new()));
    site.run_ok();
    assert_eq!(count(&site), json!([[10, 10]]));
}

#[test]
fn an_epoch_that_was_decided_becomes_visible_by_a_reset_as_far_as_it_can() {
    let (site, _) = died_at("POST /lake", "uploadId=");
    assert_eq!((site.phase(), site.keys().len()), ("Committing".to_owned(), 0));
    state(&site, "reset", &["--yes"]).expect(0).says(&["visible: orders/", "reset at epoch 1"]);
    assert_eq!((site.phase(), count(&site)), ("Idle".to_owned(), json!([[10, 10]])));
    let listed = state(&site, "export", &[]).expect(0);
    assert!(site.keys().iter().all(|key| listed.stdout.contains(key.as_str())), "{listed:?}");
    // A torn state leads out too, and says what it cannot know.
    let (site, _) = died_at("POST /lake", "uploadId=");
    let code = "c = client()\nfor page in c.get_paginator('list_objects_v2').paginate(Bucket=bucket):\n    \
                for o in page.get('Contents', []):\n        \
                if '/decision-' in o['Key']: c.delete_object(Bucket=bucket, Key=o['Key'])\nresult = None";
    python(code, json!({"bucket": site.lake()}));
    site.run().expect(1).says(&["is not there", "state reset --yes"]);
    state(&site, "reset", &["--yes"]).expect(0).says(&["what of it is visible cannot be told", "reset at epoch 1"]);
    site.run_ok();
    assert_eq!(count(&site), json!([[10, 10]]));
}

/// Completing an upload is the first thing after the decision.
#[test]
fn a_decided_epoch_is_finished_before_a_changed_spec_is_looked_at() {
    let (site, _) = died_at("POST /lake", "uploadId=");
    site.put("elsewhere/z.csv", csv(90..95));
    let manifest = std::fs::read_to_string(site.path("sync.yaml")).expect("written");
    let elsewhere = |text: &str| {
        let changed = text.replacen("  source:\n", "  source:\n    prefix: elsewhere/\n", 1);
        assert_ne!(changed, text);
        std::fs::write(site.path("sync.yaml"), changed).expect("writable");
    };
    elsewhere(&manifest.replacen("spec:\n", "spec:\n  state: {prefix: another}\n", 1));
    site.run_fails(2).says(&["the destination changed while epoch 1 was decided", "put it back"]);
    assert_eq!((site.phase(), site.keys()), ("Committing".to_owned(), Vec::new()));
    elsewhere(&manifest);
    site.run().expect(2).says(&["--accept-spec-change"]);
    assert_eq!(site.phase(), "Idle");
    assert_eq!(count(&site), json!([[10, 10]]), "the epoch is finished, and nothing of the other source is read");
}

#[test]
fn what_is_lost_for_good_is_given_up_by_name() {
    let (site, requests) = died_at("POST /lake", "uploadId=");
    assert_eq!(site.phase(), "Committing");
    // The upload goes, and then one of its sources.
    let complete = requests.iter().find(|request| {
        request.starts_with("POST /lake") && request.contains("uploadId=") && !request.contains("/probe/")
    });
    let complete = complete.expect("it died there");
    let (path, query) = complete.trim_start_matches("POST /").split_once('?').expect("a query");
    let (bucket, key) = path.split_once('/').expect("path style");
    let upload = query.split('&').find_map(|pair| pair.strip_prefix("uploadId=")).expect("an upload id");
    let code = "import urllib.parse\nunquote = urllib.parse.unquote\n\
                client().abort_multipart_upload(Bucket=bucket, Key=unquote(key), UploadId=unquote(upload))\nresult = None";
    python(code, json!({"bucket": bucket, "key": key, "upload": upload}));
    // It can be built again from its sources.
    state(&site, "abandon", &[]).expect(0).says(&["nothing to give up, run the sync"]);
    site.remove("orders/a.csv");
    site.run().expect(1).says(&["orders/a.csv", "state abandon"]);
    assert_eq!((site.phase(), site.keys()), ("Committing".to_owned(), Vec::new()));

    state(&site, "abandon", &[]).expect(0).says(&[
        "given up: ",
        "(10 rows)",
        "gone: orders/a.csv",
        "run the sync to publish the rest",
    ]);
    // What was given up is not counted as published.
    assert_eq!(site.run_ok()["tables"][0]["rows"], 0);
    assert_eq!((site.phase(), site.epoch(), site.keys()), ("Idle".to_owned(), 1, Vec::new()));
    // Life goes on with what comes.
    site.put("orders/c.csv", csv(10..12));
    site.run_ok();
    assert_eq!(count(&site), json!([[2, 2]]));
}

#[test]
fn a_sync_is_taken_over_with_its_ledger() {
    for site in [Site::directory(), Site::minio()] {
        site.only(append());
        state(&site, "adopt", &[]).expect(0).says(&["nobody holds this sync"]);
        site.put("orders/a.csv", csv(0..5));
        site.run_ok();
        state(&site, "adopt", &[]).expect(0).says(&["holds the sync already"]);

        // Another machine, or a lost disk.
        let elsewhere = ["--state-dir", "elsewhere"];
        site.start(&["run"], &elsewhere).wait().expect(1).says(&["state adopt"]);
        state(&site, "adopt", &elsewhere)
            .expect(0)
            .says(&["taken over from ", ".s3sync/default/sync.cursor.json at epoch 1"]);
        site.start(&["run"], &elsewhere).wait().expect(0);
        assert_eq!(count(&site), json!([[5, 5]]), "the ledger came along");
        site.put("orders/b.csv", csv(5..7));
        site.start(&["run"], &elsewhere).wait().expect(0);
        assert_eq!(count(&site), json!([[7, 7]]));

        // The old cursor is out of the game, and publishes nothing.
        site.run().expect(1).says(&["state adopt"]);
        assert_eq!(count(&site), json!([[7, 7]]));
    }
}

/// A state directory that was restored from a copy stands before what was published since.
#[test]
fn a_restored_cursor_goes_on_from_what_was_published() {
    let site = Site::directory();
    site.only(append());
    site.put("orders/a.csv", csv(0..5));
    site.run_ok();
    let file = cursor_file(&site, ".s3sync");
    let copy = std::fs::read(&file).expect("the cursor");
    site.put("orders/b.csv", csv(5..7));
    site.run_ok();
    std::fs::write(&file, copy).expect("writable");
    site.run().expect(1).says(&["epoch 1", "epoch 2", "state adopt"]);
    state(&site, "adopt", &[]).expect(0).says(&["at epoch 2"]);
    site.run_ok();
    assert_eq!(count(&site), json!([[7, 7]]));
}

/// The list of what was replaced is the lost cursor's, and its files would have stayed beside the new ones for ever.
#[test]
fn what_a_replace_had_yet_to_remove_is_removed_after_a_take_over() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet", "writeMode": "Replace"}}));
    site.put("orders/a.csv", csv(0..5));
    site.run_ok();
    let [old] = &site.keys()[..] else { panic!("one file") };
    let (file, aside) = (site.output().join(old), site.path("aside"));
    std::fs::hard_link(&file, &aside).expect("one filesystem");
    site.put("orders/b.csv", csv(5..7));
    site.run_ok();
    assert_eq!(count(&site), json!([[7, 7]]));
    // As a run leaves it that is killed before the sweep, on a machine that is lost.
    std::fs::rename(&aside, &file).expect("renamed");
    assert_eq!(count(&site), json!([[12, 7]]));
    std::fs::remove_dir_all(site.path(".s3sync")).expect("the state directory");
    state(&site, "adopt", &[]).expect(0).says(&["at epoch 2"]);
    site.run_ok();
    assert_eq!((count(&site), site.keys().len()), (json!([[7, 7]]), 1));
}
