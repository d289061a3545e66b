//! Row groups to batches.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use arrow_schema::{DataType, Fields, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::Type as Physical;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;

use super::bad;
use super::groups::{range_of, wanted};
use super::pages::{OpenGroup, PageLimit, PagePlaces};
use super::types::{Root, roots};
use crate::codec::caught::caught;
use crate::codec::decode::cast::{Strictness, cast, check_text};
use crate::codec::decode::columns::{Columns, Incoming, Place, Source};
use crate::codec::decode::none_declared;
use crate::codec::{DecodeError, Decoded, Passthrough, Position, RowGroupBatch, Rows, StoredRowGroup};
use crate::model::schema::{JSON, Misfit, TableSchema};

/// Bytes of values that a batch aims at, at the most: as much as two hundred times the usual batch of rows, and still
/// small beside any budget.
pub const BATCH_BYTES: u64 = 16 << 20;

/// Decodes row groups of one object into a table's batches.
pub struct ParquetDecoder<R: ChunkReader + 'static> {
    reader: Arc<R>,
    metadata: Arc<ParquetMetaData>,
    columns: Columns,
    /// The columns that are read, in the object's order.
    read: Vec<Root>,
    levels: FieldLevels,
    limit: Arc<PageLimit>,
    rows_per_batch: usize,
    groups: VecDeque<usize>,
    /// Which row groups come as they are stored, too.
    passthrough: Option<Passthrough>,
    current: Option<Current>,
    ended: bool,
}

/// The row group under way.
struct Current {
    batches: ParquetRecordBatchReader,
    ordinal: usize,
    rows: u64,
    rows_read: u64,
    offset: u64,
    stored: Option<Arc<StoredRowGroup>>,
}

