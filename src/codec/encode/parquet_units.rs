//! Times in units that Parquet has. It has no seconds: a column of them would be a bare integer, which other readers
//! take for one. So they are written in milliseconds, as other writers do.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

use super::EncodeError;
use super::value::{RAW, writer};

/// The schema of a file of such batches.
pub(super) fn storable(schema: &SchemaRef) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(storable_field).collect();
    if fields == *schema.fields() {
        schema.clone()
    } else {
        Schema::new_with_metadata(fields, schema.metadata().clone()).into()
    }
}

fn storable_field(field: &FieldRef) -> FieldRef {
    let stored = storable_type(field.data_type());
    if stored == *field.data_type() { field.clone() } else { Field::clone(field).with_data_type(stored).into() }
}

fn storable_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(storable_field).collect()),
        DataType::List(item) => DataType::List(storable_field(item)),
        DataType::Map(entries, sorted) => DataType::Map(storable_field(entries), *sorted),
        other => other.clone(),
    }
}

/// A batch in a [`storable`] schema.
///
/// # Errors
/// [`EncodeError::Range`] for a time that milliseconds of 64 bits do not hold.
pub(super) fn stored(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, EncodeError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(column.clone());
        }
        cast(column, field.data_type()).ok_or_else(|| out_of_range(column, field))
    });
    let columns = columns.collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn cast(column: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() }).ok()
}

#[cold]
fn out_of_range(column: &ArrayRef, field: &Field) -> EncodeError {
    let row = (0..column.len()).find(|row| cast(&column.slice(*row, 1), field.data_type()).is_none());
    let mut value = Vec::new();
    if let Some(row) = row {
        writer(column.as_ref(), &RAW)(row, &mut value);
    }
    EncodeError::Range {
        column: field.name().clone(),
        value: String::from_utf8_lossy(&value).chars().take(80).collect(),
    }
}
