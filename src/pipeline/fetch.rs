//! Bytes of one pinned object: in order for text, by ranges for parquet. Requests run ahead of the reader, within fixed bounds.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::model::object::Object;
use crate::store::{ErrorKind, Store, StoreError};

/// Bytes of one ranged request: large enough that a round trip of 30 ms costs little beside it, small enough to hold several.
pub const RANGE_BYTES: u64 = 4 << 20;

/// Requests of one object under way: three cover the round trip of one while another is decoded.
pub const RANGES_AHEAD: usize = 3;

/// What one streaming object holds at the most, see [`Fetch`]: the requests under way and one that waits.
pub const FETCH_BYTES: u64 = RANGE_BYTES * (RANGES_AHEAD as u64 + 1);

/// Bytes of `range` of an object, in order. Dropping it ends its requests.
pub struct Fetch {
    chunks: mpsc::Receiver<Result<Bytes, StoreError>>,
    /// Requests whose bytes were not taken yet.
    left: u64,
    _task: Option<AbortOnDropHandle<()>>,
}

impl Fetch {
    /// Starts to fetch. An object (or range) up to [`RANGE_BYTES`] is one request; a larger one is fetched in ranges side by side.
    pub fn start(store: Arc<dyn Store>, object: Object, range: Range<u64>) -> Self {
        let (sender, chunks) = mpsc::channel(1);
        let left = (range.end - range.start).div_ceil(RANGE_BYTES).max(1);
        let task = tokio::spawn(async move {
            let whole = range.start == 0 && range.end == object.size;
            let starts = stream::iter((range.start..range.end.max(range.start + 1)).step_by(RANGE_BYTES as usize));
            let mut pieces = starts
                .map(|start| {
                    let end = (start + RANGE_BYTES).min(range.end);
                    let wanted = (!(whole && end == range.end && start == 0)).then_some(start..end);
                    get_whole(store.as_ref(), &object, wanted)
                })
                .buffered(RANGES_AHEAD);
            while let Some(piece) = pieces.next().await {
                let failed = piece.is_err();
                if sender.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        Self { chunks, left, _task: Some(AbortOnDropHandle::new(task)) }
    }

    /// Bytes that are here already, and all there are.
    pub fn done(bytes: Bytes) -> Self {
        let (sender, chunks) = mpsc::channel(1);
        sender.try_send(Ok(bytes)).expect("an empty channel takes one");
        Self { chunks, left: 1, _task: None }
    }

    /// The next bytes, `None` at the end. After an error nothing comes.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        self.left = self.left.checked_sub(1)?;
        // A task that ended before its time must not be taken for the end of the object.
        Some(self.chunks.recv().await.expect("each request gives bytes or an error"))
    }
}

/// One request, collected. At most [`RANGE_BYTES`] (or a caller's smaller range) are held.
pub async fn get_whole(store: &dyn Store, object: &Object, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
    let expected = range.as_ref().map_or(object.size, |range| range.end - range.start);
    let mut body = store.get(&object.key, range, Some(&object.etag)).await?;
    if body.size != object.size {
        let message = format!("it has {} bytes now, and had {} when it was listed", body.size, object.size);
        return Err(StoreError::new(ErrorKind::Changed, "GetObject", store.place(), &object.key, message));
    }
    let first = body.bytes.try_next().await?;
    let Some(first) = first else { return Ok(Bytes::new()) };
    if first.len() as u64 >= expected {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(expected as usize);
    whole.extend_from_slice(&first);
    while let Some(bytes) = body.bytes.try_next().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}
