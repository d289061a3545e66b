//! The types that parquet columns are carried in.
//!
//! Arrow has several layouts for one kind of value; a table has one, so that objects of different writers fit each
//! other:
//!
//! | parquet, or the Arrow schema that its writer embedded | carried as |
//! | --- | --- |
//! | strings, enums, also as large, view or dictionary | `Utf8` |
//! | JSON | [`JSON`] |
//! | other byte arrays, fixed-size ones among them (UUIDs) | `Binary` |
//! | FLOAT16 | `Float32` |
//! | decimals, whatever stores them | `Decimal128` up to 38 digits, then `Decimal256` |
//! | timestamps | their unit; zone `UTC` when adjusted to UTC, otherwise none |
//! | INT96 | `Timestamp(us)` without a zone; digits below are refused. `Timestamp(ns)` where that is declared |
//! | seconds and Date64, where the embedded Arrow schema tells | `Timestamp(s)`, `Timestamp(ms)`, `Time32(s)` |
//! | durations | `Int64`, the count in their unit |
//! | groups, lists (large, fixed, views), maps | `Struct`, `List`, `Map`, nullable but map keys, by Arrow's names |
//!
//! INTERVAL has no counterpart, and is refused by name.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::bad;
use crate::codec::DecodeError;
use crate::codec::caught::caught;
use crate::model::schema::{Column, DEPTH_MAX, JSON, TableSchema, Unknown, depth};

/// The schema that an object would have alone. Statistics are not looked at: `Null` is a column that says itself that
/// it holds nulls only. One without rows has no columns: writers that infer types (pandas) have nothing to go by there,
/// and what they wrote would bind the rows of others.
///
/// # Errors
/// [`DecodeError::Bad`] where the object's types contradict each other, or two columns have one name.
pub fn schema(metadata: &ParquetMetaData) -> Result<TableSchema, DecodeError> {
    let has_rows = metadata.row_groups().iter().any(|group| group.num_rows() > 0);
    let columns = roots(metadata)?
        .into_iter()
        .filter(|_| has_rows)
        .map(|root| Column::inferred(root.name, root.carried))
        .collect();
    Ok(TableSchema { columns, rescued: false, unknown: Unknown::Widen })
}

/// A column of the object as a table knows columns: a root of the parquet schema.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// Its name.
    pub name: String,
    /// The leaves below it, by their ordinal in the parquet schema.
    pub leaves: Range<usize>,
    /// What the parquet crate reads it as.
    pub read: DataType,
    /// The type in [`schema`].
    pub carried: DataType,
    /// Whether the crate makes text of it without looking at its UTF-8: it does where the column is not annotated as
    /// UTF8 (JSON).
    pub unchecked_text: bool,
    nullable: bool,
}

impl Root {
    /// Reads INT96 in nanoseconds: they hold no other years than 1677 to 2262.
    pub fn in_nanoseconds(&mut self) {
        self.read = DataType::Timestamp(TimeUnit::Nanosecond, None);
        self.carried = self.read.clone();
    }

    /// The unit that INT96 is read in.
    pub fn int96_unit(&self) -> TimeUnit {
        match self.read {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => TimeUnit::Nanosecond,
            _ => TimeUnit::Microsecond,
        }
    }

    /// The field that makes the crate read it as `read`.
    pub fn read_field(&self) -> Field {
        Field::new(&self.name, self.read.clone(), self.nullable)
    }
}

/// Every root of an object, in order.
pub(super) fn roots(metadata: &ParquetMetaData) -> Result<Vec<Root>, DecodeError> {
    let file = metadata.file_metadata();
    let corrupt = |error: parquet::errors::ParquetError| bad(format!("its schema cannot be read: {error}"));
    let descriptor = file.schema_descr();
    let plain = caught(|| parquet_to_arrow_schema(descriptor, None).map_err(corrupt))?;
    // What the writer's Arrow schema says is a hint; a wrong one is not the data's fault.
    let hinted = caught(|| parquet_to_arrow_schema(descriptor, file.key_value_metadata()).map_err(corrupt)).ok();
    let hinted = hinted.filter(|hinted| hinted.fields().len() == plain.fields().len());
    let mut leaves = Leaves { descriptor, next: 0, unchecked_text: false };
    let mut names = HashSet::new();
    let mut roots = Vec::with_capacity(plain.fields().len());
    for (i, field) in plain.fields().iter().enumerate() {
        if !names.insert(field.name()) {
            return Err(bad(format!("two columns are named {}", field.name())));
        }
        let first = leaves.next;
        leaves.unchecked_text = false;
        let hint = hinted.as_ref().map_or(field.data_type(), |hinted| hinted.field(i).data_type());
        let typed = leaves.typed(field.data_type(), hint);
        if depth(&typed.carried) > DEPTH_MAX {
            return Err(bad(format!(
                "column {} is nested more than {DEPTH_MAX} levels deep: flatten it where it is written",
                field.name()
            )));
        }
        roots.push(Root {
            name: field.name().clone(),
            leaves: first..leaves.next,
            read: typed.read,
            carried: typed.carried,
            unchecked_text: leaves.unchecked_text,
            nullable: field.is_nullable(),
        });
    }
    if leaves.next != descriptor.num_columns() {
        return Err(bad("its schema has a group without columns"));
    }
    Ok(roots)
}

