//! Bytes of one pinned object: in order for text, by ranges for parquet. Requests run ahead of the reader, within fixed
//! bounds.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, FuturesOrdered, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::task::AbortOnDropHandle;

use crate::model::object::Object;
use crate::store::{ErrorKind, Store, StoreError};

/// Bytes of one piece, and of the smallest ranged request: large enough that a round trip of 30 ms costs little beside
/// it, small enough to hold several.
pub const RANGE_BYTES: u64 = 4 << 20;

/// Requests of one object under way: three cover the round trip of one while another is decoded.
pub const RANGES_AHEAD: usize = 3;

/// What one streaming object holds at the most, see [`Fetch`]: the first pieces of the requests under way, and one that
/// waits.
pub const FETCH_BYTES: u64 = RANGE_BYTES * (RANGES_AHEAD as u64 + 1);

/// Bytes of `range` of an object, in order, in pieces of at most [`RANGE_BYTES`]. Dropping it ends its requests.
///
/// Small requests side by side are faster than one connection; few large ones cost the server less (MinIO half the CPU
/// time of ranges of 4 MiB), and whoever pays by the request. So requests are as large as [`Pace`] says, which sees who
/// waits for whom.
pub struct Fetch {
    pieces: mpsc::Receiver<Result<Bytes, StoreError>>,
    task: Option<AbortOnDropHandle<()>>,
}

impl Fetch {
    /// Starts to fetch. An object (or range) up to [`RANGE_BYTES`] is one request.
    pub fn start(store: Arc<dyn Store>, object: Object, range: Range<u64>) -> Self {
        let (sender, pieces) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            if let Err(error) = send_all(&store, &object, range, &sender).await {
                // Whoever no longer listens wants no error either.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self { pieces, task: Some(AbortOnDropHandle::new(task)) }
    }

    /// Bytes that are here already, and all there are.
    pub fn done(bytes: Bytes) -> Self {
        let (sender, pieces) = mpsc::channel(1);
        sender.try_send(Ok(bytes)).expect("an empty channel takes one");
        Self { pieces, task: None }
    }

    /// The next bytes, `None` at the end and after an error.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        let next = self.pieces.recv().await;
        if next.is_none()
            && let Some(task) = self.task.take()
        {
            // One that ended before its time must not be taken for the end of the object.
            task.await.expect("fetching does not panic");
        }
        next
    }
}

/// Sends the pieces of `range`, until all are sent or nobody listens.
async fn send_all(
    store: &Arc<dyn Store>,
    object: &Object,
    range: Range<u64>,
    sender: &mpsc::Sender<Result<Bytes, StoreError>>,
) -> Result<(), StoreError> {
    let mut pace = Pace::default();
    let mut start = range.start;
    // An empty object is asked for too: it may have changed.
    let end = range.end.max(range.start + 1);
    let mut ahead = FuturesOrdered::new();
    loop {
        while start < end && ahead.len() < pace.requests_ahead() {
            let stretch = start..(start + pace.request_bytes).min(end);
            start = stretch.end;
            let whole = range.start == 0 && range.end == object.size && stretch == (0..end);
            let (store, object) = (Arc::clone(store), object.clone());
            // Tasks of their own: they go on while the body before them is read.
            ahead.push_back(AbortOnDropHandle::new(tokio::spawn(async move {
                let mut opened = Opened::open(store.as_ref(), &object, (!whole).then_some(stretch)).await?;
                let first = opened.next(RANGE_BYTES).await?;
                Ok::<_, StoreError>((first, opened))
            })));
        }
        let Some(opened) = ahead.next().await else { return Ok(()) };
        let (mut piece, mut opened) =
            opened.expect("requests neither panic nor are cancelled while they are awaited")?;
        while !piece.is_empty() {
            let waits = match sender.try_send(Ok(piece)) {
                Ok(()) => false,
                Err(TrySendError::Full(piece)) => {
                    if sender.send(piece).await.is_err() {
                        return Ok(());
                    }
                    true
                }
                Err(TrySendError::Closed(_)) => return Ok(()),
            };
            pace.saw(waits);
            piece = opened.next(RANGE_BYTES).await?;
        }
    }
}

/// How large requests are: as the reader is slower than the server, they double; as it waits for the server, they
/// halve.
#[derive(Debug)]
struct Pace {
    request_bytes: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { request_bytes: RANGE_BYTES }
    }
}

impl Pace {
    /// Above it a request costs as little as it gets.
    const REQUEST_BYTES_MAX: u64 = 64 << 20;

    /// A piece has come, and the reader still had another (`waits`) or was waiting for it.
    fn saw(&mut self, waits: bool) {
        let bytes = if waits { self.request_bytes * 2 } else { self.request_bytes / 2 };
        self.request_bytes = bytes.clamp(RANGE_BYTES, Self::REQUEST_BYTES_MAX);
    }

    /// Requests under way, but for a large one whose body is being read.
    fn requests_ahead(&self) -> usize {
        if self.request_bytes == RANGE_BYTES { RANGES_AHEAD } else { 1 }
    }
}

/// A request's body, of the object that was meant.
struct Opened {
    bytes: BoxStream<'static, Result<Bytes, StoreError>>,
    /// Bytes still to come, `rest` among them.
    left: u64,
    /// What came together with the last piece.
    rest: Bytes,
}

