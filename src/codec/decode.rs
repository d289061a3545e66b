//! Reading: bytes of objects become record batches, every row verified against the table's schema.
//!
//! Text (csv, tsv, json, jsonl) goes in two steps. [`text::TextReader`] decompresses, transcodes and cuts the text into
//! blocks of whole records: serial, and as cheap as it can be. [`RecordDecoder`] turns blocks into batches: all the
//! parsing, on as many threads as there are blocks, in any order.

mod avro;
mod cast;
mod columns;
mod csv;
pub(in crate::codec) mod json;
pub mod object;
pub mod parquet;
mod record;
mod rescue;
#[cfg(test)]
mod tests;
pub mod text;
mod value;

pub use record::{RecordDecoder, infer};

use std::collections::{HashMap, HashSet};

use arrow::array::BooleanArray;
use arrow::record_batch::RecordBatch;

use super::{BadRecord, Block, DecodeError};
use crate::model::schema::{TableSchema, Unknown};
use rescue::Rescued;

/// The text of a bad record, as it is kept: at most [`BadRecord::RAW_BYTES_MAX`] bytes.
fn cut_raw(bytes: &[u8]) -> String {
    // Replacing an invalid byte makes three of it, so the cut comes after.
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(BadRecord::RAW_BYTES_MAX)]).into_owned();
    text.truncate(text.floor_char_boundary(BadRecord::RAW_BYTES_MAX));
    text
}

/// Gives a block's bad records, which are in order, their lines: line ends are counted once, however many records are
/// bad.
fn number_lines(block: &Block, bad: &mut [BadRecord]) {
    if block.line == 0 {
        return;
    }
    let (mut at, mut line) = (0, block.line);
    for bad in bad {
        let start = (bad.position.offset - block.offset) as usize;
        line += block.line_end.count(&block.bytes[at..start]);
        at = start;
        bad.position.line = Some(line);
    }
}

/// What is wrong with an object of such columns whose table declares its own, where it has none of them: its rows would
/// be nulls alone.
fn none_declared<'a>(table: &TableSchema, columns: impl Iterator<Item = &'a str>) -> Option<DecodeError> {
    // As many as show what kind of object it is.
    const SHOWN: usize = 5;
    const CHARS_MAX: usize = 40;
    let columns: HashSet<&str> = columns.collect();
    let declared = || table.columns.iter().map(|column| column.source.as_str());
    if table.unknown != Unknown::Ignore
        || declared().next().is_none()
        || declared().any(|column| columns.contains(column))
    {
        return None;
    }
    let shown = |names: Vec<&str>| {
        let first: Vec<String> = names.iter().take(SHOWN).map(|name| name.chars().take(CHARS_MAX).collect()).collect();
        format!("{}{}", first.join(", "), if names.len() > SHOWN { " and others" } else { "" })
    };
    let mut columns: Vec<&str> = columns.into_iter().collect();
    columns.sort_unstable();
    let (declared, columns) = (shown(declared().collect()), shown(columns));
    let reason = format!(
        "it has none of the columns that schema.columns declares ({declared}), but {columns}: name them as the object does (from), \
         or leave it out (source.exclude)"
    );
    Some(DecodeError::Bad { reason, position: None })
}

/// A batch less some rows.
fn without_rows<V>(batch: RecordBatch, rows: &HashMap<usize, V>) -> Result<RecordBatch, DecodeError> {
    if rows.is_empty() {
        return Ok(batch);
    }
    let kept: BooleanArray = (0..batch.num_rows()).map(|row| Some(!rows.contains_key(&row))).collect();
    arrow::compute::filter_record_batch(&batch, &kept)
        .map_err(|error| DecodeError::Bad { reason: error.to_string(), position: None })
}

/// Most texts are short: a copy of a fixed length, cut afterwards, costs two instructions instead of a call.
const SHORT: usize = 32;

#[inline]
fn append(values: &mut Vec<u8>, data: &[u8], range: std::ops::Range<usize>) {
    match data.get(range.start..).and_then(|rest| rest.first_chunk::<SHORT>()) {
        Some(chunk) if range.len() <= SHORT => {
            let end = values.len() + range.len();
            values.extend_from_slice(chunk);
            values.truncate(end);
        }
        _ => values.extend_from_slice(&data[range]),
    }
}
