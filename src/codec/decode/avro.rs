//! Avro object containers: the header gives the schema, and each block behind it is decompressed and decoded by itself.
//!
//! Of the arrow-avro crate one thing is used: its decoder of one record after the other. Its reader of containers takes
//! an object that is cut off for one that ends, goes round for ever in a block that is longer than its records, loses
//! records without bytes, and inflates without a bound; so containers are read here ([`container`], [`codec`]). What
//! the crate is given as a schema is in [`schema`], what becomes of its arrays in [`values`].

mod codec;
mod container;
mod schema;
#[cfg(test)]
mod tests;
mod values;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};
use arrow_avro::errors::AvroError;
use arrow_avro::reader::{Decoder, DecoderMode, ReaderBuilder};
use arrow_avro::schema::SchemaStore;
use arrow_schema::ArrowError;
use bytes::{Bytes, BytesMut};

use self::codec::Limits;
use self::container::{Block, Header, take_header};
use self::schema::AvroSchema;
use super::columns::{Columns, Incoming, Place};
use super::none_declared;
use super::object::{Decode, ObjectOptions, Part, Step};
use crate::codec::caught::caught;
use crate::codec::{DecodeError, Decoded, Position};
use crate::model::schema::TableSchema;

/// Bytes that are asked for first: the headers of most objects are smaller.
const HEADER_BYTES: u64 = 64 << 10;

/// Stored bytes at which a part ends, with the block that reaches them: blocks have 16 to 64 KiB in most objects, and a
/// part inflates to some megabytes.
const PART_BYTES: u64 = 512 << 10;

/// Bytes of arrays that a batch aims at.
const BATCH_BYTES: u64 = 16 << 20;

/// Records of a block that have no bytes at all: nothing else bounds their number.
const WEIGHTLESS_RECORDS_MAX: u64 = 1 << 20;

fn bad(reason: impl Into<String>) -> DecodeError {
    DecodeError::Bad { reason: reason.into(), position: None }
}

fn bad_at(offset: u64, reason: impl Into<String>) -> DecodeError {
    DecodeError::Bad { reason: reason.into(), position: Some(Position { line: None, offset }) }
}

/// The bytes of an object from its start on, as far as they came.
struct Input {
    size: u64,
    /// What was handed in and not taken yet.
    bytes: BytesMut,
    handed_in: u64,
}

impl Input {
    fn new(size: u64) -> Self {
        Self { size, bytes: BytesMut::new(), handed_in: 0 }
    }

    fn push(&mut self, bytes: &Bytes) {
        self.handed_in = if bytes.is_empty() { self.size } else { self.handed_in + bytes.len() as u64 };
        self.bytes.extend_from_slice(bytes);
    }

    /// Where the bytes that are left begin in the object.
    fn offset(&self) -> u64 {
        self.handed_in - self.bytes.len() as u64
    }

    fn has_ended(&self) -> bool {
        self.handed_in >= self.size
    }
}

/// Reads the schema of an object from its header.
pub(super) struct AvroObjectSchema {
    input: Input,
    begun: bool,
    options: ObjectOptions,
}

impl AvroObjectSchema {
    pub(super) fn new(options: ObjectOptions) -> Self {
        Self { input: Input::new(options.size), begun: false, options }
    }
}

impl Decode<TableSchema> for AvroObjectSchema {
    fn next(&mut self) -> Result<Step<TableSchema>, DecodeError> {
        if !self.begun {
            self.begun = true;
            return Ok(Step::NeedsRange(0..self.options.size.min(HEADER_BYTES)));
        }
        match take_header(&mut self.input.bytes, self.options.record_bytes_max)? {
            // One without rows decides no type and adds no column.
            Some(_) if self.input.offset() == self.options.size => Ok(Step::Ready(TableSchema::default())),
            Some(header) => Ok(Step::Ready(AvroSchema::parse(&header.schema, self.options.record_bytes_max)?.table())),
            None if self.input.has_ended() => Err(bad("it is cut off in its header")),
            None => {
                let at = self.input.handed_in;
                Ok(Step::NeedsRange(at..self.options.size.min(at.saturating_mul(2).max(HEADER_BYTES))))
            }
        }
    }

    fn push(&mut self, bytes: Bytes) {
        self.input.push(&bytes);
    }
}

/// Cuts an object into parts of some blocks each.
pub(super) struct AvroObject {
    input: Input,
    options: ObjectOptions,
    table: Arc<TableSchema>,
    begun: bool,
    opened: Option<Arc<Opened>>,
    /// The blocks of the next part, and the bytes that they are stored in.
    blocks: VecDeque<Block>,
    block_bytes: u64,
    /// The table cannot hold the object, which was said.
    ended: bool,
}

/// What the header says, for every part.
struct Opened {
    header: Header,
    schema: AvroSchema,
    columns: Columns,
    limits: Limits,
    rows_per_batch: usize,
    /// Decoders that wait for the next part: making one takes as long as decoding some thousand values.
    decoders: Mutex<Vec<Decoder>>,
}

