//! The lineage columns: where each row came from.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef, TimeUnit};

use crate::model::object::Object;

/// The input object's key.
pub const KEY_COLUMN: &str = "_s3sync_key";
/// The input object's last modified time.
pub const LAST_MODIFIED_COLUMN: &str = "_s3sync_last_modified";
/// The row's number in its object, from 1; bad records are not counted.
pub const ROW_COLUMN: &str = "_s3sync_row";

/// The fields that lineage adds, in order.
pub(super) fn fields() -> [Field; 3] {
    [
        Field::new(KEY_COLUMN, DataType::Utf8, true),
        Field::new(LAST_MODIFIED_COLUMN, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new(ROW_COLUMN, DataType::Int64, true),
    ]
}

/// Adds the columns to a batch of rows `first_row..` of an object. `schema` is the batch's with [`fields`] behind.
pub(super) fn add(
    batch: &RecordBatch,
    schema: &SchemaRef,
    object: &Object,
    first_row: u64,
) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let first = i64::try_from(first_row).unwrap_or(i64::MAX);
    let key = StringArray::from_iter_values(std::iter::repeat_n(object.key.as_str(), rows));
    let time = TimestampMicrosecondArray::from_value(object.last_modified.as_microsecond(), rows).with_timezone("UTC");
    let row = Int64Array::from_iter_values((0..rows as i64).map(|row| first.saturating_add(row)));
    let lineage: [ArrayRef; 3] = [Arc::new(key), Arc::new(time), Arc::new(row)];
    RecordBatch::try_new(Arc::clone(schema), batch.columns().iter().cloned().chain(lineage).collect())
}
