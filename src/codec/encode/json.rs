//! jsonl, one object a line, and json, one array with an object a line (RFC 8259).
//!
//! Every column stands in every object, null where it has no value, so that a reader sees the same columns whichever
//! rows it samples. NaN and infinities, which JSON has no text for, are null. 64-bit integers and decimals are numbers
//! with every digit.

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;

use super::value::{Json, Write, push_json_string, writer};

/// How JSON text is written.
pub(super) struct JsonText {
    /// What stands before each column's value: `{"a":`, then `,"b":`.
    names: Vec<Vec<u8>>,
    array: bool,
}

impl JsonText {
    pub(super) fn new(schema: &SchemaRef, array: bool) -> Self {
        let name = |(at, field): (usize, &std::sync::Arc<arrow_schema::Field>)| {
            let mut name = if at == 0 { b"{".to_vec() } else { b",".to_vec() };
            push_json_string(field.name(), &mut name);
            name.push(b':');
            name
        };
        Self { names: schema.fields().iter().enumerate().map(name).collect(), array }
    }

    pub(super) fn lead(&self, first: bool) -> &'static [u8] {
        match (self.array, first) {
            (true, true) => b"[\n",
            (true, false) => b",\n",
            (false, _) => b"",
        }
    }

    pub(super) fn tail(&self) -> &'static [u8] {
        if self.array { b"\n]\n" } else { b"" }
    }

    pub(super) fn encode_batch(&self, batch: &RecordBatch, out: &mut Vec<u8>) {
        let columns: Vec<Write<'_>> = batch.columns().iter().map(|column| writer(column.as_ref(), &Json)).collect();
        let end: &[u8] = if self.array { b"},\n" } else { b"}\n" };
        for row in 0..batch.num_rows() {
            if self.names.is_empty() {
                out.push(b'{');
            }
            for (name, write) in self.names.iter().zip(&columns) {
                out.extend_from_slice(name);
                write(row, out);
            }
            out.extend_from_slice(end);
        }
        if self.array {
            // The comma after the last row stands before the next batch.
            out.truncate(out.len().saturating_sub(2));
        }
    }
}
