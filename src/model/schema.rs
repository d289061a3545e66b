//! The schema of a table: what every row of an epoch is verified against.

mod evolve;
mod merge;
mod names;
mod numbers;
mod written;

pub use evolve::{SchemaError, frozen};
pub use merge::{Typed, merge};
pub use names::type_name;
pub use numbers::Digits;
pub use written::{PLAIN_TYPES, TYPE_NAMES, TypeError, is_written, parse_type};

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// Name of the column that `Rescue` fills with JSON text.
pub const RESCUED_COLUMN: &str = "_rescued_data";

/// The type of JSON values, as texts (RFC 8259): those that have no Arrow type in common. It is Arrow's extension type
/// `arrow.json`, of whose storage types tables use `LargeUtf8` for nothing else, so that an array says of itself,
/// however deep it lies, that its texts are JSON.
pub const JSON: DataType = DataType::LargeUtf8;

/// Levels of nesting that a column may have. A plan holds schemas as JSON, three levels for each of these and a few
/// around them, and serde_json reads 128.
pub const DEPTH_MAX: usize = 40;

/// How deep values of a type are nested: 0 for a plain one.
pub fn depth(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => 1 + depth(item.data_type()),
        DataType::Struct(fields) => 1 + fields.iter().map(|field| depth(field.data_type())).max().unwrap_or(0),
        _ => 0,
    }
}

/// The schema in force for one table in one plan. Column order is output order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableSchema {
    /// The columns that come from the input, in output order.
    pub columns: Vec<Column>,
    /// Whether [`RESCUED_COLUMN`] (utf8) follows them.
    pub rescued: bool,
    /// What an input column without a [`Column`] means.
    pub unknown: Unknown,
}

/// One column of a [`TableSchema`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The name in the output.
    pub name: String,
    /// The name in the input.
    pub source: String,
    /// The type. `Null`: only nulls were seen so far, in earlier epochs too.
    pub data_type: DataType,
    /// What a value means that the type cannot hold.
    pub misfit: Misfit,
    /// Whether an int64 beyond ±2^53 was seen, which float64 cannot hold: such a column becomes a decimal or utf8 when
    /// it meets floats. Fields inside structs and lists say the same by [`WIDE_INTEGER`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wide: bool,
    /// Of an int64, float64 or decimal column whose numbers were all read from text, none with an exponent: the digits
    /// of those that the type was chosen by. They tell the decimal that the column becomes when it meets numbers of
    /// more digits; what else it holds is found when the rows are read under that. `None`: not from text alone, and
    /// floats with decimals are utf8 then. Fields inside structs and lists say the same by [`NUMBER_DIGITS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<Digits>,
    /// What it becomes when its values share no other type. Fields inside structs and lists say the same by [`MIXED`].
    #[serde(default, skip_serializing_if = "Mixed::is_text")]
    pub mixed: Mixed,
}

/// Metadata key of a nested int64 field whose [`Column::wide`] is true. Never written to files.
pub const WIDE_INTEGER: &str = "s3sync.wide";

/// Metadata key of [`Column::digits`] of a nested field. Never written to files.
pub const NUMBER_DIGITS: &str = "s3sync.digits";

/// What values become that share no type. Ordered: of two columns that are merged the greater one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mixed {
    /// utf8, which keeps all that was seen: texts, and values of formats that do not tell a text from a number. As utf8
    /// it holds no value of JSON but strings.
    #[default]
    Text,
    /// [`JSON`]: values were seen that JSON tells from strings.
    Json,
    /// utf8 for good, because it is in force or asked for. Values of JSON that are no strings become their text. Also a
    /// decimal of more than 38 digits that is in force: other numbers fit into it, which would be utf8 together with it
    /// elsewhere.
    Kept,
}

impl Mixed {
    fn is_text(&self) -> bool {
        *self == Mixed::Text
    }
}

/// Metadata key of a nested field whose [`Column::mixed`] is not `Text`. Never written to files.
const MIXED: &str = "s3sync.mixed";

/// Integers up to this magnitude are exact in float64 (IEEE 754 binary64 has 53 bits of precision).
pub const FLOAT64_INTEGER_MAX: u64 = 1 << 53;

/// What a value means that its column's type cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Misfit {
    /// A mismatch: the epoch is planned again under a wider schema.
    Widen,
    /// A bad record (declared columns and casts).
    BadRecord,
    /// Null here, and the value goes to [`RESCUED_COLUMN`].
    Rescue,
}

/// What an input column means that the schema does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unknown {
    /// A mismatch, unless the column is in `drop`.
    #[default]
    Widen,
    /// Left out (Declared).
    Ignore,
}

impl Column {
    /// A column as it is inferred: the name of the input, widening when a value does not fit.
    pub fn inferred(name: impl Into<String>, data_type: DataType) -> Column {
        let name = name.into();
        Column {
            source: name.clone(),
            name,
            data_type,
            misfit: Misfit::Widen,
            wide: false,
            digits: None,
            mixed: Mixed::Text,
        }
    }

    fn typed(self, Typed { data_type, wide, digits, mixed }: Typed) -> Column {
        Column { data_type, wide, digits, mixed, ..self }
    }

    /// The type of its batches, see [`settle`].
    pub fn written_type(&self) -> DataType {
        settle(&self.data_type)
    }
}

impl TableSchema {
    /// What is committed, and in force for later epochs: what had only nulls has no type yet, then as now, and numbers
    /// are what their type holds.
    pub fn settled(&self) -> TableSchema {
        let column = |column: &Column| Column { data_type: column.written_type(), digits: None, ..column.clone() };
        TableSchema { columns: self.columns.iter().map(column).collect(), ..self.clone() }
    }

    /// The Arrow schema of the batches that decoders give: `columns` in order, then the rescued column. All nullable.
    /// Types are [`Column::written_type`].
    pub fn arrow(&self) -> SchemaRef {
        let mut fields: Vec<Field> =
            self.columns.iter().map(|column| Field::new(&column.name, column.written_type(), true)).collect();
        if self.rescued {
            fields.push(Field::new(RESCUED_COLUMN, DataType::Utf8, true));
        }
        Arc::new(Schema::new(fields))
    }
}

/// The type of batches: a struct without fields, which no file can hold, is JSON, and [`WIDE_INTEGER`],
/// [`NUMBER_DIGITS`] and [`MIXED`] go.
pub fn settle(data_type: &DataType) -> DataType {
    let field = |field: &Arc<Field>| {
        let mut settled = field.as_ref().clone().with_data_type(settle(field.data_type()));
        settled.metadata_mut().retain(|key, _| ![WIDE_INTEGER, NUMBER_DIGITS, MIXED].contains(&key.as_str()));
        Arc::new(settled)
    };
    match data_type {
        DataType::Struct(fields) if fields.is_empty() => JSON,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::List(item) => DataType::List(field(item)),
        DataType::LargeList(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, n) => DataType::FixedSizeList(field(item), *n),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => other.clone(),
    }
}
