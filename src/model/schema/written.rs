//! Types as users write them: the other direction of [`super::type_name`].

use arrow_schema::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, TimeUnit};

use super::{JSON, type_name};

/// The types that have a name and nothing more.
pub const PLAIN_TYPES: [(&str, DataType); 15] = [
    ("boolean", DataType::Boolean),
    ("int8", DataType::Int8),
    ("int16", DataType::Int16),
    ("int32", DataType::Int32),
    ("int64", DataType::Int64),
    ("uint8", DataType::UInt8),
    ("uint16", DataType::UInt16),
    ("uint32", DataType::UInt32),
    ("uint64", DataType::UInt64),
    ("float32", DataType::Float32),
    ("float64", DataType::Float64),
    ("utf8", DataType::Utf8),
    ("binary", DataType::Binary),
    ("date32", DataType::Date32),
    ("json", JSON),
];

/// All types that can be written, for messages.
pub const TYPE_NAMES: &str = "boolean, int8 to int64, uint8 to uint64, float32, float64, decimal(p,s), utf8, json, binary, date32, \
                              timestamp(s|ms|us|ns), timestamp(s|ms|us|ns, no zone)";

/// What stands after the unit of a timestamp that is wall-clock time.
const NO_ZONE: &str = "no zone";

/// What is wrong with a type's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeError {
    /// A bracket does not close.
    Unclosed,
    /// A timestamp without a unit, or with this one.
    NoUnit(String),
    /// A decimal without precision and scale.
    NoScale,
    /// They are no small whole numbers.
    NoNumbers,
    /// More digits than a decimal has, or none.
    Precision,
    /// Below 0, or above the precision.
    Scale,
    /// No such type.
    Unknown,
}

/// The Arrow type of a name that users write.
pub fn parse_type(name: &str) -> Result<DataType, TypeError> {
    let (head, arguments) = match name.split_once('(') {
        None => (name, None),
        Some((head, rest)) => (head, Some(rest.strip_suffix(')').ok_or(TypeError::Unclosed)?)),
    };
    match (head, arguments) {
        ("decimal", arguments) => decimal(arguments.ok_or(TypeError::NoScale)?),
        ("timestamp", arguments) => timestamp(arguments.unwrap_or_default()),
        (_, None) => PLAIN_TYPES
            .iter()
            .find(|(plain, _)| *plain == head)
            .map(|(_, plain)| plain.clone())
            .ok_or(TypeError::Unknown),
        (_, Some(_)) => Err(TypeError::Unknown),
    }
}

/// Whether users can write a type, so that advice may name it. Nested types and times of day have names, and no place
/// in a manifest.
pub fn is_written(data_type: &DataType) -> bool {
    parse_type(&type_name(data_type)).as_ref() == Ok(data_type)
}

fn timestamp(arguments: &str) -> Result<DataType, TypeError> {
    let no_unit = || TypeError::NoUnit(arguments.to_owned());
    let (unit, zone) = match arguments.split_once(',') {
        None => (arguments, Some("UTC".into())),
        Some((unit, zone)) if zone.trim() == NO_ZONE => (unit, None),
        Some(_) => return Err(no_unit()),
    };
    let unit = match unit.trim() {
        "s" => TimeUnit::Second,
        "ms" => TimeUnit::Millisecond,
        "us" => TimeUnit::Microsecond,
        "ns" => TimeUnit::Nanosecond,
        _ => return Err(no_unit()),
    };
    Ok(DataType::Timestamp(unit, zone))
}

fn decimal(arguments: &str) -> Result<DataType, TypeError> {
    let (precision, scale) = arguments.split_once(',').ok_or(TypeError::NoScale)?;
    let (Ok(precision), Ok(scale)) = (precision.trim().parse::<u8>(), scale.trim().parse::<i8>()) else {
        return Err(TypeError::NoNumbers);
    };
    if precision == 0 || precision > DECIMAL256_MAX_PRECISION {
        return Err(TypeError::Precision);
    }
    if scale < 0 || scale.unsigned_abs() > precision {
        return Err(TypeError::Scale);
    }
    Ok(if precision <= DECIMAL128_MAX_PRECISION {
        DataType::Decimal128(precision, scale)
    } else {
        DataType::Decimal256(precision, scale)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What messages and `tables` print, people write.
    #[test]
    fn every_name_of_a_type_that_is_no_nested_one_can_be_written() {
        let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
        let zoned = units.map(|unit| DataType::Timestamp(unit, Some("UTC".into())));
        let bare = units.map(|unit| DataType::Timestamp(unit, None));
        let decimals = [DataType::Decimal128(38, 0), DataType::Decimal128(1, 1), DataType::Decimal256(39, 2)];
        for data_type in PLAIN_TYPES.into_iter().map(|(_, plain)| plain).chain(zoned).chain(bare).chain(decimals) {
            assert!(is_written(&data_type), "{}", type_name(&data_type));
        }
        let list = DataType::List(std::sync::Arc::new(arrow_schema::Field::new("item", DataType::Utf8, true)));
        for data_type in [list, DataType::Time64(TimeUnit::Microsecond), DataType::Null] {
            assert!(!is_written(&data_type), "{}", type_name(&data_type));
        }
    }
}
