//! The driver of decoders: fetches what a decoder asks for, ahead of it, and decodes the parts that it gives side by
//! side.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::stream::{FuturesOrdered, StreamExt};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::{Output, ReadError, Reader};
use crate::codec::compression::detect;
use crate::codec::decode::object::{self, ObjectDecoder, ObjectOptions, Part, Step};
use crate::codec::decode::text::TextOptions;
use crate::codec::{DecodeError, Decoded};
use crate::model::format::{Compression, Decoding};
use crate::model::plan::PlannedObject;
use crate::model::schema::TableSchema;
use crate::pipeline::fetch::Fetch;
use crate::store::StoreError;

/// Parts cut in one visit to the pool: enough to be worth the way, few enough to bound what a small input can grow to.
const PARTS_A_VISIT: usize = 4;

/// Objects up to this size are fetched whole before they are cut: one or two blocks, with nothing to do side by side.
const SMALL_BYTES_MAX: u64 = TextOptions::BLOCK_BYTES as u64;

/// Bytes of an object that is decoded where its bytes arrive: some 100 µs at 300 MB/s, which is what the way to the
/// pool and back costs on a busy machine.
const DECODED_IN_PLACE_BYTES_MAX: usize = 32 << 10;

type DecodedPart = Result<(Decoded, Option<Box<dyn Part>>), DecodeError>;

/// Why a visit to the decoder ended.
enum Visit {
    NeedsRange(Range<u64>),
    Full,
    Finished,
}

/// The bytes of an object: ranges that go on where the last one ended are one stretch, which is fetched ahead.
struct Source<'a> {
    reader: &'a Reader,
    planned: &'a PlannedObject,
    /// All of it, where it is here already.
    whole: Option<Bytes>,
    /// What is being fetched, and what is left of it.
    fetch: Option<(Fetch, Range<u64>)>,
}

impl<'a> Source<'a> {
    fn new(reader: &'a Reader, planned: &'a PlannedObject, whole: Option<Bytes>) -> Self {
        Self { reader, planned, whole, fetch: None }
    }

    /// The next bytes of a range, from its start; none where it is empty.
    async fn next(&mut self, range: Range<u64>) -> Result<Bytes, StoreError> {
        if let Some(whole) = &self.whole {
            return Ok(whole.slice(range.start as usize..range.end as usize));
        }
        let (mut fetch, mut left) = match self.fetch.take() {
            Some((fetch, left)) if left == range => (fetch, left),
            _ => {
                let (source, object) = (Arc::clone(&self.reader.source), self.planned.object.clone());
                (Fetch::start(source, object, range.clone()), range)
            }
        };
        let bytes = fetch.next().await.transpose()?.unwrap_or_default();
        left.start += bytes.len() as u64;
        self.fetch = Some((fetch, left));
        Ok(bytes)
    }
}

impl Reader {
    /// What decoders are told of an object.
    pub(crate) fn object_options(&self, planned: &PlannedObject) -> ObjectOptions {
        ObjectOptions {
            size: planned.object.size,
            slice: planned.slice,
            compression: self.settings.source.compression,
            csv: self.settings.source.csv.clone(),
            drop: self.settings.schema.drop.clone(),
            rows_per_batch: self.settings.worker.rows_per_batch,
            record_bytes_max: self.budget.record_bytes_max,
            zstd_window_max: self.budget.zstd_window_max,
        }
    }

