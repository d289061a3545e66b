//! The layout: decoded batches of one shard, in plan order, become files in a sink.
//!
//! Everything here depends on the rows and the plan alone (invariant I5): which rows share a file, its key, its bytes.
//! Memory is bounded by the plan's `layout_bytes`, whatever the rows (invariant I6): an open parquet row group closes
//! at half of it, and rows that wait for their partition are spilled to scratch at the other half.

mod directory;
mod lineage;
mod partitions;
mod scratch;
mod series;
mod sink;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{ArrowError, SchemaRef};

use super::cpu::CpuPool;
use super::error::RunErrorKind;
use crate::codec::Rows;
use crate::codec::encode::{EncodeError, EncodeOptions};
use crate::model::hive::Partition;
use crate::model::manifest::{FileKind, StagedFile};
use crate::model::plan::{Plan, PlannedObject, load_id};
use crate::model::planned_table::{PlannedTable, Transform, WriteSchema, WriteSchemaError};
use crate::model::rolling_policy::RollingPolicy;
use crate::model::template::extension;
use directory::Directories;
use partitions::Partitions;
pub use scratch::ScratchError;
use series::{OpenFile, Origin, Position, Series, TableFiles};
pub use sink::{FileEnd, FileSink, NewFile, SinkClosed};

/// What a layout works by.
#[derive(Clone, Debug)]
pub struct LayoutContext {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The shard whose rows these are.
    pub shard: u32,
    /// A directory for what spills, of which one layout at a time uses the frozen `worker.scratch`. It is made when
    /// rows spill; what is written has no name there and is gone with the layout, or with the process.
    pub scratch: PathBuf,
    /// Where batches are encoded. The layout itself blocks its own thread.
    pub pool: CpuPool,
    /// Recorded files, all of a shard's or some: when given, exactly these are made, with their keys, ids and rows,
    /// whatever the limits say; rows of none of them are counted and passed over. Every object that the recording
    /// attempt read must be pushed, up to the last one whose rows are wanted.
    pub cuts: Option<Vec<StagedFile>>,
    /// See [`crate::store::Store::segment_bytes_max`].
    pub segment_bytes_max: Option<usize>,
}

/// Why rows cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The sink takes nothing any more.
    #[error(transparent)]
    Sink(#[from] SinkClosed),
    /// A batch cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Rows cannot be spilled.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// No file can be made of the table.
    #[error(transparent)]
    Schema(#[from] WriteSchemaError),
    /// More directories than memory is kept for.
    #[error(
        "table {table} has more than 100000 partitions in one shard, such as {example}; partition by fewer values or a coarser transform"
    )]
    TooManyPartitions {
        /// The table.
        table: String,
        /// One of them.
        example: String,
    },
    /// An array operation failed.
    #[error("cannot lay out a batch: {0}")]
    Arrow(#[from] ArrowError),
    /// A template without a unique placeholder, and more bytes than one upload takes.
    #[error(
        "table {table} is larger than one upload may be; use a path with {{{{UUID}}}}, so that it becomes several files"
    )]
    TooLarge {
        /// The table.
        table: String,
    },
    /// A template without a unique placeholder, and rows for a second file.
    #[error(
        "table {table} needs more than one file, and the path {template} gives both one key; use a path with {{{{UUID}}}}"
    )]
    SecondFile {
        /// The table.
        table: String,
        /// The template.
        template: String,
    },
    /// The template gives a key that the store does not take.
    #[error("destination.path: {reason}")]
    KeyOfPath {
        /// What is wrong with the key.
        reason: String,
    },
    /// A value, or an object's name, makes a key that the store does not take.
    #[error("{reason}; partition by something shorter, or mend the object")]
    KeyOfData {
        /// What is wrong with the key.
        reason: String,
    },
    /// A recorded file begins inside another.
    #[error("recorded file {key} begins inside the one before it: its manifest is damaged")]
    Overlap {
        /// The file's key.
        key: String,
    },
    /// The objects give no rows at all for recorded files.
    #[error("the objects give no rows for {files} recorded files: an object was read differently than before")]
    FilesMissing {
        /// How many.
        files: usize,
    },
    /// The objects give fewer rows than recorded.
    #[error("table {table} gives {rows} rows fewer than were recorded: an object was read differently than before")]
    RowsMissing {
        /// The table.
        table: String,
        /// How many.
        rows: u64,
    },
}