impl AvroObject {
    pub(super) fn new(options: ObjectOptions, table: Arc<TableSchema>) -> Self {
        let input = Input::new(options.size);
        let (opened, blocks) = (None, VecDeque::new());
        Self { input, options, table, begun: false, opened, blocks, block_bytes: 0, ended: false }
    }

    fn open(&self, header: Header) -> Result<Opened, DecodeError> {
        let options = &self.options;
        let schema = AvroSchema::parse(&header.schema, options.record_bytes_max)?;
        let incoming: Vec<Incoming<'_>> =
            schema.columns.iter().map(|(name, carried)| Incoming { name, carried }).collect();
        let all: Vec<usize> = (0..incoming.len()).collect();
        let columns = Columns::new(&incoming, &all, &self.table, &options.drop, false)?;
        let row_bytes = schema.row_bytes.max(1);
        let fit = usize::try_from(BATCH_BYTES / row_bytes).unwrap_or(usize::MAX).max(1);
        Ok(Opened {
            rows_per_batch: options.rows_per_batch.max(1).min(fit),
            limits: Limits { block_bytes: options.record_bytes_max, zstd_window: options.zstd_window_max },
            decoders: Mutex::default(),
            header,
            schema,
            columns,
        })
    }

    /// The part of the blocks that were gathered.
    fn part(&mut self, opened: &Arc<Opened>) -> Result<Box<dyn Part>, DecodeError> {
        let names = opened.schema.columns.iter().map(|(name, _)| name.as_str());
        if let Some(error) = none_declared(&self.table, names) {
            return Err(error);
        }
        self.block_bytes = 0;
        self.ended = opened.columns.mismatch().is_some();
        let blocks = std::mem::take(&mut self.blocks);
        Ok(Box::new(AvroPart { opened: Arc::clone(opened), blocks, current: None }))
    }
}

impl Decode<Box<dyn Part>> for AvroObject {
    fn next(&mut self) -> Result<Step<Box<dyn Part>>, DecodeError> {
        if self.ended {
            return Ok(Step::Finished);
        }
        let needed = |input: &Input| Ok(Step::NeedsRange(input.handed_in..input.size));
        if !self.begun {
            self.begun = true;
            return needed(&self.input);
        }
        let opened = match &self.opened {
            Some(opened) => Arc::clone(opened),
            None => match take_header(&mut self.input.bytes, self.options.record_bytes_max)? {
                Some(header) => Arc::clone(self.opened.insert(Arc::new(self.open(header)?))),
                None if self.input.has_ended() => return Err(bad("it is cut off in its header")),
                None => return needed(&self.input),
            },
        };
        loop {
            let offset = self.input.offset();
            let before = self.input.bytes.len();
            let block = opened.header.take_block(&mut self.input.bytes, offset, opened.limits.block_bytes);
            match block {
                Ok(Some(block)) if block.count == 0 && block.data.is_empty() => {}
                Ok(Some(block)) => {
                    self.block_bytes += (before - self.input.bytes.len()) as u64;
                    self.blocks.push_back(block);
                    if self.block_bytes >= PART_BYTES {
                        return self.part(&opened).map(Step::Ready);
                    }
                }
                Ok(None) if !self.input.has_ended() => return needed(&self.input),
                // What stands before the end, or an error, is whole.
                _ if !self.blocks.is_empty() => return self.part(&opened).map(Step::Ready),
                Ok(None) if before == 0 => return Ok(Step::Finished),
                Ok(None) => return Err(bad_at(offset, "the object is cut off in a block")),
                Err(error) => return Err(error),
            }
        }
    }

    fn push(&mut self, bytes: Bytes) {
        self.input.push(&bytes);
    }
}

/// Some blocks of an object.
struct AvroPart {
    opened: Arc<Opened>,
    blocks: VecDeque<Block>,
    current: Option<Current>,
}

/// The block under way.
struct Current {
    offset: u64,
    data: Bytes,
    /// Bytes of it that are decoded.
    at: usize,
    records: u64,
    records_left: u64,
}

impl Part for AvroPart {
    fn decode(mut self: Box<Self>) -> Result<(Decoded, Option<Box<dyn Part>>), DecodeError> {
        if let Some(schema) = self.opened.columns.mismatch() {
            return Ok((Decoded { mismatch: Some(schema.clone()), ..Decoded::default() }, None));
        }
        // After an error nothing of this is used again: that is what `caught` asks for.
        let decoded = caught(|| self.batch())?;
        let is_done = self.current.is_none() && self.blocks.is_empty();
        Ok((decoded, (!is_done).then_some(self as Box<dyn Part>)))
    }
}

