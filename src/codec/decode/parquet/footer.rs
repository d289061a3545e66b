//! The footer: from an object's last bytes to metadata whose offsets are known to lie inside the object.

use std::sync::Arc;

use bytes::Bytes;
use parquet::DecodeResult;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{
    FooterTail, PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataPushDecoder, ParquetStatisticsPolicy,
};

use super::bad;
use crate::codec::DecodeError;
use crate::codec::caught::caught;

/// Bytes from the end that are read first: the footers of most objects are smaller, and it costs no more than one round trip.
pub const FOOTER_BYTES: u64 = 64 << 10;

/// Magic at both ends, and the length of the metadata: nothing shorter is parquet.
const OBJECT_BYTES_MIN: u64 = 12;

/// Footers up to this size keep their statistics: those of some thousand column chunks, and a few megabytes in memory.
const STATISTICS_FOOTER_BYTES: u64 = 1 << 20;

/// What an object's last bytes give.
#[derive(Clone, Debug)]
pub enum Footer {
    /// The footer is longer: as many bytes from the end are needed.
    NeedsTail(u64),
    /// The whole of it. Every column chunk lies inside the object.
    Done(Arc<ParquetMetaData>),
}

/// Parses the footer of an object of `size` bytes from its last bytes, `tail` (at least 8, or all of a shorter object).
///
/// Statistics are kept of footers up to [`STATISTICS_FOOTER_BYTES`], where they can be read: files that take column chunks over need them, nothing
/// here reads them, and they can be most of a large footer. Page indexes are left out.
///
/// # Errors
/// [`DecodeError::Bad`] where the object is not parquet, is encrypted or corrupt, or points outside of itself;
/// [`DecodeError::TooLarge`] where the footer has more than `footer_bytes_max` bytes.
pub fn parse_footer(tail: Bytes, size: u64, footer_bytes_max: u64) -> Result<Footer, DecodeError> {
    if size < OBJECT_BYTES_MIN {
        return Err(bad(format!("it is not parquet: {size} bytes are too few")));
    }
    let end = size - FOOTER_SIZE as u64;
    let Some(last) = tail.len().checked_sub(FOOTER_SIZE).map(|at| &tail[at..]) else {
        return Ok(Footer::NeedsTail(FOOTER_BYTES.min(size)));
    };
    let known = FooterTail::try_from(last).map_err(|_| bad("it is not parquet, or cut off: it does not end in PAR1"))?;
    if known.is_encrypted_footer() {
        return Err(bad(
            "its footer is encrypted, and there is no way to give a key: write it without encryption, or leave it out with source.exclude",
        ));
    }
    let length = known.metadata_length() as u64;
    // Four bytes of magic precede everything.
    if length == 0 || length > end - 4 {
        return Err(bad(format!("its footer claims {length} bytes, in an object of {size}")));
    }
    if length > footer_bytes_max {
        return Err(DecodeError::TooLarge { what: "the footer".into(), needed: length, allowed: footer_bytes_max, position: None });
    }
    let needed = length + FOOTER_SIZE as u64;
    if (tail.len() as u64) < needed {
        return Ok(Footer::NeedsTail(needed));
    }
    let with_statistics = match length <= STATISTICS_FOOTER_BYTES {
        true => caught(|| decode(tail.clone(), size, ParquetStatisticsPolicy::KeepAll)).ok(),
        false => None,
    };
    let metadata = match with_statistics {
        Some(metadata) => metadata,
        None => caught(|| decode(tail, size, ParquetStatisticsPolicy::SkipAll))?,
    };
    check(&metadata, end - length)?;
    Ok(Footer::Done(Arc::new(metadata)))
}

fn decode(tail: Bytes, size: u64, statistics: ParquetStatisticsPolicy) -> Result<ParquetMetaData, DecodeError> {
    let corrupt = |error: parquet::errors::ParquetError| bad(format!("its footer is corrupt: {error}"));
    let options = ParquetMetaDataOptions::new()
        // They tell how many pages a column chunk has.
        .with_encoding_stats_as_mask(false)
        .with_column_stats_policy(statistics)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
    let mut decoder = ParquetMetaDataPushDecoder::try_new(size)
        .map_err(corrupt)?
        .with_page_index_policy(PageIndexPolicy::Skip)
        .with_metadata_options(Some(Arc::new(options)));
    decoder.push_range(size - tail.len() as u64..size, tail).map_err(corrupt)?;
    match decoder.try_decode().map_err(corrupt)? {
        DecodeResult::Data(metadata) => Ok(metadata),
        // All that the footer's own length asks for was there.
        DecodeResult::NeedsData(_) | DecodeResult::Finished => Err(bad("its footer is corrupt: it has no end")),
    }
}

/// What the readers of the parquet crate take for granted: sizes are not negative, and column chunks end before the footer, at `end`.
fn check(metadata: &ParquetMetaData, end: u64) -> Result<(), DecodeError> {
    let leaves = metadata.file_metadata().schema_descr().num_columns();
    for (ordinal, group) in metadata.row_groups().iter().enumerate() {
        if group.num_rows() < 0 || group.num_columns() != leaves {
            return Err(bad(format!(
                "its footer is corrupt: row group {ordinal} has {} rows and {} of {leaves} columns",
                group.num_rows(),
                group.num_columns()
            )));
        }
        for column in group.columns() {
            let path = column.column_path().string();
            if column.file_path().is_some_and(|path| !path.is_empty()) {
                return Err(bad(format!(
                    "column {path} lies in another file, and an object is read by itself: write the columns into one file"
                )));
            }
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let inside = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
            let inside = inside.and_then(|(start, length)| start.checked_add(length)).is_some_and(|stop| stop <= end);
            if !inside || column.num_values() < 0 {
                return Err(bad(format!(
                    "its footer is corrupt: column {path} of row group {ordinal} has {} values in {} bytes from {start}",
                    column.num_values(),
                    column.compressed_size()
                )));
            }
        }
    }
    Ok(())
}
