//! Parquet. The columns of a row group are encoded side by side, each by its own writer, so the bytes do not depend on
//! who was faster.

use std::cmp::Reverse;
use std::io::{self, Write};
use std::sync::{Arc, mpsc};

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
use parquet::schema::types::{ColumnPath, SchemaDescriptor};
use rayon::prelude::*;

use super::cardinality::outgrows;
use super::parquet_schema::FileSchema;
use super::parquet_statistics::file_statistics;
use super::passthrough::{self, PassedThrough};
use super::value::any_type;
use super::{EncodeError, EncodeOptions, array_bytes, batch_bytes};
use crate::codec::{RowGroupBatch, Rows, StoredRowGroup};
use crate::model::data_file::FileStatistics;
use crate::model::format::OutputFormat;
use crate::model::settings::{ParquetCodec, ParquetSettings};

/// One parquet file being written.
pub(super) struct ParquetEncoder {
    columns_of: FileSchema,
    /// That of the file's batches.
    schema: SchemaRef,
    descriptor: SchemaDescriptor,
    options: EncodeOptions,
    /// Properties that do not depend on the rows.
    properties: WriterPropertiesBuilder,
    /// Begun with the first rows, which decide how columns are encoded.
    file: Option<File>,
    /// Row groups that are encoded and not given out, each as its leaves' chunks.
    closed: Vec<Vec<Chunk>>,
    /// The open row group: the leaf writers of each column, none of those that are taken over.
    columns: Vec<Vec<ArrowColumnWriter>>,
    /// What the open row group takes over.
    taken: Option<PassedThrough>,
    /// Rows that the open row group's writers have taken.
    group_rows: usize,
    /// Rows that wait to be encoded together, see [`EncodeOptions::gather_bytes`].
    gathered: Vec<RecordBatch>,
    gathered_rows: usize,
    gathered_bytes: usize,
    limits: Limits,
}

/// One leaf of a closed row group.
enum Chunk {
    Encoded(Box<ArrowColumnChunk>),
    /// A leaf of a stored row group, as it is.
    Stored(Arc<StoredRowGroup>, usize),
}

impl Chunk {
    fn bytes(&self) -> u64 {
        match self {
            Chunk::Encoded(chunk) => chunk.close().bytes_written,
            Chunk::Stored(group, leaf) => group.chunk(*leaf).compressed_size().unsigned_abs(),
        }
    }
}