    pub(super) async fn read_object(
        &self,
        planned: &PlannedObject,
        decoding: Decoding,
        table: Arc<TableSchema>,
        output: &mut Output,
    ) -> Result<(), ReadError> {
        let of_decode = |error| ReadError::of_decode(planned, error);
        let decoder = object::decoder(decoding, self.object_options(planned), Arc::clone(&table)).map_err(of_decode)?;
        let Some(mut decoder) = decoder else { return self.read_parquet(planned, table, output).await };
        let mut whole = None;
        if planned.slice.is_none() && planned.object.size <= SMALL_BYTES_MAX {
            let bytes = self.get(planned, None).await?;
            if is_plain(decoding, detect(self.settings.source.compression, &bytes)) {
                return self.read_small(planned, decoder, bytes, output).await;
            }
            whole = Some(bytes);
        }
        let mut source = Source::new(self, planned, whole);
        // The first step costs nothing, and the way to the pool does.
        let mut step = decoder.next().map(|step| match step {
            Step::NeedsRange(range) => Visit::NeedsRange(range),
            Step::Ready(_) | Step::Finished => unreachable!("a decoder has nothing before its first bytes"),
        });
        let mut decoding = FuturesOrdered::new();
        loop {
            match step.map_err(of_decode)? {
                Visit::Full => {}
                Visit::NeedsRange(range) => {
                    let bytes = source.next(range).await.map_err(|error| ReadError::of_store(planned, error))?;
                    self.taken_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    decoder.push(bytes);
                }
                Visit::Finished => {
                    while let Some(decoded) = decoding.next().await {
                        self.finish_part(planned, decoded, output).await?;
                    }
                    return Ok(());
                }
            }
            let parts;
            (decoder, parts, step) = self.pool.run(move || visit(decoder)).await;
            for part in parts {
                if decoding.len() >= self.budget.blocks_at_once
                    && let Some(decoded) = decoding.next().await
                {
                    self.finish_part(planned, decoded, output).await?;
                }
                // A task of its own, so that it goes on while this one waits for bytes.
                let pool = self.pool.clone();
                decoding
                    .push_back(AbortOnDropHandle::new(tokio::spawn(async move { pool.run(|| part.decode()).await })));
            }
        }
    }

    /// Cuts and decodes an object of a block or two in one step. Each way to the pool costs more than decoding the 10
    /// KB of many objects.
    async fn read_small(
        &self,
        planned: &PlannedObject,
        decoder: ObjectDecoder,
        bytes: Bytes,
        output: &mut Output,
    ) -> Result<(), ReadError> {
        self.taken_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let in_place = bytes.len() <= DECODED_IN_PLACE_BYTES_MAX;
        let decode = move || {
            let mut decoded = Vec::new();
            let ended = decode_all(decoder, &bytes, &mut decoded);
            (decoded, ended)
        };
        let (decoded, ended) = if in_place { decode() } else { self.pool.run(decode).await };
        // Parts before an error are whole, and may hold one that comes first.
        for part in decoded {
            self.emit(planned, part, output).await?;
        }
        ended.map_err(|error| ReadError::of_decode(planned, error))
    }

    /// Sends on what a part gave, and what is left of it as it is decoded.
    async fn finish_part(
        &self,
        planned: &PlannedObject,
        decoded: Result<DecodedPart, JoinError>,
        output: &mut Output,
    ) -> Result<(), ReadError> {
        let mut decoded = decoded.expect("decoders neither panic nor are cancelled while they are awaited");
        loop {
            let (rows, rest) = decoded.map_err(|error| ReadError::of_decode(planned, error))?;
            self.emit(planned, rows, output).await?;
            let Some(rest) = rest else { return Ok(()) };
            decoded = self.pool.run(|| rest.decode()).await;
        }
    }
}

/// Whether decoding takes about as long as the bytes are many.
fn is_plain(decoding: Decoding, compression: Compression) -> bool {
    match decoding {
        Decoding::Text(_) => compression == Compression::None,
        Decoding::Avro | Decoding::Parquet => false,
    }
}

/// Takes what parts the decoder has, a few at most. Parts found before an error come back with it: they are whole.
fn visit(mut decoder: ObjectDecoder) -> (ObjectDecoder, Vec<Box<dyn Part>>, Result<Visit, DecodeError>) {
    let mut parts = Vec::new();
    while parts.len() < PARTS_A_VISIT {
        match decoder.next() {
            Ok(Step::Ready(part)) => parts.push(part),
            Ok(Step::NeedsRange(range)) => return (decoder, parts, Ok(Visit::NeedsRange(range))),
            Ok(Step::Finished) => return (decoder, parts, Ok(Visit::Finished)),
            Err(error) => return (decoder, parts, Err(error)),
        }
    }
    (decoder, parts, Ok(Visit::Full))
}

fn decode_all(mut decoder: ObjectDecoder, whole: &Bytes, decoded: &mut Vec<Decoded>) -> Result<(), DecodeError> {
    loop {
        match decoder.next()? {
            Step::NeedsRange(range) => decoder.push(whole.slice(range.start as usize..range.end as usize)),
            Step::Finished => return Ok(()),
            Step::Ready(part) => {
                let mut next = Some(part);
                while let Some(part) = next {
                    let (rows, rest) = part.decode()?;
                    decoded.push(rows);
                    next = rest;
                }
            }
        }
    }
}
