//! `spec.schema`: column types by the names that users write.

use std::collections::BTreeSet;

use arrow_schema::{DECIMAL256_MAX_PRECISION, DataType};

use super::{FieldError, Problems};
use crate::api::error::nearest;
use crate::api::spec::{SchemaMode, SchemaSpec};
use crate::model::schema::{PLAIN_TYPES, RESCUED_COLUMN, TYPE_NAMES, TypeError, parse_type};
use crate::model::settings::{ColumnRule, SchemaSettings};

/// The Arrow type of a name, or what is wrong with it and what would be right.
pub fn data_type(name: &str) -> Result<DataType, (String, Option<String>)> {
    let write = |example: &str| Some(format!("write it like {example}"));
    parse_type(name).map_err(|error| match error {
        TypeError::Unclosed => (format!("is {name:?}, whose bracket does not close"), None),
        TypeError::NoUnit(unit) if unit.is_empty() => {
            ("is \"timestamp\", which needs a unit".to_owned(), Some("write timestamp(us)".to_owned()))
        }
        TypeError::NoUnit(unit) => (
            format!("is {name:?}, and {unit:?} is no unit"),
            Some(
                "write timestamp(s), timestamp(ms), timestamp(us) or timestamp(ns), or one like timestamp(us, no zone)"
                    .to_owned(),
            ),
        ),
        TypeError::NoScale if name == "decimal" => {
            ("is \"decimal\", which needs precision and scale".to_owned(), write("decimal(18,2)"))
        }
        TypeError::NoScale => (format!("is {name:?}, which needs precision and scale"), write("decimal(18,2)")),
        TypeError::NoNumbers => {
            (format!("is {name:?}, whose precision and scale are no small whole numbers"), write("decimal(18,2)"))
        }
        TypeError::Precision => {
            (format!("is {name:?}, and a decimal has 1 to {DECIMAL256_MAX_PRECISION} digits"), None)
        }
        TypeError::Scale => (format!("is {name:?}, and the scale is between 0 and the precision"), None),
        TypeError::Unknown => unknown(name),
    })
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
        "timestamp_ntz" | "timestampntz" => Some("timestamp(us, no zone)"),
        "bytes" | "blob" | "bytea" => Some("binary"),
        "jsonb" | "variant" | "object" => Some("json"),
        "numeric" => Some("decimal(18,2)"),
        _ => nearest(name, PLAIN_TYPES.iter().map(|(name, _)| *name).chain(["timestamp"])),
    };
    (format!("is {name:?}, which is none of {TYPE_NAMES}"), alias.map(|alias| format!("did you mean {alias}?")))
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
            problems.add(FieldError::new(
                path("name"),
                format!("is {:?}, a name that s3sync keeps for its own columns", column.name),
            ));
        }
        if dropped.contains(input) {
            let field = if column.from.is_some() { "from" } else { "name" };
            problems.add(
                FieldError::new(path(field), format!("is {input:?}, which drop leaves out"))
                    .suggest("take it out of one of the two"),
            );
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
            problems.add(FieldError::new(
                format!("spec.schema.drop[{i}]"),
                format!("is {name:?}, which stands there already"),
            ));
        }
    }
    SchemaSettings { mode: spec.mode.into(), columns, drop: spec.drop.clone(), evolution: spec.evolution.into() }
}

#[cfg(test)]
mod tests {
    use crate::model::schema::JSON;
    use arrow_schema::TimeUnit;

    use super::*;

    #[test]
    fn types_by_name() {
        let utc = || Some("UTC".into());
        for (name, expected) in [
            ("int8", DataType::Int8),
            ("uint64", DataType::UInt64),
            ("utf8", DataType::Utf8),
            ("date32", DataType::Date32),
            ("json", JSON),
            ("decimal(18,2)", DataType::Decimal128(18, 2)),
            ("decimal(38, 10)", DataType::Decimal128(38, 10)),
            ("decimal(50,0)", DataType::Decimal256(50, 0)),
            ("timestamp(us)", DataType::Timestamp(TimeUnit::Microsecond, utc())),
            ("timestamp(s)", DataType::Timestamp(TimeUnit::Second, utc())),
            ("timestamp(us, no zone)", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("timestamp(ns,no zone)", DataType::Timestamp(TimeUnit::Nanosecond, None)),
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
            (
                "timestamp(µs)",
                Some(
                    "write timestamp(s), timestamp(ms), timestamp(us) or timestamp(ns), or one like timestamp(us, no zone)",
                ),
            ),
            (
                "timestamp(us, zone)",
                Some(
                    "write timestamp(s), timestamp(ms), timestamp(us) or timestamp(ns), or one like timestamp(us, no zone)",
                ),
            ),
            ("timestamp_ntz", Some("did you mean timestamp(us, no zone)?")),
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
