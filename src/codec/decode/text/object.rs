//! Text objects as [`super::super::object`] wants them read: blocks of whole records are cut one after the other, and
//! decoded side by side.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Step as TextStep, TextOptions, TextReader};
use crate::codec::decode::object::{Decode, ObjectOptions, Part, Step};
use crate::codec::decode::{RecordDecoder, infer};
use crate::codec::{Block, DecodeError, Decoded};
use crate::model::format::TextFormat;
use crate::model::plan::Slice;
use crate::model::schema::{TableSchema, merge};

/// Bytes in which a sliced csv object's first record nearly always lies: thousands of column names. What comes before a
/// longer one is read too.
const HEADER_BYTES: u64 = 1 << 20;

/// Stored bytes of an object that its schema is inferred from: some thousand rows of most tables, one small request.
const SAMPLE_BYTES: u64 = 1 << 20;

/// Bytes of a sample's blocks: small beside the sample, so that a cut record at its end costs little of it.
const SAMPLE_BLOCK_BYTES: usize = 64 << 10;

fn text_options(format: TextFormat, options: &ObjectOptions, block_bytes: usize) -> TextOptions {
    TextOptions {
        format,
        csv: options.csv.clone(),
        compression: options.compression,
        slice: options.slice,
        block_bytes,
        record_bytes_max: usize::try_from(options.record_bytes_max).unwrap_or(usize::MAX),
        zstd_window_max: options.zstd_window_max,
    }
}

/// A text reader and the bytes that it has not been fed.
struct Feed {
    reader: TextReader,
    left: Range<u64>,
    /// Whether the bytes were asked for: an empty object is too, since it may have changed.
    asked: bool,
}

/// What a text reader came to.
enum Fed {
    Block(Block),
    NeedsRange(Range<u64>),
    Finished,
}

impl Feed {
    fn new(options: TextOptions, end: u64) -> Result<Self, DecodeError> {
        let left = options.first_byte()..end;
        Ok(Self { reader: TextReader::new(options)?, left, asked: false })
    }

    fn next(&mut self) -> Result<Fed, DecodeError> {
        loop {
            match self.reader.next()? {
                TextStep::Block(block) => return Ok(Fed::Block(block)),
                TextStep::Finished => return Ok(Fed::Finished),
                TextStep::NeedsData if self.asked && self.left.is_empty() => self.reader.end(),
                TextStep::NeedsData => {
                    self.asked = true;
                    return Ok(Fed::NeedsRange(self.left.clone()));
                }
            }
        }
    }

    fn push(&mut self, bytes: Bytes) {
        self.left.start = if bytes.is_empty() { self.left.end } else { self.left.start + bytes.len() as u64 };
        if !bytes.is_empty() {
            self.reader.feed(bytes);
        }
    }
}

/// Cuts an object, or a slice of it, into blocks.
pub(in crate::codec::decode) struct TextObject {
    format: TextFormat,
    options: ObjectOptions,
    table: Arc<TableSchema>,
    /// Reads the first record of a csv object whose slice begins behind it.
    header: Option<Feed>,
    columns: Option<Vec<String>>,
    feed: Feed,
    decoder: Option<Arc<RecordDecoder>>,
}

impl TextObject {
    pub(in crate::codec::decode) fn new(
        format: TextFormat,
        options: ObjectOptions,
        table: Arc<TableSchema>,
    ) -> Result<Self, DecodeError> {
        let header = match (format, options.slice) {
            (TextFormat::Delimited(_), Some(Slice::Bytes { start, .. })) if start > 0 => {
                let whole = ObjectOptions { slice: None, ..options.clone() };
                // The first record is enough.
                Some(Feed::new(text_options(format, &whole, 1), options.size)?)
            }
            _ => None,
        };
        let feed = Feed::new(text_options(format, &options, TextOptions::BLOCK_BYTES), options.size)?;
        Ok(Self { format, options, table, header, columns: None, feed, decoder: None })
    }

