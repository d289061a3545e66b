//! Text files: batches become text side by side, and blocks of text are compressed side by side.

use std::num::NonZeroU64;

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use rayon::prelude::*;

use super::compress::compress;
use super::csv::CsvText;
use super::json::JsonText;
use super::value::has_text;
use super::{EncodeError, EncodeOptions, batch_bytes};
use crate::model::data_file::FileStatistics;
use crate::model::format::Compression;

/// What a text format makes of batches. Pure: batches may be encoded in any order and on any thread.
pub(super) enum TextFormat {
    Csv(CsvText),
    Json(JsonText),
}

impl TextFormat {
    /// What stands before the rows of a file's first batch, and of the others.
    fn lead(&self, first: bool) -> &[u8] {
        match self {
            TextFormat::Csv(csv) if first => csv.header(),
            TextFormat::Csv(_) => b"",
            TextFormat::Json(json) => json.lead(first),
        }
    }

    /// What stands after the last row of a file.
    fn tail(&self) -> &'static [u8] {
        match self {
            TextFormat::Csv(_) => b"",
            TextFormat::Json(json) => json.tail(),
        }
    }

    /// Adds a batch's rows to `out`.
    fn encode_batch(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            TextFormat::Csv(csv) => csv.encode_batch(batch, out),
            TextFormat::Json(json) => {
                json.encode_batch(batch, out);
                Ok(())
            }
        }
    }
}

/// One text file being written.
pub(super) struct TextEncoder {
    format: TextFormat,
    compression: Compression,
    gathered: Vec<RecordBatch>,
    gathered_bytes: usize,
    gather_bytes: usize,
    rows: u64,
    /// Whether rows were encoded already, and whether the last ones were.
    begun: bool,
    ended: bool,
    /// Text that does not fill a block yet.
    texts: Vec<Vec<u8>>,
    block_bytes: usize,
    /// What is ready to be given out, and the bytes of all that ever was.
    ready: Vec<Bytes>,
    ready_bytes: u64,
}

impl TextEncoder {
    /// Text of one gzip member or zstd frame. Much larger than either's window of recent text (32 KiB, and 2 MiB at
    /// most at this size), so that cutting costs under one per cent, and small enough to keep several cores busy.
    const BLOCK_BYTES_MAX: usize = 1 << 20;
    const BLOCK_BYTES_MIN: usize = 64 << 10;

    /// Rows as records of cells.
    pub(super) fn csv(options: &EncodeOptions, schema: &SchemaRef) -> Result<Self, EncodeError> {
        Self::new(options, schema, |schema| TextFormat::Csv(CsvText::new(options, schema)))
    }

    /// Rows as one array of objects, or as an object a line.
    pub(super) fn json(options: &EncodeOptions, schema: &SchemaRef, array: bool) -> Result<Self, EncodeError> {
        Self::new(options, schema, |schema| TextFormat::Json(JsonText::new(schema, array)))
    }

