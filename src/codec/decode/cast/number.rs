//! Numbers: integers, floats and decimals.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, new_null_array};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, nullif};
use arrow::datatypes::*;

use super::super::value::{
    EXACT_POWERS, decimal, equal_float32, float32_of, float64, float64_equals, float64_says, shortest_float32, whole,
};
use super::{DecodeError, contradicts};
use crate::model::schema::FLOAT64_INTEGER_MAX;

/// Whether values are numbers.
pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// Between numbers: the same number, or null. Not `same`: -0.0, whose sign floats alone have, may be another zero, and
/// a number the float that either is equal or says the same.
///
/// Of floats, NaN and infinities stay in floats. float32 widens to the float64 that is equal; to decimals it goes by
/// its own shortest text.
pub(super) fn cast(array: &ArrayRef, target: &DataType, same: bool) -> Result<ArrayRef, DecodeError> {
    use DataType::*;
    if same && !target.is_floating() && has_negative_zero(array) {
        return cast(&without_negative_zero(array)?, target, false);
    }
    // What is no float has to be what the float says.
    let (narrow, nearest) = if same {
        (equal_float32 as fn(f64) -> _, shortest_float32 as fn(f64) -> _)
    } else {
        (float32_of as _, float32_of as _)
    };
    match (array.data_type(), target) {
        (source, target) if source == target => Ok(Arc::clone(array)),
        (Float16 | Float32, Float64) | (Float16, Float32) => checked(array, target),
        (Float64, Float32) => Ok(mapped::<Float64Type, Float32Type>(array, target, narrow)),
        (source, target) if source.is_integer() && target.is_integer() => checked(array, target),
        (Int8 | Int16 | UInt8 | UInt16, Float32 | Float64) | (Int32 | UInt32, Float64) => checked(array, target),
        (UInt64, Float64) => Ok(mapped::<UInt64Type, Float64Type>(array, target, |value| float64_of(value, same))),
        (UInt64, Float32) => {
            Ok(mapped::<UInt64Type, Float32Type>(array, target, |value| nearest(float64_of(value, same)?)))
        }
        (source, Float64) if source.is_integer() => {
            Ok(mapped::<Int64Type, Float64Type>(&checked(array, &Int64)?, target, |value| float64_of(value, same)))
        }
        (source, Float32) if source.is_integer() => {
            Ok(mapped::<Int64Type, Float32Type>(&checked(array, &Int64)?, target, |value| {
                nearest(float64_of(value, same)?)
            }))
        }
        (Float64, UInt64) => Ok(mapped::<Float64Type, UInt64Type>(array, target, integer_of)),
        (Float32, UInt64) => Ok(mapped::<Float32Type, UInt64Type>(array, target, integer_of)),
        (Float64, target) if target.is_integer() => {
            checked(&mapped::<Float64Type, Int64Type>(array, &Int64, integer_of), target)
        }
        (Float32, target) if target.is_integer() => {
            checked(&mapped::<Float32Type, Int64Type>(array, &Int64, integer_of), target)
        }
        (Float32, Decimal128(p, s)) => {
            Ok(mapped::<Float32Type, Decimal128Type>(array, target, |value| shortest_decimal(value, *p, *s)?.to_i128()))
        }
        (Float32, Decimal256(p, s)) => {
            Ok(mapped::<Float32Type, Decimal256Type>(array, target, |value| shortest_decimal(value, *p, *s)))
        }
        (Float64, Decimal128(p, s)) => {
            let short = ShortDecimals::new(*p, *s);
            let value = |value| short.of(value).map(i128::from).or_else(|| shortest_decimal(value, *p, *s)?.to_i128());
            Ok(mapped::<Float64Type, Decimal128Type>(array, target, value))
        }
        (Float64, Decimal256(p, s)) => {
            let short = ShortDecimals::new(*p, *s);
            let value = |value| {
                short.of(value).map(|value| i256::from(i128::from(value))).or_else(|| shortest_decimal(value, *p, *s))
            };
            Ok(mapped::<Float64Type, Decimal256Type>(array, target, value))
        }
        (Decimal128(p, s), Float64) => Ok(mapped::<Decimal128Type, Float64Type>(array, target, |value| {
            i64::try_from(value)
                .ok()
                .and_then(|value| short_float(value, *s))
                .or_else(|| float_of_decimal::<Decimal128Type>(value, *p, *s, same))
        })),
        (Decimal256(p, s), Float64) => Ok(mapped::<Decimal256Type, Float64Type>(array, target, |value| {
            float_of_decimal::<Decimal256Type>(value, *p, *s, same)
        })),
        (source, Float32) if source.is_decimal() => {
            Ok(mapped::<Float64Type, Float32Type>(&cast(array, &Float64, same)?, target, nearest))
        }
        (source, target) if (source.is_integer() || source.is_decimal()) && keeps_scale(source, target) => {
            checked(array, target)
        }
        (_, target) => there_and_back(array, target),
    }
}

