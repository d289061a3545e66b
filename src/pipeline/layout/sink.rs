//! Where files go: one at a time, piece by piece.

use bytes::Bytes;

use crate::model::data_file::FileStatistics;
use crate::model::hive::Partition;
use crate::model::manifest::FileKind;

/// Takes files as they are made, on the layout's own thread. One file is open at a time: `begin`, any number of
/// `bytes`, `end`. Blocking in `bytes` is how a slow upload slows the layout down.
pub trait FileSink {
    /// A file begins.
    fn begin(&mut self, file: NewFile) -> Result<(), SinkClosed>;
    /// The next bytes of the open file.
    fn bytes(&mut self, bytes: Bytes) -> Result<(), SinkClosed>;
    /// The open file is complete.
    fn end(&mut self, end: FileEnd) -> Result<(), SinkClosed>;
}

/// A file that begins.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFile {
    /// The key it will have.
    pub key: String,
    /// Its `s3sync-id`.
    pub id: String,
    /// Index into the plan's tables.
    pub table: u32,
    /// The partition whose rows it holds.
    pub partition: Partition,
    /// What it is.
    pub kind: FileKind,
}

/// What a complete file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileEnd {
    /// What its writer knows of it.
    pub statistics: FileStatistics,
    /// First row, see [`crate::model::manifest::StagedFile::first_row`].
    pub first_row: u64,
    /// First and last object (index in the shard) that rows of it may come from.
    pub objects: (u32, u32),
}

/// The sink takes nothing any more: what went wrong is known at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upload of a file has stopped")]
pub struct SinkClosed;
