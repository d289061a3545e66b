//! Somebody can write the bucket: what they change is named, what they add is not used, and the key that tells lies
//! elsewhere.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use s3sync::model::manifest::AttemptManifest;
use s3sync::state::wire::{BlobKind, BlobWriter};
use serde_json::{Value, json};

use crate::state::{count, csv, died_at};
use crate::support::Site;

fn site() -> Site {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    site.put("orders/a.csv", csv(0..5));
    site.run_ok();
    site
}

/// The state objects whose names begin so.
fn state_objects(site: &Site, name: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&site.path("data/lake/_s3sync"), &mut found);
    let named = |path: &PathBuf| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name));
    found.retain(named);
    found
}

#[test]
fn a_blob_that_somebody_changed_stops_the_run_by_name_and_a_reset_leads_out() {
    for (kind, verb) in
        [("ledger-", &["run"][..]), ("objects-", &["run"]), ("ledger-", &["plan"]), ("manifest-", &["state", "export"])]
    {
        let site = site();
        let [blob] = &state_objects(&site, kind)[..] else { panic!("one {kind}") };
        let good = std::fs::read(blob).expect("readable");
        let mut changed = good.clone();
        *changed.last_mut().expect("it has bytes") ^= 1;
        std::fs::write(blob, &changed).expect("writable");
        site.put("orders/b.csv", csv(5..10));
        let outcome = site.start(verb, &["-o", "json"]).wait();
        outcome.expect(1).says(&[
            &blob.file_name().expect("a name").to_string_lossy(),
            "somebody changed it",
            "state reset --yes",
        ]);
        assert_eq!(count(&site), json!([[5, 5]]), "{kind}");
        // Put back, as the message says; or started over, as it says too.
        std::fs::write(blob, &good).expect("writable");
        site.run_ok();
        assert_eq!(count(&site), json!([[10, 10]]), "{kind}");
        let blob = state_objects(&site, kind).into_iter().next_back().expect("one at least");
        std::fs::write(blob, "nonsense").expect("writable");
        site.start(&["state", "reset"], &["--yes"]).wait().expect(0);
        site.run_ok();
        assert_eq!(count(&site), json!([[20, 10]]), "{kind}");
    }
}

#[test]
fn the_state_key_lies_beside_the_cursor_and_in_no_bucket() {
    let site = site();
    let file = site.path(".s3sync/default/sync.cursor.state-key");
    let key = std::fs::read_to_string(&file).expect("the key");
    assert_eq!(std::fs::metadata(&file).expect("the key").permissions().mode() & 0o777, 0o600);
    for object in state_objects(&site, "") {
        let bytes = std::fs::read(&object).expect("readable");
        assert!(memchr::memmem::find(&bytes, key.trim().as_bytes()).is_none(), "{}", object.display());
    }
    site.run_ok();
    assert_eq!(std::fs::read_to_string(&file).expect("the key"), key, "made once");
    std::fs::write(&file, "nonsense").expect("writable");
    site.run_fails(1).says(&["sync.cursor.state-key makes no sense", "delete it and run again"]);
    std::fs::remove_file(&file).expect("it is there");
    site.put("orders/b.csv", csv(5..10));
    site.run_ok();
    assert_eq!(count(&site), json!([[10, 10]]));
    // Nothing but a run needs it, or makes one.
    std::fs::remove_file(&file).expect("it is there");
    for verb in [&["plan"][..], &["tables"], &["state", "show"], &["state", "export"]] {
        site.start(verb, &[]).wait().expect(0);
    }
    assert!(!file.exists());
}

/// An attempt that made nothing of its shard, at a name that comes first: it won, and the rows were never published.
#[test]
fn an_attempt_that_somebody_left_is_named_and_not_used() {
    let (site, _) = died_at("PUT /lake", "/decision-");
    assert_eq!(site.phase(), "Running");
    let cursor = std::fs::read_to_string(site.path(".s3sync/default/sync.cursor.json")).expect("a cursor");
    let cursor: Value = serde_json::from_str(&cursor).expect("JSON");
    let empty = AttemptManifest::empty(0, 0, "0", "2026-01-01T00:00:00Z".parse().expect("a time"));
    let mut forged = BlobWriter::of_version(BlobKind::Attempt, 1);
    forged.line(&empty);
    let key = format!("_s3sync/{}/1/0/0-0.s3sync", cursor["stateId"].as_str().expect("an id"));
    site.put_in(site.lake(), &key, forged.finish());
    site.run().expect(0).says(&["an attempt is not one of ours, and is not used", &key, "it has no MAC"]);
    assert_eq!(count(&site), json!([[10, 10]]));
}
