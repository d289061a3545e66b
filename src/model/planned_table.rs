//! A table from its objects to its files: the schema that is read, what becomes of the rows, the schema that is
//! written. All of it follows from what a plan freezes, and is derived where the plan is worked on.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::schema::{TableSchema, type_name};
use super::settings::{DestinationSettings, PartitionRule, PartitionTransform};

/// The input object's key.
pub const KEY_COLUMN: &str = "_s3sync_key";
/// The input object's last modified time.
pub const LAST_MODIFIED_COLUMN: &str = "_s3sync_last_modified";
/// The row's number in its object, from 1; bad records are not counted.
pub const ROW_COLUMN: &str = "_s3sync_row";

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTable {
    /// What every row of an object is verified against.
    pub read: Arc<TableSchema>,
    /// What becomes of a verified row before it is laid out.
    pub transform: Transform,
    /// What is laid out and written. Where no file can be made, that is an error once there is a row: objects without
    /// rows need none.
    pub write: Result<WriteSchema, WriteSchemaError>,
}

impl PlannedTable {
    /// The table `name` whose rows are verified against `read`.
    pub fn new(name: &str, read: Arc<TableSchema>, destination: &DestinationSettings) -> Self {
        let transform = Transform::Identity;
        let write = WriteSchema::new(name, &transform.columns(&read), destination);
        Self { read, transform, write }
    }
}

/// What becomes of verified rows. It may leave rows out and change their columns; it adds no rows and keeps their
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// They stay as they are.
    Identity,
}

impl Transform {
    /// The columns that rows have behind it.
    pub fn columns(self, read: &TableSchema) -> SchemaRef {
        match self {
            Transform::Identity => read.arrow(),
        }
    }
}

/// The columns of a table's rows as they are laid out, and of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSchema {
    /// The columns of rows: those behind the transform, then those of lineage.
    pub rows: SchemaRef,
    /// Whether there are columns of lineage.
    pub lineage: bool,
    /// Indexes of the columns that are written into files. The others become directories.
    pub kept: Vec<usize>,
    /// The columns of files.
    pub files: SchemaRef,
}

/// Why no file can be made of a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteSchemaError {
    /// A rule of `partitionBy` and the table's columns do not go together.
    #[error("partitionBy {column} of table {table}: {reason}")]
    Partition {
        /// The table.
        table: String,
        /// The column, or the partition's name.
        column: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Rows without any column.
    #[error("table {table} has no column left for its files; drop fewer columns, or leave the table out")]
    NoColumn {
        /// The table.
        table: String,
    },
    /// Two columns of one name in a file.
    #[error(
        "table {table} has two columns named {column} in its files, one of them of destination.lineage; rename the other in schema.columns"
    )]
    Clash {
        /// The table.
        table: String,
        /// The name.
        column: String,
    },
}

impl WriteSchema {
    /// Of a table whose rows have these columns.
    ///
    /// # Errors
    /// Two columns of one name, none at all, and rules of `partitionBy` that do not go with the columns.
    pub fn new(table: &str, columns: &SchemaRef, destination: &DestinationSettings) -> Result<Self, WriteSchemaError> {
        let lineage = destination.lineage;
        let rows = if lineage { with_lineage(columns, table)? } else { Arc::clone(columns) };
        if rows.fields().is_empty() {
            return Err(WriteSchemaError::NoColumn { table: table.to_owned() });
        }
        if destination.partition_by.is_empty() {
            return Ok(Self { files: Arc::clone(&rows), kept: (0..rows.fields().len()).collect(), lineage, rows });
        }
        let kept = kept_columns(table, &rows, &destination.partition_by)?;
        let fields: Vec<Arc<Field>> = kept.iter().map(|&at| Arc::clone(&rows.fields()[at])).collect();
        Ok(Self { files: Arc::new(Schema::new(fields)), kept, lineage, rows })
    }
}