impl Opened {
    async fn open(store: &dyn Store, object: &Object, range: Option<Range<u64>>) -> Result<Self, StoreError> {
        let left = range.as_ref().map_or(object.size, |range| range.end.min(object.size).saturating_sub(range.start));
        let body = store.get(&object.key, range, Some(&object.etag)).await?;
        if body.size != object.size {
            let message = format!("it has {} bytes now, and had {} when it was listed", body.size, object.size);
            return Err(StoreError::new(ErrorKind::Changed, "GetObject", store.place(), &object.key, message));
        }
        Ok(Self { bytes: body.bytes, left, rest: Bytes::new() })
    }

    /// The next `bytes_max` bytes, fewer at the end, none behind it.
    async fn next(&mut self, bytes_max: u64) -> Result<Bytes, StoreError> {
        let wanted = usize::try_from(self.left.min(bytes_max)).unwrap_or(usize::MAX);
        if self.rest.is_empty() && wanted > 0 {
            self.rest = self.bytes.try_next().await?.unwrap_or_default();
        }
        if self.rest.len() >= wanted {
            self.left -= wanted as u64;
            return Ok(self.rest.split_to(wanted));
        }
        let mut piece = BytesMut::with_capacity(wanted);
        piece.extend_from_slice(&self.rest);
        self.rest = Bytes::new();
        while piece.len() < wanted {
            let mut bytes = self.bytes.try_next().await?.expect("a store gives the bytes asked for, or an error");
            let taken = bytes.split_to(bytes.len().min(wanted - piece.len()));
            piece.extend_from_slice(&taken);
            self.rest = bytes;
        }
        self.left -= piece.len() as u64;
        Ok(piece.freeze())
    }
}

/// One request, collected. At most [`RANGE_BYTES`] (or a caller's smaller range) are held.
pub async fn get_whole(store: &dyn Store, object: &Object, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
    Opened::open(store, object, range).await?.next(u64::MAX).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::object::Etag;
    use crate::store::Condition;
    use crate::store::faulty::{Fault, Faults, FaultyStore, at, never};
    use crate::store::memory::MemoryStore;

    const MIB: u64 = 1 << 20;

    async fn stored(bytes: u64) -> (Arc<dyn Store>, Object, Vec<u8>) {
        let memory = MemoryStore::new("raw");
        let whole: Vec<u8> = (0..bytes).map(|at| (at * 31 % 251) as u8).collect();
        let etag: Etag = memory.put("a", whole.clone().into(), Condition::Any).await.unwrap();
        let object = Object {
            key: "a".into(),
            etag,
            size: bytes,
            last_modified: "2026-11-20T00:00:00Z".parse().unwrap(),
            archived: false,
        };
        (Arc::new(memory), object, whole)
    }

    /// However large requests become, pieces are of one size, and the bytes are those asked for.
    #[tokio::test(flavor = "multi_thread")]
    async fn pieces_are_the_bytes_asked_for_in_order() {
        let sizes = [0, 1, RANGE_BYTES - 1, RANGE_BYTES, RANGE_BYTES + 1, 40 * MIB + 7];
        for (bytes, from) in sizes.into_iter().flat_map(|bytes| [(bytes, 0), (bytes, bytes / 3)]) {
            let (store, object, whole) = stored(bytes).await;
            for slow in [false, true] {
                let mut fetch = Fetch::start(Arc::clone(&store), object.clone(), from..bytes);
                let mut fetched = Vec::new();
                while let Some(piece) = fetch.next().await {
                    let piece = piece.unwrap();
                    assert!(
                        piece.len() as u64 == RANGE_BYTES || (fetched.len() + piece.len()) as u64 == bytes - from,
                        "{}",
                        piece.len()
                    );
                    fetched.extend_from_slice(&piece);
                    if slow {
                        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                    }
                }
                assert!(fetched == whole[from as usize..], "{bytes} bytes from {from}, slow: {slow}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_an_error_and_not_the_end() {
        let (store, object, _) = stored(40 * MIB).await;
        let broken = Fault::Break { after: 3 * MIB, kind: ErrorKind::Unavailable };
        let store = Arc::new(FaultyStore::new(store, Faults::new(at(2, broken))));
        let mut fetch = Fetch::start(store, object, 0..40 * MIB);
        let mut last = None;
        while let Some(piece) = fetch.next().await {
            last = Some(piece.map(|piece| piece.len()));
        }
        assert_eq!(last.unwrap().unwrap_err().kind, ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn an_empty_object_is_asked_for_as_well() {
        let (store, object, _) = stored(0).await;
        let faults = Faults::new(never());
        let store = Arc::new(FaultyStore::new(store, Arc::clone(&faults)));
        assert!(Fetch::start(store, object, 0..0).next().await.is_none());
        assert_eq!(faults.calls(), 1);
    }

    #[test]
    fn requests_grow_while_the_reader_is_the_slower() {
        let mut pace = Pace::default();
        let mut seen = Vec::new();
        for waits in [false, true, true, true, true, true, false, false, true, false, false, false] {
            pace.saw(waits);
            seen.push((pace.request_bytes / MIB, pace.requests_ahead()));
        }
        let grown =
            [(4, 3), (8, 1), (16, 1), (32, 1), (64, 1), (64, 1), (32, 1), (16, 1), (32, 1), (16, 1), (8, 1), (4, 3)];
        assert_eq!(seen, grown);
    }
}