impl LayoutError {
    /// What it means for the run.
    pub fn kind(&self) -> RunErrorKind {
        match self {
            LayoutError::TooLarge { .. }
            | LayoutError::SecondFile { .. }
            | LayoutError::Schema(_)
            | LayoutError::TooManyPartitions { .. }
            | LayoutError::KeyOfPath { .. }
            | LayoutError::Encode(EncodeError::Type { .. }) => RunErrorKind::InvalidSpec,
            LayoutError::KeyOfData { .. } => RunErrorKind::BadData,
            LayoutError::Encode(error) if error.is_of_data() => RunErrorKind::BadData,
            LayoutError::RowsMissing { .. } | LayoutError::FilesMissing { .. } => RunErrorKind::DecisionUnpublishable,
            _ => RunErrorKind::Failed,
        }
    }
}

/// The longest key of S3, in bytes of UTF-8 ("Amazon S3 object key names").
const KEY_BYTES_MAX: usize = 1024;

/// Characters of a key, or of a segment, that a message shows.
const SHOWN_CHARS_MAX: usize = 80;

/// Whether the store takes a key, as far as can be told before an upload is completed there: some servers say it only
/// then, when it is decided that the file becomes visible.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn check_key(key: &str, segment_bytes_max: Option<usize>) -> Result<(), String> {
    let shown = |text: &str| match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    };
    if key.len() > KEY_BYTES_MAX {
        return Err(format!(
            "the key {} has {} bytes, more than the {KEY_BYTES_MAX} that S3 allows",
            shown(key),
            key.len()
        ));
    }
    let long = segment_bytes_max
        .and_then(|max| key.split('/').find(|segment| segment.len() > max).map(|segment| (segment, max)));
    match long {
        None => Ok(()),
        Some((segment, max)) => {
            let what = "the destination keeps objects as files, whose names have at most";
            Err(format!("the segment {} of a key has {} bytes, and {what} {max}", shown(segment), segment.len()))
        }
    }
}

/// Lays out one shard. Blocks: it runs on a thread of its own.
pub struct Layout<S> {
    shared: Shared,
    sink: S,
    open: Option<OpenTable>,
}

/// What every file of a shard is made by.
struct Shared {
    plan: Arc<Plan>,
    shard: u32,
    scratch: PathBuf,
    pool: CpuPool,
    rolling_policy: RollingPolicy,
    per_source: bool,
    load_id: String,
    extension: String,
    segment_bytes_max: Option<usize>,
    cuts: Option<BTreeMap<(u32, String), Vec<StagedFile>>>,
    /// Files ended so far.
    ended: Cell<usize>,
}

/// The table whose rows are coming in.
struct OpenTable {
    files: TableFiles,
    /// What becomes of its rows before they are laid out.
    transform: Transform,
    /// With lineage: the schema of batches that have it.
    lineage: Option<SchemaRef>,
    /// The object whose rows are coming in.
    object: u32,
    /// Whether files may not hold rows of this object and others.
    alone: bool,
    route: Route,
}

/// Where the rows go.
enum Route {
    /// Straight into the open file.
    Straight { position: Position, file: Option<OpenFile> },
    /// By way of their partitions.
    Partitioned(Box<Partitions>),
}

impl<S: FileSink> Layout<S> {
    /// A layout that has seen no rows.
    pub fn new(context: LayoutContext, sink: S) -> Self {
        let destination = &context.plan.settings.destination;
        let shared = Shared {
            shard: context.shard,
            scratch: context.scratch,
            rolling_policy: RollingPolicy::new(destination, context.plan.part_bytes),
            per_source: destination.template.per_source(),
            load_id: load_id(&context.plan.run, context.plan.epoch),
            extension: extension(destination.format, destination.compression),
            segment_bytes_max: context.segment_bytes_max,
            cuts: context.cuts.map(by_series),
            ended: Cell::new(0),
            pool: context.pool,
            plan: context.plan,
        };
        Self { shared, sink, open: None }
    }

    /// Takes the next rows, in [`crate::model::schema::TableSchema::arrow`]'s schema. Objects come in the shard's
    /// order, so tables do too. `first_row` is the number of the first one among the rows of its object, from 1
    /// (bad records are not counted).
    pub fn push(&mut self, index: u32, object: &PlannedObject, first_row: u64, rows: &Rows) -> Result<(), LayoutError> {
        if rows.batch().num_rows() == 0 {
            return Ok(());
        }
        // A slice may have to be dropped with its siblings, and a file of an object's own ends with the object.
        let alone = self.shared.per_source || object.slice.is_some();
        match &mut self.open {
            Some(open) if open.files.table == object.table => {
                if open.object != index && (alone || open.alone) {
                    open.close(&self.shared, &mut self.sink)?;
                }
                (open.object, open.alone) = (index, alone);
            }
            _ => {
                self.close_table()?;
                self.open = Some(OpenTable::new(&self.shared, object.table, index, alone)?);
            }
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        // What drops rows will have to say which are left: lineage numbers them as they were read.
        let rows = match open.transform {
            Transform::Identity => rows,
        };
        let origin = Origin { objects: (index, index), key: &object.object.key };
        match &open.lineage {
            Some(schema) => {
                let rows = rows.with_batch(lineage::add(rows.batch(), schema, &object.object, first_row)?);
                open.write(&self.shared, &mut self.sink, &rows, origin)
            }
            None => open.write(&self.shared, &mut self.sink, rows, origin),
        }
    }

    /// Ends every file and gives the sink back.
    pub fn finish(mut self) -> Result<S, LayoutError> {
        self.close_table()?;
        let recorded = self.shared.cuts.iter().flat_map(BTreeMap::values).map(Vec::len).sum::<usize>();
        match recorded.saturating_sub(self.shared.ended.get()) {
            0 => Ok(self.sink),
            files => Err(LayoutError::FilesMissing { files }),
        }
    }

    fn close_table(&mut self) -> Result<(), LayoutError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.close(&self.shared, &mut self.sink)
    }
}

