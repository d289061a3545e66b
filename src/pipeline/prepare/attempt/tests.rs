//! Each step of an attempt, over stores in memory.

use std::path::PathBuf;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::codec::{BadRecord, Position, Rows};
use crate::model::fixtures::{object, settings};
use crate::model::manifest::{Exclusion, FileKind};
use crate::model::plan::{FrozenTable, Plan};
use crate::model::scalar::Scalar;
use crate::model::schema::Column;
use crate::model::settings::{OnBadObject, PartitionRule};
use crate::pipeline::context::{Context, Patience};
use crate::pipeline::cpu::CpuPool;
use crate::pipeline::progress::Progress;
use crate::state::blobs::Blobs;
use crate::state::memory::MemoryCursor;
use crate::state::seal::StateKey;
use crate::store::memory::MemoryStore;

/// What a shard needs, for as long as one test runs.
struct World {
    context: Context,
    blobs: Blobs,
    plan: Arc<Plan>,
    objects: Arc<Vec<PlannedObject>>,
    open_log: Arc<OpenLog>,
}

fn schema(column: &str) -> TableSchema {
    TableSchema { columns: vec![Column::inferred(column, DataType::Int64)], ..TableSchema::default() }
}

/// Objects a, b and c of one table with one column `n`.
fn world(change: impl FnOnce(&mut Plan)) -> World {
    let destination = Arc::new(MemoryStore::new("lake"));
    let mut plan = Plan {
        version: 1,
        run: "run".into(),
        epoch: 7,
        number: 0,
        settings: settings(),
        planned_at: "2026-11-21T12:00:00Z".parse().unwrap(),
        seed: "00ff".into(),
        part_bytes: 8 << 20,
        layout_bytes: 64 << 20,
        tables: vec![FrozenTable {
            name: "t".into(),
            source: "t/".into(),
            schema: schema("n"),
            objects: 3,
            bytes: 300,
        }],
        shards: vec![],
        objects: vec![],
        listed_to: None,
        pass: 1,
        request: None,
    };
    change(&mut plan);
    let objects = ["t/a.csv", "t/b.csv", "t/c.csv"].map(|key| {
        let object = object(key, "e");
        PlannedObject { object, table: 0, slice: None }
    });
    let context = Context {
        source: Arc::new(MemoryStore::new("raw")),
        destination: destination.clone(),
        cursor: Arc::new(MemoryCursor::default()),
        state_key: StateKey::generate(),
        settings: Arc::new(plan.settings.clone()),
        request: None,
        spec_hash: String::new(),
        accept_spec_change: false,
        finish_only: false,
        owner: "tests".into(),
        index: 0,
        memory_bytes: 256 << 20,
        workers_here: 1,
        pool: CpuPool::new(1).unwrap(),
        scratch: PathBuf::from("/nonexistent/scratch"),
        progress: Arc::new(Progress::default()),
        clock: Arc::new(|| "2026-11-21T12:00:00Z".parse().unwrap()),
        ids: Arc::new(|| "1".repeat(32)),
        patience: Patience::default(),
        cancel: CancellationToken::new(),
    };
    World {
        context,
        blobs: Blobs::new(destination.clone(), "_s3sync", "id"),
        plan: Arc::new(plan),
        objects: Arc::new(objects.into()),
        open_log: Arc::new(OpenLog::new(destination, "_s3sync/id/7/0/0-1".into(), None)),
    }
}

impl World {
    fn shard(&self) -> Shard<'_> {
        let objects = Arc::clone(&self.objects);
        Shard { context: &self.context, blobs: &self.blobs, plan: &self.plan, number: 0, objects }
    }
}

fn start<'a>(world: &World, shard: &'a Shard<'a>, wanted: Option<&'a [StagedFile]>) -> ShardAttempt<'a> {
    ShardAttempt::start(shard, "1", &world.open_log, &BTreeMap::new(), wanted).unwrap()
}

fn rows(values: impl IntoIterator<Item = i64>) -> Decoded {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    let records = values.len() as u64;
    let batch = RecordBatch::try_from_iter_with_nullable([("n", values, true)]).unwrap();
    Decoded { rows: vec![Rows::Batch(batch)], records, ..Decoded::default() }
}

