//! What of a table's schema stands in a Parquet file.
//!
//! A column or field that has had only nulls has no type yet, and is left out: readers that unite files by name see
//! nulls, as they do of every column that begins later. With Parquet's null type, which is an INT32 underneath, most of
//! them refuse the files in which it has a type, Spark whatever it is told. Two places keep it, because leaving it out
//! would lose more: items of lists and values of maps, so that an empty list is not a missing one, and a struct or file
//! that would have nothing else.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow_schema::extension::{EXTENSION_TYPE_METADATA_KEY, EXTENSION_TYPE_NAME_KEY};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{LogicalType, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescriptor, Type};

use super::EncodeError;
use super::parquet_units::{storable, stored};
use crate::model::schema::JSON;

/// The columns of a file, and how a table's batches become them.
pub(super) struct FileSchema {
    /// The schema of its batches.
    pub schema: SchemaRef,
    /// By column of the file: the table's.
    pub columns: Vec<usize>,
    /// The table's, in units that Parquet has.
    table: SchemaRef,
    /// Whether batches come with seconds where the file has milliseconds.
    in_seconds: bool,
}

impl FileSchema {
    pub fn new(table: &SchemaRef) -> Self {
        let in_units = storable(table);
        let in_seconds = !Arc::ptr_eq(&in_units, table);
        let table = &in_units;
        let all = table.fields();
        let typed: Vec<usize> = (0..all.len()).filter(|at| !all[*at].data_type().is_null()).collect();
        let columns = if typed.is_empty() { (0..all.len()).collect() } else { typed };
        let fields: Vec<Field> =
            columns.iter().map(|at| with_type(&all[*at], typed_part(all[*at].data_type()))).collect();
        let schema = Schema::new(fields);
        let same = schema.fields == table.fields;
        Self {
            schema: if same { Arc::clone(table) } else { Arc::new(schema) },
            columns,
            table: Arc::clone(table),
            in_seconds,
        }
    }

    /// A batch of the table as the file has it.
    ///
    /// # Errors
    /// [`EncodeError::Range`].
    pub fn batch(&self, batch: RecordBatch) -> Result<RecordBatch, EncodeError> {
        let batch = if self.in_seconds { stored(batch, &self.table)? } else { batch };
        if Arc::ptr_eq(&self.schema, &self.table) {
            return Ok(batch);
        }
        let column = |(at, field): (&usize, &FieldRef)| part_of(batch.column(*at), field.data_type());
        let columns = self.columns.iter().zip(self.schema.fields()).map(column).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Parquet's view of it.
    ///
    /// # Errors
    /// A type that Parquet has no place for.
    pub fn descriptor(&self) -> Result<SchemaDescriptor, ParquetError> {
        let plain = ArrowSchemaConverter::new().convert(&self.schema)?;
        let mut leaves = Vec::new();
        self.schema.fields().iter().for_each(|field| push_leaves(field.data_type(), &mut leaves));
        let annotated = annotated(plain.root_schema(), &mut leaves.iter().map(|leaf| *leaf == &JSON))?;
        Ok(SchemaDescriptor::new(Arc::new(annotated)))
    }

    /// Arrow's view of it, for readers that know Arrow: JSON by its extension type, over utf8 as most have it.
    pub fn arrow(&self) -> Schema {
        Schema::new(self.schema.fields().iter().map(extended).collect::<Fields>())
    }
}

fn with_type(field: &Field, data_type: DataType) -> Field {
    field.clone().with_data_type(data_type)
}

/// A type without the fields that have none.
fn typed_part(data_type: &DataType) -> DataType {
    let part = |field: &FieldRef| Arc::new(with_type(field, typed_part(field.data_type())));
    match data_type {
        DataType::Struct(fields) => {
            let typed: Fields = fields.iter().filter(|field| !field.data_type().is_null()).map(part).collect();
            DataType::Struct(if typed.is_empty() { fields.clone() } else { typed })
        }
        DataType::List(item) => DataType::List(part(item)),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(fields) => {
                let fields = DataType::Struct(fields.iter().map(part).collect());
                DataType::Map(Arc::new(with_type(entries, fields)), *sorted)
            }
            _ => data_type.clone(),
        },
        other => other.clone(),
    }
}

/// The values of a type in a [`typed_part`] of it.
fn part_of(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    match target {
        same if array.data_type() == same => Ok(Arc::clone(array)),
        DataType::Struct(fields) => Ok(Arc::new(fields_of(array.as_struct(), fields)?)),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let items = part_of(list.values(), item.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), items, list.nulls().cloned())?))
        }
        DataType::Map(entries, sorted) => {
            let map = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else { return Ok(Arc::clone(array)) };
            let rows = fields_of(map.entries(), fields)?;
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(entries),
                map.offsets().clone(),
                rows,
                map.nulls().cloned(),
                *sorted,
            )?))
        }
        _ => Ok(Arc::clone(array)),
    }
}

fn fields_of(array: &StructArray, fields: &Fields) -> Result<StructArray, ArrowError> {
    let places = array.fields().iter().zip(array.columns());
    let mut typed = places.filter(|(field, _)| fields.iter().any(|kept| kept.name() == field.name()));
    let column = |field: &FieldRef| match typed.next() {
        Some((_, column)) => part_of(column, field.data_type()),
        None => Err(ArrowError::SchemaError(format!("a struct has no field {}", field.name()))),
    };
    let columns = fields.iter().map(column).collect::<Result<_, _>>()?;
    StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())
}