    fn decoder(&mut self) -> Result<Arc<RecordDecoder>, DecodeError> {
        if let Some(decoder) = &self.decoder {
            return Ok(Arc::clone(decoder));
        }
        let decoder = RecordDecoder::new(
            self.format,
            &self.options.csv,
            self.columns.as_deref().or(self.feed.reader.header()),
            Arc::clone(&self.table),
            &self.options.drop,
            self.options.rows_per_batch,
        )?;
        Ok(Arc::clone(self.decoder.insert(Arc::new(decoder))))
    }
}

impl Decode<Box<dyn Part>> for TextObject {
    fn next(&mut self) -> Result<Step<Box<dyn Part>>, DecodeError> {
        if let Some(header) = &mut self.header {
            match header.next()? {
                Fed::NeedsRange(range) => {
                    let end = if range.start < HEADER_BYTES { range.end.min(HEADER_BYTES) } else { range.end };
                    return Ok(Step::NeedsRange(range.start..end));
                }
                Fed::Block(_) | Fed::Finished => {
                    self.columns = header.reader.header().map(<[String]>::to_vec);
                    self.header = None;
                }
            }
        }
        Ok(match self.feed.next()? {
            Fed::Block(block) => Step::Ready(Box::new(TextPart { decoder: self.decoder()?, block })),
            Fed::NeedsRange(range) => Step::NeedsRange(range),
            Fed::Finished => Step::Finished,
        })
    }

    fn push(&mut self, bytes: Bytes) {
        self.header.as_mut().unwrap_or(&mut self.feed).push(bytes);
    }
}

/// A block.
struct TextPart {
    decoder: Arc<RecordDecoder>,
    block: Block,
}

impl Part for TextPart {
    fn decode(self: Box<Self>) -> Result<(Decoded, Option<Box<dyn Part>>), DecodeError> {
        Ok((self.decoder.decode(&self.block)?, None))
    }
}

/// Infers the schema of an object from its first bytes.
pub(in crate::codec::decode) struct TextObjectSchema {
    format: TextFormat,
    options: ObjectOptions,
    feed: Feed,
    merged: Option<TableSchema>,
    given: bool,
}

impl TextObjectSchema {
    pub(in crate::codec::decode) fn new(format: TextFormat, options: ObjectOptions) -> Result<Self, DecodeError> {
        let feed = Feed::new(text_options(format, &options, SAMPLE_BLOCK_BYTES), options.size.min(SAMPLE_BYTES))?;
        Ok(Self { format, options, feed, merged: None, given: false })
    }

    fn given(&mut self) -> Step<TableSchema> {
        self.given = true;
        self.merged.take().map_or(Step::Finished, Step::Ready)
    }
}

impl Decode<TableSchema> for TextObjectSchema {
    fn next(&mut self) -> Result<Step<TableSchema>, DecodeError> {
        if self.given {
            return Ok(Step::Finished);
        }
        let is_cut = self.options.size > SAMPLE_BYTES;
        loop {
            // Where the sample is cut the text does not end.
            let step = match self.feed.reader.next() {
                Ok(TextStep::NeedsData) if is_cut && self.feed.asked && self.feed.left.is_empty() => Ok(Fed::Finished),
                Ok(TextStep::NeedsData) => self.feed.next(),
                Ok(TextStep::Block(block)) => Ok(Fed::Block(block)),
                Ok(TextStep::Finished) => Ok(Fed::Finished),
                Err(error) => Err(error),
            };
            match step {
                Ok(Fed::Block(block)) => {
                    let schema = infer(self.format, &self.options.csv, self.feed.reader.header(), &block)?;
                    self.merged = Some(self.merged.take().map_or(schema.clone(), |known| merge(&known, &schema)));
                }
                Ok(Fed::NeedsRange(range)) => return Ok(Step::NeedsRange(range)),
                Ok(Fed::Finished) => return Ok(self.given()),
                // The cut end of a sample may look broken; what came before it counts.
                Err(_) if is_cut && self.merged.is_some() => return Ok(self.given()),
                Err(error) => return Err(error),
            }
        }
    }

    fn push(&mut self, bytes: Bytes) {
        self.feed.push(bytes);
    }
}