impl AvroPart {
    /// The next batch: as many records as a batch has, or fewer where they are large, or at the part's end.
    fn batch(&mut self) -> Result<Decoded, DecodeError> {
        let opened = Arc::clone(&self.opened);
        let mut decoder = opened.take_decoder()?;
        // Lists and maps in so many bytes fill a batch, and in so many bytes a record fills the memory there is.
        let batch_bytes = BATCH_BYTES / opened.schema.growth;
        let record_bytes = usize::try_from(opened.limits.block_bytes / opened.schema.growth).unwrap_or(usize::MAX);
        let (mut rows, mut bytes) = (0, 0);
        // By the batch's first row of each block: where the block begins, and the record's ordinal in it.
        let mut places: Vec<(usize, u64, u64)> = Vec::new();
        while rows < opened.rows_per_batch && bytes < batch_bytes.max(1) {
            let Some(block) = self.block()? else { break };
            places.push((rows, block.offset, block.records - block.records_left));
            while block.records_left > 0 && rows < opened.rows_per_batch && bytes < batch_bytes.max(1) {
                let ordinal = block.records - block.records_left;
                let rest = &block.data[block.at..];
                let allowed = &rest[..rest.len().min(record_bytes)];
                let used = decoder.decode(allowed).map_err(|error| match error {
                    error if allowed.len() < rest.len() && ends_early(&error) => DecodeError::TooLarge {
                        what: "one record".to_owned(),
                        needed: (allowed.len() as u64 + 1).saturating_mul(opened.schema.growth),
                        allowed: opened.limits.block_bytes,
                        position: Some(Position { line: None, offset: block.offset }),
                    },
                    error => bad_at(block.offset, format!("record {ordinal} of the block cannot be read: {error}")),
                })?;
                block.at += used;
                block.records_left -= 1;
                bytes += used as u64;
                rows += 1;
            }
            if block.records_left == 0 {
                let more = block.data.len() - block.at;
                if more > 0 {
                    let what = format!("the block has {more} bytes behind its {} records", block.records);
                    return Err(bad_at(block.offset, what));
                }
                self.current = None;
            }
        }
        let first = places.first().map_or(0, |(_, offset, _)| *offset);
        let unreadable =
            |error: ArrowError| bad_at(first, format!("the records from this block on cannot be read: {error}"));
        let batch = decoder.flush().map_err(|error| unreadable(error.into()))?;
        opened.give_back(decoder);
        let Some(batch) = batch else { return Ok(Decoded::default()) };
        let arrays = opened.carried(&batch).map_err(unreadable)?;
        let place = |row: usize| {
            let (row_of, offset, ordinal) = places[places.partition_point(|(first, ..)| *first <= row) - 1];
            Place { row: format!("record {} of the block", ordinal + (row - row_of) as u64), offset }
        };
        opened.columns.decoded(&arrays, batch.num_rows(), place)
    }

    /// The block under way, or the next one, inflated.
    fn block(&mut self) -> Result<Option<&mut Current>, DecodeError> {
        if self.current.is_none() {
            let Some(Block { offset, count, data }) = self.blocks.pop_front() else { return Ok(None) };
            let data = self.opened.header.codec.inflate(&data, offset, self.opened.limits)?;
            let most = if self.opened.schema.is_weightless {
                WEIGHTLESS_RECORDS_MAX.max(data.len() as u64)
            } else {
                data.len() as u64
            };
            if count > most {
                return Err(bad_at(
                    offset,
                    format!("the block says that it has {count} records in {} bytes", data.len()),
                ));
            }
            self.current = Some(Current { offset, data, at: 0, records: count, records_left: count });
        }
        Ok(self.current.as_mut())
    }
}

impl Opened {
    fn take_decoder(&self) -> Result<Decoder, DecodeError> {
        let waiting = self.decoders.lock().unwrap_or_else(PoisonError::into_inner).pop();
        waiting.map_or_else(|| new_decoder(&self.schema.json, self.rows_per_batch), Ok)
    }

    /// Nothing of its last batch is left in it.
    fn give_back(&self, decoder: Decoder) {
        self.decoders.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
    }

    fn carried(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
        let columns = batch.columns().iter().zip(&self.schema.columns);
        columns.map(|(array, (_, carried))| values::carried(array, carried)).collect()
    }
}

/// Whether a record needs more bytes than it was given.
fn ends_early(error: &AvroError) -> bool {
    match error {
        AvroError::EOF(_) => true,
        // A number that is cut off has no kind of its own.
        AvroError::ParseError(reason) => reason == "bad varint",
        _ => false,
    }
}

/// The crate's decoder of single records of a schema.
fn new_decoder(schema: &str, rows_per_batch: usize) -> Result<Decoder, DecodeError> {
    let unreadable = |error: ArrowError| bad(format!("its schema cannot be read: {error}"));
    let mut store = SchemaStore::new();
    let schema = arrow_avro::schema::AvroSchema::new(schema.to_owned());
    let fingerprint = store.register(schema).map_err(unreadable)?;
    ReaderBuilder::new()
        .with_batch_size(rows_per_batch)
        .with_writer_schema_store(store)
        .with_active_fingerprint(fingerprint)
        .with_decoder_mode(DecoderMode::UnframedDatum)
        .build_decoder()
        .map_err(unreadable)
}
