//! One part of an object on its way: what it needs is fetched ahead, and its rows are decoded on the CPU pool.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::windows::WindowedObject;
use super::{ReadError, Reader};
use crate::codec::decode::object::{Part, ReadAt};
use crate::codec::{DecodeError, Decoded};
use crate::model::object::Object;
use crate::model::plan::PlannedObject;
use crate::pipeline::cpu::CpuPool;
use crate::pipeline::fetch::{RANGE_BYTES, get_whole};
use crate::store::{Store, StoreError};

/// Stored bytes of one part fetched at once: what most programs write as a row group, compressed, fits; larger ones go
/// through windows.
const HELD_BYTES_MAX: u64 = 16 << 20;

/// Stored bytes of all parts of one object that are fetched or being decoded: two large ones, or more small ones, some
/// of them fetched ahead.
pub(super) const PARTS_FETCH_BYTES: u64 = HELD_BYTES_MAX * 5 / 2;

/// Parts of one object that need bytes of their own under way, small ones too: each is a request at the least.
pub(super) const FETCHED_PARTS_MAX: usize = 4;

/// Those of them that are decoded side by side: one a core of a small machine, and the second hides the round trips of
/// the first. Where what they hold open is large one has to do.
pub(super) const OPEN_PARTS_MAX: usize = 2;

/// Decoded rows of one part that wait for their turn: the next are decoded while these wait.
const DECODED_WAITING: usize = 1;

/// Unwanted bytes between two wanted ranges that are fetched with them: they cost less than a request of their own.
const GAP_BYTES_MAX: u64 = 256 << 10;

/// What a part takes while it is under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Stored bytes that it reads beside those that its decoder was handed.
    pub stored_bytes: u64,
    /// What decoding holds open.
    pub open_bytes: u64,
    /// Whether it fetches at all.
    pub fetches: bool,
}

impl Cost {
    pub fn of(part: &dyn Part) -> Self {
        part.needs().map_or(Self::default(), |needs| Self {
            stored_bytes: needs.ranges.iter().map(|range| range.end - range.start).sum(),
            open_bytes: needs.open_bytes,
            fetches: true,
        })
    }

    /// Stored bytes that are held at once.
    pub fn fetched_bytes(&self) -> u64 {
        self.stored_bytes.min(HELD_BYTES_MAX)
    }
}

/// The bytes that a part needs.
enum PartBytes {
    /// It was handed all of them, or the whole object is here.
    Here(Option<Arc<dyn ReadAt>>),
    /// They are fetched, and held until the part is decoded.
    UnderWay(AbortOnDropHandle<Result<Held, StoreError>>),
    /// They are more than may be held.
    Windowed(WindowedObject),
}

/// A part whose bytes are on their way.
pub(super) struct Fetching {
    part: Box<dyn Part>,
    bytes: PartBytes,
    pub cost: Cost,
}

/// A part that is being decoded.
pub(super) struct Decoding {
    decoded: mpsc::Receiver<Result<Decoded, PartError>>,
    task: AbortOnDropHandle<()>,
    pub cost: Cost,
}

/// Why a part ended before its end.
enum PartError {
    Store(StoreError),
    Decode(DecodeError),
}

impl Fetching {
    /// Begins to fetch what a part needs, unless `whole` has it.
    pub fn start(reader: &Reader, planned: &PlannedObject, part: Box<dyn Part>, whole: Option<&Bytes>) -> Self {
        let cost = Cost::of(part.as_ref());
        let (store, object) = (Arc::clone(&reader.source), planned.object.clone());
        let bytes = match (part.needs(), whole) {
            (None, _) => PartBytes::Here(None),
            (Some(_), Some(whole)) => PartBytes::Here(Some(Arc::new(whole.clone()))),
            (Some(needs), None) => match held_pieces(&needs.ranges) {
                Some(pieces) => {
                    PartBytes::UnderWay(AbortOnDropHandle::new(tokio::spawn(Held::fetch(store, object, pieces))))
                }
                // Windows need not hold as much as what is fetched at once: what they feed takes memory of its own.
                None => PartBytes::Windowed(WindowedObject::new(store, object, &needs.ranges, HELD_BYTES_MAX / 4)),
            },
        };
        Self { part, bytes, cost }
    }

    /// Begins to decode, in a task of its own, so that it goes on while the object's reader waits for bytes.
    pub fn decode(self, pool: CpuPool) -> Decoding {
        let (sender, decoded) = mpsc::channel(DECODED_WAITING);
        let (part, bytes) = (self.part, self.bytes);
        let task = tokio::spawn(async move {
            if let Err(error) = decode_all(part, bytes, pool, &sender).await {
                // Whoever no longer listens has its own reason.
                let _ = sender.send(Err(error)).await;
            }
        });
        Decoding { decoded, task: AbortOnDropHandle::new(task), cost: self.cost }
    }
}