impl OpenTable {
    fn new(shared: &Shared, table: u32, object: u32, alone: bool) -> Result<Self, LayoutError> {
        let settings = &shared.plan.settings;
        let destination = &settings.destination;
        let name = shared.table_name(table);
        let PlannedTable { transform, write, .. } = shared.plan.table(table);
        let WriteSchema { rows, lineage, kept, files: schema } = write?;
        let metadata = vec![
            ("s3sync.sync".to_owned(), settings.id.to_string()),
            ("s3sync.table".to_owned(), name.to_owned()),
            ("s3sync.epoch".to_owned(), shared.plan.epoch.to_string()),
        ];
        let layout_bytes = shared.plan.layout_bytes;
        let lineage = lineage.then(|| Arc::clone(&rows));
        // The other half is for rows of partitions that wait, or for batches on their way in and bytes on their way
        // out.
        let options = EncodeOptions::new(destination, layout_bytes / 2, metadata);
        if destination.partition_by.is_empty() {
            let route = Route::Straight { position: Position::default(), file: None };
            return Ok(Self { files: TableFiles { table, schema, options }, transform, lineage, object, alone, route });
        }
        let directories = Directories::new(name, &rows, &destination.partition_by)?;
        // Scratch is full a spill early: it is looked at when a spill is done.
        let scratch_bytes_max = settings.worker.scratch_bytes.saturating_sub(layout_bytes / 2);
        let partitions = Partitions::new(directories, kept, layout_bytes, shared.scratch.clone(), scratch_bytes_max);
        let route = Route::Partitioned(Box::new(partitions));
        Ok(Self { files: TableFiles { table, schema, options }, transform, lineage, object, alone, route })
    }

    fn write(
        &mut self,
        shared: &Shared,
        sink: &mut impl FileSink,
        rows: &Rows,
        origin: Origin<'_>,
    ) -> Result<(), LayoutError> {
        match &mut self.route {
            Route::Straight { position, file } => {
                Series { files: &self.files, partition: &Partition::default(), position, open: file }
                    .write(shared, sink, rows, origin)
            }
            Route::Partitioned(partitions) => partitions.write(shared, &self.files, sink, rows.batch(), origin),
        }
    }

    /// Ends the files of all rows so far.
    fn close(&mut self, shared: &Shared, sink: &mut impl FileSink) -> Result<(), LayoutError> {
        match &mut self.route {
            Route::Straight { position, file } => {
                Series { files: &self.files, partition: &Partition::default(), position, open: file }
                    .close(shared, sink)
            }
            Route::Partitioned(partitions) => partitions.drain(shared, &self.files, sink),
        }
    }
}

impl Shared {
    fn table_name(&self, table: u32) -> &str {
        &self.plan.tables[table as usize].name
    }

    /// Whether files of this table and partition are to be made.
    fn wants(&self, table: u32, partition: &str) -> bool {
        self.recorded(table, partition).is_none_or(|files| !files.is_empty())
    }

    /// The recorded files of one table and partition; `None` when files are made by the limits.
    fn recorded(&self, table: u32, partition: &str) -> Option<&[StagedFile]> {
        let cuts = self.cuts.as_ref()?;
        Some(cuts.get(&(table, partition.to_owned())).map_or(&[], Vec::as_slice))
    }
}

/// Recorded files by table and partition, in row order.
fn by_series(files: Vec<StagedFile>) -> BTreeMap<(u32, String), Vec<StagedFile>> {
    let mut series: BTreeMap<(u32, String), Vec<StagedFile>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.kind == FileKind::Data) {
        series.entry((file.table, file.partition.clone())).or_default().push(file);
    }
    series.values_mut().for_each(|files| files.sort_by_key(|file| file.first_row));
    series
}

#[cfg(test)]
mod tests;
