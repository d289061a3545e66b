//! What one object's footer and a table make of its row groups.

use std::sync::Arc;

use arrow_schema::{DataType, Fields, TimeUnit};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::Type as Physical;
use parquet::file::metadata::ParquetMetaData;

use super::bad;
use super::groups::{open_pages_of, range_of, wanted};
use super::types::{Root, roots};
use crate::codec::DecodeError;
use crate::codec::caught::caught;
use crate::codec::decode::columns::{Columns, Incoming};
use crate::codec::decode::none_declared;
use crate::codec::decode::object::Needs;
use crate::model::schema::{Misfit, TableSchema};

/// How the row groups of one object become rows of a table. Its decoders share it.
pub struct ParquetPlan {
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) columns: Columns,
    /// The columns that are read, in the object's order.
    pub(super) read: Vec<Root>,
    pub(super) levels: FieldLevels,
    pub(super) rows_per_batch: usize,
    pub(super) page_bytes_max: u64,
}

impl ParquetPlan {
    /// A plan for `row_groups` of an object, without the input columns in `drop`. Batches have at most `rows_per_batch`
    /// rows; a page of more than `page_bytes_max` bytes is refused.
    ///
    /// # Errors
    /// [`DecodeError::Bad`] where the object's schema cannot be read, or a wanted column is an INTERVAL.
    pub fn new(
        metadata: Arc<ParquetMetaData>,
        table: &Arc<TableSchema>,
        drop: &[String],
        row_groups: &[usize],
        rows_per_batch: usize,
        page_bytes_max: u64,
    ) -> Result<Self, DecodeError> {
        let mut all = roots(&metadata)?;
        let int96 = |root: &Root| {
            metadata.file_metadata().schema_descr().column(root.leaves.start).physical_type() == Physical::INT96
        };
        for root in all.iter_mut().filter(|root| !root.read.is_nested() && int96(root)) {
            let column =
                table.columns.iter().find(|column| column.source == root.name && column.misfit == Misfit::BadRecord);
            if column.is_some_and(|column| matches!(column.data_type, DataType::Timestamp(TimeUnit::Nanosecond, _))) {
                root.in_nanoseconds();
            }
        }
        let wanted = wanted(&metadata, &all, table, drop);
        let is_empty = |group: &usize| metadata.row_groups().get(*group).is_some_and(|group| group.num_rows() == 0);
        let is_empty = row_groups.iter().all(is_empty);
        if let Some(error) = none_declared(table, all.iter().map(|root| root.name.as_str())).filter(|_| !is_empty) {
            return Err(error);
        }
        let incoming: Vec<Incoming<'_>> =
            all.iter().map(|root| Incoming { name: &root.name, carried: &root.carried }).collect();
        let columns = Columns::new(&incoming, &wanted, table, drop, is_empty)?;
        let descriptor = metadata.file_metadata().schema_descr();
        let mask = ProjectionMask::leaves(descriptor, wanted.iter().flat_map(|&root| all[root].leaves.clone()));
        let hint: Fields = all.iter().map(Root::read_field).collect();
        let levels = caught(|| {
            parquet_to_arrow_field_levels(descriptor, mask, Some(&hint))
                .map_err(|error| bad(format!("its schema cannot be read: {error}")))
        })?;
        let read = wanted.iter().map(|&root| all[root].clone()).collect();
        Ok(Self { metadata, columns, read, levels, rows_per_batch: rows_per_batch.max(1), page_bytes_max })
    }

    /// What decoding a row group reads: the column chunks of the wanted columns. Open at once is a page of each and its
    /// dictionary, by the footer's counts; a column chunk whose pages the footer does not count, as DuckDB's, is taken
    /// for one page.
    pub fn needs(&self, row_group: usize) -> Needs {
        let group = self.metadata.row_group(row_group);
        let chunks = || self.read.iter().flat_map(|root| root.leaves.clone()).map(|leaf| group.column(leaf));
        let mut ranges: Vec<_> = chunks().map(range_of).filter(|range| !range.is_empty()).collect();
        ranges.sort_by_key(|range| (range.start, range.end));
        Needs { ranges, open_bytes: chunks().map(open_pages_of).fold(0, u64::saturating_add) }
    }
}
