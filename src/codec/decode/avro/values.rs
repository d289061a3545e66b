//! Arrays as the arrow-avro crate reads them, in the types that columns are carried in.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, LargeStringArray, ListArray, MapArray, StructArray, UnionArray, new_null_array,
};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{Decimal128Type, Decimal256Type};
use arrow_schema::{ArrowError, DataType};

use crate::codec::encode::value::{WholeJson, writer};
use crate::model::schema::JSON;

/// An array in the type it is carried in, values unchanged.
///
/// # Errors
/// A decimal with more digits than its type has, and what contradicts itself.
pub(super) fn carried(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    match (array.data_type(), target) {
        (DataType::Union(..), _) => of_union(array.as_any().downcast_ref::<UnionArray>().ok_or_else(no_union)?, target),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let array = array.as_struct();
            let columns = array.columns().iter().zip(fields).map(|(column, field)| carried(column, field.data_type()));
            let columns = columns.collect::<Result<_, _>>()?;
            let array = StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())?;
            Ok(Arc::new(array))
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = carried(list.values(), item.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let from: ArrayRef = Arc::new(map.entries().clone());
            let inside = carried(&from, entries.data_type())?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, inside, nulls, *sorted)?))
        }
        (DataType::Decimal128(digits, _), _) => {
            array.as_primitive::<Decimal128Type>().validate_decimal_precision(*digits)?;
            Ok(Arc::clone(array))
        }
        (DataType::Decimal256(digits, _), _) => {
            array.as_primitive::<Decimal256Type>().validate_decimal_precision(*digits)?;
            Ok(Arc::clone(array))
        }
        (source, target) if source == target => Ok(Arc::clone(array)),
        // Enums are dictionaries, bytes of a fixed size are of any here, and the zone of an instant has another name.
        (_, target) => cast(array, target),
    }
}

/// The values of whichever branch each row has.
fn of_union(array: &UnionArray, target: &DataType) -> Result<ArrayRef, ArrowError> {
    let DataType::Union(fields, _) = array.data_type() else { return Err(no_union()) };
    let mut branches = Vec::with_capacity(fields.len());
    for (id, field) in fields.iter() {
        let values = array.child(id);
        branches.push(match (field.data_type(), target) {
            (DataType::Null, target) => new_null_array(target, values.len()),
            (_, &JSON) => texts(&carried(values, &carried_alone(values.data_type()))?),
            (_, target) => carried(values, target)?,
        });
    }
    let Some(offsets) = array.offsets() else { return Err(no_union()) };
    let rows: Vec<(usize, usize)> =
        array.type_ids().iter().zip(offsets).map(|(id, offset)| (*id as usize, *offset as usize)).collect();
    if rows.is_empty() {
        return Ok(new_null_array(target, 0));
    }
    interleave(&branches.iter().map(|branch| branch.as_ref() as &dyn Array).collect::<Vec<_>>(), &rows)
}

/// The type of a branch whose union is JSON: what has text, with unions inside as JSON too.
fn carried_alone(data_type: &DataType) -> DataType {
    use arrow_schema::Field;
    let field = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(carried_alone(field.data_type())));
    match data_type {
        DataType::Union(..) => JSON,
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::List(item) => DataType::List(field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => other.clone(),
    }
}

/// Each value's JSON.
fn texts(array: &ArrayRef) -> ArrayRef {
    let write = writer(array.as_ref(), &WholeJson);
    let mut text = Vec::new();
    let texts: LargeStringArray = (0..array.len())
        .map(|row| {
            text.clear();
            write(row, &mut text);
            array.is_valid(row).then(|| String::from_utf8_lossy(&text).into_owned())
        })
        .collect();
    Arc::new(texts)
}

fn no_union() -> ArrowError {
    ArrowError::InvalidArgumentError("a union without its branches".to_owned())
}
