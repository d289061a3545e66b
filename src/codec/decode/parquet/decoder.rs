//! Row groups to batches.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::bad;
use super::groups::range_of;
use super::pages::{OpenGroup, PageLimit, PagePlaces};
use super::plan::ParquetPlan;
use super::reader::ObjectReader;
use crate::codec::caught::caught;
use crate::codec::decode::cast::{Strictness, cast, check_text};
use crate::codec::decode::columns::{Place, Source};
use crate::codec::decode::object::ReadAt;
use crate::codec::{DecodeError, Decoded, Passthrough, Position, RowGroupBatch, Rows, StoredRowGroup};
use crate::model::schema::JSON;

/// Bytes of values that a batch aims at, at the most: as much as two hundred times the usual batch of rows, and still
/// small beside any budget.
pub const BATCH_BYTES: u64 = 16 << 20;

/// Decodes row groups of one object into a table's batches.
pub struct ParquetDecoder {
    reader: ObjectReader,
    plan: Arc<ParquetPlan>,
    limit: Arc<PageLimit>,
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

impl ParquetDecoder {
    /// A decoder of `row_groups`, in that order. Nothing is read yet.
    pub fn new(plan: Arc<ParquetPlan>, bytes: Arc<dyn ReadAt>, row_groups: Vec<usize>) -> Self {
        Self {
            reader: ObjectReader::new(bytes),
            limit: PageLimit::new(plan.page_bytes_max),
            plan,
            groups: row_groups.into(),
            passthrough: None,
            current: None,
            ended: false,
        }
    }

    /// Gives the rows of some row groups as [`Rows::RowGroup`], where their bytes are held: others would have to be
    /// fetched again. The object's bytes live as long as they do.
    pub fn with_passthrough(mut self, passthrough: Option<Passthrough>) -> Self {
        self.passthrough = passthrough.filter(|_| self.reader.is_held());
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
        if let Some(schema) = self.plan.columns.mismatch().cloned() {
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
        if ordinal >= self.plan.metadata.num_row_groups() {
            return Err(bad(format!(
                "it has {} row groups, and number {ordinal} is wanted",
                self.plan.metadata.num_row_groups()
            )));
        }
        let group = self.plan.metadata.row_group(ordinal);
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        if rows == 0 {
            return Ok(None);
        }
        let offset = group.columns().iter().map(|column| range_of(column).start).min().unwrap_or(0);
        let unreadable = |error: parquet::errors::ParquetError| DecodeError::Bad {
            reason: format!("row group {ordinal} cannot be read: {error}"),
            position: Some(Position { line: None, offset }),
        };
        let leaves = self.plan.read.iter().flat_map(|root| root.leaves.clone().map(|leaf| (leaf, root.int96_unit())));
        let open = OpenGroup::open(
            &self.reader,
            &self.plan.metadata,
            ordinal,
            leaves,
            &self.limit,
            self.passthrough.is_some(),
        )
        .map_err(unreadable)?;
        let fit = usize::try_from(BATCH_BYTES / open.row_bytes.max(1)).unwrap_or(usize::MAX);
        let batch_rows = self.plan.rows_per_batch.min(fit).min(usize::try_from(rows).unwrap_or(usize::MAX)).max(1);
        let batches = ParquetRecordBatchReader::try_new_with_row_groups(&self.plan.levels, &open, batch_rows, None)
            .map_err(unreadable)?;
        let stored = self
            .passthrough
            .and_then(|passthrough| self.stored(ordinal, &open.places).filter(|group| passthrough.wants(group)));
        Ok(Some(Current { batches, ordinal, rows, rows_read: 0, offset, stored }))
    }

    /// The row group as it is stored, where its rows are the table's as they are. One that is cast may have rows that
    /// are not.
    fn stored(&self, ordinal: usize, places: &[PagePlaces]) -> Option<Arc<StoredRowGroup>> {
        if self.plan.columns.rescues() {
            return None;
        }
        let columns = self.plan.columns.sources()?.map(|(column, source)| match source {
            Source::Absent => Some(None),
            Source::Column { at } => {
                let root = &self.plan.read[*at];
                let (theirs, ours) = (&root.carried, column.written_type());
                // JSON that is kept as text is the same bytes.
                (*theirs == ours || (*theirs == JSON && ours == DataType::Utf8)).then(|| Some(root.leaves.clone()))
            }
        });
        let columns = columns.collect::<Option<Vec<_>>>()?;
        let (metadata, reader) = (Arc::clone(&self.plan.metadata), self.reader.clone());
        Some(Arc::new(StoredRowGroup::new(metadata, ordinal, columns, places.to_vec(), reader)))
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
        self.plan.columns.decoded(&carried, batch.num_rows(), place)
    }

    /// The columns that were read, in the types they are carried in.
    fn carried(&self, batch: &RecordBatch, ordinal: usize, offset: u64) -> Result<Vec<ArrayRef>, DecodeError> {
        let mut carried = Vec::with_capacity(self.plan.read.len());
        for (root, array) in self.plan.read.iter().zip(batch.columns()) {
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