fn bad(lines: &[u64]) -> Decoded {
    let record = |line: &u64| BadRecord {
        record: *line,
        position: Position { line: Some(*line), offset: 0 },
        reason: "it is bad".into(),
        raw: "x".into(),
    };
    Decoded { records: lines.len() as u64, bad: lines.iter().map(record).collect(), ..Decoded::default() }
}

async fn finish(attempt: ShardAttempt<'_>) -> PreparedShard {
    match attempt.finish().await.unwrap() {
        Outcome::Prepared(prepared) => *prepared,
        Outcome::Void(object) => panic!("void because of {}", object.key),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_become_files_and_totals() {
    let world = world(|plan| {
        plan.tables[0].schema.columns.push(Column::inferred("m", DataType::Int64));
        plan.settings.destination.partition_by =
            vec![PartitionRule { column: "m".into(), transform: None, name: "part".into() }];
    });
    let shard = world.shard();
    let mut attempt = start(&world, &shard, None);
    for index in 0..2 {
        let mut object = OpenObject::new(&shard, index);
        for half in 0..2 {
            let values: ArrayRef = Arc::new(Int64Array::from_iter_values(half * 10..half * 10 + 10));
            let parts: ArrayRef = Arc::new(Int64Array::from(vec![i64::from(index); 10]));
            let batch = RecordBatch::try_from_iter_with_nullable([("n", values, true), ("m", parts, true)]).unwrap();
            let decoded = Decoded { rows: vec![Rows::Batch(batch)], records: 10, ..Decoded::default() };
            attempt.on_decoded(&mut object, decoded).await.unwrap();
            object.show_bytes(40 * (half as u64 + 1));
        }
        attempt.on_end(&object);
        object.show_done();
    }
    let progress = &world.context.progress;
    let done = [&progress.rows, &progress.objects_done, &progress.bytes_done].map(|n| n.load(Ordering::Relaxed));
    assert_eq!(done, [40, 2, 200]);
    let PreparedShard { manifest, data_files } = finish(attempt).await;
    let [table] = manifest.tables.as_slice() else { panic!("{:?}", manifest.tables) };
    assert_eq!((table.rows, table.objects, table.bytes), (40, 2, 200));
    assert_eq!(table.newest.as_ref().unwrap().1, "t/b.csv");
    // What is known of a file stands where the file does.
    let files: Vec<_> = manifest.files.iter().map(|file| (file.partition.as_str(), file.rows, file.size)).collect();
    assert_eq!(files.iter().map(|file| (file.0, file.1)).collect::<Vec<_>>(), [("part=0", 20), ("part=1", 20)]);
    for (at, (file, data)) in files.iter().zip(&data_files).enumerate() {
        assert_eq!((data.statistics.rows, data.statistics.bytes), (file.1, file.2));
        assert_eq!(*data.partition, [Some(Scalar::Int(at as i64))]);
        let [n] = data.statistics.columns.as_slice() else { panic!("{:?}", data.statistics) };
        assert_eq!((n.path.join("."), n.nulls), ("n".into(), Some(0)));
        assert_eq!(n.max.as_ref().map(|max| &max.value), Some(&Scalar::Int(19)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mismatch_gives_the_files_up_and_the_rest_is_read_for_more_of_them() {
    let world = world(|_| ());
    let shard = world.shard();
    let mut attempt = start(&world, &shard, None);
    let mut objects = [0, 1, 2].map(|index| OpenObject::new(&shard, index));
    let mismatch = |column: &str| Decoded { mismatch: Some(schema(column)), ..Decoded::default() };
    attempt.on_decoded(&mut objects[0], rows(0..10)).await.unwrap();
    attempt.on_decoded(&mut objects[1], mismatch("x")).await.unwrap();
    attempt.on_decoded(&mut objects[1], rows(0..10)).await.unwrap();
    attempt.on_decoded(&mut objects[2], mismatch("y")).await.unwrap();
    objects.iter().for_each(|object| attempt.on_end(object));
    // Nothing of a failed object is in a file: there is none.
    let gone = ReadError::Changed { key: "t/c.csv".into(), message: "gone".into() };
    assert!(attempt.on_failure(&objects[2], gone, true).unwrap().is_none());
    let PreparedShard { manifest, data_files } = finish(attempt).await;
    assert_eq!((manifest.files.len(), data_files.len(), manifest.tables[0].rows), (0, 0, 10));
    let [found] = manifest.mismatches.as_slice() else { panic!("{:?}", manifest.mismatches) };
    let columns: Vec<&str> = found.schema.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!((found.key.as_str(), columns), ("t/b.csv", vec!["x", "y"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_are_counted_over_all_objects() {
    let blocks: [&[u64]; 3] = [&[3], &[5, 6], &[9]];
    for (allowed, expected) in [
        (0, Some("raw/t/a.csv line 3: it is bad; mend the object, or allow bad records with")),
        (2, Some("raw/t/b.csv line 6: it is bad; it is one more than the 2 that errors.maxBadRecords allows")),
        (4, None),
    ] {
        let world = world(|plan| {
            plan.settings.errors.max_bad_records = allowed;
            plan.settings.errors.dead_letter_path = Some("dead/".into());
        });
        let shard = world.shard();
        let mut attempt = start(&world, &shard, None);
        let mut refused = None;
        for (index, lines) in blocks.iter().enumerate() {
            let mut object = OpenObject::new(&shard, index as u32);
            if let Err(error) = attempt.on_decoded(&mut object, bad(lines)).await {
                refused = Some(error.message);
                break;
            }
            attempt.on_end(&object);
        }
        match expected {
            Some(expected) => assert!(refused.as_ref().is_some_and(|it| it.contains(expected)), "{refused:?}"),
            None => {
                let PreparedShard { manifest, data_files } = finish(attempt).await;
                assert_eq!((manifest.bad_records, refused), (4, None));
                // Dead letters have no statistics.
                let letters: Vec<_> = manifest.files.iter().map(|file| (file.kind, file.rows)).collect();
                assert_eq!((letters, data_files.len()), (vec![(FileKind::DeadLetter, 4)], 0));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_fails_is_left_out_voids_the_attempt_or_ends_the_run() {
    let unreadable = || ReadError::Bad { key: "t/a.csv".into(), position: None, reason: "it is bad".into() };
    let changed = || ReadError::Changed { key: "t/a.csv".into(), message: "it was overwritten".into() };
    let quarantine = OnBadObject::Quarantine;
    for (error, on_bad, released, rebuilds, expected) in [
        (changed(), OnBadObject::Fail, false, false, "left out Changed"),
        (changed(), OnBadObject::Fail, true, false, "void Changed"),
        (unreadable(), quarantine, false, false, "left out Quarantined"),
        (unreadable(), quarantine, true, false, "void Quarantined"),
        // A rebuild needs every object.
        (unreadable(), quarantine, false, true, "void Quarantined"),
        (unreadable(), OnBadObject::Fail, false, false, "ends"),
    ] {
        let world = world(|plan| plan.settings.errors.on_bad_object = on_bad);
        let shard = world.shard();
        let mut attempt = start(&world, &shard, rebuilds.then_some(&[]));
        let object = OpenObject::new(&shard, 0);
        let reason = |excluded: &Excluded| match excluded.reason {
            Exclusion::Changed => "Changed",
            Exclusion::Quarantined => "Quarantined",
            Exclusion::Archived => "Archived",
        };
        let became = match attempt.on_failure(&object, error, released) {
            Err(_) => "ends".to_owned(),
            Ok(Some(object)) => format!("void {}", reason(&object)),
            Ok(None) => {
                let manifest = finish(attempt).await.manifest;
                assert_eq!(manifest.tables[0].objects, 0);
                format!("left out {}", reason(&manifest.excluded[0]))
            }
        };
        assert_eq!(became, expected, "released {released}, rebuilds {rebuilds}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sliced_object_counts_in_its_first_slice() {
    let mut world = world(|_| ());
    for (start, objects) in [(0, 1), (40, 0)] {
        let mut sliced = world.objects[0].clone();
        sliced.slice = Some(Slice::Bytes { start, end: start + 40 });
        world.objects = Arc::new(vec![sliced]);
        let shard = world.shard();
        let mut attempt = self::start(&world, &shard, None);
        let object = OpenObject::new(&shard, 0);
        attempt.on_end(&object);
        let manifest = finish(attempt).await.manifest;
        assert_eq!((manifest.tables[0].objects, manifest.tables[0].bytes), (objects, 40));
        assert_eq!(manifest.sliced.as_deref(), Some("t/a.csv"));
    }
}
