//! Columns into the types that a table has. A value that does not survive becomes null, and the caller sees it by that.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, MapArray, StringArray, StringBuilder, StructArray, make_array,
    new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, is_not_null, nullif};
use arrow_schema::{ArrowError, DataType, Field};

use super::bad;
use crate::codec::DecodeError;
use crate::codec::encode::value::{Raw, has_text, writer};

/// How strict a cast is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// The value must come back equal: inferred columns, whose type only ever widens.
    Lossless,
    /// What the user declared. Integers and decimals still come out exactly or not at all; floats round to the nearest, times lose what
    /// their unit does not hold, and bytes are taken as UTF-8 text.
    Declared,
}

/// What [`cast`] gives.
pub(super) struct Cast {
    /// The values; null where one did not survive.
    pub array: ArrayRef,
    /// The type that would have held them all, where one did not survive: utf8 in place of the type that failed.
    pub wider: Option<DataType>,
}

/// Brings a column into `target`: structs by field name (absent ones are null), lists by item, maps by value.
///
/// # Errors
/// [`DecodeError::Bad`] where the array contradicts its own type.
pub(super) fn cast(array: &ArrayRef, target: &DataType, strictness: Strictness) -> Result<Cast, DecodeError> {
    match (array.data_type(), target) {
        (source, target) if source == target => Ok(Cast { array: Arc::clone(array), wider: None }),
        (DataType::Null, target) => Ok(Cast { array: new_null_array(target, array.len()), wider: None }),
        (DataType::Struct(_), DataType::Struct(fields)) => cast_struct(array.as_struct(), fields, strictness),
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let cast = cast(list.values(), item.data_type(), strictness)?;
            let wider = cast.wider.map(|wider| DataType::List(Arc::new(item.as_ref().clone().with_data_type(wider))));
            let array = ListArray::try_new(Arc::clone(item), list.offsets().clone(), cast.array, list.nulls().cloned());
            Ok(Cast { array: Arc::new(array.map_err(contradicts)?), wider })
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let from: ArrayRef = Arc::new(map.entries().clone());
            let DataType::Struct(fields) = entries.data_type() else { return Err(bad("a map has no entries")) };
            // Keys and values are matched by place: writers name them differently.
            let from = rename(from.as_struct(), fields)?;
            let cast = cast_struct(&from, fields, strictness)?;
            let wider = cast.wider.map(|wider| DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(wider)), *sorted));
            let cast = cast.array.as_struct().clone();
            let array = MapArray::try_new(Arc::clone(entries), map.offsets().clone(), cast, map.nulls().cloned(), *sorted);
            Ok(Cast { array: Arc::new(array.map_err(contradicts)?), wider })
        }
        (_, target) => {
            let cast = cast_leaf(array, target, strictness)?;
            let wider = (cast.null_count() > array.logical_null_count()).then_some(DataType::Utf8);
            Ok(Cast { array: cast, wider })
        }
    }
}

fn contradicts(error: ArrowError) -> DecodeError {
    bad(format!("its nested values contradict each other: {error}"))
}

fn rename(entries: &StructArray, names: &arrow_schema::Fields) -> Result<StructArray, DecodeError> {
    let fields: Vec<Field> =
        (entries.fields().iter().zip(names)).map(|(field, name)| field.as_ref().clone().with_name(name.name())).collect();
    StructArray::try_new(fields.into(), entries.columns().to_vec(), entries.nulls().cloned()).map_err(contradicts)
}

fn cast_struct(array: &StructArray, fields: &arrow_schema::Fields, strictness: Strictness) -> Result<Cast, DecodeError> {
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
            widened[at] = Arc::new(field.as_ref().clone().with_data_type(data_type));
            wider = true;
        }
        columns.push(cast.array);
    }
    let array = StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len()).map_err(contradicts)?;
    Ok(Cast { array: Arc::new(array), wider: wider.then(|| DataType::Struct(widened.into())) })
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
    let source = array.data_type();
    let declared = strictness == Strictness::Declared;
    let nothing = || new_null_array(target, array.len());
    if *target == DataType::Utf8 && !(declared && *source == DataType::Binary) {
        return Ok(if has_text(source) { Arc::new(text(array)) } else { nothing() });
    }
    // Arrow knows UTC by name only with a database of zones built in; every zone here is UTC, so the values are cast without one.
    let (source, bare) = (&zoneless(source), &zoneless(target));
    if source.is_nested() || bare.is_nested() || !can_cast_types(source, bare) {
        return Ok(nothing());
    }
    let array = &relabelled(array, source)?;
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let Ok(cast) = cast_with_options(array, bare, &options) else { return Ok(nothing()) };
    if always_exact(source, bare) || (declared && !must_be_exact(source, bare)) {
        return relabelled(&cast, target);
    }
    let Ok(back) = cast_with_options(&cast, source, &options) else { return Ok(nothing()) };
    let survived = eq(&back, array).map_err(contradicts)?;
    let lost = BooleanArray::new(!survived.values(), survived.nulls().cloned());
    relabelled(&nullif(&cast, &lost).map_err(contradicts)?, target)
}

fn zoneless(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, None),
        other => other.clone(),
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

/// Casts where no value can be lost, so that looking for one is skipped.
fn always_exact(source: &DataType, target: &DataType) -> bool {
    use DataType::*;
    matches!(
        (source, target),
        (Int8, Int16 | Int32 | Int64)
            | (Int16, Int32 | Int64)
            | (Int32, Int64)
            | (UInt8, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64)
            | (UInt16, UInt32 | UInt64 | Int32 | Int64)
            | (UInt32, UInt64 | Int64)
            | (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32 | Float32, Float64)
            | (Utf8, Binary)
    )
}

/// Declared casts that give the value or nothing: between numbers, into whole and decimal ones; and a date that the unit cannot hold.
fn must_be_exact(source: &DataType, target: &DataType) -> bool {
    let whole = target.is_integer() || target.is_decimal() || *target == DataType::Boolean;
    (source.is_numeric() && whole) || matches!((source, target), (DataType::Date32, DataType::Timestamp(..)))
}

/// Every value as the text formats write it.
fn text(array: &ArrayRef) -> StringArray {
    let write = writer(array.as_ref(), &Raw);
    let valid = is_not_null(array).ok();
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut value = Vec::new();
    for row in 0..array.len() {
        if valid.as_ref().is_some_and(|valid| !valid.value(row)) {
            texts.append_null();
            continue;
        }
        value.clear();
        write(row, &mut value);
        // Writers write UTF-8 only; lossy costs nothing then.
        texts.append_value(String::from_utf8_lossy(&value));
    }
    texts.finish()
}

/// Checks text that the parquet crate made without looking, however deep it lies.
///
/// # Errors
/// [`DecodeError::Bad`] where it is not UTF-8.
pub(super) fn check_text(array: &ArrayRef) -> Result<(), DecodeError> {
    match array.data_type() {
        DataType::Utf8 => {
            let bytes = BinaryArray::from(array.as_string::<i32>().clone());
            let (offsets, values, nulls) = bytes.into_parts();
            StringArray::try_new(offsets, values, nulls).map(|_| ()).map_err(|_| bad("text that is not UTF-8"))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().try_for_each(check_text),
        DataType::List(_) => check_text(array.as_list::<i32>().values()),
        DataType::Map(..) => array.as_map().entries().columns().iter().try_for_each(check_text),
        _ => Ok(()),
    }
}
