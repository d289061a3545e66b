//! Consecutive rows of one table and partition become consecutive files.

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;

use super::sink::{FileEnd, FileSink, NewFile};
use super::{LayoutError, Shared, check_key};
use crate::codec::Rows;
use crate::codec::encode::{EncodeOptions, FileEncoder, batch_bytes};
use crate::model::hive::Partition;
use crate::model::identity::{FileIdentity, FilePurpose};
use crate::model::manifest::{FileKind, StagedFile};
use crate::model::rolling_policy::Verdict;
use crate::model::template::Fields;

/// What all series of one table share.
pub(super) struct TableFiles {
    /// Index into the plan's tables.
    pub table: u32,
    /// What is written.
    pub schema: SchemaRef,
    /// How it is written.
    pub options: EncodeOptions,
}

/// Where one table and partition stands between files: kept for every partition, so it is small.
#[derive(Clone, Debug, Default)]
pub(super) struct Position {
    /// Ordinal of the next row.
    pub next_row: u64,
    /// Files begun.
    pub seq: u64,
    /// The object whose file was begun last, where a key may be used once: see [`Series::claim`].
    claimed: Option<u32>,
}

/// The files of one table and partition, while they are being written.
pub(super) struct Series<'a> {
    pub files: &'a TableFiles,
    pub partition: &'a Partition,
    pub position: &'a mut Position,
    pub open: &'a mut Option<OpenFile>,
}

/// A file that has begun and not ended.
pub(super) struct OpenFile {
    encoder: FileEncoder,
    /// Rows after which it ends.
    rows_max: u64,
    rows: u64,
    first_row: u64,
    objects: (u32, u32),
    /// Whether it is one of the recorded files, which limits do not close.
    recorded: bool,
}

impl OpenFile {
    /// Rows that it still takes.
    fn rows_left(&self) -> u64 {
        self.rows_max - self.rows
    }

    /// Whether it takes over the row group that these rows are of: all of it, because its rows end in one file. The
    /// file's size is looked at again when they have.
    fn takes_over(&self, rows: &Rows) -> bool {
        match rows {
            Rows::Batch(_) => false,
            Rows::RowGroup(rows) => rows.rows_left() <= self.rows_left() && self.encoder.takes_over(rows),
        }
    }
}

/// The objects that a batch's rows come from: first and last, and the key of the one that names files where templates
/// ask for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub objects: (u32, u32),
    pub key: &'a str,
}

