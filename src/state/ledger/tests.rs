use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::record::merged;
use super::*;
use crate::model::cursor::{Cursor, TableMark};
use crate::model::fixtures::{object, settings};
use crate::model::ledger::{Entry, Outcome};
use crate::model::manifest::{Excluded, Exclusion};
use crate::model::plan::{FrozenTable, Plan, SegmentRef};
use crate::model::schema::TableSchema;
use crate::model::settings::Settings;
use crate::model::write_mode::WriteMode;
use crate::store::memory::MemoryStore;

fn blobs() -> Blobs {
    Blobs::new(Arc::new(MemoryStore::new("lake")), "_s3sync", "abc")
}

fn published(key: &str, etag: &str) -> Entry {
    Entry { object: object(key, etag), outcome: Outcome::Published, epoch: None, again: false }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

async fn read(blobs: &Blobs, runs: &[Vec<SegmentRef>], after: Option<&str>) -> Vec<Entry> {
    let mut stream = LedgerStream::new(blobs, runs, after);
    let mut entries = Vec::new();
    while let Some(entry) = stream.next().await.unwrap() {
        entries.push(entry);
    }
    entries
}

/// A plan of these entries and tables.
async fn plan(blobs: &Blobs, settings: Settings, epoch: u64, entries: &[Entry], tables: &[&str]) -> Plan {
    let mut writer = SegmentWriter::new(blobs, epoch);
    for entry in entries {
        writer.push(entry).await.unwrap();
    }
    let table = |name: &&str| FrozenTable {
        name: (*name).into(),
        source: format!("{name}/"),
        schema: TableSchema::default(),
        objects: 0,
        bytes: 0,
    };
    Plan {
        version: Plan::VERSION,
        run: "run".into(),
        epoch,
        number: 0,
        settings,
        planned_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        seed: "00".into(),
        part_bytes: 1,
        layout_bytes: 1,
        tables: tables.iter().map(table).collect(),
        shards: vec![],
        objects: writer.finish().await.unwrap(),
        listed_to: None,
        pass: 1,
        request: None,
    }
}

/// What cannot be read once more was read once, and is as published as before.
#[test]
fn what_was_published_stays_so_when_it_cannot_be_read_once_more() {
    block_on(async {
        let blobs = blobs();
        let again = Entry { epoch: Some(2), again: true, ..published("a", "1") };
        let new = Entry { epoch: Some(2), ..published("b", "1") };
        for reason in [Exclusion::Archived, Exclusion::Quarantined] {
            let plan = plan(&blobs, settings(), 2, &[again.clone(), new.clone()], &[]).await;
            let out = BTreeMap::from([excluded("a", reason), excluded("b", reason)]);
            let recorded = record(&blobs, None, &plan, &out, &BTreeMap::new()).await.unwrap();
            let head = LedgerRoot::load_head(&blobs, &recorded.root).await.unwrap();
            let entries = read(&blobs, &head.runs, None).await;
            assert_eq!(entries[0], again, "{reason:?}");
            assert!(entries[1].outcome.reason().is_some(), "{reason:?}");
        }
    });
}

fn excluded(key: &str, reason: Exclusion) -> (String, Excluded) {
    (key.into(), Excluded { key: key.into(), etag: "e".into(), reason, message: "no footer".into() })
}

/// One epoch: keys with their versions, and which of them are left out.
#[derive(Clone, Debug)]
struct Epoch {
    keys: BTreeMap<String, u8>,
    changed: BTreeSet<String>,
    quarantined: BTreeSet<String>,
}

fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let keys = prop::collection::btree_map("[a-c][a-d]{0,2}", 0u8..3, 0..12);
    let epoch =
        (keys, prop::collection::btree_set("[a-c][a-d]?", 0..3), prop::collection::btree_set("[a-c][a-d]?", 0..3));
    prop::collection::vec(epoch.prop_map(|(keys, changed, quarantined)| Epoch { keys, changed, quarantined }), 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a map: recorded epochs, read from any key on; recorded twice; with everything swept that was dropped.
    #[test]
    fn a_ledger_is_a_map_of_the_newest(epochs in epochs(), after in "[a-c][a-d]?") {
        block_on(async {
            let store = MemoryStore::new("lake");
            let blobs = Blobs::new(Arc::new(store.clone()), "_s3sync", "abc");
            let mut reference: BTreeMap<String, Entry> = BTreeMap::new();
            let mut root: Option<BlobKey> = None;
            for (at, epoch) in epochs.iter().enumerate() {
                let entries = epoch.keys.iter().map(|(key, etag)| published(key, &etag.to_string()));
                let entries: Vec<Entry> = entries.collect();
                let out = epoch.quarantined.iter().map(|key| excluded(key, Exclusion::Quarantined));
                let mut out: BTreeMap<String, Excluded> = out.collect();
                out.extend(epoch.changed.iter().map(|key| excluded(key, Exclusion::Changed)));
                for entry in &entries {
                    let entry = match out.get(&entry.object.key).map(|out| out.reason) {
                        Some(Exclusion::Changed) => continue,
                        Some(Exclusion::Archived) => Entry { outcome: Outcome::Archived, ..entry.clone() },
                        Some(Exclusion::Quarantined) => Entry { outcome: Outcome::quarantined("no footer"), ..entry.clone() },
                        None => entry.clone(),
                    };
                    reference.insert(entry.object.key.clone(), entry);
                }
                let plan = plan(&blobs, settings(), at as u64 + 1, &entries, &[]).await;
                let recorded = record(&blobs, root.as_ref(), &plan, &out, &BTreeMap::new()).await.unwrap();
                let again = record(&blobs, root.as_ref(), &plan, &out, &BTreeMap::new()).await.unwrap();
                prop_assert_eq!(&again, &recorded);
                for dropped in &recorded.dropped {
                    prop_assert!(!recorded.referenced.contains(dropped));
                    prop_assert!(blobs.epoch_of(dropped).unwrap() + 2 <= plan.epoch);
                    store.remove(&dropped.0);
                }
                for key in &recorded.referenced {
                    prop_assert!(store.peek(&key.0).is_some(), "{:?} is referenced", key);
                }
                let head = LedgerRoot::load_head(&blobs, &recorded.root).await.unwrap();
                prop_assert!(head.runs.len() <= 5, "{} runs", head.runs.len());
                let all: Vec<Entry> = reference.values().cloned().collect();
                prop_assert_eq!(&read(&blobs, &head.runs, None).await, &all);
                let rest: Vec<Entry> = all.into_iter().filter(|entry| entry.object.key > after).collect();
                prop_assert_eq!(&read(&blobs, &head.runs, Some(&after)).await, &rest);
                root = Some(recorded.root);
            }
            Ok(())
        })?;
    }

    /// Segments of any size, whole ones taken over: the merge is what the stream shows.
    #[test]
    fn merging_keeps_what_counts(
        runs in prop::collection::vec(
            (prop::collection::btree_map("[a-c][a-d]{0,2}", 0u8..3, 1..10), any::<bool>()),
            1..5,
        ),
    ) {
        block_on(async {
            let blobs = blobs();
            let mut written = Vec::new();
            let mut reference = BTreeMap::new();
            for (keys, cut) in &runs {
                let mut writer = SegmentWriter::cutting_at(if *cut { 1 } else { usize::MAX }, &blobs, 1);
                for (key, etag) in keys {
                    let entry = published(key, &etag.to_string());
                    writer.push(&entry).await.unwrap();
                    reference.insert(key.clone(), entry);
                }
                written.push(writer.finish().await.unwrap());
            }
            let expected: Vec<Entry> = reference.into_values().collect();
            prop_assert_eq!(&read(&blobs, &written, None).await, &expected);
            let stream = LedgerStream::new(&blobs, &written, None);
            let run = merged(SegmentWriter::cutting_at(1, &blobs, 2), stream).await.unwrap();
            for pair in run.windows(2) {
                prop_assert!(pair[0].last < pair[1].first);
            }
            prop_assert_eq!(run.iter().map(|segment| segment.entries).sum::<u64>(), expected.len() as u64);
            prop_assert_eq!(&read(&blobs, &[run], None).await, &expected);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_overlaps_nothing_is_not_rewritten() {
    let blobs = blobs();
    let mut runs = Vec::new();
    for keys in [["a1", "a2"], ["b1", "b2"], ["c1", "c2"]] {
        let mut writer = SegmentWriter::new(&blobs, 1);
        for key in keys {
            writer.push(&published(key, "e")).await.unwrap();
        }
        runs.push(writer.finish().await.unwrap());
    }
    let run = merged(SegmentWriter::cutting_at(1, &blobs, 2), LedgerStream::new(&blobs, &runs, None)).await.unwrap();
    assert_eq!(run, runs.concat());
}

#[tokio::test]
async fn tables_are_merged_by_name() {
    let blobs = blobs();
    let mark = |objects, minute, key: &str| TableUpdate {
        mark: TableMark {
            last_modified: Some(format!("2026-01-02T03:{minute:02}:00Z").parse().unwrap()),
            key: key.into(),
            objects,
            rows: objects * 10,
            bytes: objects * 100,
        },
    };
    let first = plan(&blobs, settings(), 1, &[published("b/1", "e")], &["b", "d"]).await;
    let updates = BTreeMap::from([(0, mark(1, 10, "b/1")), (1, mark(2, 10, "d/1"))]);
    let first = record(&blobs, None, &first, &BTreeMap::new(), &updates).await.unwrap();
    let long = format!("{}é", "x".repeat(119));
    let second = plan(&blobs, settings(), 2, &[published("b/2", "e")], &["c", "a", "b"]).await;
    let updates = BTreeMap::from([(0, mark(1, 20, &long)), (1, mark(1, 20, "a/1")), (2, mark(4, 5, "b/0"))]);
    let second_recorded = record(&blobs, Some(&first.root), &second, &BTreeMap::new(), &updates).await.unwrap();
    let expected = BTreeMap::from([
        ("a".to_owned(), mark(1, 20, "a/1").mark),
        // The newest object stays the newest.
        ("b".to_owned(), TableMark { objects: 5, rows: 50, bytes: 500, ..mark(1, 10, "b/1").mark }),
        ("c".to_owned(), mark(1, 20, &"x".repeat(119)).mark),
        ("d".to_owned(), mark(2, 10, "d/1").mark),
    ]);
    assert_eq!(second_recorded.marks, expected);
    let root = LedgerRoot::load(&blobs, &second_recorded.root).await.unwrap();
    assert_eq!(
        root.tables.iter().map(|(name, table)| (name.clone(), table.mark.clone())).collect::<BTreeMap<_, _>>(),
        expected
    );
    assert_eq!(root.tables["c"].source, "c/");
    let some = LedgerRoot::load_where(&blobs, &second_recorded.root, |name| name == "c").await.unwrap();
    assert_eq!(some.tables.keys().collect::<Vec<_>>(), ["c"]);

    let mut replace = settings();
    replace.destination.write_mode = WriteMode::Replace;
    let third = plan(&blobs, replace, 3, &[published("b/2", "e")], &["b"]).await;
    let third = record(
        &blobs,
        Some(&second_recorded.root),
        &third,
        &BTreeMap::new(),
        &BTreeMap::from([(0, mark(7, 30, "b/2"))]),
    )
    .await
    .unwrap();
    assert_eq!(third.marks, BTreeMap::from([("b".to_owned(), mark(7, 30, "b/2").mark)]));
    let head = LedgerRoot::load_head(&blobs, &third.root).await.unwrap();
    assert_eq!(read(&blobs, &head.runs, None).await, [published("b/2", "e")]);
}

#[tokio::test]
async fn a_ledger_for_one_run_is_forgotten_by_the_next() {
    let blobs = blobs();
    let mut forgets = settings();
    forgets.incremental.enabled = false;
    let mut root = None;
    for (epoch, run, expected) in [(1, "one", &["a1"][..]), (2, "one", &["a1", "a2"]), (3, "two", &["a3"])] {
        let plan = Plan {
            run: run.into(),
            ..plan(&blobs, forgets.clone(), epoch, &[published(&format!("a{epoch}"), "e")], &["a"]).await
        };
        let recorded = record(&blobs, root.as_ref(), &plan, &BTreeMap::new(), &BTreeMap::new()).await.unwrap();
        let head = LedgerRoot::load_head(&blobs, &recorded.root).await.unwrap();
        let keys: Vec<String> =
            read(&blobs, &head.runs, None).await.into_iter().map(|entry| entry.object.key).collect();
        assert_eq!(keys, expected);
        assert_eq!(head.run, run);
        root = Some(recorded.root);
    }
}

#[tokio::test]
async fn a_thousand_tables_are_shown() {
    let blobs = blobs();
    let names: Vec<String> = (0..Cursor::TABLES_MAX + 5).map(|at| format!("t{at:05}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = plan(&blobs, settings(), 1, &[], &names).await;
    let recorded = record(&blobs, None, &plan, &BTreeMap::new(), &BTreeMap::new()).await.unwrap();
    assert_eq!(recorded.marks.keys().map(String::as_str).collect::<Vec<_>>(), names[..Cursor::TABLES_MAX]);
    assert_eq!(LedgerRoot::load(&blobs, &recorded.root).await.unwrap().tables.len(), names.len());
}

#[tokio::test]
async fn a_missing_segment_is_never_an_empty_one() {
    let store = MemoryStore::new("lake");
    let blobs = Blobs::new(Arc::new(store.clone()), "_s3sync", "abc");
    let plan = plan(&blobs, settings(), 1, &[published("a", "e")], &[]).await;
    let recorded = record(&blobs, None, &plan, &BTreeMap::new(), &BTreeMap::new()).await.unwrap();
    store.remove(&plan.objects[0].blob.0);
    let head = LedgerRoot::load_head(&blobs, &recorded.root).await.unwrap();
    let error = LedgerStream::new(&blobs, &head.runs, None).next().await.unwrap_err();
    assert!(matches!(&error, BlobError::Missing { key, .. } if *key == plan.objects[0].blob.0), "{error}");
    store.remove(&recorded.root.0);
    assert!(matches!(LedgerRoot::load_head(&blobs, &recorded.root).await, Err(BlobError::Missing { .. })));
}
