//! Values of arrays as scalars.

use arrow::array::{Array, ArrowPrimitiveType, AsArray};
use arrow::datatypes::*;
use arrow_schema::{DataType, TimeUnit};

use crate::model::scalar::Scalar;

/// The value of a row; `None` for a null, and for types that a partition cannot have: nested ones and intervals.
pub(crate) fn scalar(array: &dyn Array, row: usize) -> Option<Scalar> {
    use DataType::*;
    if array.is_null(row) {
        return None;
    }
    let int = Scalar::Int;
    Some(match array.data_type() {
        Boolean => Scalar::Boolean(array.as_boolean().value(row)),
        Int8 => int(value::<Int8Type>(array, row).into()),
        Int16 => int(value::<Int16Type>(array, row).into()),
        Int32 => int(value::<Int32Type>(array, row).into()),
        Int64 => int(value::<Int64Type>(array, row)),
        UInt8 => Scalar::UInt(value::<UInt8Type>(array, row).into()),
        UInt16 => Scalar::UInt(value::<UInt16Type>(array, row).into()),
        UInt32 => Scalar::UInt(value::<UInt32Type>(array, row).into()),
        UInt64 => Scalar::UInt(value::<UInt64Type>(array, row)),
        Float16 => Scalar::Float32(value::<Float16Type>(array, row).to_f32()),
        Float32 => Scalar::Float32(value::<Float32Type>(array, row)),
        Float64 => Scalar::Float64(value::<Float64Type>(array, row)),
        Decimal32(_, scale) => decimal(i256::from_i128(value::<Decimal32Type>(array, row).into()), *scale),
        Decimal64(_, scale) => decimal(i256::from_i128(value::<Decimal64Type>(array, row).into()), *scale),
        Decimal128(_, scale) => decimal(i256::from_i128(value::<Decimal128Type>(array, row)), *scale),
        Decimal256(_, scale) => decimal(value::<Decimal256Type>(array, row), *scale),
        Date32 => Scalar::Date(value::<Date32Type>(array, row)),
        Date64 => Scalar::Date(i32::try_from(value::<Date64Type>(array, row).div_euclid(86_400_000)).ok()?),
        Time32(unit @ TimeUnit::Second) => Scalar::Time(value::<Time32SecondType>(array, row).into(), *unit),
        Time32(unit) => Scalar::Time(value::<Time32MillisecondType>(array, row).into(), *unit),
        Time64(unit @ TimeUnit::Microsecond) => Scalar::Time(value::<Time64MicrosecondType>(array, row), *unit),
        Time64(unit) => Scalar::Time(value::<Time64NanosecondType>(array, row), *unit),
        Timestamp(unit, zone) => {
            let value = match unit {
                TimeUnit::Second => value::<TimestampSecondType>(array, row),
                TimeUnit::Millisecond => value::<TimestampMillisecondType>(array, row),
                TimeUnit::Microsecond => value::<TimestampMicrosecondType>(array, row),
                TimeUnit::Nanosecond => value::<TimestampNanosecondType>(array, row),
            };
            Scalar::Timestamp { value, unit: *unit, instant: zone.is_some() }
        }
        Duration(TimeUnit::Second) => int(value::<DurationSecondType>(array, row)),
        Duration(TimeUnit::Millisecond) => int(value::<DurationMillisecondType>(array, row)),
        Duration(TimeUnit::Microsecond) => int(value::<DurationMicrosecondType>(array, row)),
        Duration(TimeUnit::Nanosecond) => int(value::<DurationNanosecondType>(array, row)),
        Utf8 => Scalar::Text(array.as_string::<i32>().value(row).to_owned()),
        LargeUtf8 => Scalar::Text(array.as_string::<i64>().value(row).to_owned()),
        Utf8View => Scalar::Text(array.as_string_view().value(row).to_owned()),
        Binary => Scalar::Binary(array.as_binary::<i32>().value(row).to_vec()),
        LargeBinary => Scalar::Binary(array.as_binary::<i64>().value(row).to_vec()),
        BinaryView => Scalar::Binary(array.as_binary_view().value(row).to_vec()),
        FixedSizeBinary(_) => Scalar::Binary(array.as_fixed_size_binary().value(row).to_vec()),
        Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            return scalar(dictionary.values().as_ref(), dictionary.normalized_keys()[row]);
        }
        Null | Interval(_) | List(_) | LargeList(_) | FixedSizeList(..) | ListView(_) | LargeListView(_)
        | Struct(_) | Union(..) | Map(..) | RunEndEncoded(..) => return None,
    })
}

fn value<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn decimal(unscaled: i256, scale: i8) -> Scalar {
    Scalar::Decimal { unscaled, scale }
}
