//! Reading: bytes of objects become record batches, every row verified against the table's schema.
//!
//! Text (csv, tsv, json, jsonl) goes in two steps. [`text::TextReader`] decompresses, transcodes and cuts the text into blocks of whole
//! records: serial, and as cheap as it can be. [`RecordDecoder`] turns blocks into batches: all the parsing, on as many threads
//! as there are blocks, in any order.

mod cast;
mod csv;
pub(in crate::codec) mod json;
pub mod parquet;
mod record;
mod rescue;
#[cfg(test)]
mod tests;
pub mod text;
mod value;

pub use record::{RecordDecoder, infer};

use std::collections::HashMap;

use arrow::array::BooleanArray;
use arrow::record_batch::RecordBatch;

use super::{BadRecord, Block, DecodeError};
use rescue::Rescued;

/// The text of a bad record, as it is kept: at most [`BadRecord::RAW_BYTES_MAX`] bytes.
fn cut_raw(bytes: &[u8]) -> String {
    // Replacing an invalid byte makes three of it, so the cut comes after.
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(BadRecord::RAW_BYTES_MAX)]).into_owned();
    text.truncate(text.floor_char_boundary(BadRecord::RAW_BYTES_MAX));
    text
}

/// Gives a block's bad records, which are in order, their lines: line ends are counted once, however many records are bad.
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

/// A batch less some rows.
fn without_rows<V>(batch: RecordBatch, rows: &HashMap<usize, V>) -> Result<RecordBatch, DecodeError> {
    if rows.is_empty() {
        return Ok(batch);
    }
    let kept: BooleanArray = (0..batch.num_rows()).map(|row| Some(!rows.contains_key(&row))).collect();
    arrow::compute::filter_record_batch(&batch, &kept).map_err(|error| DecodeError::Bad { reason: error.to_string(), position: None })
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
