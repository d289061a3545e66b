//! What a Parquet file holds, from what its writer put into the footer.

use std::cmp::Ordering;

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{Float16Type, i256};
use arrow_schema::TimeUnit;
use parquet::basic::{LogicalType, SortOrder, TimeUnit as ParquetTimeUnit};
use parquet::data_type::AsBytes;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;

use crate::model::data_file::{Bound, ColumnStatistics, FileStatistics};
use crate::model::scalar::Scalar;

/// The statistics of a file of so many bytes.
pub(super) fn file_statistics(metadata: &ParquetMetaData, bytes: u64) -> FileStatistics {
    let groups = metadata.row_groups();
    let schema = metadata.file_metadata().schema_descr();
    let column = |leaf: usize| column_statistics(schema.column(leaf).as_ref(), groups.iter().map(|g| g.column(leaf)));
    FileStatistics {
        rows: metadata.file_metadata().num_rows().unsigned_abs(),
        bytes,
        columns: (0..schema.num_columns()).map(column).collect(),
        split_offsets: groups.iter().filter_map(|group| group.columns().first()).map(|c| c.byte_range().0).collect(),
    }
}

/// What the chunks of a leaf hold together.
fn column_statistics<'a>(
    leaf: &ColumnDescriptor,
    chunks: impl Iterator<Item = &'a ColumnChunkMetaData>,
) -> ColumnStatistics {
    let mut column = ColumnStatistics {
        path: leaf.path().parts().to_vec(),
        compressed_bytes: 0,
        values: 0,
        nulls: Some(0),
        nans: is_float(leaf).then_some(0),
        min: None,
        max: None,
    };
    let (mut min, mut max) = (Extreme::None, Extreme::None);
    for chunk in chunks {
        let values = chunk.num_values().unsigned_abs();
        let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
        // A writer that has seen no value has seen no NaN, and may not say so.
        let only_nulls = nulls == Some(values);
        let nans = chunk.statistics().and_then(Statistics::nan_count_opt).or(only_nulls.then_some(0));
        column.compressed_bytes += chunk.compressed_size().unsigned_abs();
        column.values += values;
        column.nulls = sum(column.nulls, nulls);
        column.nans = sum(column.nans, nans);
        // Where there is nothing that a bound could be of, none is missing.
        if nulls.is_some_and(|nulls| nulls + nans.unwrap_or(0) == values) {
            continue;
        }
        let (low, high) = bounds(leaf, chunk.statistics());
        min.take(low, Ordering::Less);
        max.take(high, Ordering::Greater);
    }
    ColumnStatistics { min: min.into_bound(), max: max.into_bound(), ..column }
}

fn sum(known: Option<u64>, more: Option<u64>) -> Option<u64> {
    Some(known? + more?)
}

/// The least or greatest bound so far.
enum Extreme {
    /// Of no chunk yet.
    None,
    Known(Bound),
    /// A chunk with values gave none.
    Unknown,
}

impl Extreme {
    /// Takes a chunk's bound, where it lies further out, or is as far and exact.
    fn take(&mut self, bound: Option<Bound>, further: Ordering) {
        *self = match (std::mem::replace(self, Extreme::Unknown), bound) {
            (Extreme::None, Some(bound)) => Extreme::Known(bound),
            (Extreme::Known(known), Some(bound)) => match bound.value.partial_cmp(&known.value) {
                Some(order) if order == further => Extreme::Known(bound),
                Some(Ordering::Equal) => Extreme::Known(Bound { exact: known.exact || bound.exact, ..known }),
                Some(_) => Extreme::Known(known),
                None => Extreme::Unknown,
            },
            _ => Extreme::Unknown,
        };
    }

    fn into_bound(self) -> Option<Bound> {
        match self {
            Extreme::Known(bound) => Some(bound),
            Extreme::None | Extreme::Unknown => None,
        }
    }
}

fn is_float(leaf: &ColumnDescriptor) -> bool {
    use parquet::basic::Type::{DOUBLE, FLOAT};
    matches!(leaf.physical_type(), FLOAT | DOUBLE) || leaf.logical_type_ref() == Some(&LogicalType::Float16)
}

