//! Batches to files, without I/O: an encoder takes batches, and gives the file's bytes out piece by piece.
//!
//! What a file holds depends on the batches and on the options alone, never on the number of threads or on timing
//! (invariant I5): work is cut into pieces at places that the batches decide, pieces are worked on side by side on the
//! rayon pool of the caller, and come out in order.

mod cardinality;
mod compress;
mod csv;
mod json;
mod parquet;
mod parquet_schema;
mod parquet_statistics;
mod parquet_units;
mod passthrough;
mod scalar;
mod text;
pub(crate) mod time_text;
pub(crate) mod value;

use std::num::NonZeroU64;

use arrow::array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;

use super::{RowGroupBatch, Rows};
use crate::model::data_file::FileStatistics;
use crate::model::format::{Compression, OutputFormat};
use crate::model::settings::{CsvWriteSettings, DestinationSettings, ParquetSettings};
use parquet::ParquetEncoder;
pub use parquet::parquet_codec;
pub(crate) use scalar::scalar;
use text::TextEncoder;

/// How files are written.
#[derive(Clone, Debug)]
pub struct EncodeOptions {
    /// The format.
    pub format: OutputFormat,
    /// Of the whole file; parquet compresses its pages instead.
    pub compression: Compression,
    /// Options of csv and tsv.
    pub csv: CsvWriteSettings,
    /// Options of parquet.
    pub parquet: ParquetSettings,
    /// Bytes that an encoder may buffer before it gives something out: an open parquet row group closes at that.
    pub buffer_bytes_max: usize,
    /// Encoded bytes at which the caller closes files, where it does: encoders look at their size at least sixteen
    /// times on the way.
    pub target_file_bytes: Option<NonZeroU64>,
    /// Name and value pairs that parquet files carry.
    pub metadata: Vec<(String, String)>,
}

impl EncodeOptions {
    /// The options that a destination's settings mean.
    pub fn new(destination: &DestinationSettings, buffer_bytes_max: u64, metadata: Vec<(String, String)>) -> Self {
        let clamp = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            format: destination.format,
            compression: destination.compression,
            csv: destination.csv.clone(),
            parquet: destination.parquet.clone(),
            buffer_bytes_max: clamp(buffer_bytes_max),
            target_file_bytes: destination.target_file_bytes,
            metadata,
        }
    }

    /// Arrow bytes that are gathered before they are encoded together. Large enough that a task a column is worth its
    /// overhead (tens of microseconds against milliseconds), small enough that a file's size is known in time.
    fn gather_bytes(&self) -> usize {
        const GATHER_BYTES_MAX: u64 = 8 << 20;
        let file = self.target_file_bytes.map_or(u64::MAX, |bytes| bytes.get() / 16);
        let group = self.parquet.row_group_bytes / 16;
        let buffer = u64::try_from(self.buffer_bytes_max).unwrap_or(u64::MAX) / 8;
        usize::try_from(GATHER_BYTES_MAX.min(file).min(group).min(buffer)).unwrap_or(usize::MAX)
    }
}

/// What a batch cannot be written as.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The format has no such type.
    #[error("column {column} is {data_type}, which {format} cannot hold; cast it in schema.columns or drop it")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
        /// The format.
        format: OutputFormat,
    },
    /// `csv.quote` is empty and a value would need quotes.
    #[error("column {column} has a value that needs quoting, and csv.quote is empty: {value:?}; set csv.quote")]
    Quote {
        /// The column.
        column: String,
        /// The value's first bytes.
        value: String,
    },
    /// The only column of a csv file is null in a row, and `csv.nullValue` is empty: the row's line would be blank,
    /// which is no row to readers.
    #[error(
        "column {column}, the only one, is null in a row, whose line would be blank, and readers of csv skip blank lines; \
         set destination.csv.nullValue, to NULL for instance, or write another format"
    )]
    BlankLine {
        /// The column.
        column: String,
    },
    /// A time in seconds that Parquet's milliseconds do not hold.
    #[error(
        "column {column} has a time that parquet, which counts milliseconds, cannot hold: {value}; cast it to utf8 in schema.columns"
    )]
    Range {
        /// The column.
        column: String,
        /// The value's first characters.
        value: String,
    },
    /// Parquet's writer refused.
    #[error("cannot write parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// An array operation failed.
    #[error("cannot encode a batch: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The compressor failed.
    #[error("cannot compress: {0}")]
    Compress(#[from] std::io::Error),
}

impl EncodeError {
    /// Whether it is a value that has no place, and not the column or the machine.
    pub(crate) fn is_of_data(&self) -> bool {
        matches!(self, EncodeError::Quote { .. } | EncodeError::Range { .. } | EncodeError::BlankLine { .. })
    }
}

