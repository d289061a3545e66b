//! `spec.schema`: column types by the names that users write.

use std::collections::BTreeSet;

use arrow_schema::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, TimeUnit};

use super::{FieldError, Problems};
use crate::api::error::nearest;
use crate::api::spec::{SchemaMode, SchemaSpec};
use crate::model::schema::RESCUED_COLUMN;
use crate::model::settings::{ColumnRule, SchemaSettings};

const PLAIN: [(&str, DataType); 14] = [
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
];

/// The Arrow type of a name, or what is wrong with it and what would be right.
pub fn data_type(name: &str) -> Result<DataType, (String, Option<String>)> {
    let (head, arguments) = match name.split_once('(') {
        None => (name, None),
        Some((head, rest)) => match rest.strip_suffix(')') {
            Some(arguments) => (head, Some(arguments)),
            None => return Err((format!("is {name:?}, whose bracket does not close"), None)),
        },
    };
    match (head, arguments) {
        ("decimal", Some(arguments)) => decimal(name, arguments),
        ("timestamp", Some(unit)) => {
            let unit = match unit.trim() {
                "s" => TimeUnit::Second,
                "ms" => TimeUnit::Millisecond,
                "us" => TimeUnit::Microsecond,
                "ns" => TimeUnit::Nanosecond,
                other => {
                    return Err((
                        format!("is {name:?}, and {other:?} is no unit"),
                        Some("write timestamp(s), timestamp(ms), timestamp(us) or timestamp(ns)".to_owned()),
                    ));
                }
            };
            Ok(DataType::Timestamp(unit, Some("UTC".into())))
        }
        ("timestamp", None) => Err(("is \"timestamp\", which needs a unit".to_owned(), Some("write timestamp(us)".to_owned()))),
        ("decimal", None) => {
            Err(("is \"decimal\", which needs precision and scale".to_owned(), Some("write it like decimal(18,2)".to_owned())))
        }
        (_, None) => match PLAIN.iter().find(|(plain, _)| *plain == head) {
            Some((_, data_type)) => Ok(data_type.clone()),
            None => Err(unknown(name)),
        },
        (_, Some(_)) => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> (String, Option<String>) {
    // What other systems call these types.
    let alias = match name.to_ascii_lowercase().as_str() {
        "string" | "text" | "varchar" | "str" => Some("utf8"),
        "int" | "integer" | "bigint" | "long" => Some("int64"),
        "smallint" | "short" => Some("int16"),
        "double" | "float" | "real" => Some("float64"),
        "bool" => Some("boolean"),
        "date" => Some("date32"),
        "datetime" | "timestamptz" => Some("timestamp(us)"),
        "bytes" | "blob" | "bytea" => Some("binary"),
        "numeric" => Some("decimal(18,2)"),
        _ => nearest(name, PLAIN.iter().map(|(name, _)| *name).chain(["timestamp"])),
    };
    let allowed = "boolean, int8 to int64, uint8 to uint64, float32, float64, decimal(p,s), utf8, binary, date32, timestamp(s|ms|us|ns)";
    (format!("is {name:?}, which is none of {allowed}"), alias.map(|alias| format!("did you mean {alias}?")))
}

fn decimal(name: &str, arguments: &str) -> Result<DataType, (String, Option<String>)> {
    let example = || Some("write it like decimal(18,2)".to_owned());
    let Some((precision, scale)) = arguments.split_once(',') else {
        return Err((format!("is {name:?}, which needs precision and scale"), example()));
    };
    let (Ok(precision), Ok(scale)) = (precision.trim().parse::<u8>(), scale.trim().parse::<i8>()) else {
        return Err((format!("is {name:?}, whose precision and scale are no small whole numbers"), example()));
    };
    if precision == 0 || precision > DECIMAL256_MAX_PRECISION {
        return Err((format!("is {name:?}, and a decimal has 1 to {DECIMAL256_MAX_PRECISION} digits"), None));
    }
    if scale < 0 || scale.unsigned_abs() > precision {
        return Err((format!("is {name:?}, and the scale is between 0 and the precision"), None));
    }
    Ok(if precision <= DECIMAL128_MAX_PRECISION { DataType::Decimal128(precision, scale) } else { DataType::Decimal256(precision, scale) })
}

/// `spec.schema`.
pub(super) fn schema(spec: &SchemaSpec, problems: &mut Problems) -> SchemaSettings {
    let mut columns = Vec::with_capacity(spec.columns.len());
    let mut names = BTreeSet::new();
    let dropped: BTreeSet<&str> = spec.drop.iter().map(String::as_str).collect();
    if spec.mode == SchemaMode::Declared && spec.columns.is_empty() {
        problems.add(FieldError::new("spec.schema.mode", "is Declared, which needs columns"));
    }
    for (i, column) in spec.columns.iter().enumerate() {
        let path = |field: &str| format!("spec.schema.columns[{i}].{field}");
        let input = column.from.as_deref().unwrap_or(&column.name);
        if !names.insert(column.name.as_str()) {
            problems.add(FieldError::new(path("name"), format!("is {:?}, which an earlier column has", column.name)));
        }
        if column.name == RESCUED_COLUMN || column.name.starts_with("_s3sync_") {
            problems.add(FieldError::new(path("name"), format!("is {:?}, a name that s3sync keeps for its own columns", column.name)));
        }
        if dropped.contains(input) {
            let field = if column.from.is_some() { "from" } else { "name" };
            problems
                .add(FieldError::new(path(field), format!("is {input:?}, which drop leaves out")).suggest("take it out of one of the two"));
        }
        let data_type = column.data_type.as_deref().and_then(|name| match data_type(name) {
            Ok(data_type) => Some(data_type),
            Err((message, suggestion)) => {
                problems.add(FieldError { path: path("type"), message, suggestion });
                None
            }
        });
        if spec.mode == SchemaMode::Declared && column.data_type.is_none() {
            problems.add(FieldError::new(path("type"), "is required with mode Declared"));
        }
        columns.push(ColumnRule { name: column.name.clone(), data_type, from: column.from.clone() });
    }
    for (i, name) in spec.drop.iter().enumerate() {
        if spec.drop[..i].contains(name) {
            problems.add(FieldError::new(format!("spec.schema.drop[{i}]"), format!("is {name:?}, which stands there already")));
        }
    }
    SchemaSettings { mode: spec.mode.into(), columns, drop: spec.drop.clone(), evolution: spec.evolution.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_name() {
        let utc = || Some("UTC".into());
        for (name, expected) in [
            ("int8", DataType::Int8),
            ("uint64", DataType::UInt64),
            ("utf8", DataType::Utf8),
            ("date32", DataType::Date32),
            ("decimal(18,2)", DataType::Decimal128(18, 2)),
            ("decimal(38, 10)", DataType::Decimal128(38, 10)),
            ("decimal(50,0)", DataType::Decimal256(50, 0)),
            ("timestamp(us)", DataType::Timestamp(TimeUnit::Microsecond, utc())),
            ("timestamp(s)", DataType::Timestamp(TimeUnit::Second, utc())),
        ] {
            assert_eq!(data_type(name), Ok(expected), "{name}");
        }
    }

    #[test]
    fn what_is_no_type_gets_a_suggestion() {
        for (name, suggestion) in [
            ("string", Some("did you mean utf8?")),
            ("Int64", Some("did you mean int64?")),
            ("timestmap", Some("did you mean timestamp?")),
            ("timestamp", Some("write timestamp(us)")),
            ("timestamp(µs)", Some("write timestamp(s), timestamp(ms), timestamp(us) or timestamp(ns)")),
            ("decimal", Some("write it like decimal(18,2)")),
            ("decimal(18)", Some("write it like decimal(18,2)")),
            ("decimal(a,b)", Some("write it like decimal(18,2)")),
            ("decimal(99,2)", None),
            ("decimal(2,3)", None),
            ("decimal(5,-1)", None),
            ("list<int>", None),
            ("utf8(5)", None),
            ("decimal(1,", None),
        ] {
            let (message, got) = data_type(name).expect_err(name);
            assert!(message.contains(name), "{message}");
            assert_eq!(got.as_deref(), suggestion, "{name}");
        }
    }
}