struct File {
    writer: SerializedFileWriter<Pieces>,
    /// What the writer has written.
    pieces: mpsc::Receiver<Bytes>,
    factory: ArrowRowGroupWriterFactory,
    /// Row groups opened so far.
    groups: usize,
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
            // Alone, so that the error names the column. The converter panics at unions, and the writer would find the
            // intervals only when rows come.
            let alone = arrow_schema::Schema::new(vec![field.clone()]);
            if any_type(field.data_type(), &is_unknown) || ArrowSchemaConverter::new().convert(&alone).is_err() {
                let (column, data_type) = (field.name().clone(), field.data_type().clone());
                return Err(EncodeError::Type { column, data_type, format: OutputFormat::Parquet });
            }
        }
        let columns_of = FileSchema::new(schema);
        let clamp = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        Ok(Self {
            schema: Arc::clone(&columns_of.schema),
            descriptor: columns_of.descriptor()?,
            columns_of,
            options: options.clone(),
            properties: properties(options)?,
            file: None,
            closed: Vec::new(),
            columns: Vec::new(),
            taken: None,
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

    pub(super) fn write(&mut self, rows: &Rows) -> Result<(), EncodeError> {
        match rows {
            Rows::Batch(batch) => self.write_batch(batch),
            Rows::RowGroup(rows) => self.write_row_group(rows),
        }
    }

    pub(super) fn takes_over(&self, rows: &RowGroupBatch) -> bool {
        match &self.taken {
            Some(taken) => Arc::ptr_eq(&taken.group, &rows.group),
            None => self.passed_through(rows).is_some(),
        }
    }

    pub(super) fn may_end(&self) -> bool {
        self.taken.is_none()
    }

    /// What is taken over of a row group that begins with these rows.
    fn passed_through(&self, rows: &RowGroupBatch) -> Option<PassedThrough> {
        let begins = rows.first == 0;
        begins.then(|| PassedThrough::new(&rows.group, &self.columns_of, &self.descriptor, &self.options)).flatten()
    }

    /// A row group that is taken over becomes a row group of the file: the columns that cannot be are encoded beside.
    fn write_row_group(&mut self, rows: &RowGroupBatch) -> Result<(), EncodeError> {
        if let Some(taken) = self.passed_through(rows) {
            self.encode_gathered()?;
            self.close_group()?;
            self.taken = Some(taken);
        }
        let batch = &rows.batch;
        let Some(taken) = &mut self.taken else { return self.write_batch(batch) };
        assert!(batch.num_rows() <= taken.rows_left, "a row group has as many rows as its batches");
        taken.rows_left -= batch.num_rows();
        let ends = taken.rows_left == 0;
        self.gather(batch.clone())?;
        if ends || self.gathered_bytes >= self.limits.gather_bytes {
            self.encode_gathered()?;
        }
        if ends { self.close_group() } else { Ok(()) }
    }

    fn gather(&mut self, batch: RecordBatch) -> Result<(), EncodeError> {
        let batch = self.columns_of.batch(batch)?;
        self.gathered_bytes += batch_bytes(&batch);
        self.gathered_rows += batch.num_rows();
        self.gathered.push(batch);
        Ok(())
    }

    fn write_batch(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        assert!(self.may_end(), "a row group that is taken over comes whole");
        let mut start = 0;
        while start < batch.num_rows() {
            let room = self.limits.group_rows - self.group_rows - self.gathered_rows;
            let rows = room.min(batch.num_rows() - start);
            let slice = batch.slice(start, rows);
            start += rows;
            self.gather(slice)?;
            if rows == room || self.gathered_bytes >= self.limits.gather_bytes {
                self.encode_gathered()?;
                self.close_full_group()?;
            }
        }
        Ok(())
    }

    pub(super) fn gathers(&self, rows: &Rows) -> bool {
        let batch = rows.batch();
        matches!(rows, Rows::Batch(_))
            && self.group_rows + self.gathered_rows + batch.num_rows() < self.limits.group_rows
            && self.gathered_bytes + batch_bytes(batch) < self.limits.gather_bytes
    }

    pub(super) fn end_rows(&mut self) -> Result<(), EncodeError> {
        self.encode_gathered()?;
        self.close_group()
    }

    pub(super) fn finish<E: From<EncodeError>>(
        mut self,
        mut take: impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<FileStatistics, E> {
        self.end_rows()?;
        self.file()?;
        self.give_out(&mut take)?;
        let file = self.file()?;
        let metadata = file.writer.finish().map_err(EncodeError::from)?;
        file.writer.inner_mut().give_out_open();
        file.pieces.try_iter().try_for_each(take)?;
        Ok(file_statistics(&metadata, file.writer.bytes_written() as u64))
    }

    /// Copies closed row groups into the file, a chunk at a time: the pages of a chunk are freed before those of the
    /// next are copied.
    pub(super) fn give_out<E: From<EncodeError>>(
        &mut self,
        mut take: impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(file) = &mut self.file else { return Ok(()) };
        for chunks in self.closed.drain(..) {
            let mut group = file.writer.next_row_group().map_err(EncodeError::from)?;
            for (at, chunk) in chunks.into_iter().enumerate() {
                match chunk {
                    Chunk::Encoded(chunk) => chunk.append_to_row_group(&mut group),
                    Chunk::Stored(stored, leaf) => {
                        passthrough::append(&mut group, stored, leaf, self.descriptor.column(at))
                    }
                }
                .map_err(EncodeError::from)?;
                file.pieces.try_iter().try_for_each(&mut take)?;
            }
            group.close().map_err(EncodeError::from)?;
        }
        file.writer.flush().map_err(EncodeError::from)?;
        file.pieces.try_iter().try_for_each(&mut take)
    }

    pub(super) fn encoded_bytes(&self) -> u64 {
        let written = self.file.as_ref().map_or(0, |file| file.writer.bytes_written());
        written as u64 + self.closed_bytes() + self.group_bytes() as u64
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.gathered_bytes + self.group_memory() + usize::try_from(self.closed_bytes()).unwrap_or(usize::MAX)
    }

    fn closed_bytes(&self) -> u64 {
        self.closed.iter().flatten().map(Chunk::bytes).sum()
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
        let mut properties =
            self.properties.clone().set_data_page_row_count_limit(page_rows(self.descriptor.num_columns()));
        for (field, _) in self.schema.fields().iter().zip(outgrown).filter(|(_, outgrown)| *outgrown) {
            let path = ColumnPath::new(vec![field.name().clone()]);
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
            // What is near its neighbours, as ordinals and times are, takes a byte or two instead of eight, and zstd
            // has less to do.
            if is_ordinal(field.data_type()) {
                properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
        }
        let mut properties = properties.build();
        add_encoded_arrow_schema_to_metadata(&self.columns_of.arrow(), &mut properties);
        let (done, pieces) = mpsc::channel();
        let writer = SerializedFileWriter::new(
            Pieces { done, open: Vec::new() },
            self.descriptor.root_schema_ptr(),
            Arc::new(properties),
        )?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&self.schema));
        Ok(File { writer, pieces, factory, groups: 0 })
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
            if let Some(taken) = &self.taken {
                let leaves = self.columns.iter_mut().zip(&taken.columns);
                leaves.filter(|(_, taken)| taken.is_some()).for_each(|(writers, _)| writers.clear());
            }
        }
        let (schema, gathered) = (&self.schema, &self.gathered);
        let mut columns: Vec<(usize, &mut Vec<ArrowColumnWriter>)> =
            self.columns.iter_mut().enumerate().filter(|(_, writers)| !writers.is_empty()).collect();
        columns.sort_by_cached_key(|(at, _)| {
            Reverse(gathered.iter().map(|batch| array_bytes(batch.column(*at))).sum::<usize>())
        });
        heaviest_first(columns, |(at, writers)| {
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

    fn close_full_group(&mut self) -> Result<(), EncodeError> {
        let full = self.group_rows >= self.limits.group_rows
            || self.group_bytes() >= self.limits.group_bytes
            || self.group_memory() >= self.limits.buffer_bytes;
        if full { self.close_group() } else { Ok(()) }
    }

    fn close_group(&mut self) -> Result<(), EncodeError> {
        if self.group_rows == 0 {
            return Ok(());
        }
        let writers: Vec<ArrowColumnWriter> = self.columns.iter_mut().flat_map(|writers| writers.drain(..)).collect();
        let encoded =
            writers.into_par_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, ParquetError>>()?;
        let mut encoded = encoded.into_iter().map(|chunk| Chunk::Encoded(Box::new(chunk)));
        self.closed.push(match self.taken.take() {
            None => encoded.collect(),
            Some(taken) => {
                let leaves = taken.leaves(&self.descriptor).into_iter();
                let chunk = |stored: Option<usize>| match stored {
                    Some(leaf) => Chunk::Stored(Arc::clone(&taken.group), leaf),
                    None => encoded.next().expect("a leaf that is not taken over has a writer"),
                };
                leaves.map(chunk).collect()
            }
        });
        self.columns.clear();
        self.group_rows = 0;
        Ok(())
    }
}

impl File {
    /// The leaf writers of a new row group, by column.
    fn open_columns(&mut self) -> Result<Vec<Vec<ArrowColumnWriter>>, ParquetError> {
        let mut leaves = self.factory.create_column_writers(self.groups)?.into_iter();
        self.groups += 1;
        let descriptor = self.writer.schema_descr();
        let mut counts = vec![0; descriptor.root_schema().get_fields().len()];
        for leaf in 0..descriptor.num_columns() {
            counts[descriptor.get_column_root_idx(leaf)] += 1;
        }
        Ok(counts.into_iter().map(|count| leaves.by_ref().take(count).collect()).collect())
    }
}

/// Rows after which a page closes, whatever its bytes, in files of so many leaf columns.
///
/// Until then a dictionary column holds eight bytes a row; from then to the end of the row group every column holds a
/// zstd context, about as large as a page and in nobody's account. So few columns have pages of as many rows as fill
/// one of plain numbers, more have smaller ones, and where there would be too many contexts the row group closes first.
fn page_rows(leaves: usize) -> usize {
    const PAGE_ROWS_MAX: usize = 128 << 10;
    /// Of all columns together: 16 MiB of a dictionary's ordinals.
    const OPEN_VALUES_MAX: usize = 2 << 20;
    const CONTEXTS_MAX: usize = 64;
    if leaves > CONTEXTS_MAX {
        return usize::MAX;
    }
    // A power of two, as the capacity of what holds the ordinals.
    1 << (OPEN_VALUES_MAX / leaves.max(1)).min(PAGE_ROWS_MAX).ilog2()
}

/// Works on items side by side, begun in their order: with the heaviest first, none is left alone at the end while
/// other cores idle, as the widest text column would be behind those that stand before it.
fn heaviest_first<T: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<(), ParquetError> + Sync,
) -> Result<(), ParquetError> {
    let mut results: Vec<Result<(), ParquetError>> = items.iter().map(|_| Ok(())).collect();
    rayon::scope_fifo(|scope| {
        for (item, result) in items.into_iter().zip(&mut results) {
            let work = &work;
            scope.spawn_fifo(move |_| *result = work(item));
        }
    });
    results.into_iter().collect()
}

/// Integers, dates and times.
pub(super) fn is_ordinal(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

/// Types that parquet's own converter does not refuse by an error, and cannot write.
fn is_unknown(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Union(..) | DataType::Interval(IntervalUnit::MonthDayNano))
}

fn properties(options: &EncodeOptions) -> Result<WriterPropertiesBuilder, ParquetError> {
    let metadata = options.metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    Ok(WriterProperties::builder()
        .set_compression(parquet_codec(&options.parquet)?)
        .set_created_by(concat!("s3sync ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(metadata))
        // Row groups are closed here, by the encoder.
        .set_max_row_group_row_count(None))
}

/// The codec of pages, with its level.
///
/// # Errors
/// A level that the codec does not have.
pub fn parquet_codec(settings: &ParquetSettings) -> Result<Compression, ParquetError> {
    Ok(match settings.codec {
        ParquetCodec::Zstd => Compression::ZSTD(ZstdLevel::try_new(settings.level)?),
        ParquetCodec::Gzip => Compression::GZIP(GzipLevel::try_new(u32::try_from(settings.level).unwrap_or(0))?),
        ParquetCodec::Snappy => Compression::SNAPPY,
        ParquetCodec::None => Compression::UNCOMPRESSED,
    })
}

/// Gives what the file writer writes on in pieces about as large as the pages that they were, so that the memory of one
/// serves the other.
struct Pieces {
    done: mpsc::Sender<Bytes>,
    open: Vec<u8>,
}

impl Pieces {
    /// What a small file takes at first: the next step is a whole piece, because a buffer that grew by doubling would
    /// be copied each time.
    const SMALL_BYTES: usize = 64 << 10;

    const PIECE_BYTES: usize = 1 << 20;

    fn give_out_open(&mut self) {
        if !self.open.is_empty() {
            // The last piece waits for its upload with what it needs, no more.
            self.open.shrink_to_fit();
            // Nobody listens once the file is given up.
            let _ = self.done.send(Bytes::from(std::mem::take(&mut self.open)));
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(Self::PIECE_BYTES - self.open.len());
        let needed = self.open.len() + taken;
        if needed > self.open.capacity() {
            let wanted = if needed <= Self::SMALL_BYTES { Self::SMALL_BYTES } else { Self::PIECE_BYTES };
            self.open.reserve_exact(wanted - self.open.len());
        }
        self.open.extend_from_slice(&bytes[..taken]);
        if self.open.len() == Self::PIECE_BYTES {
            self.give_out_open();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
