//! Which hive directory each row belongs to.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Date32Array, Int32Array, RecordBatch};
use arrow::datatypes::*;
use arrow::row::{RowConverter, SortField};
use arrow_schema::{DataType, SchemaRef, TimeUnit};

use super::LayoutError;
use crate::codec::encode::scalar;
use crate::codec::encode::time_text::{civil, ticks};
use crate::codec::encode::value::{RAW, writer};
use crate::model::hive::{self, Partition};
use crate::model::scalar::Scalar;
use crate::model::settings::{PartitionRule, PartitionTransform};

/// Directories that one table may have in one shard. Each costs about 500 bytes of memory (its name, its values, the
/// row that gave it, counters): 50 MB at most. More is a mistake in `partitionBy`: as many files would be made.
pub(super) const DIRECTORIES_MAX: usize = 100_000;

/// Gives each row the number of its directory. Numbers count up in the order directories are first seen.
pub(super) struct Directories {
    rules: Vec<(usize, PartitionRule)>,
    converter: RowConverter,
    by_values: HashMap<Box<[u8]>, u32>,
    by_path: HashMap<Arc<str>, u32>,
    partitions: Vec<Partition>,
    table: String,
}

impl Directories {
    /// Rules that a [`WriteSchema`](crate::model::planned_table::WriteSchema) has accepted for rows in `schema`.
    pub fn new(table: &str, schema: &SchemaRef, rules: &[PartitionRule]) -> Result<Self, LayoutError> {
        let rules: Vec<(usize, PartitionRule)> = rules
            .iter()
            .map(|rule| Ok((schema.index_of(&rule.column)?, rule.clone())))
            .collect::<Result<_, LayoutError>>()?;
        let fields = rules.iter().map(|(at, rule)| {
            SortField::new(match rule.transform {
                None => schema.field(*at).data_type().clone(),
                Some(PartitionTransform::Date) => DataType::Date32,
                Some(_) => DataType::Int32,
            })
        });
        Ok(Self {
            converter: RowConverter::new(fields.collect())?,
            rules,
            by_values: HashMap::new(),
            by_path: HashMap::new(),
            partitions: Vec::new(),
            table: table.to_owned(),
        })
    }

    /// How many directories were seen.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// The partition that a directory is.
    pub fn partition(&self, directory: u32) -> &Partition {
        &self.partitions[directory as usize]
    }

    /// The directory of each row.
    pub fn of_rows(&mut self, batch: &RecordBatch) -> Result<Vec<u32>, LayoutError> {
        let columns: Vec<ArrayRef> = self
            .rules
            .iter()
            .map(|(at, rule)| transformed(batch.column(*at), rule.transform))
            .collect::<Result<_, _>>()?;
        let values = self.converter.convert_columns(&columns)?;
        let mut directories = Vec::with_capacity(batch.num_rows());
        let mut last: Option<(usize, u32)> = None;
        for row in 0..batch.num_rows() {
            let bytes = values.row(row).data();
            // Neighbours often share a directory.
            let directory = match last {
                Some((same, directory)) if values.row(same).data() == bytes => directory,
                _ => match self.by_values.get(bytes) {
                    Some(directory) => *directory,
                    None => self.add(bytes, &columns, row)?,
                },
            };
            last = Some((row, directory));
            directories.push(directory);
        }
        Ok(directories)
    }

    /// Numbers the directory of values that were not seen before. Values may share one: null and the empty text do.
    fn add(&mut self, bytes: &[u8], columns: &[ArrayRef], row: usize) -> Result<u32, LayoutError> {
        let value = |((_, rule), column): (&(usize, PartitionRule), &ArrayRef)| {
            let mut text = Vec::new();
            let value = column.slice(row, 1);
            if value.is_valid(0) {
                writer(value.as_ref(), &RAW)(0, &mut text);
            }
            let shown = !text.is_empty();
            let directory = hive::directory(&rule.name, Some(&String::from_utf8_lossy(&text)));
            (directory, shown.then(|| scalar(value.as_ref(), 0)).flatten())
        };
        let (directories, values): (Vec<String>, Vec<Option<Scalar>>) =
            self.rules.iter().zip(columns).map(value).unzip();
        let path: Arc<str> = directories.join("/").into();
        let next = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        let directory = match self.by_path.entry(Arc::clone(&path)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) if self.partitions.len() == DIRECTORIES_MAX => {
                return Err(LayoutError::TooManyPartitions { table: self.table.clone(), example: path.to_string() });
            }
            Entry::Vacant(new) => {
                self.partitions.push(Partition { path, values: values.into() });
                *new.insert(next)
            }
        };
        self.by_values.insert(bytes.into(), directory);
        Ok(directory)
    }
}

fn transformed(column: &ArrayRef, transform: Option<PartitionTransform>) -> Result<ArrayRef, LayoutError> {
    let Some(transform) = transform else { return Ok(Arc::clone(column)) };
    Ok(match column.data_type() {
        DataType::Date32 => parts::<Date32Type>(column, 1, |days| days.into(), transform),
        DataType::Date64 => parts::<Date64Type>(column, 86_400_000, |value| value, transform),
        DataType::Timestamp(TimeUnit::Second, _) => timestamps::<TimestampSecondType>(column, transform),
        DataType::Timestamp(TimeUnit::Millisecond, _) => timestamps::<TimestampMillisecondType>(column, transform),
        DataType::Timestamp(TimeUnit::Microsecond, _) => timestamps::<TimestampMicrosecondType>(column, transform),
        _ => timestamps::<TimestampNanosecondType>(column, transform),
    })
}

fn timestamps<T: ArrowTimestampType>(column: &ArrayRef, transform: PartitionTransform) -> ArrayRef {
    parts::<T>(column, 86_400 * ticks(T::UNIT), |value| value, transform)
}

/// The wanted part of each value, where a day has so many ticks.
fn parts<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    day_ticks: i64,
    value: impl Fn(T::Native) -> i64,
    transform: PartitionTransform,
) -> ArrayRef {
    let values = column.as_primitive::<T>();
    let day = |ticks: T::Native| value(ticks).div_euclid(day_ticks);
    let fit = |number: i64| i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX });
    match transform {
        PartitionTransform::Date => {
            Arc::new(values.unary::<_, Date32Type>(|ticks| fit(day(ticks)))) as Arc<Date32Array>
        }
        PartitionTransform::Year => {
            Arc::new(values.unary::<_, Int32Type>(|ticks| fit(civil(day(ticks)).0))) as Arc<Int32Array>
        }
        PartitionTransform::Month => Arc::new(values.unary::<_, Int32Type>(|ticks| fit(civil(day(ticks)).1.into()))),
        PartitionTransform::Day => Arc::new(values.unary::<_, Int32Type>(|ticks| fit(civil(day(ticks)).2.into()))),
        PartitionTransform::Hour => {
            Arc::new(values.unary::<_, Int32Type>(|ticks| fit(value(ticks).rem_euclid(day_ticks) * 24 / day_ticks)))
        }
    }
}