async fn decode_all(
    mut part: Box<dyn Part>,
    bytes: PartBytes,
    pool: CpuPool,
    sender: &mpsc::Sender<Result<Decoded, PartError>>,
) -> Result<(), PartError> {
    let mut windows = None;
    match bytes {
        PartBytes::Here(None) => {}
        PartBytes::Here(Some(bytes)) => part.open(bytes),
        PartBytes::UnderWay(held) => {
            let held = held.await.expect("fetching neither panics nor is cancelled while it is awaited");
            part.open(Arc::new(held.map_err(PartError::Store)?));
        }
        PartBytes::Windowed(object) => {
            part.open(Arc::new(object.clone()));
            windows = Some(object);
        }
    }
    let mut next = Some(part);
    while let Some(part) = next.take() {
        let decoded = match &windows {
            None => pool.run(|| part.decode()).await,
            // It may wait for the network in the middle of a page, which is nothing for a thread of the pool.
            Some(_) => tokio::task::spawn_blocking(|| part.decode()).await.expect("decoders do not panic"),
        };
        // A store's error comes through the decoder as text.
        let failure = || windows.as_ref().and_then(WindowedObject::take_failure);
        let (decoded, rest) = decoded.map_err(|error| failure().map_or(PartError::Decode(error), PartError::Store))?;
        next = rest;
        if !decoded.is_empty() && sender.send(Ok(decoded)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

impl Decoding {
    /// The next rows of the part; `None` at its end.
    pub async fn next(&mut self, planned: &PlannedObject) -> Option<Result<Decoded, ReadError>> {
        let Some(next) = self.decoded.recv().await else {
            // One that ended before its time must not be taken for the end of the part.
            (&mut self.task).await.expect("decoders neither panic nor are cancelled while they are awaited");
            return None;
        };
        Some(next.map_err(|error| match error {
            PartError::Store(error) => ReadError::of_store(planned, error),
            PartError::Decode(error) => ReadError::of_decode(planned, error),
        }))
    }
}

/// `ranges`, in order and without overlap, joined over small gaps and cut into equal pieces of at most [`RANGE_BYTES`].
fn pieces(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end + GAP_BYTES_MAX => last.end = last.end.max(range.end),
            _ => joined.push(range.clone()),
        }
    }
    let cut = |range: Range<u64>| {
        let bytes = range.end - range.start;
        let step = bytes.div_ceil(bytes.div_ceil(RANGE_BYTES).max(1)).max(1);
        range.clone().step_by(step as usize).map(move |start| start..(start + step).min(range.end))
    };
    joined.into_iter().flat_map(cut).collect()
}

/// The requests for `ranges`, where all that they give, gaps included, may be held.
fn held_pieces(ranges: &[Range<u64>]) -> Option<Vec<Range<u64>>> {
    let pieces = pieces(ranges);
    let bytes: u64 = pieces.iter().map(|piece| piece.end - piece.start).sum();
    (bytes <= HELD_BYTES_MAX).then_some(pieces)
}

/// Stretches of an object in memory.
struct Held {
    size: u64,
    /// By their starts.
    pieces: Vec<(u64, Bytes)>,
}

impl Held {
    async fn fetch(store: Arc<dyn Store>, object: Object, ranges: Vec<Range<u64>>) -> Result<Self, StoreError> {
        let fetch = async |range: Range<u64>| {
            Ok::<_, StoreError>((range.start, get_whole(store.as_ref(), &object, Some(range)).await?))
        };
        let pieces = try_join_all(ranges.into_iter().map(fetch)).await?;
        Ok(Self { size: object.size, pieces })
    }
}

impl ReadAt for Held {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64) -> std::io::Result<Bytes> {
        let after = self.pieces.partition_point(|(start, _)| *start <= offset);
        let Some((start, bytes)) = after.checked_sub(1).map(|at| &self.pieces[at]) else { return Ok(Bytes::new()) };
        bytes.read_at(offset - start)
    }

    fn is_held(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is fetched between column chunks is held like them: it counts.
    #[test]
    fn gaps_count_where_bytes_are_held() {
        let chunk = 1 << 20;
        let apart = |gap: u64| -> Vec<Range<u64>> {
            (0..15).map(|n| n * (chunk + gap)).map(|start| start..start + chunk).collect()
        };
        let all = 0..15 * chunk;
        assert_eq!(held_pieces(&apart(0)).unwrap().first().unwrap().start, all.start);
        assert_eq!(held_pieces(&apart(0)).unwrap().last().unwrap().end, all.end);
        assert_eq!(held_pieces(&apart(GAP_BYTES_MAX)), None, "15 MiB of chunks, and 3.5 MiB between them");
        assert_eq!(held_pieces(&apart(GAP_BYTES_MAX + 1)).unwrap(), apart(GAP_BYTES_MAX + 1));
    }
}
