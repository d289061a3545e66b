//! Columns into the types that a table has, by one rule: a cast keeps the value exactly, or there is no value. Where it
//! did not survive it becomes null, and the caller sees it by that.
//!
//! A declared cast gives what the same cast gives of csv: a value of any type is what its text says, and text is read
//! by [`parsing`](super::value::parsing). So true is no number, a time of day no timestamp, an integer counts a
//! timestamp's units, and a float is its shortest text. What has a shortcut here (numbers, times) gives the same
//! without the way over text; tests compare the two.

mod number;
mod text;
mod time;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StructArray, make_array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast as arrow_cast, nullif};
use arrow_schema::{ArrowError, DataType, Field};

use super::DecodeError;
use crate::codec::encode::value::{any_type, has_text};
use crate::model::schema::{JSON, Mixed, Typed};

pub(super) use text::check_text;

/// What a cast may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// Nothing but the layout: inferred columns, whose type only ever widens, and values to be rescued. Numbers stay
    /// numbers, times stay times with their zone or without; utf8 alone holds every other kind, as its text.
    Same,
    /// What the user declared: values of other kinds too.
    Declared,
}

/// What [`cast`] gives.
pub(super) struct Cast {
    /// The values; null where one did not survive.
    pub array: ArrayRef,
    /// The type that would have held them all, where one did not survive: utf8 in place of the type that failed, and
    /// the same type again where none would (bytes that are no UTF-8, in text).
    pub wider: Option<DataType>,
}

/// Brings a column into `target`: structs by field name (absent ones are null), lists by item, maps by value.
///
/// # Errors
/// [`DecodeError::Bad`] where the array contradicts its own type.
pub(super) fn cast(array: &ArrayRef, target: &DataType, strictness: Strictness) -> Result<Cast, DecodeError> {
    match (array.data_type(), target) {
        // What is annotated as JSON need not be.
        (source, target) if source == target && !any_type(target, &|inner| *inner == JSON) => {
            Ok(Cast { array: Arc::clone(array), wider: None })
        }
        (DataType::Null, target) => Ok(Cast { array: new_null_array(target, array.len()), wider: None }),
        (DataType::Struct(_), DataType::Struct(fields)) => cast_struct(array.as_struct(), fields, strictness),
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let cast = cast(list.values(), item.data_type(), strictness)?;
            let wider = cast.wider.map(|wider| DataType::List(Arc::new(wider_field(item, wider))));
            let array = ListArray::try_new(Arc::clone(item), list.offsets().clone(), cast.array, list.nulls().cloned());
            Ok(Cast { array: Arc::new(array.map_err(contradicts)?), wider })
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => cast_map(array, target, entries, *sorted, strictness),
        (_, target) => {
            let cast = cast_leaf(array, target, strictness)?;
            let lost = cast.logical_null_count() > array.logical_null_count();
            Ok(Cast { array: cast, wider: lost.then(|| wider_than(array.data_type(), target)) })
        }
    }
}

/// What would have held the values of a leaf.
fn wider_than(source: &DataType, target: &DataType) -> DataType {
    if *source == DataType::Binary && is_text(target) { target.clone() } else { DataType::Utf8 }
}

/// Whether bytes have to be UTF-8 to be values of a type.
pub(super) fn is_text(data_type: &DataType) -> bool {
    *data_type == DataType::Utf8 || *data_type == JSON
}

/// A field that does not hold its values with the type that would.
fn wider_field(field: &Field, data_type: DataType) -> Field {
    wider(field.data_type(), data_type).into_field(field.name())
}

/// What a column becomes that was to have one type and needs another ([`Cast::wider`]): what is no JSON is text for
/// good.
pub(super) fn wider(target: &DataType, needed: DataType) -> Typed {
    let mixed = if *target == JSON && needed != JSON { Mixed::Kept } else { Mixed::Text };
    Typed { mixed, ..needed.into() }
}

fn bad(reason: impl Into<String>) -> DecodeError {
    DecodeError::Bad { reason: reason.into(), position: None }
}

fn contradicts(error: ArrowError) -> DecodeError {
    bad(format!("its nested values contradict each other: {error}"))
}

