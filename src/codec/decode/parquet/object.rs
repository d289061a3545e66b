//! The footer of a parquet object, asked for and put together.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parquet::file::metadata::ParquetMetaData;

use super::{FOOTER_BYTES, Footer, bad, parse_footer, schema};
use crate::codec::DecodeError;
use crate::codec::decode::object::{Decode, ObjectOptions, Step};
use crate::model::schema::TableSchema;

/// Reads an object's footer.
pub struct FooterDecoder {
    size: u64,
    footer_bytes_max: u64,
    /// What is still to come of the bytes asked for.
    wanted: Option<Range<u64>>,
    tail: BytesMut,
    /// Whether more was asked for than the usual.
    asked_for_more: bool,
}

impl FooterDecoder {
    /// Of an object of `size` bytes; a footer of more than `footer_bytes_max` is refused.
    pub fn new(size: u64, footer_bytes_max: u64) -> Self {
        Self { size, footer_bytes_max, wanted: None, tail: BytesMut::new(), asked_for_more: false }
    }

    fn ask(&mut self, bytes: u64) -> Step<Arc<ParquetMetaData>> {
        let range = self.size.saturating_sub(bytes)..self.size;
        self.tail.clear();
        self.wanted = Some(range.clone());
        Step::NeedsRange(range)
    }
}

impl Decode<Arc<ParquetMetaData>> for FooterDecoder {
    fn next(&mut self) -> Result<Step<Arc<ParquetMetaData>>, DecodeError> {
        match &self.wanted {
            None => return Ok(self.ask(FOOTER_BYTES)),
            Some(wanted) if !wanted.is_empty() => return Ok(Step::NeedsRange(wanted.clone())),
            Some(_) => {}
        }
        match parse_footer(self.tail.clone().freeze(), self.size, self.footer_bytes_max)? {
            Footer::Done(metadata) => Ok(Step::Ready(metadata)),
            Footer::NeedsTail(_) if self.asked_for_more => Err(bad("the footer gives two lengths of itself")),
            Footer::NeedsTail(bytes) => {
                self.asked_for_more = true;
                Ok(self.ask(bytes))
            }
        }
    }

    fn push(&mut self, bytes: Bytes) {
        if let Some(wanted) = &mut self.wanted {
            wanted.start = if bytes.is_empty() { wanted.end } else { wanted.start + bytes.len() as u64 };
        }
        self.tail.extend_from_slice(&bytes);
    }
}

/// Reads the schema that an object's footer says.
pub(in crate::codec::decode) struct ParquetObjectSchema(FooterDecoder);

impl ParquetObjectSchema {
    pub(in crate::codec::decode) fn new(options: &ObjectOptions) -> Self {
        Self(FooterDecoder::new(options.size, options.record_bytes_max))
    }
}

impl Decode<TableSchema> for ParquetObjectSchema {
    fn next(&mut self) -> Result<Step<TableSchema>, DecodeError> {
        Ok(match self.0.next()? {
            Step::NeedsRange(range) => Step::NeedsRange(range),
            Step::Ready(metadata) => Step::Ready(schema(&metadata)?),
            Step::Finished => Step::Finished,
        })
    }

    fn push(&mut self, bytes: Bytes) {
        self.0.push(bytes);
    }
}
