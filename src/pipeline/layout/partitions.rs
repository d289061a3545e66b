//! Hive partitions of one table: rows wait in memory, then in scratch, until their partition's turn comes.
//!
//! Files are made one partition after the other, in the order of their names, so that however many there are, one
//! encoder is open. Rows gather in memory as they came, up to half of `layout_bytes`; then each partition's rows among
//! them become one frame in scratch. Which partition was used last makes no difference: all leave memory together, and
//! a partition that is touched rarely writes few frames.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow_schema::SchemaRef;
use rayon::prelude::*;

use super::directory::Directories;
use super::scratch::{Chain, Frame, FrameRef, Scratch, ScratchError, Stored};
use super::series::{OpenFile, Origin, Position, Series, TableFiles};
use super::sink::FileSink;
use super::{LayoutError, Shared};
use crate::codec::Rows;
use crate::codec::encode::batch_bytes;
use crate::pipeline::cpu::Begun;

/// The rows of one table that wait for their partition.
pub(super) struct Partitions {
    directories: Directories,
    /// Columns that stay in the files.
    kept: Vec<usize>,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    waiting_bytes_max: usize,
    scratch_dir: PathBuf,
    scratch_bytes_max: u64,
    scratch: Option<Scratch>,
    /// By directory.
    states: Vec<PartitionState>,
    /// Key of the object whose rows wait: what names files where templates ask for it (one object's rows wait at a time
    /// then).
    source_key: String,
}

/// What is kept of a partition.
#[derive(Clone, Debug, Default)]
struct PartitionState {
    position: Position,
    chain: Chain,
}

struct Waiting {
    batch: RecordBatch,
    directories: Vec<u32>,
    object: u32,
}

/// Rows by directory: rows `ends[d - 1]..ends[d]` of `rows` are those of directory `d`, as (batch, row).
struct Grouped {
    ends: Vec<usize>,
    rows: Vec<(u32, u32)>,
}

impl Partitions {
    /// Memory that a waiting row needs beside its values: the number of its directory, and its place when rows are
    /// grouped.
    const ROW_BYTES: usize = 12;

    pub fn new(
        directories: Directories,
        kept: Vec<usize>,
        layout_bytes: u64,
        scratch_dir: PathBuf,
        scratch_bytes_max: u64,
    ) -> Self {
        Self {
            directories,
            kept,
            waiting: Vec::new(),
            waiting_bytes: 0,
            waiting_bytes_max: usize::try_from(layout_bytes / 2).unwrap_or(usize::MAX),
            scratch_dir,
            scratch_bytes_max,
            scratch: None,
            states: Vec::new(),
            source_key: String::new(),
        }
    }

    /// Takes the next rows, which come from one object.
    pub fn write(
        &mut self,
        shared: &Shared,
        files: &TableFiles,
        sink: &mut impl FileSink,
        batch: &RecordBatch,
        origin: Origin<'_>,
    ) -> Result<(), LayoutError> {
        let directories = self.directories.of_rows(batch)?;
        self.states.resize(self.directories.len(), PartitionState::default());
        let batch = batch.project(&self.kept)?;
        self.waiting_bytes += batch_bytes(&batch) + Self::ROW_BYTES * batch.num_rows();
        self.waiting.push(Waiting { batch, directories, object: origin.objects.0 });
        if shared.per_source {
            self.source_key.clear();
            self.source_key.push_str(origin.key);
        }
        if self.waiting_bytes < self.waiting_bytes_max {
            return Ok(());
        }
        self.spill(shared, files)?;
        if self.scratch.as_ref().is_some_and(|scratch| scratch.bytes() >= self.scratch_bytes_max) {
            self.drain(shared, files, sink)?;
        }
        Ok(())
    }

    /// Makes files of all rows that wait.
    pub fn drain(&mut self, shared: &Shared, files: &TableFiles, sink: &mut impl FileSink) -> Result<(), LayoutError> {
        if self.scratch.is_some() {
            self.spill(shared, files)?;
            self.drain_scratch(shared, files, sink)
        } else {
            self.drain_memory(shared, files, sink)
        }
    }

