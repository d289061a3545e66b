//! Bytes to record batches and back, without I/O: callers bring the bytes and carry them away. Nothing here awaits.

mod caught;
pub mod compression;
pub mod decode;
pub mod encode;
#[cfg(test)]
mod json_round_trip;
mod row_group;
#[cfg(test)]
mod unions;

pub use caught::catching;
pub use row_group::{Passthrough, RowGroupBatch, StoredRowGroup};

use arrow::record_batch::RecordBatch;
use bytes::Bytes;

use crate::model::schema::TableSchema;

/// A piece of decoded text that holds whole records only. Where blocks are cut depends on the text alone, never on how
/// it arrived, so that files made from them are the same on any machine (invariant I5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// UTF-8 text (validated when it is decoded).
    pub bytes: Bytes,
    /// Offset of its first byte in the decompressed, transcoded text (latin-1: before it is transcoded, byte for
    /// character).
    pub offset: u64,
    /// Number of its first line, from 1; 0 when unknown (a slice that does not begin at the object's start).
    pub line: u64,
    /// What lines are counted by.
    pub line_end: LineEnd,
}

/// What ends the lines of a text, as its first one shows. It is how they are counted, and no more than that: records
/// end as their format says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnd {
    /// A newline, whatever stands before it. A carriage return alone is a character, as for most programs that count
    /// lines.
    #[default]
    Newline,
    /// A carriage return alone, as old spreadsheets write it; what ends with a newline is a line as well.
    Return,
}

impl LineEnd {
    /// The end of the first line in a text that is whole behind its carriage returns; `None` while it has no line end.
    pub fn of_first(text: &[u8]) -> Option<LineEnd> {
        let at = memchr::memchr2(b'\n', b'\r', text)?;
        let alone = text[at] == b'\r' && text.get(at + 1) != Some(&b'\n');
        Some(if alone { LineEnd::Return } else { LineEnd::Newline })
    }

    /// The line ends in a text.
    pub fn count(self, text: &[u8]) -> u64 {
        let newlines = memchr::memchr_iter(b'\n', text).count() as u64;
        match self {
            LineEnd::Newline => newlines,
            LineEnd::Return => {
                let alone = memchr::memchr_iter(b'\r', text).filter(|at| text.get(at + 1) != Some(&b'\n'));
                newlines + alone.count() as u64
            }
        }
    }
}

/// Where something stands in an object's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1, where it is known.
    pub line: Option<u64>,
    /// The byte offset in the decompressed text (parquet: in the object).
    pub offset: u64,
}

/// What one block, or one stretch of a parquet object, decoded to.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The good rows. None after a mismatch.
    pub rows: Vec<Rows>,
    /// Records read, good and bad.
    pub records: u64,
    /// Bad records, in order.
    pub bad: Vec<BadRecord>,
    /// What this block alone would be, when the table's schema cannot hold it.
    pub mismatch: Option<TableSchema>,
}

impl Decoded {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.rows.is_empty() && self.bad.is_empty() && self.mismatch.is_none()
    }
}

/// Decoded rows: a batch of at most `rows_per_batch`, in [`TableSchema::arrow`]'s schema.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Rows that a file has to encode.
    Batch(RecordBatch),
    /// Rows of a row group that a parquet file may take over as it is stored.
    RowGroup(RowGroupBatch),
}

impl Rows {
    /// The rows.
    pub fn batch(&self) -> &RecordBatch {
        match self {
            Rows::Batch(batch) | Rows::RowGroup(RowGroupBatch { batch, .. }) => batch,
        }
    }

    /// The same rows with other columns behind theirs.
    pub fn with_batch(&self, batch: RecordBatch) -> Self {
        match self {
            Rows::Batch(_) => Rows::Batch(batch),
            Rows::RowGroup(rows) => Rows::RowGroup(RowGroupBatch { batch, ..rows.clone() }),
        }
    }

    /// Bytes of memory that they keep: with a stored row group goes what it was decoded from.
    pub fn memory_bytes(&self) -> u64 {
        let stored_bytes = match self {
            Rows::Batch(_) => 0,
            Rows::RowGroup(rows) => rows.group.stored_bytes(),
        };
        stored_bytes + self.batch().get_array_memory_size() as u64
    }
}

#[cfg(test)]
impl Decoded {
    /// The rows as batches.
    fn batches(&self) -> Vec<RecordBatch> {
        self.rows.iter().map(Rows::batch).cloned().collect()
    }
}

/// A record that cannot become a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Ordinal in its block, from 0.
    pub record: u64,
    /// Where it begins.
    pub position: Position,
    /// Why, as part of a sentence.
    pub reason: String,
    /// Its text, cut to [`BadRecord::RAW_BYTES_MAX`] on a character's boundary, invalid UTF-8 replaced.
    pub raw: String,
}

impl BadRecord {
    /// 64 KiB of a bad record is kept: enough to find it, and bounded whatever the record.
    pub const RAW_BYTES_MAX: usize = 64 << 10;
}

/// What makes a whole object unreadable.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not what the format requires.
    #[error("{reason}")]
    Bad {
        /// Why, as part of a sentence ("gzip stream ends early").
        reason: String,
        /// Where, as far as it is known.
        position: Option<Position>,
    },
    /// One record, page or window is larger than the memory budget allows.
    #[error("{what} needs {needed} bytes, more than the {allowed} that the memory budget allows")]
    TooLarge {
        /// What is too large ("one record", "a page of column x", "the zstd window").
        what: String,
        /// Bytes needed, as far as it is known.
        needed: u64,
        /// Bytes allowed.
        allowed: u64,
        /// Where.
        position: Option<Position>,
    },
}
