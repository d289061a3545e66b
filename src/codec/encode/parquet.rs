//! Parquet. The columns of a row group are encoded side by side, each by its own writer, so the bytes do not depend on who was faster.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_schema::{DataType, IntervalUnit, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{DEFAULT_DICTIONARY_PAGE_SIZE_LIMIT, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;

use super::cardinality::outgrows;
use super::value::any_type;
use super::{EncodeError, EncodeOptions, batch_bytes};
use crate::model::format::Format;
use crate::model::settings::{ParquetCodec, ParquetSettings};

/// One parquet file being written.
pub(super) struct ParquetEncoder {
    schema: SchemaRef,
    /// Properties that do not depend on the rows.
    properties: WriterPropertiesBuilder,
    /// Begun with the first rows, which decide how columns are encoded.
    file: Option<File>,
    /// The open row group: the leaf writers of each column.
    columns: Vec<Vec<ArrowColumnWriter>>,
    /// Rows that the open row group's writers have taken.
    group_rows: usize,
    /// Rows that wait to be encoded together, see [`EncodeOptions::gather_bytes`].
    gathered: Vec<RecordBatch>,
    gathered_rows: usize,
    gathered_bytes: usize,
    limits: Limits,
}

struct File {
    writer: SerializedFileWriter<Pieces>,
    factory: ArrowRowGroupWriterFactory,
}

struct Limits {
    gather_bytes: usize,
    group_rows: usize,
    group_bytes: usize,
    buffer_bytes: usize,
}

