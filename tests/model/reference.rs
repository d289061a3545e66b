//! What must be true, told simply: a map from every row that was ever put into the source to whether it may, or must,
//! be published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use s3sync::model::cursor::{Cursor, Phase};
use s3sync::model::manifest::FileKind;
use s3sync::model::plan::BlobKey;
use s3sync::model::server::Lack;
use s3sync::pipeline::open_log::{self, OPEN_SUFFIX};
use s3sync::state::blobs::Blobs;
use s3sync::store::Store;

use crate::forger::VICTIM;
use crate::world::{World, state_key};

/// Rows by id, counted, over every visible file.
pub fn visible_rows(world: &World) -> BTreeMap<String, u32> {
    let mut rows = BTreeMap::new();
    for key in visible_keys(world) {
        let text = world.destination.peek(&key).expect("it was just listed");
        for line in std::str::from_utf8(&text).expect("jsonl is UTF-8").lines() {
            let row: serde_json::Value = serde_json::from_str(line).expect("jsonl parses");
            let id = row["id"].as_str().expect("every row has its id").to_owned();
            *rows.entry(id).or_default() += 1;
        }
    }
    rows
}

/// Keys at the destination that are not state and not somebody else's.
pub fn visible_keys(world: &World) -> BTreeSet<String> {
    let state = format!("{}/", world.settings.state_prefix);
    world.destination.keys().into_iter().filter(|key| !key.starts_with(&state) && !key.starts_with(VICTIM)).collect()
}

/// Invariants that hold at any moment, whoever has just crashed. `last_epoch` is the epoch seen before; `allowed` says
/// how often a row may be visible: once, and once more for each request that is about its object.
pub async fn check_always(world: &World, last_epoch: &mut u64, allowed: &dyn Fn(&str) -> u32) {
    let Some(cursor) = world.cursor().await else {
        assert_eq!(visible_keys(world), BTreeSet::new(), "I2: files are visible before there is a cursor");
        return;
    };
    assert!(cursor.epoch >= *last_epoch, "I3: the cursor moved back from {last_epoch} to {}", cursor.epoch);
    *last_epoch = cursor.epoch;
    let blobs = Blobs::new(
        Arc::new(world.destination.clone()) as Arc<dyn Store>,
        &world.settings.state_prefix,
        &cursor.state_id,
    );
    let committed = committed_keys(&blobs, cursor.commit_record.clone()).await;
    let visible = visible_keys(world);
    let missing: Vec<_> = committed.difference(&visible).collect();
    assert!(missing.is_empty(), "I3: the cursor is past files that are not visible: {missing:?}");
    let early: BTreeSet<String> = visible.difference(&committed).cloned().collect();
    let decided = decided_keys(&blobs, &cursor).await;
    let undecided: Vec<_> = early.difference(&decided).collect();
    assert!(undecided.is_empty(), "I2: files are visible that no decision names: {undecided:?}");
    for (row, count) in visible_rows(world) {
        assert!(count <= allowed(&row), "I1: row {row} is visible {count} times");
    }
}

/// Keys of every committed manifest, newest first until one that replaces what was before.
async fn committed_keys(blobs: &Blobs, mut manifest: Option<BlobKey>) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    while let Some(key) = manifest {
        let (header, mut files) = blobs.commit_record(&key).await.expect("a manifest that the cursor names is there");
        while let Some(file) = files.next().await.expect("a manifest is whole") {
            keys.insert(file.key);
        }
        manifest = header.previous.filter(|_| !header.replaces);
    }
    keys
}

/// Data files that the decision under way names.
async fn decided_keys(blobs: &Blobs, cursor: &Cursor) -> BTreeSet<String> {
    let (Phase::Committing, Some(decision)) = (cursor.phase, &cursor.decision) else { return BTreeSet::new() };
    let decision = blobs.get_decision(decision).await.expect("a decision that the cursor names is there");
    let mut keys = BTreeSet::new();
    for shard in 0..decision.attempts.len() {
        let manifest = blobs.get_decided(&decision, shard).await.expect("a manifest that the decision names is there");
        keys.extend(manifest.files.into_iter().filter(|file| file.kind == FileKind::Data).map(|file| file.key));
    }
    keys
}

/// The end, after a run that succeeded: every row that stands in the source now was published once, every other row at
/// most once, and nothing is left under way, unless somebody has `forged` the logs that say what is.
pub fn check_end(
    world: &World,
    current: &BTreeSet<String>,
    ever: &BTreeSet<String>,
    forged: bool,
    allowed: &dyn Fn(&str) -> u32,
) {
    let visible = visible_rows(world);
    for row in current {
        let count = visible.get(row).copied().unwrap_or(0);
        assert!(
            (1..=allowed(row)).contains(&count),
            "I1: row {row} stands in the source and is published {count} times"
        );
    }
    for row in visible.keys() {
        assert!(ever.contains(row), "I1: row {row} was never in the source");
    }
    if forged {
        return;
    }
    // A worker that was taken for dead may write after its epoch was recorded: a later sweep finds its uploads by their
    // open log.
    let logged: BTreeSet<String> = world
        .destination
        .keys()
        .into_iter()
        .filter(|key| key.ends_with(OPEN_SUFFIX))
        .flat_map(|key| {
            let body = world.destination.peek(&key).expect("it was just listed");
            open_log::read(&body, &key, Some(&state_key())).expect("a log is one of ours")
        })
        .map(|open| open.key)
        .collect();
    if world.lacks.contains(&Lack::AbortDeletesObject) {
        return;
    }
    for left in world.destination.uploads() {
        assert!(
            logged.contains(&left.key),
            "upload {} of {} is left behind and no log names it",
            left.upload,
            left.key
        );
    }
}
