//! The footer: from an object's last bytes to metadata whose offsets are known to lie inside the object.

use std::sync::Arc;

use bytes::Bytes;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{
    FooterTail, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};

use super::mend::mended;
use super::{bad, thrift};
use crate::codec::DecodeError;
use crate::codec::caught::caught;

/// Bytes from the end that are read first: the footers of most objects are smaller, and it costs no more than one round
/// trip.
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
/// Statistics are kept of footers up to [`STATISTICS_FOOTER_BYTES`], where they can be read: files that take column
/// chunks over need them, nothing here reads them, and they can be most of a large footer. Page indexes are left out.
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
    let known =
        FooterTail::try_from(last).map_err(|_| bad("it is not parquet, or cut off: it does not end in PAR1"))?;
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
        return Err(DecodeError::TooLarge {
            what: "the footer".into(),
            needed: length,
            allowed: footer_bytes_max,
            position: None,
        });
    }
    let needed = length + FOOTER_SIZE as u64;
    if (tail.len() as u64) < needed {
        return Ok(Footer::NeedsTail(needed));
    }
    let footer = tail.slice(tail.len() - needed as usize..tail.len() - FOOTER_SIZE);
    refuse_encrypted(&footer)?;
    let metadata = decode_any(&footer).or_else(|error| match thrift::known_part(&footer) {
        Some(known) => decode_any(&known.into()).map_err(|_| error),
        None => Err(error),
    })?;
    let metadata = mended(metadata, end - length);
    check(&metadata, end - length)?;
    Ok(Footer::Done(Arc::new(metadata)))
}

/// Decodes a footer, with its statistics where it is small and they can be read.
fn decode_any(footer: &Bytes) -> Result<ParquetMetaData, DecodeError> {
    let with_statistics = match footer.len() as u64 <= STATISTICS_FOOTER_BYTES {
        true => caught(|| decode(footer, ParquetStatisticsPolicy::KeepAll)).ok(),
        false => None,
    };
    match with_statistics {
        Some(metadata) => Ok(metadata),
        None => caught(|| decode(footer, ParquetStatisticsPolicy::SkipAll)),
    }
}

fn decode(footer: &Bytes, statistics: ParquetStatisticsPolicy) -> Result<ParquetMetaData, DecodeError> {
    let options = ParquetMetaDataOptions::new()
        // They tell how many pages a column chunk has.
        .with_encoding_stats_as_mask(false)
        .with_column_stats_policy(statistics)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
    ParquetMetaDataReader::decode_metadata_with_options(footer, Some(&options))
        .map_err(|error| bad(format!("its footer is corrupt: {error}")))
}

/// Columns may be encrypted under a footer that is not.
fn refuse_encrypted(footer: &[u8]) -> Result<(), DecodeError> {
    const NAMES_MAX: usize = 3;
    let encrypted = thrift::encrypted_columns(footer);
    if encrypted.is_empty() {
        return Ok(());
    }
    let more = encrypted.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(bad(format!(
        "its columns are encrypted ({}{more}), and there is no way to give a key: write it without encryption, or leave it out with source.exclude",
        encrypted[..encrypted.len().min(NAMES_MAX)].join(", ")
    )))
}

/// What the readers of the parquet crate take for granted: sizes are not negative, and column chunks end before the
/// footer, at `end`.
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
            if column.column_descr().max_rep_level() == 0 && column.num_values() != group.num_rows() {
                return Err(bad(format!(
                    "its footer is corrupt: column {path} of row group {ordinal} has {} values for {} rows",
                    column.num_values(),
                    group.num_rows()
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