/// A chunk's least and greatest value, where they can be believed: those of old writers that compared everything as
/// signed are right only where that is the column's order. A chunk that is taken over may have such.
fn bounds(leaf: &ColumnDescriptor, statistics: Option<&Statistics>) -> (Option<Bound>, Option<Bound>) {
    let Some(statistics) = statistics else { return (None, None) };
    let believed = match leaf.sort_order() {
        SortOrder::UNDEFINED => false,
        SortOrder::SIGNED | SortOrder::TOTAL_ORDER => true,
        SortOrder::UNSIGNED | SortOrder::INT96_TIMESTAMP => !statistics.is_min_max_deprecated(),
    };
    if !believed {
        return (None, None);
    }
    let bound =
        |value: Option<Scalar>, exact| value.filter(|value| !value.is_nan()).map(|value| Bound { value, exact });
    let (min, max) = match statistics {
        Statistics::Boolean(values) => both(values.min_opt(), values.max_opt(), |value| Some(Scalar::Boolean(*value))),
        Statistics::Int32(values) => both(values.min_opt(), values.max_opt(), |value| Some(int32(leaf, *value))),
        Statistics::Int64(values) => both(values.min_opt(), values.max_opt(), |value| Some(int64(leaf, *value))),
        Statistics::Int96(_) => (None, None),
        Statistics::Float(values) => both(values.min_opt(), values.max_opt(), |value| Some(Scalar::Float32(*value))),
        Statistics::Double(values) => both(values.min_opt(), values.max_opt(), |value| Some(Scalar::Float64(*value))),
        Statistics::ByteArray(values) => {
            both(values.min_opt(), values.max_opt(), |value| bytes(leaf, value.as_bytes()))
        }
        Statistics::FixedLenByteArray(values) => {
            both(values.min_opt(), values.max_opt(), |value| bytes(leaf, value.as_bytes()))
        }
    };
    (bound(min, statistics.min_is_exact()), bound(max, statistics.max_is_exact()))
}

fn both<T>(
    min: Option<&T>,
    max: Option<&T>,
    scalar: impl Fn(&T) -> Option<Scalar>,
) -> (Option<Scalar>, Option<Scalar>) {
    (min.and_then(&scalar), max.and_then(&scalar))
}

fn int32(leaf: &ColumnDescriptor, value: i32) -> Scalar {
    match leaf.logical_type_ref() {
        Some(LogicalType::Integer(integer)) if !integer.is_signed => Scalar::UInt(value.cast_unsigned().into()),
        Some(LogicalType::Date) => Scalar::Date(value),
        _ => int64(leaf, value.into()),
    }
}

fn int64(leaf: &ColumnDescriptor, value: i64) -> Scalar {
    match leaf.logical_type_ref() {
        Some(LogicalType::Integer(integer)) if !integer.is_signed => Scalar::UInt(value.cast_unsigned()),
        Some(LogicalType::Decimal(_)) => decimal(leaf, i256::from_i128(value.into())),
        Some(LogicalType::Time(time)) => Scalar::Time(value, unit(&time.unit)),
        Some(LogicalType::Timestamp(time)) => {
            Scalar::Timestamp { value, unit: unit(&time.unit), instant: time.is_adjusted_to_u_t_c }
        }
        _ => Scalar::Int(value),
    }
}

fn decimal(leaf: &ColumnDescriptor, unscaled: i256) -> Scalar {
    // A scale has two digits.
    Scalar::Decimal { unscaled, scale: i8::try_from(leaf.type_scale()).unwrap_or(i8::MAX) }
}

fn unit(unit: &ParquetTimeUnit) -> TimeUnit {
    match unit {
        ParquetTimeUnit::MILLIS => TimeUnit::Millisecond,
        ParquetTimeUnit::MICROS => TimeUnit::Microsecond,
        ParquetTimeUnit::NANOS => TimeUnit::Nanosecond,
    }
}

fn bytes(leaf: &ColumnDescriptor, value: &[u8]) -> Option<Scalar> {
    match leaf.logical_type_ref() {
        Some(LogicalType::String | LogicalType::Json | LogicalType::Enum) => {
            // A foreign writer may have cut a character in two.
            std::str::from_utf8(value).ok().map(|text| Scalar::Text(text.to_owned()))
        }
        Some(LogicalType::Decimal(_)) => {
            // Big endian, in two's complement: what is missing has the sign's bits.
            let sign = if value.first().is_some_and(|first| *first >= 0x80) { 0xff } else { 0 };
            let mut wide = [sign; 32];
            wide[32usize.checked_sub(value.len())?..].copy_from_slice(value);
            Some(decimal(leaf, i256::from_be_bytes(wide)))
        }
        Some(LogicalType::Float16) => {
            let half = <Float16Type as ArrowPrimitiveType>::Native::from_le_bytes(value.try_into().ok()?);
            Some(Scalar::Float32(half.to_f32()))
        }
        _ => Some(Scalar::Binary(value.to_vec())),
    }
}