/// How one type is read, and how it is carried.
struct Typed {
    read: DataType,
    carried: DataType,
}

/// Walks Arrow's view of the schema beside parquet's leaves, which come in the same order.
struct Leaves<'a> {
    descriptor: &'a SchemaDescriptor,
    next: usize,
    unchecked_text: bool,
}

impl Leaves<'_> {
    /// `plain` is the type by parquet's schema alone, `hint` the one by the embedded Arrow schema, which may be any
    /// other.
    fn typed(&mut self, plain: &DataType, hint: &DataType) -> Typed {
        use DataType::{FixedSizeList, LargeList, LargeListView, List, ListView, Map, Struct};
        match plain {
            Struct(fields) => {
                let hints = match hint {
                    Struct(hints) if hints.len() == fields.len() => hints,
                    _ => fields,
                };
                let (read, carried): (Vec<_>, Vec<_>) = fields
                    .iter()
                    .zip(hints)
                    .map(|(field, hint)| self.field(field, hint.data_type(), field.name()))
                    .unzip();
                Typed { read: Struct(read.into()), carried: Struct(carried.into()) }
            }
            List(item) => {
                let hint = match hint {
                    List(hint) | LargeList(hint) | ListView(hint) | LargeListView(hint) | FixedSizeList(hint, _) => {
                        hint
                    }
                    _ => item,
                };
                let (read, carried) = self.field(item, hint.data_type(), Field::LIST_FIELD_DEFAULT_NAME);
                Typed { read: List(read), carried: List(carried) }
            }
            Map(entries, sorted) => {
                let hint = match hint {
                    Map(hint, _) => hint,
                    _ => entries,
                };
                self.map(entries, *sorted, hint)
            }
            leaf => {
                let column = self.descriptor.column(self.next);
                self.next += 1;
                let typed = leaf_typed(leaf, hint, &column);
                self.unchecked_text |=
                    matches!(typed.read, DataType::Utf8 | JSON) && column.converted_type() != ConvertedType::UTF8;
                typed
            }
        }
    }

    fn field(&mut self, field: &Arc<Field>, hint: &DataType, name: &str) -> (Arc<Field>, Arc<Field>) {
        let typed = self.typed(field.data_type(), hint);
        let read = field.as_ref().clone().with_data_type(typed.read);
        (Arc::new(read), Arc::new(Field::new(name, typed.carried, true)))
    }

    fn map(&mut self, entries: &Arc<Field>, sorted: bool, hint: &Arc<Field>) -> Typed {
        let typed = self.typed(entries.data_type(), hint.data_type());
        let carried = match &typed.carried {
            DataType::Struct(fields) if fields.len() == 2 => {
                let key = Field::new("key", fields[0].data_type().clone(), false);
                let value = Field::new("value", fields[1].data_type().clone(), true);
                DataType::Struct(vec![key, value].into())
            }
            other => other.clone(),
        };
        Typed {
            read: DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(typed.read)), sorted),
            // Whether keys are sorted is no part of what a table is.
            carried: DataType::Map(Arc::new(Field::new("entries", carried, false)), false),
        }
    }
}

fn leaf_typed(plain: &DataType, hint: &DataType, column: &ColumnDescriptor) -> Typed {
    use DataType::*;
    let hint = match hint {
        Dictionary(_, value) => value.as_ref(),
        other => other,
    };
    let same = |data_type| Typed { read: DataType::clone(&data_type), carried: data_type };
    let as_text = || Typed { read: Binary, carried: Utf8 };
    let is_enum =
        column.logical_type_ref() == Some(&LogicalType::Enum) || column.converted_type() == ConvertedType::ENUM;
    let is_json =
        column.logical_type_ref() == Some(&LogicalType::Json) || column.converted_type() == ConvertedType::JSON;
    match (plain, hint) {
        (Utf8, _) if is_json => same(JSON),
        (Timestamp(..), _) if column.physical_type() == Physical::INT96 => same(Timestamp(TimeUnit::Microsecond, None)),
        (Int32 | Int64, Timestamp(unit, zone)) => same(Timestamp(*unit, zone.as_ref().map(|_| "UTC".into()))),
        (Int64, Date64) => same(Timestamp(TimeUnit::Millisecond, None)),
        (Int32, Time32(TimeUnit::Second)) => same(Time32(TimeUnit::Second)),
        (Binary, _) if is_enum => as_text(),
        (Binary, Utf8 | LargeUtf8 | Utf8View) => as_text(),
        (FixedSizeBinary(_), _) => Typed { read: plain.clone(), carried: Binary },
        (Float16, _) => Typed { read: Float16, carried: Float32 },
        _ => same(plain.clone()),
    }
}
