//! csv, tsv, json and jsonl objects: bytes are fetched ahead, cut into blocks in order, and the blocks are decoded side
//! by side.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::stream::{FuturesOrdered, StreamExt};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::{Output, ReadError, Reader};
use crate::codec::compression::detect;
use crate::codec::decode::RecordDecoder;
use crate::codec::decode::text::{Step, TextOptions, TextReader};
use crate::codec::{Block, DecodeError, Decoded};
use crate::model::format::{Compression, TextFormat};
use crate::model::plan::{PlannedObject, Slice};
use crate::model::schema::TableSchema;
use crate::pipeline::fetch::Fetch;

/// Blocks cut in one visit to the pool: enough to be worth the way, few enough to bound what a small input can grow to.
const BLOCKS_A_VISIT: usize = 4;

/// Objects up to this size are fetched whole before they are cut: one or two blocks, with nothing to do side by side.
const SMALL_BYTES_MAX: u64 = TextOptions::BLOCK_BYTES as u64;

/// Bytes of an object that is decoded where its bytes arrive: some 100 µs at 300 MB/s, which is what the way to the
/// pool and back costs on a busy machine.
const DECODED_IN_PLACE_BYTES_MAX: usize = 32 << 10;

/// Bytes in which a sliced csv object's first record nearly always lies: thousands of column names. What comes before a
/// longer one is read too.
const HEADER_BYTES: u64 = 1 << 20;

/// Why a visit to the text reader ended.
enum Visit {
    Hungry,
    Full,
    Finished,
}

impl Reader {
    /// The options by which an object's text is cut.
    pub(crate) fn text_options(&self, planned: &PlannedObject, format: TextFormat) -> TextOptions {
        TextOptions {
            format,
            csv: self.settings.source.csv.clone(),
            compression: self.settings.source.compression,
            slice: planned.slice,
            block_bytes: TextOptions::BLOCK_BYTES,
            record_bytes_max: usize::try_from(self.budget.record_bytes_max).unwrap_or(usize::MAX),
            zstd_window_max: self.budget.zstd_window_max,
        }
    }

