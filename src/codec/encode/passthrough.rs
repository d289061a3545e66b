//! Which column chunks of a stored row group a file takes over as they are.
//!
//! What comes from parquet and goes to parquet with the same codec is most often encoded as we would encode it, and
//! compressing it again is most of the work. Its rows are decoded and verified all the same; only the chunk's bytes are
//! not made again.

use std::ops::Range;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Encoding, LogicalType};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, SchemaDescriptor};

use super::EncodeOptions;
use super::parquet::{is_ordinal, parquet_codec};
use super::parquet_schema::FileSchema;
use crate::codec::row_group::{ChunkBytes, StoredRowGroup, is_of_codec};
use crate::model::settings::{ParquetCodec, ParquetSettings};

/// A row group that is taken over, while its rows come in.
pub(super) struct PassedThrough {
    pub group: Arc<StoredRowGroup>,
    /// Rows that have not come yet.
    pub rows_left: usize,
    /// By column: the leaves that are taken as they are; `None` for a column that is encoded.
    pub columns: Vec<Option<Range<usize>>>,
}

impl PassedThrough {
    /// `None` where nothing of the row group can be taken, or the file would not be what the options ask for.
    ///
    /// It has to be large, because small row groups are better joined, and small beside a file, because a file ends
    /// behind it.
    pub fn new(
        group: &Arc<StoredRowGroup>,
        file: &FileSchema,
        descriptor: &SchemaDescriptor,
        options: &EncodeOptions,
    ) -> Option<Self> {
        /// Of what a row group of ours takes in memory, and of a file.
        const PART: u64 = 8;
        const ORDINAL_BYTES: u64 = 8;
        let parquet = &options.parquet;
        let (rows, bytes) = (group.rows(), group.stored_bytes());
        let bytes_max =
            options.target_file_bytes.map_or(u64::MAX, |file| file.get() / PART).min(parquet.row_group_bytes);
        let fits = rows <= parquet.row_group_rows && bytes <= bytes_max;
        if !fits || bytes < options.buffer_bytes_max as u64 / PART || !any_level(parquet) {
            return None;
        }
        let codec = parquet_codec(parquet).ok()?;
        let mut columns = vec![Vec::new(); file.columns.len()];
        for leaf in 0..descriptor.num_columns() {
            columns[descriptor.get_column_root_idx(leaf)].push(leaf);
        }
        let mut encoded_bytes = 0;
        let mut taken = Vec::with_capacity(columns.len());
        for (at, ours) in columns.into_iter().enumerate() {
            taken.push(match group.leaves(file.columns[at]) {
                // Nulls.
                None => None,
                // Our encoding of these is fast, and often a fraction of what others write.
                Some(_) if is_ordinal(file.schema.field(at).data_type()) => {
                    encoded_bytes += rows * ORDINAL_BYTES;
                    None
                }
                // All others, or none: what is encoded beside them is in memory until the row group ends.
                Some(theirs) => {
                    let mut leaves = theirs.clone().zip(&ours);
                    let fits = theirs.len() == ours.len()
                        && leaves.all(|(theirs, ours)| is_as_ours(group, theirs, &descriptor.column(*ours), codec));
                    Some(fits.then_some(theirs)?)
                }
            });
        }
        let any = taken.iter().any(Option::is_some) && encoded_bytes <= options.buffer_bytes_max as u64;
        any.then(|| Self {
            group: Arc::clone(group),
            rows_left: usize::try_from(rows).unwrap_or(usize::MAX),
            columns: taken,
        })
    }

    /// For each leaf of the file, the leaf of the stored row group that becomes it, or `None` where it is encoded.
    pub fn leaves(&self, descriptor: &SchemaDescriptor) -> Vec<Option<usize>> {
        let mut columns = self.columns.clone();
        (0..descriptor.num_columns())
            .map(|leaf| columns[descriptor.get_column_root_idx(leaf)].as_mut().and_then(Iterator::next))
            .collect()
    }
}

/// Whether any level of the codec will do: a chunk does not say at which it was compressed.
fn any_level(settings: &ParquetSettings) -> bool {
    matches!(settings.codec, ParquetCodec::Snappy | ParquetCodec::None)
        || settings.level == ParquetSettings::LEVEL_DEFAULT
}