fn cast_map(
    array: &ArrayRef,
    target: &DataType,
    entries: &Arc<Field>,
    sorted: bool,
    strictness: Strictness,
) -> Result<Cast, DecodeError> {
    let map = array.as_map();
    let from: ArrayRef = Arc::new(map.entries().clone());
    let DataType::Struct(fields) = entries.data_type() else { return Err(bad("a map has no entries")) };
    // Keys and values are matched by place: writers name them differently.
    let from = rename(from.as_struct(), fields)?;
    if let (Some(key), Some(field)) = (from.columns().first(), fields.first())
        && cast(key, field.data_type(), strictness)?.wider.is_some()
    {
        // A key cannot be null: no map of the column is kept.
        return Ok(Cast { array: new_null_array(target, array.len()), wider: Some(DataType::Utf8) });
    }
    let cast = cast_struct(&from, fields, strictness)?;
    let wider = cast.wider.map(|wider| DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(wider)), sorted));
    let cast = cast.array.as_struct().clone();
    let array = MapArray::try_new(Arc::clone(entries), map.offsets().clone(), cast, map.nulls().cloned(), sorted);
    Ok(Cast { array: Arc::new(array.map_err(contradicts)?), wider })
}

fn rename(entries: &StructArray, names: &arrow_schema::Fields) -> Result<StructArray, DecodeError> {
    let fields: Vec<Field> = (entries.fields().iter().zip(names))
        .map(|(field, name)| field.as_ref().clone().with_name(name.name()))
        .collect();
    StructArray::try_new(fields.into(), entries.columns().to_vec(), entries.nulls().cloned()).map_err(contradicts)
}

fn cast_struct(
    array: &StructArray,
    fields: &arrow_schema::Fields,
    strictness: Strictness,
) -> Result<Cast, DecodeError> {
    let mut columns = Vec::with_capacity(fields.len());
    let mut widened: Vec<Arc<Field>> = fields.iter().cloned().collect();
    let mut wider = false;
    for (at, field) in fields.iter().enumerate() {
        let Some(column) = array.column_by_name(field.name()) else {
            columns.push(new_null_array(field.data_type(), array.len()));
            continue;
        };
        // What lies below a null struct is no value.
        let column = masked(column, array.nulls()).map_err(contradicts)?;
        let cast = cast(&column, field.data_type(), strictness)?;
        if let Some(data_type) = cast.wider {
            widened[at] = Arc::new(wider_field(field, data_type));
            wider = true;
        }
        columns.push(cast.array);
    }
    for (field, column) in array.fields().iter().zip(array.columns()) {
        let has_place = fields.iter().any(|known| known.name() == field.name());
        if !has_place && has_value(&masked(column, array.nulls()).map_err(contradicts)?) {
            widened.push(Arc::clone(field));
            wider = true;
        }
    }
    let array = StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())
        .map_err(contradicts)?;
    Ok(Cast { array: Arc::new(array), wider: wider.then(|| DataType::Struct(widened.into())) })
}

fn has_value(array: &ArrayRef) -> bool {
    array.logical_null_count() < array.len()
}

/// The column with the rows that `nulls` has null.
fn masked(column: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef, ArrowError> {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => nullif(column, &BooleanArray::new(!nulls.inner(), None)),
        None => Ok(Arc::clone(column)),
    }
}

/// A column that is no struct, list or map on one of both sides.
fn cast_leaf(array: &ArrayRef, target: &DataType, strictness: Strictness) -> Result<ArrayRef, DecodeError> {
    use DataType::{Binary, Date32, FixedSizeBinary, Time32, Time64, Timestamp, Utf8};
    let declared = strictness == Strictness::Declared;
    let source = array.data_type();
    match (source, target) {
        (Binary, &JSON) => text::json(&text::of_bytes(array), declared).map_err(contradicts),
        (_, &JSON) => text::json(array, declared).map_err(contradicts),
        // Its text, as it stands.
        (&JSON, _) => cast_leaf(&arrow_cast(array, &Utf8).map_err(contradicts)?, target, strictness),
        (Utf8, Utf8) => Ok(Arc::clone(array)),
        // Where bytes meet text they are the text that they are in UTF-8, and nothing else: base64 would be another
        // text.
        (Binary, Utf8) => Ok(text::of_bytes(array)),
        (_, Utf8) if has_text(source) => Ok(text::of_values(array)),
        (FixedSizeBinary(_), Binary) => arrow_cast(array, target).map_err(contradicts),
        (Utf8, target) if declared => Ok(text::read(array.as_string(), target)),
        (source, target) if number::is_number(source) && number::is_number(target) => {
            number::cast(array, target, !declared)
        }
        (source, Timestamp(..)) if declared && number::is_number(source) => {
            relabelled(&number::cast(array, &DataType::Int64, !declared)?, target)
        }
        (Date32 | Timestamp(..), Date32 | Timestamp(..)) => time::cast(array, target, declared),
        (Time32(_) | Time64(_), Time32(_) | Time64(_)) => time::cast_of_day(array, target),
        _ => Ok(new_null_array(target, array.len())),
    }
}

/// The same values under a type of the same layout.
fn relabelled(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, DecodeError> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    let data = array.to_data().into_builder().data_type(data_type.clone()).build();
    Ok(make_array(data.map_err(contradicts)?))
}