impl Series<'_> {
    /// Writes the next rows.
    pub fn write(
        &mut self,
        shared: &Shared,
        sink: &mut impl FileSink,
        rows: &Rows,
        origin: Origin<'_>,
    ) -> Result<(), LayoutError> {
        let batch = rows.batch();
        let step = step_rows(shared, batch);
        let mut start = 0;
        while start < batch.num_rows() {
            let left = batch.num_rows() - start;
            if self.open.is_none() {
                let skipped = self.begin(shared, sink, origin, left as u64)?;
                start += usize::try_from(skipped).unwrap_or(left).min(left);
                self.position.next_row += skipped;
                if self.open.is_none() {
                    continue;
                }
            }
            let Some(file) = self.open.as_mut() else { continue };
            let slice;
            let next = if start == 0 && file.takes_over(rows) {
                rows
            } else {
                let room = usize::try_from(file.rows_left()).unwrap_or(usize::MAX);
                slice = Rows::Batch(batch.slice(start, (batch.num_rows() - start).min(step).min(room)));
                &slice
            };
            if file.encoder.gathers(next) {
                file.encoder.write(next)?;
            } else {
                shared.pool.install(|| file.encoder.write(next))?;
            }
            file.encoder.give_out(|bytes| send(bytes, sink))?;
            let written = next.batch().num_rows();
            start += written;
            file.rows += written as u64;
            file.objects = (file.objects.0.min(origin.objects.0), file.objects.1.max(origin.objects.1));
            self.position.next_row += written as u64;
            let verdict = if file.rows == file.rows_max {
                Verdict::Full
            } else if file.recorded || !file.encoder.may_end() {
                Verdict::Open
            } else {
                shared.rolling_policy.verdict(file.rows, file.encoder.encoded_bytes())
            };
            match verdict {
                Verdict::Open => {}
                Verdict::Full => self.close(shared, sink)?,
                Verdict::TooLarge => {
                    return Err(LayoutError::TooLarge { table: shared.table_name(self.files.table).to_owned() });
                }
            }
        }
        Ok(())
    }

    /// Ends the open file, if there is one.
    pub fn close(&mut self, shared: &Shared, sink: &mut impl FileSink) -> Result<(), LayoutError> {
        let Some(mut file) = self.open.take() else { return Ok(()) };
        if file.recorded && file.rows < file.rows_max {
            return Err(LayoutError::RowsMissing {
                table: shared.table_name(self.files.table).to_owned(),
                rows: file.rows_max - file.rows,
            });
        }
        shared.pool.install(|| file.encoder.end_rows())?;
        let statistics = file.encoder.finish(|bytes| send(bytes, sink))?;
        assert_eq!(statistics.rows, file.rows, "an encoder writes the rows that it takes");
        shared.ended.set(shared.ended.get() + 1);
        Ok(sink.end(FileEnd { statistics, first_row: file.first_row, objects: file.objects })?)
    }

    /// Begins the file that the next row belongs to. Gives the number of rows, of the `left` at hand, that belong to no
    /// file (possible only with recorded files); when that is all of them, no file is open afterwards.
    fn begin(
        &mut self,
        shared: &Shared,
        sink: &mut impl FileSink,
        origin: Origin<'_>,
        left: u64,
    ) -> Result<u64, LayoutError> {
        let next = self.position.next_row;
        let (skipped, rows_max, recorded) = match shared.recorded(self.files.table, &self.partition.path) {
            None => (0, shared.rolling_policy.rows_left(0), None),
            Some(files) => match files.iter().find(|file| file.first_row + file.rows > next) {
                None => return Ok(left),
                Some(file) if file.first_row < next => return Err(LayoutError::Overlap { key: file.key.clone() }),
                Some(file) if file.first_row - next >= left => return Ok(left),
                Some(file) => (file.first_row - next, file.rows, Some(file)),
            },
        };
        let file = match recorded {
            Some(StagedFile { key, id, .. }) => self.new_file(key.clone(), id.clone()),
            None => {
                self.claim(shared, origin)?;
                self.named(shared, origin.key)?
            }
        };
        sink.begin(file)?;
        self.position.seq += 1;
        *self.open = Some(OpenFile {
            encoder: FileEncoder::new(&self.files.options, &self.files.schema)?,
            rows_max,
            rows: 0,
            first_row: next + skipped,
            objects: origin.objects,
            recorded: recorded.is_some(),
        });
        Ok(skipped)
    }

    /// Refuses a second file where the template gives the same key again: keys without a unique placeholder name one
    /// file for each table and partition, or for each object with SOURCE_STEM or SOURCE_DIR.
    fn claim(&mut self, shared: &Shared, origin: Origin<'_>) -> Result<(), LayoutError> {
        let claim = if shared.per_source { origin.objects.0 } else { 0 };
        if shared.rolling_policy.one_file() && self.position.claimed == Some(claim) {
            return Err(LayoutError::SecondFile {
                table: shared.table_name(self.files.table).to_owned(),
                template: shared.plan.settings.destination.template.to_string(),
            });
        }
        self.position.claimed = Some(claim);
        Ok(())
    }

    /// The file that the template names.
    fn named(&self, shared: &Shared, source_key: &str) -> Result<NewFile, LayoutError> {
        let table = shared.table_name(self.files.table);
        let seq = self.position.seq;
        let identity =
            FileIdentity::new(&shared.plan.seed, FilePurpose::Data, shared.shard, table, &self.partition.path, seq);
        let key = shared.plan.settings.destination.template.render(&Fields {
            table,
            sync: &shared.plan.settings.id.name,
            run: &shared.plan.run,
            load_id: &shared.load_id,
            planned_at: shared.plan.planned_at,
            epoch: shared.plan.epoch,
            shard: shared.shard,
            seq,
            extension: &shared.extension,
            identity: &identity,
            source_key,
            partition: &self.partition.path,
        });
        if let Err(reason) = check_key(&key, shared.segment_bytes_max) {
            // What the rows or the names of objects put into a key is theirs to mend; the rest is the path's.
            let from_data = !self.partition.path.is_empty() || shared.per_source;
            return Err(if from_data { LayoutError::KeyOfData { reason } } else { LayoutError::KeyOfPath { reason } });
        }
        Ok(self.new_file(key, identity.id()))
    }

    fn new_file(&self, key: String, id: String) -> NewFile {
        NewFile { key, id, table: self.files.table, partition: self.partition.clone(), kind: FileKind::Data }
    }
}

/// Rows after which a file's size is looked at again: so few that a sixteenth of a file is not passed at once, where
/// bytes close it.
fn step_rows(shared: &Shared, batch: &RecordBatch) -> usize {
    let Some(file_bytes) = shared.rolling_policy.target_file_bytes() else { return usize::MAX };
    let step = u128::from(file_bytes.get() / 16) * batch.num_rows() as u128 / (batch_bytes(batch) as u128).max(1);
    usize::try_from(step).unwrap_or(usize::MAX).max(1)
}

/// Hands over what the encoder has ready. Outside the pool, whose threads must not wait for the destination.
fn send(bytes: Bytes, sink: &mut impl FileSink) -> Result<(), LayoutError> {
    if bytes.is_empty() { Ok(()) } else { Ok(sink.bytes(bytes)?) }
}
