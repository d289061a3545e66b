//! What is persisted keeps its form: a value of each kind as this version writes it, in a file, read back as the same
//! value.
//!
//! A failure here means that cursors and blobs of users would be read as something else, or not at all. A new form is a
//! new version number, with a reader for the old one, beside which the old file stays. `UPDATE=1 cargo test frozen`
//! writes files of kinds that have none.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use arrow_schema::{DataType, Field, TimeUnit};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::commit_record::{CommitRecord, CommittedFile};
use crate::model::cursor::{Cursor, Phase, Run, TableMark};
use crate::model::fixtures::{object, settings};
use crate::model::glob::Glob;
use crate::model::layout::Layout;
use crate::model::ledger::{Entry, LedgerHead, LedgerTable, Outcome};
use crate::model::manifest::*;
use crate::model::plan::*;
use crate::model::request::RequestMark;
use crate::model::schema::{Column, JSON, Misfit, Mixed, TableSchema, Typed, Unknown};
use crate::model::server::{Findings, Lack};
use crate::model::settings::*;
use crate::pipeline::commit::claim::Claim;
use crate::pipeline::commit::garbage::{Garbage, GarbageFile, Replaced};
use crate::pipeline::commit::outputs::OutputClaim;
use crate::pipeline::open_log::OpenUpload;

#[track_caller]
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipeline/frozen").join(format!("{name}.expected.json"));
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let frozen = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        &serde_json::from_str::<T>(&frozen).unwrap(),
        value,
        "{name} as it was written is read as something else"
    );
    assert_eq!(text, frozen, "{name} is written in another form");
}

/// What an earlier version wrote is read as this value.
#[track_caller]
fn reads<T: DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipeline/frozen").join(format!("{name}.expected.json"));
    let frozen = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        &serde_json::from_str::<T>(&frozen).unwrap(),
        value,
        "{name} as it was written is read as something else"
    );
}

fn blob(name: &str) -> BlobKey {
    BlobKey(format!("_s3sync/abc/7/{name}-0123.s3sync"))
}

fn mark_of_request() -> RequestMark {
    RequestMark { id: "1f".repeat(16), since: 5, ended: false, ended_at: None }
}

fn segment() -> SegmentRef {
    SegmentRef { blob: blob("objects"), first: "a/1.csv".into(), last: "a/9.csv".into(), entries: 9, bytes: 900 }
}