/// The fields that lineage adds, in order.
fn lineage_fields() -> [Field; 3] {
    [
        Field::new(KEY_COLUMN, DataType::Utf8, true),
        Field::new(LAST_MODIFIED_COLUMN, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new(ROW_COLUMN, DataType::Int64, true),
    ]
}

/// Columns with those of lineage behind.
fn with_lineage(columns: &SchemaRef, table: &str) -> Result<SchemaRef, WriteSchemaError> {
    let mut fields: Vec<Arc<Field>> = columns.fields().iter().cloned().collect();
    for field in lineage_fields() {
        if columns.index_of(field.name()).is_ok() {
            return Err(WriteSchemaError::Clash { table: table.to_owned(), column: field.name().clone() });
        }
        fields.push(Arc::new(field));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Checks the rules of `partitionBy` against a table's columns, and gives those that stay in its files (their indexes).
///
/// # Errors
/// A column that is not there, a transform of a column that is no date or timestamp, a value that cannot be a
/// directory, two names that differ only in case or not at all, and no column left.
fn kept_columns(table: &str, schema: &Schema, rules: &[PartitionRule]) -> Result<Vec<usize>, WriteSchemaError> {
    let refuse = |column: &str, reason: &str| WriteSchemaError::Partition {
        table: table.to_owned(),
        column: column.to_owned(),
        reason: reason.to_owned(),
    };
    let mut leaving = Vec::new();
    for rule in rules {
        let at = schema.index_of(&rule.column).map_err(|_| refuse(&rule.column, &absent(schema)))?;
        let data_type = schema.field(at).data_type();
        let is_time = matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..));
        match rule.transform {
            None if data_type.is_nested() || matches!(data_type, DataType::Interval(_)) => {
                return Err(refuse(&rule.column, "its values cannot be directories"));
            }
            None => leaving.push(at),
            Some(_) if !is_time => {
                let reason = format!(
                    "a transform needs a date or a timestamp, and the column is {}: cast it in schema.columns",
                    type_name(data_type)
                );
                return Err(refuse(&rule.column, &reason));
            }
            Some(PartitionTransform::Hour) if *data_type == DataType::Date32 => {
                return Err(refuse(&rule.column, "a date has no hours"));
            }
            Some(_) => {}
        }
    }
    let kept: Vec<usize> = (0..schema.fields().len()).filter(|at| !leaving.contains(at)).collect();
    // Hive's names have no case: country=a beside a column Country would be one column to it.
    let mut names: Vec<String> = rules.iter().map(|rule| rule.name.to_lowercase()).collect();
    names.extend(kept.iter().map(|at| schema.field(*at).name().to_lowercase()));
    for (at, rule) in rules.iter().enumerate() {
        if names.iter().skip(at + 1).any(|name| *name == names[at]) {
            return Err(refuse(
                &rule.name,
                "another column or partition has this name (case aside); set name in partitionBy",
            ));
        }
    }
    match kept.is_empty() {
        true => Err(refuse(&rules[0].column, "no column is left for the files: partition by fewer, or by a transform")),
        false => Ok(kept),
    }
}

/// Names of a table's columns that a message holds: enough to see a slip, and a line that is still read.
const NAMES_MAX: usize = 20;

/// That a column is not there, and which are.
fn absent(schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields().iter().take(NAMES_MAX).map(|field| field.name().as_str()).collect();
    let more = if schema.fields().len() > NAMES_MAX { " and more" } else { "" };
    format!("the table has no such column; it has {}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::settings;
    use crate::model::schema::Column;

    fn planned(columns: &[(&str, DataType)], change: impl FnOnce(&mut DestinationSettings)) -> PlannedTable {
        let mut destination = settings().destination;
        change(&mut destination);
        let columns = columns.iter().map(|(name, data_type)| Column::inferred(*name, data_type.clone())).collect();
        PlannedTable::new("t", Arc::new(TableSchema { columns, ..TableSchema::default() }), &destination)
    }

    fn names(schema: &Schema) -> Vec<&str> {
        schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    fn by(column: &str, transform: Option<PartitionTransform>) -> PartitionRule {
        let name = transform.map_or(column, |_| "part").to_owned();
        PartitionRule { column: column.to_owned(), transform, name }
    }

    const ROWS: &[(&str, DataType)] = &[("id", DataType::Int64), ("at", DataType::Date32), ("c", DataType::Utf8)];

    /// What is read is one thing, what is laid out another, what is written a third.
    #[test]
    fn what_is_written_differs_from_what_is_read_by_lineage_and_partitions() {
        type Case = (bool, Vec<PartitionRule>, &'static [&'static str]);
        let month = || by("at", Some(PartitionTransform::Month));
        let cases: [Case; 5] = [
            (false, vec![], &["id", "at", "c"]),
            (true, vec![], &["id", "at", "c", KEY_COLUMN, LAST_MODIFIED_COLUMN, ROW_COLUMN]),
            (false, vec![by("c", None)], &["id", "at"]),
            (true, vec![by("c", None), month()], &["id", "at", KEY_COLUMN, LAST_MODIFIED_COLUMN, ROW_COLUMN]),
            (true, vec![by(KEY_COLUMN, None)], &["id", "at", "c", LAST_MODIFIED_COLUMN, ROW_COLUMN]),
        ];
        for (lineage, partition_by, files) in cases {
            let table = planned(ROWS, |to| (to.lineage, to.partition_by) = (lineage, partition_by));
            let write = table.write.expect("files can be made");
            assert_eq!(names(&table.read.arrow()), ["id", "at", "c"]);
            assert_eq!(write.rows.fields().len(), 3 + if lineage { 3 } else { 0 });
            assert_eq!((names(&write.files).as_slice(), write.lineage), (files, lineage));
            assert_eq!(*write.files, write.rows.project(&write.kept).unwrap());
        }
    }

    #[test]
    fn a_table_of_which_no_file_can_be_made_is_planned_and_says_why() {
        let refused = |columns: &[(&str, DataType)], change: fn(&mut DestinationSettings)| {
            planned(columns, change).write.unwrap_err().to_string()
        };
        assert!(refused(&[], |_| {}).starts_with("table t has no column left for its files"));
        assert!(refused(&[(ROW_COLUMN, DataType::Int64)], |to| to.lineage = true).contains("two columns named"));
        assert_eq!(
            refused(ROWS, |to| to.partition_by = vec![by("country", None)]),
            "partitionBy country of table t: the table has no such column; it has id, at, c"
        );
        assert!(
            refused(ROWS, |to| to.partition_by = vec![by("id", Some(PartitionTransform::Year))])
                .contains("a transform needs a date or a timestamp, and the column is int64")
        );
        assert!(
            refused(ROWS, |to| to.partition_by = vec![by("at", Some(PartitionTransform::Hour))])
                .contains("a date has no hours")
        );
        assert!(
            refused(&[("c", DataType::Utf8)], |to| to.partition_by = vec![by("c", None)]).contains("no column is left")
        );
    }
}
