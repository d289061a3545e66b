//! Reading: bytes of objects become record batches, every row verified against the table's schema.
//!
//! Text (csv, tsv, json, jsonl) goes in two steps. [`text::TextReader`] decompresses, transcodes and cuts the text into blocks of whole
//! records: serial, and as cheap as it can be. [`RecordDecoder`] turns blocks into batches: all the parsing, on as many threads
//! as there are blocks, in any order.

mod csv;
mod record;
mod rescue;
pub mod text;
mod value;

pub use record::{RecordDecoder, infer};

use std::collections::HashMap;

use arrow::array::BooleanArray;
use arrow::record_batch::RecordBatch;

use super::{BadRecord, DecodeError};
use rescue::Rescued;

/// The text of a bad record, as it is kept: at most [`BadRecord::RAW_BYTES_MAX`] bytes.
fn cut_raw(bytes: &[u8]) -> String {
    // Replacing an invalid byte makes three of it, so the cut comes after.
    let mut text =
        String::from_utf8_lossy(&bytes[..bytes.len().min(BadRecord::RAW_BYTES_MAX)]).into_owned();
    text.truncate(text.floor_char_boundary(BadRecord::RAW_BYTES_MAX));
    text
}

/// A batch less some rows.
fn without_rows<V>(
    batch: RecordBatch,
    rows: &HashMap<usize, V>,
) -> Result<RecordBatch, DecodeError> {
    if rows.is_empty() {
        return Ok(batch);
    }
    let kept: BooleanArray = (0..batch.num_rows())
        .map(|row| Some(!rows.contains_key(&row)))
        .collect();
    arrow::compute::filter_record_batch(&batch, &kept).map_err(|error| DecodeError::Bad {
        reason: error.to_string(),
        position: None,
    })
}
