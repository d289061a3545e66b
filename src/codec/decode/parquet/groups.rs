//! Which row groups a slice has, and where the bytes of the wanted columns lie.

use std::collections::HashSet;
use std::ops::Range;

use parquet::basic::PageType;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::types::Root;
use crate::model::plan::Slice;
use crate::model::schema::TableSchema;

/// The row groups of a slice, in order: those whose middle byte lies in it. Slices that cover an object have every row
/// group once.
///
/// `None` has all of them. A slice by text bytes has none: parquet is not cut there.
pub fn row_groups(metadata: &ParquetMetaData, slice: Option<Slice>) -> Vec<usize> {
    let inside = |ordinal: &usize| match slice {
        None => true,
        Some(Slice::RowGroups { start, end }) => (start..end).contains(&middle(metadata, *ordinal)),
        Some(Slice::Bytes { .. }) => false,
    };
    (0..metadata.num_row_groups()).filter(inside).collect()
}

/// The middle of the bytes from a row group's first column chunk to its last; 0 for one without columns.
fn middle(metadata: &ParquetMetaData, ordinal: usize) -> u64 {
    let ranges = || metadata.row_group(ordinal).columns().iter().map(range_of);
    let start = ranges().map(|range| range.start).min().unwrap_or(0);
    let end = ranges().map(|range| range.end).max().unwrap_or(0);
    start + (end - start) / 2
}

/// The bytes of a column chunk, its dictionary page included. [`parse_footer`](super::parse_footer) has seen to it that
/// they are inside.
pub(super) fn range_of(column: &ColumnChunkMetaData) -> Range<u64> {
    let (start, length) = column.byte_range();
    start..start + length
}

pub(super) fn open_pages_of(column: &ColumnChunkMetaData) -> u64 {
    let bytes = column.uncompressed_size().unsigned_abs();
    let count = |kind: fn(PageType) -> bool| -> u64 {
        let stats = column.page_encoding_stats().into_iter().flatten();
        stats.filter(|stats| kind(stats.page_type)).map(|stats| u64::from(stats.count.unsigned_abs())).sum()
    };
    let data = count(|kind| matches!(kind, PageType::DATA_PAGE | PageType::DATA_PAGE_V2));
    let dictionary = count(|kind| kind == PageType::DICTIONARY_PAGE).min(1);
    // Which of them is the largest is not known: twice the average where there are several.
    if data < 2 { bytes } else { (bytes / data).saturating_mul(2 + dictionary).min(bytes) }
}

/// The roots to read, in the object's order: those that the table names and that are not dropped. Where there are none
/// the smallest stands in, so that the number of rows is what the data says, not what the footer claims.
pub(super) fn wanted(metadata: &ParquetMetaData, roots: &[Root], table: &TableSchema, drop: &[String]) -> Vec<usize> {
    let sources: HashSet<&str> = table.columns.iter().map(|column| column.source.as_str()).collect();
    let wanted: Vec<usize> = (0..roots.len())
        .filter(|&root| sources.contains(roots[root].name.as_str()) && !drop.contains(&roots[root].name))
        .collect();
    if !wanted.is_empty() {
        return wanted;
    }
    let bytes = |root: &usize| -> u64 {
        let leaves = roots[*root].leaves.clone();
        metadata
            .row_groups()
            .iter()
            .flat_map(|group| leaves.clone().map(|leaf| group.column(leaf)))
            .map(|column| column.compressed_size().unsigned_abs())
            .fold(0, u64::saturating_add)
    };
    (0..roots.len()).min_by_key(bytes).into_iter().collect()
}
