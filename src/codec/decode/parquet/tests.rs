//! Objects written by the parquet crate, read back in every way.

mod corrupt;
mod footers;
mod misfits;
mod slices;
mod types;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

use super::*;
use crate::codec::Decoded;
use crate::codec::decode::object::ReadAt;
use crate::model::schema::TableSchema;

const PAGE_BYTES_MAX: u64 = 1 << 20;

/// Columns that may be null, as parquet.
fn object(columns: Vec<(&str, ArrayRef)>, properties: WriterPropertiesBuilder) -> Bytes {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    written(&batch, properties)
}

fn written(batch: &RecordBatch, properties: WriterPropertiesBuilder) -> Bytes {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn plainly() -> WriterPropertiesBuilder {
    WriterProperties::builder()
}

fn footer(object: &Bytes) -> Result<Arc<ParquetMetaData>, DecodeError> {
    let size = object.len() as u64;
    let mut tail = object.slice(object.len().saturating_sub(8)..);
    for _ in 0..3 {
        match parse_footer(tail, size, 1 << 20)? {
            Footer::Done(metadata) => return Ok(metadata),
            Footer::NeedsTail(bytes) => tail = object.slice(object.len() - usize::try_from(bytes).unwrap()..),
        }
    }
    panic!("a footer that always needs more");
}

/// Everything that decoding gives, batches in one.
#[derive(Debug)]
struct All {
    rows: Option<RecordBatch>,
    batch_rows: Vec<usize>,
    decoded: Vec<Decoded>,
}

fn read_from(
    reader: impl ReadAt + 'static,
    metadata: Arc<ParquetMetaData>,
    table: &TableSchema,
    drop: &[&str],
    rows_per_batch: usize,
) -> Result<All, DecodeError> {
    let groups = row_groups(&metadata, None);
    let drop: Vec<String> = drop.iter().map(ToString::to_string).collect();
    let table = Arc::new(table.clone());
    let plan = ParquetPlan::new(metadata, &table, &drop, &groups, rows_per_batch, PAGE_BYTES_MAX)?;
    let mut decoder = ParquetDecoder::new(Arc::new(plan), Arc::new(reader), groups);
    let mut decoded = Vec::new();
    while let Some(next) = decoder.next()? {
        decoded.push(next);
    }
    assert!(decoder.next().unwrap().is_none(), "nothing follows the end");
    let batches: Vec<RecordBatch> = decoded.iter().flat_map(Decoded::batches).collect();
    for batch in &batches {
        assert_eq!(batch.schema(), table.arrow());
    }
    let batch_rows = batches.iter().map(|batch| batch.num_rows()).collect();
    let rows = (!batches.is_empty()).then(|| concat_batches(&table.arrow(), &batches).unwrap());
    Ok(All { rows, batch_rows, decoded })
}

fn read(object: &Bytes, table: &TableSchema) -> Result<All, DecodeError> {
    read_from(object.clone(), footer(object)?, table, &[], 1000)
}

/// One column of the object read under its own schema.
fn column_of(object: &Bytes, name: &str) -> ArrayRef {
    let table = schema(&footer(object).unwrap()).unwrap();
    read(object, &table).unwrap().rows.unwrap().column_by_name(name).unwrap().clone()
}

/// Gives an object in windows of few bytes, as the network may.
#[derive(Clone)]
struct Trickle {
    object: Bytes,
    window_bytes: usize,
}

impl ReadAt for Trickle {
    fn size(&self) -> u64 {
        self.object.size()
    }

    fn read_at(&self, offset: u64) -> std::io::Result<Bytes> {
        self.object.read_at(offset).map(|bytes| bytes.slice(..bytes.len().min(self.window_bytes)))
    }

    fn is_held(&self) -> bool {
        false
    }
}

/// The bytes that decoding a row group reads.
fn stretches(
    metadata: &Arc<ParquetMetaData>,
    row_group: usize,
    table: &TableSchema,
    drop: &[String],
) -> Result<Vec<Range<u64>>, DecodeError> {
    let table = Arc::new(table.clone());
    let plan = ParquetPlan::new(Arc::clone(metadata), &table, drop, &[row_group], 1, PAGE_BYTES_MAX)?;
    Ok(plan.needs(row_group).ranges)
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}