    fn new(
        options: &EncodeOptions,
        schema: &SchemaRef,
        format: impl FnOnce(&SchemaRef) -> TextFormat,
    ) -> Result<Self, EncodeError> {
        if let Some(field) = schema.fields().iter().find(|field| !has_text(field.data_type())) {
            return Err(EncodeError::Type {
                column: field.name().clone(),
                data_type: field.data_type().clone(),
                format: options.format,
            });
        }
        let file_bytes = options.target_file_bytes.map_or(u64::MAX, NonZeroU64::get);
        let block_bytes =
            usize::try_from(file_bytes).unwrap_or(usize::MAX).clamp(Self::BLOCK_BYTES_MIN, Self::BLOCK_BYTES_MAX);
        Ok(Self {
            format: format(schema),
            compression: options.compression,
            gathered: Vec::new(),
            gathered_bytes: 0,
            gather_bytes: options.gather_bytes(),
            rows: 0,
            begun: false,
            ended: false,
            texts: Vec::new(),
            block_bytes,
            ready: Vec::new(),
            ready_bytes: 0,
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        self.rows += batch.num_rows() as u64;
        self.gathered_bytes += batch_bytes(batch);
        self.gathered.push(batch.clone());
        if self.gathered_bytes < self.gather_bytes {
            return Ok(());
        }
        self.encode_gathered()?;
        self.make_ready(false)
    }

    pub(super) fn gathers(&self, batch: &RecordBatch) -> bool {
        self.gathered_bytes + batch_bytes(batch) < self.gather_bytes
    }

    pub(super) fn end_rows(&mut self) -> Result<(), EncodeError> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        self.encode_gathered()?;
        if !self.begun {
            self.texts.push(self.format.lead(true).to_vec());
        }
        self.texts.push(self.format.tail().to_vec());
        self.make_ready(true)
    }

    pub(super) fn finish<E: From<EncodeError>>(
        mut self,
        take: impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<FileStatistics, E> {
        self.end_rows()?;
        self.give_out(take)?;
        Ok(FileStatistics { rows: self.rows, bytes: self.ready_bytes, ..FileStatistics::default() })
    }

    pub(super) fn give_out<E>(&mut self, take: impl FnMut(Bytes) -> Result<(), E>) -> Result<(), E> {
        self.ready.drain(..).try_for_each(take)
    }

    pub(super) fn encoded_bytes(&self) -> u64 {
        self.ready_bytes
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.gathered_bytes
            + self.texts.iter().map(Vec::capacity).sum::<usize>()
            + self.ready.iter().map(Bytes::len).sum::<usize>()
    }

    fn encode_gathered(&mut self) -> Result<(), EncodeError> {
        let (format, begun) = (&self.format, self.begun);
        let texts: Vec<Vec<u8>> = self
            .gathered
            .par_iter()
            .enumerate()
            .map(|(at, batch)| {
                let lead = format.lead(!begun && at == 0);
                // Text is about as large as the values it shows; what does not fit grows the buffer once or twice.
                let mut text = Vec::with_capacity(lead.len() + batch_bytes(batch) * 5 / 4);
                text.extend_from_slice(lead);
                format.encode_batch(batch, &mut text)?;
                Ok(text)
            })
            .collect::<Result<_, EncodeError>>()?;
        self.begun |= !texts.is_empty();
        self.texts.extend(texts);
        self.gathered.clear();
        self.gathered_bytes = 0;
        Ok(())
    }

    /// Takes what can be given out: all of it without compression and at the file's end, full blocks otherwise.
    fn make_ready(&mut self, end: bool) -> Result<(), EncodeError> {
        let texts: Vec<Vec<u8>> = match self.compression {
            Compression::None => self.texts.drain(..).filter(|text| !text.is_empty()).collect(),
            codec => self
                .full_blocks(end)
                .par_iter()
                .map(|texts| compress(codec, texts))
                .collect::<Result<_, std::io::Error>>()?,
        };
        self.ready_bytes += texts.iter().map(|text| text.len() as u64).sum::<u64>();
        self.ready.extend(texts.into_iter().map(fitted).map(Bytes::from));
        Ok(())
    }

    /// Takes texts off in blocks of at least `block_bytes`; with `end` the last one has what is left.
    fn full_blocks(&mut self, end: bool) -> Vec<Vec<Vec<u8>>> {
        let mut blocks = Vec::new();
        let mut open: Vec<Vec<u8>> = Vec::new();
        for text in self.texts.drain(..) {
            open.push(text);
            if open.iter().map(Vec::len).sum::<usize>() >= self.block_bytes {
                blocks.push(std::mem::take(&mut open));
            }
        }
        if end && open.iter().any(|text| !text.is_empty()) {
            blocks.push(open);
        } else if !end {
            self.texts = open;
        }
        blocks
    }
}

/// Without the room that was guessed too large: it would wait for the upload with what it holds.
fn fitted(mut text: Vec<u8>) -> Vec<u8> {
    if text.capacity() / 5 > text.len() / 4 {
        text.shrink_to_fit();
    }
    text
}
