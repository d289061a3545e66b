//! A row group as its object stores it: what a parquet file can take over without encoding it again.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::basic::Compression;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

/// Reads bytes of the object: offset and length.
pub(super) type ReadBytes = Box<dyn Fn(u64, usize) -> ParquetResult<Bytes> + Send + Sync>;

/// A row group whose rows are those of a table as they are: nothing is cast and none is left out.
pub struct SourceGroup {
    metadata: Arc<ParquetMetaData>,
    ordinal: usize,
    /// By column of the table: the leaves that hold it; `None` for one that the object does not have.
    columns: Vec<Option<Range<usize>>>,
    read: ReadBytes,
}

/// Which rows of a row group a batch has: from `first` on.
#[derive(Clone, Debug)]
pub struct GroupRows {
    /// The row group.
    pub group: Arc<SourceGroup>,
    /// Ordinal of the batch's first row in it.
    pub first: u64,
}

impl SourceGroup {
    pub(super) fn new(metadata: Arc<ParquetMetaData>, ordinal: usize, columns: Vec<Option<Range<usize>>>, read: ReadBytes) -> Self {
        Self { metadata, ordinal, columns, read }
    }

    /// Rows, as the footer says and as many as its batches have.
    pub fn rows(&self) -> u64 {
        self.metadata.row_group(self.ordinal).num_rows().unsigned_abs()
    }

    /// Bytes of the column chunks of the table's columns, as stored.
    pub fn stored_bytes(&self) -> u64 {
        self.columns.iter().flatten().cloned().flatten().map(|leaf| self.chunk(leaf).compressed_size().unsigned_abs()).sum()
    }

    /// The leaves of a column of the table, where the object has it.
    pub(super) fn leaves(&self, column: usize) -> Option<Range<usize>> {
        self.columns.get(column).cloned().flatten()
    }

    pub(super) fn chunk(&self, leaf: usize) -> &ColumnChunkMetaData {
        self.metadata.row_group(self.ordinal).column(leaf)
    }
}

impl fmt::Debug for SourceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceGroup").field("ordinal", &self.ordinal).field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// Whether a chunk has this codec, at whatever level.
pub(super) fn is_of_codec(chunk: &ColumnChunkMetaData, codec: Compression) -> bool {
    std::mem::discriminant(&chunk.compression()) == std::mem::discriminant(&codec)
}

/// The row group's bytes by their offset in the object.
pub(super) struct GroupBytes(pub Arc<SourceGroup>);

impl GroupBytes {
    /// Bytes read in one step: so few that they need not be put together from several requests.
    const STEP_BYTES: u64 = 256 << 10;
}

impl Length for GroupBytes {
    fn len(&self) -> u64 {
        let chunks = self.0.metadata.row_group(self.0.ordinal).columns().iter();
        chunks.map(|chunk| chunk.byte_range()).map(|(start, length)| start + length).max().unwrap_or(0)
    }
}

impl ChunkReader for GroupBytes {
    type T = GroupRead;

    fn get_read(&self, start: u64) -> ParquetResult<GroupRead> {
        Ok(GroupRead { group: Self(Arc::clone(&self.0)), offset: start, bytes: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        (self.0.read)(start, length)
    }
}

/// A sequential read of a row group's bytes.
pub(super) struct GroupRead {
    group: GroupBytes,
    offset: u64,
    bytes: Bytes,
}

impl Read for GroupRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            let left = self.group.len().saturating_sub(self.offset).min(GroupBytes::STEP_BYTES);
            self.bytes = self.group.get_bytes(self.offset, left as usize).map_err(io::Error::other)?;
        }
        let taken = buffer.len().min(self.bytes.len());
        self.bytes.copy_to_slice(&mut buffer[..taken]);
        self.offset += taken as u64;
        Ok(taken)
    }
}