fn has_negative_zero(array: &ArrayRef) -> bool {
    match array.data_type() {
        DataType::Float32 => {
            array.as_primitive::<Float32Type>().values().iter().any(|value| *value == 0.0 && value.is_sign_negative())
        }
        DataType::Float64 => {
            array.as_primitive::<Float64Type>().values().iter().any(|value| *value == 0.0 && value.is_sign_negative())
        }
        _ => false,
    }
}

fn without_negative_zero(array: &ArrayRef) -> Result<ArrayRef, DecodeError> {
    let wide = checked(array, &DataType::Float64)?;
    let negative =
        BooleanArray::from_unary(wide.as_primitive::<Float64Type>(), |value| value == 0.0 && value.is_sign_negative());
    nullif(array, &negative).map_err(contradicts)
}

fn mapped<S: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    array: &ArrayRef,
    target: &DataType,
    value: impl Fn(S::Native) -> Option<T::Native>,
) -> ArrayRef {
    Arc::new(array.as_primitive::<S>().unary_opt::<_, T>(value).with_data_type(target.clone()))
}

const SAFE: CastOptions<'static> =
    CastOptions { safe: true, format_options: arrow::util::display::FormatOptions::new() };

/// Arrow's own cast, where it gives the value or null.
fn checked(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, DecodeError> {
    cast_with_options(array, target, &SAFE).map_err(contradicts)
}

/// Arrow's own cast, where it may round: what does not come back equal is null.
fn there_and_back(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, DecodeError> {
    let (source, nothing) = (array.data_type(), || new_null_array(target, array.len()));
    if !can_cast_types(source, target) || !can_cast_types(target, source) {
        return Ok(nothing());
    }
    let Ok(cast) = cast_with_options(array, target, &SAFE) else { return Ok(nothing()) };
    let Ok(back) = cast_with_options(&cast, source, &SAFE) else { return Ok(nothing()) };
    let survived = eq(&back, array).map_err(contradicts)?;
    let lost = BooleanArray::new(!survived.values(), survived.nulls().cloned());
    nullif(&cast, &lost).map_err(contradicts)
}

/// Whether a whole or decimal type has as many digits behind the point in another one, so that nothing is rounded.
fn keeps_scale(source: &DataType, target: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    let scale = |data_type: &DataType| match data_type {
        Decimal32(_, scale) | Decimal64(_, scale) | Decimal128(_, scale) | Decimal256(_, scale) => *scale,
        _ => 0,
    };
    let (from, to) = (scale(source), scale(target));
    from >= 0 && to >= from && target.is_decimal()
}

/// An integer as float64: up to 2^53 always, beyond where the float's shortest text is the integer, or the float is
/// equal and `same` does not matter.
trait IntegerText: Copy + itoa::Integer {
    fn magnitude(self) -> u64;
    fn nearest(self) -> f64;
}

impl IntegerText for i64 {
    fn magnitude(self) -> u64 {
        self.unsigned_abs()
    }

    fn nearest(self) -> f64 {
        self as f64
    }
}

impl IntegerText for u64 {
    fn magnitude(self) -> u64 {
        self
    }

    fn nearest(self) -> f64 {
        self as f64
    }
}

#[inline]
fn float64_of<N: IntegerText>(value: N, same: bool) -> Option<f64> {
    let nearest = value.nearest();
    (value.magnitude() <= FLOAT64_INTEGER_MAX
        || float_keeps(nearest, itoa::Buffer::new().format(value).as_bytes(), same))
    .then_some(nearest)
}

/// Whether a float keeps the number that a text says.
fn float_keeps(value: f64, text: &[u8], same: bool) -> bool {
    float64_says(value, text) || (!same && float64_equals(value, text))
}

/// A float as an integer: up to 2^53 where it is whole, beyond only where its shortest text is what it is, as with
/// 1e18.
#[inline]
fn integer_of<F: ryu::Float + Into<f64> + Copy, N: TryFrom<i64> + TryFrom<i128>>(value: F) -> Option<N> {
    let wide: f64 = value.into();
    if wide.trunc() != wide {
        return None;
    }
    if wide.abs() <= FLOAT64_INTEGER_MAX as f64 {
        return N::try_from(wide as i64).ok();
    }
    long_integer_of(value, wide)
}

#[cold]
fn long_integer_of<F: ryu::Float, N: TryFrom<i64> + TryFrom<i128>>(value: F, wide: f64) -> Option<N> {
    let text: i128 = whole(ryu::Buffer::new().format_finite(value).as_bytes(), false)?;
    // Beyond 2^127 no type is that wide.
    (text as f64 == wide).then_some(text).and_then(|text| N::try_from(text).ok())
}

/// A float as a decimal: what its shortest text says.
#[cold]
fn shortest_decimal<F: ryu::Float + Into<f64> + Copy>(value: F, precision: u8, scale: i8) -> Option<i256> {
    let wide: f64 = value.into();
    if !wide.is_finite() {
        return None;
    }
    decimal(ryu::Buffer::new().format_finite(value).as_bytes(), precision, scale)
}

/// Digits that every float64 tells apart: of two decimals that are no longer, none is nearest to the same float.
const SAFE_DIGITS: u32 = 15;

/// Float64 to decimal without the way over text.
///
/// A decimal of up to 15 digits that is nearest to a float is the only one that is, so it is what the shortest text
/// says. Both numbers of the division are exact (10^22 is the largest power of ten that float64 holds), so it rounds
/// once, to the nearest.
struct ShortDecimals {
    factor: f64,
    max: f64,
}

impl ShortDecimals {
    fn new(precision: u8, scale: i8) -> Self {
        let digits = u32::from(precision).min(SAFE_DIGITS);
        match exact_power(scale) {
            Some(factor) => Self { factor, max: 10_i64.pow(digits) as f64 },
            None => Self { factor: 1.0, max: 0.0 },
        }
    }

    #[inline]
    fn of(&self, value: f64) -> Option<i64> {
        let units = (value * self.factor).round();
        (units.abs() < self.max && units / self.factor == value).then_some(units as i64)
    }
}

/// A decimal of up to 15 digits as float64: the nearest, whose shortest text it is then.
#[inline]
fn short_float(units: i64, scale: i8) -> Option<f64> {
    let factor = exact_power(scale)?;
    (units.unsigned_abs() < 10_u64.pow(SAFE_DIGITS)).then(|| units as f64 / factor)
}

fn exact_power(scale: i8) -> Option<f64> {
    EXACT_POWERS.get(usize::try_from(scale).ok()?).copied()
}

#[cold]
fn float_of_decimal<T: DecimalType>(value: T::Native, precision: u8, scale: i8, same: bool) -> Option<f64> {
    let text = T::format_decimal(value, precision, scale);
    let value = float64(text.as_bytes(), false)?;
    float_keeps(value, text.as_bytes(), same).then_some(value)
}
