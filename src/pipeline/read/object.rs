//! The driver of decoders: fetches what a decoder asks for, ahead of it, and decodes the parts that it gives side by
//! side.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::part::{Cost, Decoding, FETCHED_PARTS_MAX, Fetching, OPEN_PARTS_MAX, PARTS_FETCH_BYTES};
use super::{Output, ReadError, Reader, WHOLE_OBJECT_BYTES_MAX};
use crate::codec::compression::detect;
use crate::codec::decode::object::{self, ObjectDecoder, ObjectOptions, Part, Step};
use crate::codec::decode::text::TextOptions;
use crate::codec::encode::parquet_codec;
use crate::codec::{DecodeError, Decoded, Passthrough};
use crate::model::format::{Compression, InputFormat, OutputFormat};
use crate::model::plan::PlannedObject;
use crate::model::schema::TableSchema;
use crate::model::shard::LAYOUT_BYTES;
use crate::pipeline::fetch::{Fetch, get_whole};
use crate::store::StoreError;

/// Parts cut in one visit to the pool: enough to be worth the way, few enough to bound what a small input can grow to.
const PARTS_A_VISIT: usize = 4;

/// Objects up to this size are fetched whole before they are cut: one or two blocks, with nothing to do side by side.
const SMALL_BYTES_MAX: u64 = TextOptions::BLOCK_BYTES as u64;

/// Bytes of an object that is decoded where its bytes arrive: some 100 µs at 300 MB/s, which is what the way to the
/// pool and back costs on a busy machine.
const DECODED_IN_PLACE_BYTES_MAX: usize = 32 << 10;

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
            passthrough: self.passthrough(),
        }
    }

    /// What a file could take over as it is stored.
    fn passthrough(&self) -> Option<Passthrough> {
        let destination = &self.settings.destination;
        let takes_over = destination.format == OutputFormat::Parquet && destination.partition_by.is_empty();
        // An eighth of what a layout gives a row group: below it none is taken over.
        let passthrough = |codec| Passthrough { codec, bytes_min: LAYOUT_BYTES / 16 };
        takes_over.then(|| parquet_codec(&destination.parquet).ok().map(passthrough)).flatten()
    }

    pub(crate) async fn get(&self, planned: &PlannedObject, range: Option<Range<u64>>) -> Result<Bytes, ReadError> {
        // All of it is asked for without a range: an empty object has none.
        let range = range.filter(|range| *range != (0..planned.object.size));
        get_whole(self.source.as_ref(), &planned.object, range)
            .await
            .map_err(|error| ReadError::of_store(planned, error))
    }

    pub(super) async fn read_object(
        &self,
        planned: &PlannedObject,
        format: InputFormat,
        table: Arc<TableSchema>,
        output: &mut Output,
    ) -> Result<(), ReadError> {
        let traits = format.traits();
        let of_decode = |error| ReadError::of_decode(planned, error);
        let mut decoder = object::decoder(traits.decoding, self.object_options(planned), table).map_err(of_decode)?;
        let mut whole = None;
        let whole_bytes_max = if traits.by_ranges { WHOLE_OBJECT_BYTES_MAX } else { SMALL_BYTES_MAX };
        if planned.slice.is_none() && planned.object.size <= whole_bytes_max {
            let bytes = self.get(planned, None).await?;
            let compression = detect(self.settings.source.compression, &bytes);
            if compression == Compression::None && !traits.compressed_inside {
                return self.read_small(planned, decoder, bytes, output).await;
            }
            whole = Some(bytes);
        }
        let mut source = Source::new(self, planned, whole.clone());
        // The first step costs nothing, and the way to the pool does.
        let mut step = decoder.next().map(|step| match step {
            Step::NeedsRange(range) => Visit::NeedsRange(range),
            Step::Ready(_) | Step::Finished => unreachable!("a decoder has nothing before its first bytes"),
        });
        let mut parts = Parts::default();
        loop {
            parts.advance(self, planned, whole.as_ref());
            let ended = matches!(step, Err(_) | Ok(Visit::Finished));
            if ended || !parts.waiting.is_empty() {
                if parts.emit_first(self, planned, output).await? {
                    continue;
                }
                // What was cut off before an error is whole, and came first.
                return step.map(|_| ()).map_err(of_decode);
            }
            if let Ok(Visit::NeedsRange(range)) = step {
                let bytes = source.next(range).await.map_err(|error| ReadError::of_store(planned, error))?;
                self.taken_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                decoder.push(bytes);
            }
            let cut;
            (decoder, cut, step) = self.pool.run(move || visit(decoder)).await;
            parts.waiting.extend(cut);
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
}

/// The parts of one object that are under way, in its order: first those that are decoded, then those that are fetched,
/// then those that wait for memory.
#[derive(Default)]
struct Parts {
    decoding: VecDeque<Decoding>,
    fetching: VecDeque<Fetching>,
    /// At most [`PARTS_A_VISIT`].
    waiting: VecDeque<Box<dyn Part>>,
}

impl Parts {
    /// Begins what there is room for.
    fn advance(&mut self, reader: &Reader, planned: &PlannedObject, whole: Option<&Bytes>) {
        loop {
            if let Some(part) = self.fetching.pop_front_if(|part| may_decode(part.cost, &self.decoding, reader)) {
                self.decoding.push_back(part.decode(reader.pool.clone()));
            } else if let Some(part) =
                self.waiting.pop_front_if(|part| may_fetch(Cost::of(part.as_ref()), &self.fetching, &self.decoding))
            {
                self.fetching.push_back(Fetching::start(reader, planned, part, whole));
            } else {
                return;
            }
        }
    }

    /// Sends on all rows of the first part; `false` where there is none.
    async fn emit_first(
        &mut self,
        reader: &Reader,
        planned: &PlannedObject,
        output: &mut Output,
    ) -> Result<bool, ReadError> {
        let Some(mut part) = self.decoding.pop_front() else { return Ok(false) };
        while let Some(decoded) = part.next(planned).await {
            reader.emit(planned, decoded?, output).await?;
        }
        reader.taken_bytes.fetch_add(part.cost.stored_bytes, Ordering::Relaxed);
        Ok(true)
    }
}

/// Whether there is room to decode one more part beside others.
fn may_decode(next: Cost, decoding: &VecDeque<Decoding>, reader: &Reader) -> bool {
    let open_bytes: u64 = decoding.iter().map(|part| part.cost.open_bytes).sum();
    let at_once = if next.fetches { OPEN_PARTS_MAX } else { reader.budget.blocks_at_once };
    let fits = open_bytes.saturating_add(next.open_bytes) <= reader.budget.read_bytes / 2;
    decoding.is_empty() || decoding.len() < at_once && fits
}

/// Whether there is room for the bytes of one more part beside others.
fn may_fetch(next: Cost, fetching: &VecDeque<Fetching>, decoding: &VecDeque<Decoding>) -> bool {
    if !next.fetches {
        return fetching.is_empty();
    }
    let costs = || fetching.iter().map(|part| part.cost).chain(decoding.iter().map(|part| part.cost));
    let bytes: u64 = costs().map(|cost| cost.fetched_bytes()).sum();
    costs().count() < FETCHED_PARTS_MAX && (bytes == 0 || bytes + next.fetched_bytes() <= PARTS_FETCH_BYTES)
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
            Step::Ready(mut part) => {
                if part.needs().is_some() {
                    part.open(Arc::new(whole.clone()));
                }
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
