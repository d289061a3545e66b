//! A plan, a sink that keeps what it is given, and batches to lay out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::*;
use crate::model::fixtures::settings;
use crate::model::object::{Etag, Object};
use crate::model::plan::FrozenTable;
use crate::model::schema::{Column, TableSchema};
use crate::model::template::Template;

/// A file as the sink got it.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub file: NewFile,
    pub bytes: Vec<u8>,
    pub end: FileEnd,
}

/// Keeps files; panics when the protocol of [`FileSink`] is broken.
#[derive(Debug, Default)]
pub struct Kept {
    pub made: Vec<Made>,
    open: Option<(NewFile, Vec<u8>)>,
}

impl FileSink for Kept {
    fn begin(&mut self, file: NewFile) -> Result<(), SinkClosed> {
        assert!(self.open.replace((file, Vec::new())).is_none(), "a file begins inside another");
        Ok(())
    }

    fn bytes(&mut self, bytes: Bytes) -> Result<(), SinkClosed> {
        self.open.as_mut().unwrap().1.extend_from_slice(&bytes);
        Ok(())
    }

    fn end(&mut self, end: FileEnd) -> Result<(), SinkClosed> {
        let (file, bytes) = self.open.take().unwrap();
        self.made.push(Made { file, bytes, end });
        Ok(())
    }
}

/// Columns id, ts, country, text.
pub fn table_schema() -> TableSchema {
    let column = |name: &str, data_type| Column::inferred(name, data_type);
    TableSchema {
        columns: vec![
            column("id", DataType::Int64),
            column("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            column("country", DataType::Utf8),
            column("text", DataType::Utf8),
        ],
        ..TableSchema::default()
    }
}

/// Rows `from..to`: country repeats over `countries` names, two of ten thousand are null or empty; a day passes every
/// 100 rows.
pub fn rows(from: i64, to: i64, countries: i64) -> RecordBatch {
    let ids: Vec<i64> = (from..to).collect();
    let country = |id: &i64| match id % 10_000 {
        17 => None,
        18 => Some(String::new()),
        _ => Some(format!("c{}", (id * 7) % countries)),
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.clone())),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(ids.iter().map(|id| id * 864_000_000)).with_timezone("UTC"),
        ),
        Arc::new(StringArray::from_iter(ids.iter().map(country))),
        Arc::new(StringArray::from_iter_values(
            ids.iter().map(|id| format!("text {}", id.wrapping_mul(2_654_435_761) % 1_000_003)),
        )),
    ];
    RecordBatch::try_new(table_schema().arrow(), columns).unwrap()
}

pub fn plan(change: impl FnOnce(&mut Plan)) -> Arc<Plan> {
    let mut settings = settings();
    settings.destination.template = Template::parse("{{TABLE}}/{{EPOCH}}-{{SHARD}}-{{SEQ}}.{{FORMAT}}").unwrap();
    settings.destination.target_file_bytes = None;
    settings.worker.scratch_bytes = 1 << 30;
    let table = |name: &str| FrozenTable {
        name: name.into(),
        source: format!("{name}/"),
        schema: table_schema(),
        objects: 1,
        bytes: 1,
    };
    let mut plan = Plan {
        version: 1,
        run: "run".into(),
        epoch: 7,
        number: 0,
        settings,
        planned_at: "2026-11-21T12:00:00Z".parse().unwrap(),
        seed: "00ff".into(),
        part_bytes: 8 << 20,
        layout_bytes: 64 << 20,
        tables: vec![table("a"), table("b")],
        shards: vec![],
        objects: vec![],
        listed_to: None,
        pass: 1,
        request: None,
    };
    change(&mut plan);
    Arc::new(plan)
}

pub fn object(key: &str, table: u32) -> PlannedObject {
    let object = Object {
        key: key.into(),
        etag: Etag::new("e"),
        size: 1,
        last_modified: "2026-11-20T00:00:00Z".parse().unwrap(),
        archived: false,
    };
    PlannedObject { object, table, slice: None }
}

/// One push.
#[derive(Clone)]
pub struct Input {
    pub index: u32,
    pub object: PlannedObject,
    pub first_row: u64,
    pub rows: Rows,
}

pub fn input(index: u32, object: PlannedObject, batch: RecordBatch) -> Input {
    Input { index, object, first_row: 1, rows: Rows::Batch(batch) }
}

/// Lays everything out on so many threads.
pub fn lay_out(
    plan: &Arc<Plan>,
    inputs: &[Input],
    threads: usize,
    cuts: Option<Vec<StagedFile>>,
) -> Result<Vec<Made>, LayoutError> {
    let scratch = tempfile::tempdir().unwrap();
    let context = LayoutContext {
        plan: Arc::clone(plan),
        shard: 3,
        scratch: scratch.path().to_owned(),
        pool: CpuPool::new(threads).unwrap(),
        cuts,
        segment_bytes_max: Some(255),
    };
    let mut layout = Layout::new(context, Kept::default());
    for input in inputs {
        layout.push(input.index, &input.object, input.first_row, &input.rows)?;
    }
    let made = layout.finish()?.made;
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "scratch is left behind");
    Ok(made)
}

/// The rows of a parquet file, as one batch.
pub fn read(made: &Made) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(made.bytes.clone())).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().collect::<Result<_, _>>().unwrap();
    let batch = arrow::compute::concat_batches(&schema, &batches).unwrap();
    assert_eq!(batch.num_rows() as u64, made.end.statistics.rows);
    // The reader attaches the file's own metadata to the schema; the rows are what is compared.
    RecordBatch::try_new(Arc::new(Schema::new(schema.fields().clone())), batch.columns().to_vec()).unwrap()
}

/// What an attempt would record of a file.
pub fn recorded(made: &Made) -> StagedFile {
    StagedFile {
        key: made.file.key.clone(),
        table: made.file.table,
        kind: made.file.kind,
        partition: made.file.partition.path.to_string(),
        upload: "u".into(),
        parts: vec![],
        id: made.file.id.clone(),
        etag: None,
        size: made.bytes.len() as u64,
        first_row: made.end.first_row,
        rows: made.end.statistics.rows,
        objects: made.end.objects,
    }
}