    pub(super) async fn read_text(
        &self,
        planned: &PlannedObject,
        format: TextFormat,
        table: Arc<TableSchema>,
        output: &mut Output,
    ) -> Result<(), ReadError> {
        let options = self.text_options(planned, format);
        let range = options.first_byte()..planned.object.size;
        let elsewhere = self.columns_before(planned, format).await?;
        let mut fetch = if planned.slice.is_none() && planned.object.size <= SMALL_BYTES_MAX {
            let bytes = self.get(planned, None).await?;
            if detect(self.settings.source.compression, &bytes) == Compression::None {
                return self.read_small(planned, options, table, bytes, output).await;
            }
            Fetch::done(bytes)
        } else {
            Fetch::start(Arc::clone(&self.source), planned.object.clone(), range)
        };
        let mut reader = TextReader::new(options).map_err(|error| ReadError::of_decode(planned, error))?;
        let mut decoder: Option<Arc<RecordDecoder>> = None;
        let mut decoding = FuturesOrdered::new();
        loop {
            match fetch.next().await {
                Some(bytes) => {
                    let bytes = bytes.map_err(|error| ReadError::of_store(planned, error))?;
                    self.taken_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    reader.feed(bytes);
                }
                None => reader.end(),
            }
            loop {
                let (back, blocks, visit) = self.pool.run(move || visit(reader)).await;
                reader = back;
                for block in blocks {
                    let decoder = match &decoder {
                        Some(decoder) => Arc::clone(decoder),
                        None => {
                            let columns = elsewhere.as_deref().or(reader.header());
                            let new = self
                                .decoder(columns, format, &table)
                                .map_err(|error| ReadError::of_decode(planned, error))?;
                            Arc::clone(decoder.insert(Arc::new(new)))
                        }
                    };
                    if decoding.len() >= self.budget.blocks_at_once
                        && let Some(decoded) = decoding.next().await
                    {
                        self.finish_block(planned, decoded, output).await?;
                    }
                    // A task of its own, so that it goes on while this one waits for bytes.
                    let pool = self.pool.clone();
                    decoding.push_back(AbortOnDropHandle::new(tokio::spawn(async move {
                        pool.run(move || decoder.decode(&block)).await
                    })));
                }
                match visit.map_err(|error| ReadError::of_decode(planned, error))? {
                    Visit::Full => {}
                    Visit::Hungry => break,
                    Visit::Finished => {
                        while let Some(decoded) = decoding.next().await {
                            self.finish_block(planned, decoded, output).await?;
                        }
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Cuts and decodes an object of a block or two in one step. Each way to the pool costs more than decoding the 10
    /// KB of many objects.
    async fn read_small(
        &self,
        planned: &PlannedObject,
        options: TextOptions,
        table: Arc<TableSchema>,
        bytes: Bytes,
        output: &mut Output,
    ) -> Result<(), ReadError> {
        self.taken_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let in_place = bytes.len() <= DECODED_IN_PLACE_BYTES_MAX;
        let this = self.clone();
        let decode = move || {
            let mut decoded = Vec::new();
            let ended = this.decode_all(options, bytes, &table, &mut decoded);
            (decoded, ended)
        };
        let (decoded, ended) = if in_place { decode() } else { self.pool.run(decode).await };
        // Blocks before an error are whole, and may hold one that comes first.
        for block in decoded {
            self.emit(planned, block, output).await?;
        }
        ended.map_err(|error| ReadError::of_decode(planned, error))
    }

    fn decode_all(
        &self,
        options: TextOptions,
        bytes: Bytes,
        table: &Arc<TableSchema>,
        decoded: &mut Vec<Decoded>,
    ) -> Result<(), DecodeError> {
        let format = options.format;
        let mut reader = TextReader::new(options)?;
        reader.feed(bytes);
        reader.end();
        let mut decoder: Option<RecordDecoder> = None;
        while let Step::Block(block) = reader.next()? {
            let decoder = match &decoder {
                Some(decoder) => decoder,
                None => decoder.insert(self.decoder(reader.header(), format, table)?),
            };
            decoded.push(decoder.decode(&block)?);
        }
        Ok(())
    }

    /// The columns of a csv object whose slice begins behind its header, read from the object's start.
    async fn columns_before(
        &self,
        planned: &PlannedObject,
        format: TextFormat,
    ) -> Result<Option<Vec<String>>, ReadError> {
        match planned.slice {
            Some(Slice::Bytes { start, .. }) if start > 0 && matches!(format, TextFormat::Delimited(_)) => {}
            _ => return Ok(None),
        }
        let whole = PlannedObject { slice: None, ..planned.clone() };
        // The first record is enough.
        let options = TextOptions { block_bytes: 1, ..self.text_options(&whole, format) };
        let mut reader = TextReader::new(options).map_err(|error| ReadError::of_decode(planned, error))?;
        let size = planned.object.size;
        let fetched = |range| Fetch::start(Arc::clone(&self.source), planned.object.clone(), range);
        let mut fetch = fetched(0..size.min(HEADER_BYTES));
        let mut rest = (size > HEADER_BYTES).then_some(HEADER_BYTES..size);
        loop {
            match reader.next().map_err(|error| ReadError::of_decode(planned, error))? {
                Step::NeedsData => match fetch.next().await {
                    Some(bytes) => reader.feed(bytes.map_err(|error| ReadError::of_store(planned, error))?),
                    None => match rest.take() {
                        Some(range) => fetch = fetched(range),
                        None => reader.end(),
                    },
                },
                Step::Block(_) | Step::Finished => return Ok(reader.header().map(<[String]>::to_vec)),
            }
        }
    }

    async fn finish_block(
        &self,
        planned: &PlannedObject,
        decoded: Result<Result<Decoded, DecodeError>, JoinError>,
        output: &mut Output,
    ) -> Result<(), ReadError> {
        let decoded = decoded.expect("decoders neither panic nor are cancelled while they are awaited");
        self.emit(planned, decoded.map_err(|error| ReadError::of_decode(planned, error))?, output).await
    }

    pub(crate) fn decoder(
        &self,
        columns: Option<&[String]>,
        format: TextFormat,
        table: &Arc<TableSchema>,
    ) -> Result<RecordDecoder, DecodeError> {
        RecordDecoder::new(
            format,
            &self.settings.source.csv,
            columns,
            Arc::clone(table),
            &self.settings.schema.drop,
            self.settings.worker.rows_per_batch,
        )
    }
}

/// Takes what blocks the reader has, a few at most. Blocks found before an error come back with it: they are whole.
fn visit(mut reader: TextReader) -> (TextReader, Vec<Block>, Result<Visit, DecodeError>) {
    let mut blocks = Vec::new();
    while blocks.len() < BLOCKS_A_VISIT {
        match reader.next() {
            Ok(Step::Block(block)) => blocks.push(block),
            Ok(Step::NeedsData) => return (reader, blocks, Ok(Visit::Hungry)),
            Ok(Step::Finished) => return (reader, blocks, Ok(Visit::Finished)),
            Err(error) => return (reader, blocks, Err(error)),
        }
    }
    (reader, blocks, Ok(Visit::Full))
}
