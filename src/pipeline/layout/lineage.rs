//! The values of the lineage columns: where each row came from.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, SchemaRef};

use crate::model::object::Object;

/// Adds the columns to a batch of rows `first_row..` of an object. `schema` is the batch's with their fields
/// behind.
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