    /// Moves all waiting rows to scratch.
    fn spill(&mut self, shared: &Shared, files: &TableFiles) -> Result<(), LayoutError> {
        let waiting = self.take_waiting();
        if waiting.is_empty() {
            return Ok(());
        }
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(Scratch::new(&self.scratch_dir)?),
        };
        let grouped = Grouped::new(&waiting, self.directories.len());
        let touched: Vec<u32> =
            grouped.touched().filter(|d| shared.wants(files.table, &self.directories.partition(*d).path)).collect();
        // A few at a time: frames of all partitions together would need as much memory as the rows.
        for some in touched.chunks(Self::FRAMES_AT_ONCE) {
            let compress = scratch.compresses();
            let frames: Vec<Frame> = shared.pool.install(|| {
                some.par_iter()
                    .map(|directory| {
                        let (batch, objects) = grouped.gather(&waiting, grouped.range(*directory))?;
                        Ok(Frame::new(&batch, objects, compress)?)
                    })
                    .collect::<Result<_, LayoutError>>()
            })?;
            for (directory, frame) in some.iter().zip(&frames) {
                scratch.append(&mut self.states[*directory as usize].chain, frame)?;
            }
        }
        Ok(())
    }

    /// Enough for any number of threads, few enough that their frames are small beside the rows.
    const FRAMES_AT_ONCE: usize = 64;

    /// Rows that are taken from memory at once when their partition's turn comes.
    const GATHER_ROWS: usize = 64 << 10;

    fn drain_memory(
        &mut self,
        shared: &Shared,
        files: &TableFiles,
        sink: &mut impl FileSink,
    ) -> Result<(), LayoutError> {
        let waiting = self.take_waiting();
        let grouped = Grouped::new(&waiting, self.directories.len());
        for directory in self.sorted(grouped.touched().collect()) {
            let partition = self.directories.partition(directory).clone();
            if !shared.wants(files.table, &partition.path) {
                continue;
            }
            let mut open = None;
            let position = &mut self.states[directory as usize].position;
            let mut series = Series { files, partition: &partition, position, open: &mut open };
            let range = grouped.range(directory);
            for start in range.clone().step_by(Self::GATHER_ROWS) {
                let some = start..(start + Self::GATHER_ROWS).min(range.end);
                let (batch, objects) = shared.pool.install(|| grouped.gather(&waiting, some))?;
                series.write(shared, sink, &Rows::Batch(batch), Origin { objects, key: &self.source_key })?;
            }
            series.close(shared, sink)?;
        }
        Ok(())
    }

    /// While one piece of a partition is encoded, the next one, often of the next partition, is read and decompressed.
    fn drain_scratch(
        &mut self,
        shared: &Shared,
        files: &TableFiles,
        sink: &mut impl FileSink,
    ) -> Result<(), LayoutError> {
        let Some(scratch) = self.scratch.take() else { return Ok(()) };
        let scratch = Arc::new(scratch);
        let filled =
            (0..self.states.len() as u32).filter(|directory| self.states[*directory as usize].chain.frames > 0);
        let directories = self.sorted(filled.collect());
        let chains: Vec<Chain> =
            directories.iter().map(|at| std::mem::take(&mut self.states[*at as usize].chain)).collect();
        let begin = |piece: Piece| {
            let chain = piece.chain;
            // One that is larger is a partition that has most of the rows: there is memory for it alone.
            let large = piece.bytes > Piece::BYTES;
            (
                chain,
                if large {
                    Ahead::Waits(piece)
                } else {
                    Ahead::Read(shared.pool.begin(piece.reading(&scratch, &files.schema)))
                },
            )
        };
        let mut pieces = Pieces::new(&scratch, &chains);
        let mut ahead = pieces.next().transpose()?.map(begin);
        for (at, directory) in directories.into_iter().enumerate() {
            let partition = self.directories.partition(directory).clone();
            let mut open: Option<OpenFile> = None;
            let position = &mut self.states[directory as usize].position;
            let mut series = Series { files, partition: &partition, position, open: &mut open };
            while let Some((_, read)) = ahead.take_if(|(chain, _)| *chain == at) {
                let stored = match read {
                    Ahead::Read(begun) => begun.wait()?,
                    Ahead::Waits(piece) => shared.pool.install(piece.reading(&scratch, &files.schema))?,
                };
                ahead = pieces.next().transpose()?.map(begin);
                for (batch, objects) in stored {
                    series.write(shared, sink, &Rows::Batch(batch), Origin { objects, key: &self.source_key })?;
                }
            }
            series.close(shared, sink)?;
        }
        drop(pieces);
        let mut scratch = Arc::into_inner(scratch).expect("every piece that was begun has been read");
        scratch.clear()?;
        self.scratch = Some(scratch);
        Ok(())
    }

    fn take_waiting(&mut self) -> Vec<Waiting> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Directories in the order of their names.
    fn sorted(&self, mut directories: Vec<u32>) -> Vec<u32> {
        directories.sort_by(|a, b| self.directories.partition(*a).path.cmp(&self.directories.partition(*b).path));
        directories
    }
}