/// Whether a chunk is what we could have written: values stored in the same way, with statistics, in encodings that
/// every reader knows. What the values mean is the same already: the column has the table's type without a cast
/// ([`StoredRowGroup`]). Names and older annotations need not be.
fn is_as_ours(group: &StoredRowGroup, leaf: usize, ours: &ColumnDescriptor, codec: Compression) -> bool {
    let chunk = group.chunk(leaf);
    let known = |encoding| {
        use Encoding::{DELTA_BINARY_PACKED, PLAIN, RLE, RLE_DICTIONARY};
        #[expect(deprecated, reason = "older writers name them so")]
        let old = matches!(encoding, Encoding::PLAIN_DICTIONARY | Encoding::BIT_PACKED);
        old || matches!(encoding, PLAIN | RLE | RLE_DICTIONARY | DELTA_BINARY_PACKED)
    };
    let layout = |descriptor: &ColumnDescriptor| {
        (descriptor.physical_type(), descriptor.type_length(), descriptor.max_def_level())
    };
    // Seconds are bare integers, and milliseconds in our files.
    let in_seconds = has_unit(ours) && !has_unit(chunk.column_descr());
    // Where values repeat, the rows of a page are not known from its header, and the file's page index needs them.
    let flat = chunk.column_descr().max_rep_level() == 0 && ours.max_rep_level() == 0;
    let comparable = chunk.statistics().is_some_and(|statistics| {
        let nan = match statistics {
            Statistics::Float(values) => {
                [values.min_opt(), values.max_opt()].into_iter().flatten().any(|value| value.is_nan())
            }
            Statistics::Double(values) => {
                [values.min_opt(), values.max_opt()].into_iter().flatten().any(|value| value.is_nan())
            }
            _ => false,
        };
        // Without an order only the deprecated ones may be believed, and they stay what they are.
        !nan && (group.has_column_orders() || statistics.is_min_max_deprecated())
    });
    flat && comparable
        && !in_seconds
        && layout(chunk.column_descr()) == layout(ours)
        && is_of_codec(chunk, codec)
        && is_consistent(chunk, group.rows())
        && chunk.encodings().all(known)
}

/// Whether a column says itself in which unit its times are.
fn has_unit(column: &ColumnDescriptor) -> bool {
    use ConvertedType::{TIME_MICROS, TIME_MILLIS, TIMESTAMP_MICROS, TIMESTAMP_MILLIS};
    matches!(column.logical_type_ref(), Some(LogicalType::Timestamp { .. } | LogicalType::Time { .. }))
        || matches!(column.converted_type(), TIME_MICROS | TIME_MILLIS | TIMESTAMP_MICROS | TIMESTAMP_MILLIS)
}

/// Whether the footer says of a chunk without repetition what its pages say. Reading them in order does not ask for all
/// of it, readers of the file will.
fn is_consistent(chunk: &ColumnChunkMetaData, rows: u64) -> bool {
    let (start, bytes) = chunk.byte_range();
    let inside = |offset: i64| u64::try_from(offset).is_ok_and(|offset| (start..start + bytes).contains(&offset));
    let data = chunk.data_page_offset();
    inside(data)
        && chunk.dictionary_page_offset().is_none_or(|dictionary| dictionary > 0 && dictionary < data)
        && u64::try_from(chunk.num_values()).is_ok_and(|values| values == rows)
        && (0..=1 << 40).contains(&chunk.uncompressed_size())
        && chunk.statistics().and_then(Statistics::null_count_opt).is_none_or(|nulls| nulls <= rows)
}

/// Copies a stored chunk into the row group that is being written, as a leaf of the file, with the statistics that its
/// writer gave it. It has no column index: that of its object is not read.
pub(super) fn append<W: std::io::Write + Send>(
    to: &mut SerializedRowGroupWriter<'_, W>,
    group: Arc<StoredRowGroup>,
    leaf: usize,
    ours: ColumnDescPtr,
) -> Result<(), ParquetError> {
    let stored = group.chunk(leaf);
    let mut metadata = ColumnChunkMetaData::builder(ours)
        .set_compression_codec(stored.compression_codec())
        .set_encodings_mask(*stored.encodings_mask())
        .set_num_values(stored.num_values())
        .set_total_compressed_size(stored.compressed_size())
        .set_total_uncompressed_size(stored.uncompressed_size())
        .set_data_page_offset(stored.data_page_offset())
        .set_dictionary_page_offset(stored.dictionary_page_offset());
    if let Some(statistics) = stored.statistics() {
        metadata = metadata.set_statistics(statistics.clone());
    }
    if let Some(pages) = stored.page_encoding_stats() {
        metadata = metadata.set_page_encoding_stats(pages.clone());
    }
    let closed = ColumnCloseResult {
        bytes_written: stored.compressed_size().unsigned_abs(),
        rows_written: group.rows(),
        metadata: metadata.build()?,
        bloom_filter: None,
        column_index: None,
        offset_index: Some(group.offset_index(leaf)),
    };
    to.append_column(&ChunkBytes { group, leaf }, closed)
}