/// The types of a column's leaves, in Parquet's order.
fn push_leaves<'a>(data_type: &'a DataType, leaves: &mut Vec<&'a DataType>) {
    match data_type {
        DataType::Struct(fields) => fields.iter().for_each(|field| push_leaves(field.data_type(), leaves)),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => {
            push_leaves(item.data_type(), leaves);
        }
        leaf => leaves.push(leaf),
    }
}

/// A type of Parquet whose leaves say that they are JSON. The parquet crate would say it from [`FileSchema::arrow`],
/// with its feature `arrow_canonical_extension_types`.
fn annotated(plain: &Type, is_json: &mut impl Iterator<Item = bool>) -> Result<Type, ParquetError> {
    let info = plain.get_basic_info();
    if plain.is_primitive() {
        if !is_json.next().unwrap_or(false) {
            return Ok(plain.clone());
        }
        let json =
            Type::primitive_type_builder(info.name(), Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::Json));
        return json.with_repetition(info.repetition()).build();
    }
    let fields =
        plain.get_fields().iter().map(|field| annotated(field, is_json).map(Arc::new)).collect::<Result<_, _>>()?;
    let mut group = Type::group_type_builder(info.name())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_converted_type(info.converted_type())
        .with_fields(fields);
    if info.has_repetition() {
        group = group.with_repetition(info.repetition());
    }
    group.build()
}

fn extended(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        &JSON => {
            let json = [(EXTENSION_TYPE_NAME_KEY, "arrow.json"), (EXTENSION_TYPE_METADATA_KEY, "")];
            return Arc::new(with_type(field, DataType::Utf8).with_metadata(json));
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(extended).collect()),
        DataType::List(item) => DataType::List(extended(item)),
        DataType::Map(entries, sorted) => DataType::Map(extended(entries), *sorted),
        other => other.clone(),
    };
    Arc::new(with_type(field, data_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, NullArray};
    use parquet::basic::ConvertedType;

    fn structure(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect())
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("item", item, true)))
    }

    fn of(columns: &[(&str, DataType)]) -> FileSchema {
        let fields: Fields =
            columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
        FileSchema::new(&Arc::new(Schema::new(fields)))
    }

    #[test]
    fn what_has_no_type_is_left_out_where_nothing_is_lost_by_it() {
        use DataType::{Int64, Null};
        for (table, file) in [
            (vec![("a", Int64), ("b", Int64)], vec![("a", Int64), ("b", Int64)]),
            (vec![("a", Null), ("b", Int64), ("c", Null)], vec![("b", Int64)]),
            (vec![("a", Null)], vec![("a", Null)]),
            (vec![("a", structure(&[("x", Null), ("y", Int64)]))], vec![("a", structure(&[("y", Int64)]))]),
            (vec![("a", structure(&[("x", Null)]))], vec![("a", structure(&[("x", Null)]))]),
            (vec![("a", list(Null))], vec![("a", list(Null))]),
            (vec![("a", list(structure(&[("x", Int64), ("y", Null)])))], vec![("a", list(structure(&[("x", Int64)])))]),
        ] {
            let schema = of(&table);
            assert_eq!(schema.schema, of(&file).table, "{table:?}");
            let columns: Vec<(&str, ArrayRef)> =
                table.iter().map(|(name, data_type)| (*name, arrow::array::new_null_array(data_type, 2))).collect();
            let batch =
                RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
                    .unwrap();
            assert_eq!(schema.batch(batch).unwrap().schema(), schema.schema);
        }
        let rows: Vec<(&str, ArrayRef)> =
            vec![("a", Arc::new(NullArray::new(2))), ("b", Arc::new(Int64Array::from(vec![1, 2])))];
        let batch = RecordBatch::try_from_iter_with_nullable(rows.into_iter().map(|(name, array)| (name, array, true)))
            .unwrap();
        let file = of(&[("a", Null), ("b", Int64)]);
        assert_eq!(file.columns, [1]);
        assert_eq!(file.batch(batch.clone()).unwrap().column(0), batch.column(1));
    }

    #[test]
    fn json_is_annotated_at_every_depth() {
        let schema =
            of(&[("t", DataType::Utf8), ("j", JSON), ("s", structure(&[("a", DataType::Int64), ("b", list(JSON))]))]);
        let descriptor = schema.descriptor().unwrap();
        let leaves: Vec<(String, ConvertedType)> =
            descriptor.columns().iter().map(|leaf| (leaf.path().string(), leaf.converted_type())).collect();
        let expected = [
            ("t", ConvertedType::UTF8),
            ("j", ConvertedType::JSON),
            ("s.a", ConvertedType::NONE),
            ("s.b.list.element", ConvertedType::JSON),
        ];
        let expected: Vec<(String, ConvertedType)> =
            expected.map(|(path, annotation)| (path.to_owned(), annotation)).into();
        assert_eq!(
            leaves.iter().map(|(path, kind)| (path.replace("item", "element"), *kind)).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(
            schema.arrow().field(1).metadata().get(EXTENSION_TYPE_NAME_KEY).map(String::as_str),
            Some("arrow.json")
        );
    }
}