/// Frames of one partition that are read from scratch together.
struct Piece {
    /// Index of its chain among those that are drained.
    chain: usize,
    /// Bytes of its rows.
    bytes: usize,
    frames: Vec<FrameRef>,
}

/// The next piece's rows.
enum Ahead {
    /// Being read.
    Read(Begun<Result<Vec<Stored>, ScratchError>>),
    /// To be read when they are wanted.
    Waits(Piece),
}

impl Piece {
    /// Bytes of rows that are read from scratch together, but for a frame that is larger; as many again are read while
    /// they are encoded.
    const BYTES: usize = 4 << 20;

    /// The job that reads it.
    fn reading(
        self,
        scratch: &Arc<Scratch>,
        schema: &SchemaRef,
    ) -> impl FnOnce() -> Result<Vec<Stored>, ScratchError> + use<> {
        let (scratch, schema) = (Arc::clone(scratch), Arc::clone(schema));
        move || {
            let read = self.frames.par_iter().map(|frame| scratch.read(*frame, &schema)).collect();
            // Before the job is seen to be done: whoever waits for it may want the scratch for himself.
            drop(scratch);
            read
        }
    }
}

/// The pieces of some chains, one chain after the other.
struct Pieces<'a> {
    scratch: &'a Scratch,
    chains: std::iter::Enumerate<std::slice::Iter<'a, Chain>>,
    /// Of the chain at hand: its index, and its frames that are in no piece yet.
    open: (usize, VecDeque<FrameRef>),
}

impl<'a> Pieces<'a> {
    fn new(scratch: &'a Scratch, chains: &'a [Chain]) -> Self {
        Self { scratch, chains: chains.iter().enumerate(), open: (0, VecDeque::new()) }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece, ScratchError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.open.1.is_empty() {
            let (chain, frames) = self.chains.next()?;
            match self.scratch.frames(*frames) {
                Ok(frames) => self.open = (chain, frames.into()),
                Err(error) => return Some(Err(error)),
            }
        }
        let (chain, waiting) = &mut self.open;
        let mut frames = Vec::new();
        let mut bytes = 0;
        // A frame larger than a piece goes alone.
        while let Some(frame) =
            waiting.pop_front_if(|frame| frames.is_empty() || bytes + frame.body_bytes() <= Piece::BYTES)
        {
            bytes += frame.body_bytes();
            frames.push(frame);
        }
        Some(Ok(Piece { chain: *chain, bytes, frames }))
    }
}

impl Grouped {
    fn new(waiting: &[Waiting], directories: usize) -> Self {
        let mut ends = vec![0; directories];
        for directory in waiting.iter().flat_map(|waiting| &waiting.directories) {
            ends[*directory as usize] += 1;
        }
        let mut rows_before = 0;
        for end in &mut ends {
            (*end, rows_before) = (rows_before, rows_before + *end);
        }
        // Each entry is where the directory's next row goes; when all are placed it is where the directory ends.
        let mut rows = vec![(0, 0); rows_before];
        for (at, waiting) in waiting.iter().enumerate() {
            for (row, directory) in waiting.directories.iter().enumerate() {
                let place = &mut ends[*directory as usize];
                rows[*place] = (at as u32, row as u32);
                *place += 1;
            }
        }
        Self { ends, rows }
    }

    fn range(&self, directory: u32) -> Range<usize> {
        let directory = directory as usize;
        let start = if directory == 0 { 0 } else { self.ends[directory - 1] };
        start..self.ends[directory]
    }

    /// Directories that have rows, in the order they were first seen.
    fn touched(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.ends.len() as u32).filter(|directory| !self.range(*directory).is_empty())
    }

    /// Rows of a directory as one batch, with the first and last object that they come from.
    fn gather(&self, waiting: &[Waiting], range: Range<usize>) -> Result<Stored, LayoutError> {
        let rows = &self.rows[range];
        let (first, last) = (rows.first().map_or(0, |row| row.0 as usize), rows.last().map_or(0, |row| row.0 as usize));
        let batches: Vec<&RecordBatch> = waiting[first..=last].iter().map(|waiting| &waiting.batch).collect();
        let places: Vec<(usize, usize)> =
            rows.iter().map(|(batch, row)| (*batch as usize - first, *row as usize)).collect();
        Ok((interleave_record_batch(&batches, &places)?, (waiting[first].object, waiting[last].object)))
    }
}