/// One file being written. Batches are encoded on the rayon pool that it is called in.
pub struct FileEncoder(Encoder);

enum Encoder {
    Parquet(Box<ParquetEncoder>),
    Text(Box<TextEncoder>),
}

impl FileEncoder {
    /// Begins a file of batches in `schema`.
    ///
    /// # Errors
    /// [`EncodeError::Type`] when the format cannot hold a column.
    pub fn new(options: &EncodeOptions, schema: &SchemaRef) -> Result<Self, EncodeError> {
        Ok(Self(match options.format {
            OutputFormat::Parquet => Encoder::Parquet(Box::new(ParquetEncoder::new(options, schema)?)),
            OutputFormat::Csv | OutputFormat::Tsv => Encoder::Text(Box::new(TextEncoder::csv(options, schema)?)),
            OutputFormat::Json => Encoder::Text(Box::new(TextEncoder::json(options, schema, true)?)),
            OutputFormat::Jsonl => Encoder::Text(Box::new(TextEncoder::json(options, schema, false)?)),
        }))
    }

    /// Takes the next rows, in the file's schema: encodes them, or takes over what is stored of them.
    pub fn write(&mut self, rows: &Rows) -> Result<(), EncodeError> {
        match &mut self.0 {
            Encoder::Parquet(encoder) => encoder.write(rows),
            Encoder::Text(encoder) => encoder.write(rows.batch()),
        }
    }

    /// Whether [`FileEncoder::write`] takes over what it can of the row group that these rows are of. From its first
    /// rows to its last the file takes nothing else, and does not end ([`FileEncoder::may_end`]).
    pub fn takes_over(&self, rows: &RowGroupBatch) -> bool {
        match &self.0 {
            Encoder::Parquet(encoder) => encoder.takes_over(rows),
            Encoder::Text(_) => false,
        }
    }

    /// Whether the file may end here: not while rows of a row group that it takes over have still to come.
    pub fn may_end(&self) -> bool {
        match &self.0 {
            Encoder::Parquet(encoder) => encoder.may_end(),
            Encoder::Text(_) => true,
        }
    }

    /// Whether [`FileEncoder::write`] would only keep these rows for later, which is not worth the way to a pool.
    pub fn gathers(&self, rows: &Rows) -> bool {
        match &self.0 {
            Encoder::Parquet(encoder) => encoder.gathers(rows),
            Encoder::Text(encoder) => encoder.gathers(rows.batch()),
        }
    }

    /// Encodes what rows were gathered, after which none may follow and [`FileEncoder::finish`] has nothing to compute.
    pub fn end_rows(&mut self) -> Result<(), EncodeError> {
        match &mut self.0 {
            Encoder::Parquet(encoder) => encoder.end_rows(),
            Encoder::Text(encoder) => encoder.end_rows(),
        }
    }

    /// Ends the file: gives out the rest of its bytes, as [`FileEncoder::give_out`] does, and says what it holds.
    pub fn finish<E: From<EncodeError>>(self, take: impl FnMut(Bytes) -> Result<(), E>) -> Result<FileStatistics, E> {
        match self.0 {
            Encoder::Parquet(encoder) => encoder.finish(take),
            Encoder::Text(encoder) => encoder.finish(take),
        }
    }

    /// Gives out the bytes that are ready, in order. Nothing is computed, so it may run on any thread, and `take` may
    /// block.
    pub fn give_out<E: From<EncodeError>>(&mut self, take: impl FnMut(Bytes) -> Result<(), E>) -> Result<(), E> {
        match &mut self.0 {
            Encoder::Parquet(encoder) => encoder.give_out(take),
            Encoder::Text(encoder) => encoder.give_out(take),
        }
    }

    /// Bytes made so far and an estimate of what buffered rows will become: what the rolling policy goes by. Rows that
    /// were gathered but not yet encoded (a sixteenth of a file at most) are left out. Depends on the batches alone.
    pub fn encoded_bytes(&self) -> u64 {
        match &self.0 {
            Encoder::Parquet(encoder) => encoder.encoded_bytes(),
            Encoder::Text(encoder) => encoder.encoded_bytes(),
        }
    }

    /// Bytes of memory held: gathered rows, open pages and dictionaries, compressed pages of an open row group.
    pub fn buffered_bytes(&self) -> usize {
        match &self.0 {
            Encoder::Parquet(encoder) => encoder.buffered_bytes(),
            Encoder::Text(encoder) => encoder.buffered_bytes(),
        }
    }
}

/// Bytes of the rows of a batch, counting of shared buffers only what its rows span.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| array_bytes(column.as_ref())).sum()
}

/// Bytes of the values of an array, as [`batch_bytes`] counts them.
fn array_bytes(array: &dyn Array) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

#[cfg(test)]
mod tests;
