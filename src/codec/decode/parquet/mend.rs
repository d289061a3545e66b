//! Footers of older writers, whose mistakes are known and can be told from damage.

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// The header of a dictionary page has some 15 bytes: what is missing is no more than this. Others allow for as much.
const HEADER_BYTES_MAX: i64 = 100;

/// The metadata as its writer should have written it, of an object whose footer begins at `end`:
///
/// - a dictionary page that is said to lie where no page can, at offset 0 or behind the data, is none: the data's
///   offset says where to begin;
/// - parquet-mr before 1.2.9 left the header of the dictionary page out of a column chunk's size (IMPALA-694,
///   PARQUET-816): the chunk goes on to the next one.
pub(super) fn mended(metadata: ParquetMetaData, end: u64) -> ParquetMetaData {
    let is_short = lacks_header(metadata.file_metadata().created_by());
    let needs_mending = |column: &ColumnChunkMetaData| {
        is_short || column.dictionary_page_offset().is_some_and(|offset| !is_place(column, offset))
    };
    if !metadata.row_groups().iter().flat_map(|group| group.columns()).any(needs_mending) {
        return metadata;
    }
    let mut ends: Vec<i64> = metadata.row_groups().iter().flat_map(|group| group.columns()).map(start).collect();
    ends.push(i64::try_from(end).unwrap_or(i64::MAX));
    ends.sort_unstable();
    let mut builder = metadata.into_builder();
    for group in builder.take_row_groups() {
        let columns = group.columns().iter().map(|column| {
            let offset = column.dictionary_page_offset().filter(|offset| is_place(column, *offset));
            let mut size = column.compressed_size();
            if let Some(stop) = start(column).checked_add(size).filter(|_| is_short)
                && let Some(next) = ends.get(ends.partition_point(|end| *end < stop))
                && let Some(missing) = next.checked_sub(stop).filter(|missing| *missing <= HEADER_BYTES_MAX)
            {
                size += missing;
            }
            column.clone().into_builder().set_dictionary_page_offset(offset).set_total_compressed_size(size).build()
        });
        // What cannot be put together again is left for the checks that follow.
        let mended = columns
            .collect::<Result<_, _>>()
            .and_then(|columns| group.clone().into_builder().set_column_metadata(columns).build());
        builder = builder.add_row_group(mended.unwrap_or(group));
    }
    builder.build()
}

fn is_place(column: &ColumnChunkMetaData, dictionary: i64) -> bool {
    dictionary != 0 && dictionary <= column.data_page_offset()
}

fn start(column: &ColumnChunkMetaData) -> i64 {
    column.dictionary_page_offset().filter(|offset| is_place(column, *offset)).unwrap_or(column.data_page_offset())
}

/// Whether the writer is parquet-mr before 1.2.9: `parquet-mr version 1.2.8 (build …)`; the first ones gave no version.
fn lacks_header(created_by: Option<&str>) -> bool {
    let Some(rest) = created_by.and_then(|by| by.trim().strip_prefix("parquet-mr")) else { return false };
    let Some(version) = rest.trim().strip_prefix("version") else { return rest.is_empty() };
    let version = version.trim().split(|c: char| !(c.is_ascii_digit() || c == '.')).next().unwrap_or_default();
    let numbers: Vec<u32> = version.split('.').map_while(|number| number.parse().ok()).collect();
    numbers.len() == 3 && numbers < vec![1, 2, 9]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_writers_are_told_by_their_version() {
        for (created_by, expected) in [
            (None, false),
            (Some("parquet-mr"), true),
            (Some("parquet-mr version 1.2.8"), true),
            (Some("parquet-mr version 1.2.9"), false),
            (Some("parquet-mr version 1.12.0-201812210311360288-a86293f (build cec1)"), false),
            (Some("parquet-mr version 0.9.12-SNAPSHOT (build x)"), true),
            (Some("parquet-mr version unknown"), false),
            (Some("parquet-cpp version 1.2.8"), false),
        ] {
            assert_eq!(lacks_header(created_by), expected, "{created_by:?}");
        }
    }
}
