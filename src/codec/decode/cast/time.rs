//! Dates, timestamps and times of day in other units.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, new_null_array};
use arrow::datatypes::*;

use super::super::value::DAY_SECONDS;
use super::{DecodeError, relabelled};
use crate::codec::encode::time_text::ticks;

/// Between dates and timestamps. A day is the instant at which it begins. What has a zone is no local time; a local
/// time is one in UTC where the user declared so, as text without an offset is.
pub(super) fn cast(array: &ArrayRef, target: &DataType, declared: bool) -> Result<ArrayRef, DecodeError> {
    use DataType::{Date32, Int64, Timestamp};
    let ticks_of = |data_type: &DataType| match data_type {
        Timestamp(unit, _) => ticks(*unit),
        _ => 1,
    };
    let day = |data_type: &DataType| DAY_SECONDS * ticks_of(data_type);
    match (array.data_type(), target) {
        (Timestamp(from, zone), Timestamp(to, wanted)) => {
            if zone.is_some() != wanted.is_some() && !(declared && wanted.is_some()) {
                return Ok(new_null_array(target, array.len()));
            }
            relabelled(&scaled(&relabelled(array, &Int64)?, ticks(*from), ticks(*to)), target)
        }
        (Date32, target) => {
            let day = day(target);
            let instants: PrimitiveArray<Int64Type> =
                array.as_primitive::<Date32Type>().unary_opt(|days| i64::from(days).checked_mul(day));
            relabelled(&(Arc::new(instants) as ArrayRef), target)
        }
        (source, _) => {
            let day = day(source);
            let instants = relabelled(array, &Int64)?;
            let days: PrimitiveArray<Date32Type> =
                instants.as_primitive::<Int64Type>().unary_opt(|instant| match instant % day {
                    0 => i32::try_from(instant / day).ok(),
                    _ => None,
                });
            Ok(Arc::new(days))
        }
    }
}

/// Between times of day.
pub(super) fn cast_of_day(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, DecodeError> {
    let unit = |data_type: &DataType| match data_type {
        DataType::Time32(unit) | DataType::Time64(unit) => ticks(*unit),
        _ => 1,
    };
    let (from, to) = (unit(array.data_type()), unit(target));
    let wide = match array.data_type() {
        DataType::Time32(_) => {
            arrow::compute::cast(&relabelled(array, &DataType::Int32)?, &DataType::Int64).map_err(super::contradicts)?
        }
        _ => relabelled(array, &DataType::Int64)?,
    };
    let scaled = scaled(&wide, from, to);
    match target {
        DataType::Time32(_) => {
            relabelled(&arrow::compute::cast(&scaled, &DataType::Int32).map_err(super::contradicts)?, target)
        }
        _ => relabelled(&scaled, target),
    }
}

/// Counts of one unit as counts of another; null where it does not divide, or beyond 64 bits. Of two units one is a
/// multiple of the other.
fn scaled(counts: &ArrayRef, from: i64, to: i64) -> ArrayRef {
    let counts_of = counts.as_primitive::<Int64Type>();
    if from == to {
        return Arc::clone(counts);
    }
    let scaled: PrimitiveArray<Int64Type> = if to > from {
        counts_of.unary_opt(|count| count.checked_mul(to / from))
    } else {
        let factor = from / to;
        counts_of.unary_opt(|count| if count % factor == 0 { Some(count / factor) } else { None })
    };
    Arc::new(scaled)
}