impl ParquetEncoder {
    pub(super) fn new(options: &EncodeOptions, schema: &SchemaRef) -> Result<Self, EncodeError> {
        for field in schema.fields() {
            // Alone, so that the error names the column. The converter panics at unions, and the writer would find the intervals only
            // when rows come.
            let alone = arrow_schema::Schema::new(vec![field.clone()]);
            if any_type(field.data_type(), &is_unknown) || ArrowSchemaConverter::new().convert(&alone).is_err() {
                let (column, data_type) = (field.name().clone(), field.data_type().clone());
                return Err(EncodeError::Type { column, data_type, format: Format::Parquet });
            }
        }
        let clamp = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        Ok(Self {
            schema: Arc::clone(schema),
            properties: properties(options)?,
            file: None,
            columns: Vec::new(),
            group_rows: 0,
            gathered: Vec::new(),
            gathered_rows: 0,
            gathered_bytes: 0,
            limits: Limits {
                gather_bytes: options.gather_bytes(),
                group_rows: clamp(options.parquet.row_group_rows),
                group_bytes: clamp(options.parquet.row_group_bytes),
                buffer_bytes: options.buffer_bytes_max,
            },
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        let mut start = 0;
        while start < batch.num_rows() {
            let room = self.limits.group_rows - self.group_rows - self.gathered_rows;
            let rows = room.min(batch.num_rows() - start);
            let slice = batch.slice(start, rows);
            start += rows;
            self.gathered_bytes += batch_bytes(&slice);
            self.gathered_rows += rows;
            self.gathered.push(slice);
            if rows == room || self.gathered_bytes >= self.limits.gather_bytes {
                self.encode_gathered()?;
                self.close_full_group(out)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        self.encode_gathered()?;
        self.close_group(out)?;
        let file = self.file()?;
        file.writer.finish()?;
        file.give_out(out)
    }

    pub(super) fn encoded_bytes(&self) -> u64 {
        let written = self.file.as_ref().map_or(0, |file| file.writer.bytes_written());
        written as u64 + self.group_bytes() as u64
    }

    /// The file, begun for the rows that are gathered.
    fn file(&mut self) -> Result<&mut File, EncodeError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.begin()?,
        };
        Ok(self.file.insert(file))
    }

    fn begin(&self) -> Result<File, EncodeError> {
        let gathered = &self.gathered;
        let outgrown: Vec<bool> = (0..self.schema.fields().len())
            .into_par_iter()
            .map(|at| outgrows(gathered.iter().map(|batch| batch.column(at)), DEFAULT_DICTIONARY_PAGE_SIZE_LIMIT))
            .collect();
        let mut properties = self.properties.clone();
        for (field, _) in self.schema.fields().iter().zip(outgrown).filter(|(_, outgrown)| *outgrown) {
            let path = ColumnPath::new(vec![field.name().clone()]);
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
            // What is near its neighbours, as ordinals and times are, takes a byte or two instead of eight, and zstd has less to do.
            if field.data_type().is_integer() || matches!(field.data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
            {
                properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
        }
        let mut properties = properties.build();
        add_encoded_arrow_schema_to_metadata(&self.schema, &mut properties);
        let descriptor = ArrowSchemaConverter::new().convert(&self.schema)?;
        let writer = SerializedFileWriter::new(Pieces::default(), descriptor.root_schema_ptr(), Arc::new(properties))?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&self.schema));
        Ok(File { writer, factory })
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.gathered_bytes + self.group_memory()
    }

    fn group_bytes(&self) -> usize {
        self.columns.iter().flatten().map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }

    fn group_memory(&self) -> usize {
        self.columns.iter().flatten().map(ArrowColumnWriter::memory_size).sum()
    }

    /// Hands the gathered rows to the open row group's writers, a task a column.
    fn encode_gathered(&mut self) -> Result<(), EncodeError> {
        if self.gathered_rows == 0 {
            return Ok(());
        }
        if self.columns.is_empty() {
            self.columns = self.file()?.open_columns()?;
        }
        let (schema, gathered) = (&self.schema, &self.gathered);
        self.columns.par_iter_mut().enumerate().try_for_each(|(at, writers)| {
            let field = schema.field(at);
            gathered.iter().try_for_each(|batch| {
                let leaves = compute_leaves(field, batch.column(at))?;
                writers.iter_mut().zip(&leaves).try_for_each(|(writer, leaf)| writer.write(leaf))
            })
        })?;
        self.group_rows += self.gathered_rows;
        self.gathered.clear();
        self.gathered_rows = 0;
        self.gathered_bytes = 0;
        Ok(())
    }

    fn close_full_group(&mut self, out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        let full = self.group_rows >= self.limits.group_rows
            || self.group_bytes() >= self.limits.group_bytes
            || self.group_memory() >= self.limits.buffer_bytes;
        if full { self.close_group(out) } else { Ok(()) }
    }

    fn close_group(&mut self, out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        if self.group_rows == 0 {
            return Ok(());
        }
        let writers: Vec<ArrowColumnWriter> = self.columns.drain(..).flatten().collect();
        let chunks: Vec<ArrowColumnChunk> = writers.into_par_iter().map(ArrowColumnWriter::close).collect::<Result<_, ParquetError>>()?;
        let file = self.file()?;
        let mut group = file.writer.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        file.give_out(out)?;
        self.group_rows = 0;
        Ok(())
    }
}

impl File {
    /// The leaf writers of a new row group, by column.
    fn open_columns(&self) -> Result<Vec<Vec<ArrowColumnWriter>>, ParquetError> {
        let index = self.writer.flushed_row_groups().len();
        let mut leaves = self.factory.create_column_writers(index)?.into_iter();
        let descriptor = self.writer.schema_descr();
        let mut counts = vec![0; descriptor.root_schema().get_fields().len()];
        for leaf in 0..descriptor.num_columns() {
            counts[descriptor.get_column_root_idx(leaf)] += 1;
        }
        Ok(counts.into_iter().map(|count| leaves.by_ref().take(count).collect()).collect())
    }

    fn give_out(&mut self, out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        self.writer.flush()?;
        self.writer.inner_mut().take(out);
        Ok(())
    }
}

/// Types that parquet's own converter does not refuse by an error, and cannot write.
fn is_unknown(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Union(..) | DataType::Interval(IntervalUnit::MonthDayNano))
}

fn properties(options: &EncodeOptions) -> Result<WriterPropertiesBuilder, ParquetError> {
    let metadata = options.metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    Ok(WriterProperties::builder()
        .set_compression(compression(&options.parquet)?)
        .set_created_by(concat!("s3sync ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(metadata))
        // Row groups are closed here, by the encoder.
        .set_max_row_group_row_count(None))
}

fn compression(settings: &ParquetSettings) -> Result<Compression, ParquetError> {
    Ok(match settings.codec {
        ParquetCodec::Zstd => Compression::ZSTD(ZstdLevel::try_new(settings.level)?),
        ParquetCodec::Gzip => Compression::GZIP(GzipLevel::try_new(u32::try_from(settings.level).unwrap_or(0))?),
        ParquetCodec::Snappy => Compression::SNAPPY,
        ParquetCodec::None => Compression::UNCOMPRESSED,
    })
}

/// Collects what the file writer writes, in pieces that never move: a buffer that grew by doubling would copy and double the memory of
/// a row group.
#[derive(Default)]
struct Pieces {
    done: Vec<Bytes>,
    open: Vec<u8>,
}

impl Pieces {
    const PIECE_BYTES: usize = 1 << 20;

    fn take(&mut self, out: &mut Vec<Bytes>) {
        out.append(&mut self.done);
        if !self.open.is_empty() {
            out.push(Bytes::from(std::mem::take(&mut self.open)));
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.open.is_empty() && self.open.len() + bytes.len() > Self::PIECE_BYTES {
            self.done.push(Bytes::from(std::mem::take(&mut self.open)));
        }
        if self.open.capacity() == 0 {
            // The first piece of a small file stays small.
            self.open.reserve_exact(if self.done.is_empty() { bytes.len() } else { Self::PIECE_BYTES.max(bytes.len()) });
        }
        self.open.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