impl<R: ChunkReader + 'static> ParquetDecoder<R> {
    /// A decoder of `row_groups`, in that order, into `table`, without the input columns in `drop`. Batches have at
    /// most `rows_per_batch` rows; a page of more than `page_bytes_max` bytes is refused. Nothing is read yet.
    ///
    /// # Errors
    /// [`DecodeError::Bad`] where the object's schema cannot be read, or a wanted column is an INTERVAL.
    pub fn new(
        reader: R,
        metadata: Arc<ParquetMetaData>,
        table: Arc<TableSchema>,
        drop: &[String],
        row_groups: Vec<usize>,
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
        let wanted = wanted(&metadata, &all, &table, drop);
        let is_empty = |group: &usize| metadata.row_groups().get(*group).is_some_and(|group| group.num_rows() == 0);
        let is_empty = row_groups.iter().all(is_empty);
        if let Some(error) = none_declared(&table, all.iter().map(|root| root.name.as_str())).filter(|_| !is_empty) {
            return Err(error);
        }
        let incoming: Vec<Incoming<'_>> =
            all.iter().map(|root| Incoming { name: &root.name, carried: &root.carried }).collect();
        let columns = Columns::new(&incoming, &wanted, &table, drop, is_empty)?;
        let descriptor = metadata.file_metadata().schema_descr();
        let mask = ProjectionMask::leaves(descriptor, wanted.iter().flat_map(|&root| all[root].leaves.clone()));
        let hint: Fields = all.iter().map(Root::read_field).collect();
        let levels = caught(|| {
            parquet_to_arrow_field_levels(descriptor, mask, Some(&hint))
                .map_err(|error| bad(format!("its schema cannot be read: {error}")))
        })?;
        let read = wanted.iter().map(|&root| all[root].clone()).collect();
        Ok(Self {
            reader: Arc::new(reader),
            metadata,
            columns,
            read,
            levels,
            limit: PageLimit::new(page_bytes_max),
            rows_per_batch: rows_per_batch.max(1),
            groups: row_groups.into(),
            passthrough: None,
            current: None,
            ended: false,
        })
    }

    /// Gives the rows of some row groups as [`Rows::RowGroup`]. The object's bytes live as long as they do.
    pub fn with_passthrough(mut self, passthrough: Option<Passthrough>) -> Self {
        self.passthrough = passthrough;
        self
    }

    /// The next batch and its bad records. A table that cannot hold the object's columns gets one mismatch and nothing
    /// else; one that cannot hold a value (an int64 beyond 2^53 in float64) gets a mismatch in place of the batch, and
    /// what follows.
    ///
    /// `None` at the end, and after an error.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not what the footer says, or a page is too large.
    #[expect(clippy::should_implement_trait, reason = "an error ends it, and callers want the error first")]
    pub fn next(&mut self) -> Result<Option<Decoded>, DecodeError> {
        if self.ended {
            return Ok(None);
        }
        if let Some(schema) = self.columns.mismatch().cloned() {
            self.ended = true;
            return Ok(Some(Decoded { mismatch: Some(schema), ..Decoded::default() }));
        }
        // After an error nothing of this is used again: that is what `caught` asks for.
        let decoded = caught(|| self.step());
        self.ended = !matches!(decoded, Ok(Some(_)));
        if self.ended {
            self.current = None;
        }
        decoded.map_err(|error| self.limit.take_refusal().unwrap_or(error))
    }

    fn step(&mut self) -> Result<Option<Decoded>, DecodeError> {
        loop {
            if self.current.is_none() {
                let Some(ordinal) = self.groups.pop_front() else { return Ok(None) };
                self.current = self.open(ordinal)?;
            }
            let Some(current) = &mut self.current else { continue };
            let position = Some(Position { line: None, offset: current.offset });
            let unreadable = |what: String| DecodeError::Bad {
                reason: format!("row group {} cannot be read: {what}", current.ordinal),
                position,
            };
            match current.batches.next() {
                Some(Ok(batch)) => {
                    let first = current.rows_read;
                    current.rows_read += batch.num_rows() as u64;
                    if current.rows_read > current.rows {
                        return Err(unreadable(format!(
                            "it has more rows than the {} that the footer says",
                            current.rows
                        )));
                    }
                    let (ordinal, offset) = (current.ordinal, current.offset);
                    let stored = current.stored.clone();
                    let mut decoded = self.table_batch(&batch, ordinal, first, offset)?;
                    if let Some(group) = stored {
                        let as_stored = |rows: Rows| {
                            let (group, batch) = (Arc::clone(&group), rows.batch().clone());
                            Rows::RowGroup(RowGroupBatch { group, first, batch })
                        };
                        decoded.rows = decoded.rows.into_iter().map(as_stored).collect();
                    }
                    return Ok(Some(decoded));
                }
                Some(Err(error)) => return Err(unreadable(error.to_string())),
                None if current.rows_read != current.rows => {
                    return Err(unreadable(format!(
                        "it has {} rows, and the footer says {}",
                        current.rows_read, current.rows
                    )));
                }
                None => self.current = None,
            }
        }
    }

    /// Begins a row group; `None` for one without rows.
    fn open(&self, ordinal: usize) -> Result<Option<Current>, DecodeError> {
        if ordinal >= self.metadata.num_row_groups() {
            return Err(bad(format!(
                "it has {} row groups, and number {ordinal} is wanted",
                self.metadata.num_row_groups()
            )));
        }
        let group = self.metadata.row_group(ordinal);
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        if rows == 0 {
            return Ok(None);
        }
        let offset = group.columns().iter().map(|column| range_of(column).start).min().unwrap_or(0);
        let unreadable = |error: parquet::errors::ParquetError| DecodeError::Bad {
            reason: format!("row group {ordinal} cannot be read: {error}"),
            position: Some(Position { line: None, offset }),
        };
        let leaves = self.read.iter().flat_map(|root| root.leaves.clone().map(|leaf| (leaf, root.int96_unit())));
        let open =
            OpenGroup::open(&self.reader, &self.metadata, ordinal, leaves, &self.limit, self.passthrough.is_some())
                .map_err(unreadable)?;
        let fit = usize::try_from(BATCH_BYTES / open.row_bytes.max(1)).unwrap_or(usize::MAX);
        let batch_rows = self.rows_per_batch.min(fit).min(usize::try_from(rows).unwrap_or(usize::MAX)).max(1);
        let batches = ParquetRecordBatchReader::try_new_with_row_groups(&self.levels, &open, batch_rows, None)
            .map_err(unreadable)?;
        let stored = self
            .passthrough
            .and_then(|passthrough| self.stored(ordinal, &open.places).filter(|group| passthrough.wants(group)));
        Ok(Some(Current { batches, ordinal, rows, rows_read: 0, offset, stored }))
    }

    /// The row group as it is stored, where its rows are the table's as they are. One that is cast may have rows that
    /// are not.
    fn stored(&self, ordinal: usize, places: &[PagePlaces]) -> Option<Arc<StoredRowGroup>> {
        if self.columns.rescues() {
            return None;
        }
        let columns = self.columns.sources()?.map(|(column, source)| match source {
            Source::Absent => Some(None),
            Source::Column { at } => {
                let root = &self.read[*at];
                let (theirs, ours) = (&root.carried, column.written_type());
                // JSON that is kept as text is the same bytes.
                (*theirs == ours || (*theirs == JSON && ours == DataType::Utf8)).then(|| Some(root.leaves.clone()))
            }
        });
        let columns = columns.collect::<Option<Vec<_>>>()?;
        let reader = Arc::clone(&self.reader);
        let read = Box::new(move |start, length| reader.get_bytes(start, length));
        Some(Arc::new(StoredRowGroup::new(Arc::clone(&self.metadata), ordinal, columns, places.to_vec(), read)))
    }

    /// One batch as it was read, in the table's schema.
    fn table_batch(
        &self,
        batch: &RecordBatch,
        ordinal: usize,
        first: u64,
        offset: u64,
    ) -> Result<Decoded, DecodeError> {
        let carried = self.carried(batch, ordinal, offset)?;
        let place = |row: usize| Place { row: format!("row {} of row group {ordinal}", first + row as u64), offset };
        self.columns.decoded(&carried, batch.num_rows(), place)
    }

    /// The columns that were read, in the types they are carried in.
    fn carried(&self, batch: &RecordBatch, ordinal: usize, offset: u64) -> Result<Vec<ArrayRef>, DecodeError> {
        let mut carried = Vec::with_capacity(self.read.len());
        for (root, array) in self.read.iter().zip(batch.columns()) {
            let at = |reason: String| DecodeError::Bad {
                reason: format!("column {} of row group {ordinal} has {reason}", root.name),
                position: Some(Position { line: None, offset }),
            };
            if root.unchecked_text {
                check_text(array).map_err(|error| at(error.to_string()))?;
            }
            if *array.data_type() == root.carried {
                carried.push(Arc::clone(array));
                continue;
            }
            let cast = cast(array, &root.carried, Strictness::Declared)?;
            if cast.wider.is_some() {
                return Err(at("text that is not UTF-8, or JSON that is none".into()));
            }
            carried.push(cast.array);
        }
        Ok(carried)
    }
}
