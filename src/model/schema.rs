//! The schema of a table: what every row of an epoch is verified against.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// Name of the column that `Rescue` fills with JSON text.
pub const RESCUED_COLUMN: &str = "_rescued_data";

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
    /// The type. `Null`: only nulls were seen so far (written as utf8, see [`Column::written_type`]).
    pub data_type: DataType,
    /// What a value means that the type cannot hold.
    pub misfit: Misfit,
}

/// What a value means that its column's type cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Misfit {
    /// A surprise: the epoch is planned again under a wider schema.
    Widen,
    /// A bad record (declared columns and casts).
    BadRecord,
    /// Null here, and the value goes to [`RESCUED_COLUMN`].
    Rescue,
}

/// What an input column means that the schema does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unknown {
    /// A surprise, unless the column is in `drop`.
    #[default]
    Widen,
    /// Left out (Declared).
    Ignore,
}

impl Column {
    /// The type in files: a column that is still `Null` is written as utf8, also inside structs and lists.
    pub fn written_type(&self) -> DataType {
        settle(&self.data_type)
    }
}

impl TableSchema {
    /// The Arrow schema of the batches that decoders give: `columns` in order, then the rescued column. All nullable.
    pub fn arrow(&self) -> SchemaRef {
        let mut fields: Vec<Field> =
            self.columns.iter().map(|column| Field::new(&column.name, column.written_type(), true)).collect();
        if self.rescued {
            fields.push(Field::new(RESCUED_COLUMN, DataType::Utf8, true));
        }
        Arc::new(Schema::new(fields))
    }
}

/// Replaces every `Null` in a type by `Utf8`: what "pending" becomes when nothing was ever seen.
pub fn settle(data_type: &DataType) -> DataType {
    let field = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(settle(field.data_type())));
    match data_type {
        DataType::Null => DataType::Utf8,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::List(item) => DataType::List(field(item)),
        DataType::LargeList(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, n) => DataType::FixedSizeList(field(item), *n),
        DataType::Map(item, sorted) => DataType::Map(field(item), *sorted),
        other => other.clone(),
    }
}