fn schema() -> TableSchema {
    let nested = DataType::Struct(
        vec![Field::new("tags", DataType::List(Field::new("item", DataType::Utf8, true).into()), true)].into(),
    );
    TableSchema {
        columns: vec![
            Column { wide: true, ..Column::inferred("id", DataType::Int64) },
            Column {
                name: "at".into(),
                misfit: Misfit::BadRecord,
                ..Column::inferred("when", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
            },
            Column { misfit: Misfit::Rescue, ..Column::inferred("price", DataType::Decimal128(10, 2)) },
            Column::inferred("who", nested),
            Column::inferred("pending", DataType::Null),
        ],
        rescued: true,
        unknown: Unknown::Ignore,
    }
}

/// Columns that say what they become when their values share no type.
fn mixed_schema() -> TableSchema {
    let list = |item: Typed| DataType::List(item.into_field("item").into());
    let kept = || Typed { mixed: Mixed::Kept, ..DataType::Utf8.into() };
    TableSchema {
        columns: vec![
            Column::inferred("any", JSON),
            Typed::from(DataType::Int64).of_json().into_column("number"),
            kept().into_column("text"),
            Typed::from(list(Typed::from(DataType::Float64).of_json())).of_json().into_column("numbers"),
            Column::inferred("texts", list(kept())),
        ],
        ..TableSchema::default()
    }
}

fn staged(kind: FileKind) -> StagedFile {
    StagedFile {
        key: "orders/country=DE/1.parquet".into(),
        table: 0,
        kind,
        partition: "country=DE".into(),
        upload: "u-1".into(),
        parts: vec!["p-1".into(), "p-2".into()],
        id: "id-1".into(),
        etag: Some("e-2".into()),
        size: 1234,
        first_row: 10,
        rows: 20,
        objects: (0, 3),
    }
}

/// Settings in which everything that may be absent is there.
fn full() -> Settings {
    let mut settings = settings();
    settings.source.include = vec![Glob::new("**/*.csv.gz").unwrap()];
    settings.source.tables = TableRule::Fixed { name: "orders".into() };
    settings.source.csv.delimiter = Some(b'\t');
    settings.schema.columns =
        vec![ColumnRule { name: "at".into(), from: Some("when".into()), data_type: Some(DataType::Date32) }];
    settings.destination.partition_by =
        vec![PartitionRule { column: "at".into(), transform: Some(PartitionTransform::Month), name: "month".into() }];
    settings.destination.object.tags = vec![("team".into(), "data".into())];
    settings.errors.dead_letter_path = Some("rejects/".into());
    settings.worker.concurrency = Some(u32::MAX);
    settings
}

#[test]
fn the_cursor() {
    let mark = TableMark {
        last_modified: Some(object("a", "e").last_modified),
        key: "a/9.csv".into(),
        objects: 9,
        rows: 90,
        bytes: 900,
    };
    let run = Run { id: "run1".into(), started: object("a", "e").last_modified, pass: 2, changed: true, ended: false };
    let cursor = Cursor {
        epoch: 6,
        phase: Phase::Committing,
        run: Some(run),
        plan: Some(blob("plan")),
        decision: Some(blob("decision")),
        ledger: Some(blob("ledger")),
        commit_record: Some(blob("manifest")),
        garbage: Some(blob("garbage")),
        listed_to: Some("a/9.csv".into()),
        tables: BTreeMap::from([("orders".to_owned(), mark)]),
        ..Cursor::empty("abc".into(), 6, "00ff-11ee".into())
    };
    check("cursor", &cursor);
    check("cursor-claim", &Cursor { claim: Some(BlobKey("_s3sync/claims/0123.s3sync".into())), ..cursor });
    let server = Findings { probe: 1, place: "11ee".into(), lacks: [Lack::CompletionEtag, Lack::LongSegments].into() };
    check("cursor-server", &Cursor { server: Some(server), ..Cursor::empty("abc".into(), 0, "00ff-11ee".into()) });
    let first = Cursor { request: Some(mark_of_request()), ..Cursor::empty("abc".into(), 7, "00ff-11ee".into()) };
    reads("cursor-request", &first);
    check("cursor-request-2", &Cursor { version: first.version_of_form(), ..first });
    check("cursor-empty", &Cursor::empty("abc".into(), 0, "00ff-11ee".into()));
}

#[test]
fn plans() {
    let table =
        FrozenTable { name: "orders".into(), source: "orders/".into(), schema: schema(), objects: 9, bytes: 900 };
    let plan = Plan {
        version: Plan::VERSION,
        run: "run1".into(),
        epoch: 7,
        number: 1,
        settings: full(),
        planned_at: object("a", "e").last_modified,
        seed: "00".repeat(16),
        part_bytes: 8 << 20,
        layout_bytes: 64 << 20,
        tables: vec![table],
        shards: vec![ShardRef { blob: blob("shard"), plan: 1, objects: 9, bytes: 900, tables: (0, 0) }],
        objects: vec![segment()],
        listed_to: Some("a/9.csv".into()),
        pass: 2,
        request: None,
    };
    check("plan", &plan);
    check("plan-request", &Plan { request: Some(mark_of_request()), ..plan.clone() });
    // Of releases without seals; it says by its version that it has none.
    let before = Plan { version: 1, ..plan };
    check("plan-1", &before);
    assert!(!before.sealed());
    let planned = |slice| PlannedObject { object: object("a/1.csv", "e1"), table: 3, slice };
    check(
        "shard",
        &vec![
            planned(None),
            planned(Some(Slice::Bytes { start: 0, end: 50 })),
            planned(Some(Slice::RowGroups { start: 50, end: 100 })),
        ],
    );
}

/// What a plan remembers of numbers that were read from text.
#[test]
fn digits_of_numbers() {
    use crate::model::schema::{Digits, Typed};
    let typed =
        |data_type: DataType, before, after| Typed { digits: Some(Digits { before, after }), ..data_type.into() };
    let nested = DataType::Struct(vec![typed(DataType::Float64, 3, 2).into_field("price")].into());
    let columns = [
        ("id", typed(DataType::Int64, 9, 0)),
        ("ratio", typed(DataType::Float64, 1, 6)),
        ("amount", typed(DataType::Decimal128(31, 18), 13, 18)),
        ("order", nested.into()),
    ];
    let columns = columns.into_iter().map(|(name, typed)| typed.into_column(name)).collect();
    check("schema-digits", &TableSchema { columns, ..TableSchema::default() });
}

#[test]
fn the_ledger() {
    let entry = |outcome| Entry { object: object("a/1.csv", "e1"), outcome, epoch: None, again: false };
    check(
        "objects",
        &vec![
            entry(Outcome::Published),
            entry(Outcome::Ignored),
            entry(Outcome::quarantined("line 4: the quote never closes")),
        ],
    );
    let head = LedgerHead {
        run: "run1".into(),
        epoch: 7,
        settings: "00ff".into(),
        runs: vec![vec![segment()], vec![]],
        ..LedgerHead::default()
    };
    check("ledger-head", &head);
    check("ledger-head-request", &LedgerHead { request: Some(mark_of_request()), ..head.clone() });
    check("ledger-head-layout", &LedgerHead { layout: Some(Layout::of(&full().destination)), ..head });
    check("objects-epoch", &vec![Entry { epoch: Some(7), ..entry(Outcome::Published) }]);
    check("objects-again", &vec![Entry { epoch: Some(7), again: true, ..entry(Outcome::Published) }]);
    let mark = TableMark { key: "a/9.csv".into(), ..TableMark::default() };
    check("ledger-table", &LedgerTable { name: "orders".into(), source: "orders/".into(), schema: schema(), mark });
    check("schema-mixed", &mixed_schema());
}

#[test]
fn attempts_and_decisions() {
    let excluded =
        Excluded { key: "a/2.csv".into(), etag: "e2".into(), reason: Exclusion::Quarantined, message: "line 4".into() };
    let manifest = AttemptManifest {
        version: AttemptManifest::VERSION,
        shard: 2,
        plan: 1,
        attempt: "0a".into(),
        sliced: Some("a/1.csv".into()),
        files: vec![staged(FileKind::Data), staged(FileKind::DeadLetter)],
        tables: vec![TableTotals {
            table: 0,
            objects: 1,
            bytes: 2,
            rows: 3,
            newest: Some((object("a", "e").last_modified, "a".into())),
        }],
        excluded: vec![
            excluded,
            Excluded { key: "a/3.csv".into(), etag: "e3".into(), reason: Exclusion::Changed, message: "gone".into() },
        ],
        bad_records: 4,
        mismatches: vec![SchemaMismatch { table: 0, key: "a/1.csv".into(), schema: schema() }],
        prepared_at: object("a", "e").last_modified,
    };
    check("attempt", &manifest);
    let decision = Decision {
        version: Decision::VERSION,
        epoch: 7,
        plan: blob("plan"),
        attempts: vec![blob("attempt")],
        digests: vec!["00ff".into()],
        amended: vec![staged(FileKind::Data)],
        dropped: vec![2],
        abandoned: vec!["a/1.csv".into()],
    };
    check("decision", &decision);
    check("decision-1", &Decision { version: 1, digests: vec![], ..decision });
    reads("open", &vec![OpenUpload { key: "orders/1.parquet".into(), upload: "u-1".into() }]);
    check("open-2", &vec![OpenUpload { key: "orders/1.parquet".into(), upload: String::new() }]);
}

#[test]
fn what_was_committed_and_what_goes() {
    let header = CommitRecord {
        version: 1,
        epoch: 7,
        run: "run1".into(),
        load_id: load_id("run1", 7),
        recorded_at: object("a", "e").last_modified,
        previous: Some(blob("manifest")),
        replaces: true,
    };
    check("manifest-head", &header);
    let file = CommittedFile {
        table: "orders".into(),
        key: "orders/1.parquet".into(),
        id: "id-1".into(),
        etag: "e-2".into(),
        bytes: 1234,
        rows: 20,
        shard: 2,
        objects: (0, 3),
    };
    check("manifest-file", &file);
    let by_etag = GarbageFile { key: "orders/0.parquet".into(), etag: "e-0".into(), id: None, bytes: None };
    let first = Garbage {
        version: 1,
        files: vec![by_etag.clone()],
        replaced: None,
        uploads: vec![OpenUpload { key: "orders/1.parquet".into(), upload: "u-1".into() }],
        blobs: vec![blob("plan").0],
    };
    reads("garbage", &first);
    let files = vec![GarbageFile { id: Some("id-0".into()), bytes: Some(1234), ..by_etag }];
    let second = Garbage { version: 2, files, ..first };
    check("garbage-2", &second);
    let replaced = Some(Replaced { from: blob("manifest"), by: BlobKey(blob("manifest").0.replace("0123", "4567")) });
    check("garbage-3", &Garbage { version: Garbage::VERSION, files: vec![], replaced, ..second });
    check(
        "output-claim",
        &OutputClaim { holder: "_s3sync/claims/0123.s3sync".into(), owner: "host:/var/lib/x".into() },
    );
    check("claim", &Claim { state_id: "abc".into(), owner: "host:/var/lib/x".into(), epoch: 7 });
}
