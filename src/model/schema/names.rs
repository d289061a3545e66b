//! Types in the words that users write.

use arrow_schema::{DataType, TimeUnit};

use super::JSON;

/// A type as `columns[].type` spells it: `int64`, `decimal(10,2)`, `timestamp(us)`; nested ones as `struct<a: int64>`
/// and `list<utf8>`. Timestamps are in UTC; one without a zone, the time of some clock on a wall, is `timestamp(us, no
/// zone)`.
pub fn type_name(data_type: &DataType) -> String {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    };
    match data_type {
        data_type if *data_type == JSON => "json".to_owned(),
        DataType::Timestamp(of, Some(_)) => format!("timestamp({})", unit(of)),
        DataType::Timestamp(of, None) => format!("timestamp({}, no zone)", unit(of)),
        DataType::Time32(of) | DataType::Time64(of) => format!("time({})", unit(of)),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            format!("decimal({p},{s})")
        }
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}: {}", field.name(), type_name(field.data_type()))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("list<{}>", type_name(item.data_type()))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("map<{}, {}>", type_name(fields[0].data_type()), type_name(fields[1].data_type()))
            }
            _ => "map".to_owned(),
        },
        other => other.to_string().to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::Field;
    use std::sync::Arc;

    #[test]
    fn types_are_spelt_as_in_manifests() {
        for (data_type, expected) in [
            (DataType::Int64, "int64"),
            (DataType::UInt8, "uint8"),
            (DataType::Boolean, "boolean"),
            (DataType::Float32, "float32"),
            (DataType::Utf8, "utf8"),
            (DataType::Date32, "date32"),
            (DataType::Null, "null"),
            (JSON, "json"),
            (DataType::Decimal128(10, 2), "decimal(10,2)"),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp(us)"),
            (DataType::Struct(vec![Field::new("a", DataType::Int8, true)].into()), "struct<a: int8>"),
            (DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), "list<utf8>"),
        ] {
            assert_eq!(type_name(&data_type), expected);
        }
    }
}
