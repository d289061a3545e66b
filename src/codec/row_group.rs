//! A row group as its object stores it, beside the rows that it decodes to: a parquet file may take over its column
//! chunks instead of encoding the rows again.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use arrow::array::RecordBatch;
use bytes::{Buf, Bytes};
use parquet::basic::Compression;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, ParquetMetaData};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::decode::parquet::{ObjectReader, PagePlaces};

/// A row group whose rows are those of a table as they are: nothing is cast and none is left out.
pub struct StoredRowGroup {
    metadata: Arc<ParquetMetaData>,
    ordinal: usize,
    /// By column of the table: the leaves that hold it; `None` for one that the object does not have.
    columns: Vec<Option<Range<usize>>>,
    /// By leaf, complete when all of its rows have been decoded.
    places: Vec<PagePlaces>,
    object: ObjectReader,
}

/// Which row groups a decoder gives as [`Rows::RowGroup`](super::Rows::RowGroup): those that a file could take over.
#[derive(Clone, Copy, Debug)]
pub struct Passthrough {
    /// The codec of the file.
    pub codec: Compression,
    /// What the columns of the table have stored bytes, at the least: smaller row groups are joined, and many of their
    /// objects wait at once.
    pub bytes_min: u64,
}

impl Passthrough {
    pub(super) fn wants(self, group: &StoredRowGroup) -> bool {
        let leaves = || group.columns.iter().flatten().cloned().flatten();
        group.stored_bytes() >= self.bytes_min && leaves().all(|leaf| is_of_codec(group.chunk(leaf), self.codec))
    }
}

/// Rows of a stored row group. Its batches come in order, and have all of its rows.
#[derive(Clone, Debug)]
pub struct RowGroupBatch {
    /// The row group.
    pub group: Arc<StoredRowGroup>,
    /// Ordinal of the batch's first row in it.
    pub first: u64,
    /// The rows, decoded.
    pub batch: RecordBatch,
}

impl RowGroupBatch {
    /// Rows from this batch's first one to the end of the row group.
    pub fn rows_left(&self) -> u64 {
        self.group.rows().saturating_sub(self.first)
    }
}

impl StoredRowGroup {
    pub(super) fn new(
        metadata: Arc<ParquetMetaData>,
        ordinal: usize,
        columns: Vec<Option<Range<usize>>>,
        places: Vec<PagePlaces>,
        object: ObjectReader,
    ) -> Self {
        Self { metadata, ordinal, columns, places, object }
    }

    /// Rows, as the footer says and as many as its batches have.
    pub fn rows(&self) -> u64 {
        self.metadata.row_group(self.ordinal).num_rows().unsigned_abs()
    }

    /// Bytes of the column chunks of the table's columns, as stored.
    pub fn stored_bytes(&self) -> u64 {
        self.columns
            .iter()
            .flatten()
            .cloned()
            .flatten()
            .map(|leaf| self.chunk(leaf).compressed_size().unsigned_abs())
            .sum()
    }

    /// Whether the file says by which order its statistics compare.
    pub(super) fn has_column_orders(&self) -> bool {
        self.metadata.file_metadata().column_orders().is_some()
    }

    /// The leaves of a column of the table, where the object has it.
    pub(super) fn leaves(&self, column: usize) -> Option<Range<usize>> {
        self.columns.get(column).cloned().flatten()
    }

    pub(super) fn chunk(&self, leaf: usize) -> &ColumnChunkMetaData {
        self.metadata.row_group(self.ordinal).column(leaf)
    }

    /// Where the pages of a leaf without repetition lie, by offsets in the object, once all of its rows have been
    /// decoded.
    pub(super) fn offset_index(&self, leaf: usize) -> OffsetIndexMetaData {
        let mut index = OffsetIndexBuilder::new();
        for (start, bytes, rows) in self.places[leaf].lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // Every page has been read: it lies inside the object, and its header's sizes are 32-bit integers.
            index.append_offset_and_size(start.cast_signed(), i32::try_from(*bytes).unwrap_or(i32::MAX));
            index.append_row_count(rows.cast_signed());
        }
        index.build()
    }

    /// The end of a leaf's chunk in the object.
    fn end(&self, leaf: usize) -> u64 {
        let (start, length) = self.chunk(leaf).byte_range();
        start + length
    }
}

impl fmt::Debug for StoredRowGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredRowGroup")
            .field("ordinal", &self.ordinal)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

/// Whether a chunk has this codec, at whatever level.
pub(super) fn is_of_codec(chunk: &ColumnChunkMetaData, codec: Compression) -> bool {
    std::mem::discriminant(&chunk.compression()) == std::mem::discriminant(&codec)
}

/// The bytes of one leaf's chunk by their offset in the object.
pub(super) struct ChunkBytes {
    pub group: Arc<StoredRowGroup>,
    pub leaf: usize,
}

impl ChunkBytes {
    /// Bytes read in one step: so few that they need not be put together from several requests.
    const STEP_BYTES: u64 = 256 << 10;
}

impl Length for ChunkBytes {
    fn len(&self) -> u64 {
        self.group.end(self.leaf)
    }
}

impl ChunkReader for ChunkBytes {
    type T = ChunkRead;

    fn get_read(&self, start: u64) -> ParquetResult<ChunkRead> {
        Ok(ChunkRead {
            chunk: Self { group: Arc::clone(&self.group), leaf: self.leaf },
            offset: start,
            bytes: Bytes::new(),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.group.object.get_bytes(start, length)
    }
}

/// A sequential read to the end of a chunk, and not behind it: what follows may not be in memory.
pub(super) struct ChunkRead {
    chunk: ChunkBytes,
    offset: u64,
    bytes: Bytes,
}

impl Read for ChunkRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            let left = self.chunk.len().saturating_sub(self.offset).min(ChunkBytes::STEP_BYTES);
            if left == 0 {
                return Ok(0);
            }
            self.bytes = self.chunk.get_bytes(self.offset, left as usize).map_err(io::Error::other)?;
        }
        let taken = buffer.len().min(self.bytes.len());
        self.bytes.copy_to_slice(&mut buffer[..taken]);
        self.offset += taken as u64;
        Ok(taken)
    }
}
