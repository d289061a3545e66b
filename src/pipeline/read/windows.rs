//! An object for a decoder that reads by offset and may block, where what it needs is more than may be held. Every
//! stretch (a column chunk) is read through a window of its own, and the next window is fetched while the decoder works
//! on this one: memory is bounded by the windows, whatever the row group's size.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::codec::decode::object::ReadAt;
use crate::model::object::Object;
use crate::pipeline::fetch::get_whole;
use crate::store::{Store, StoreError};

/// The smallest window: below it the round trips cost more than the memory is worth.
const WINDOW_BYTES_MIN: u64 = 256 << 10;

/// The largest window: above it a request is as fast as it gets.
const WINDOW_BYTES_MAX: u64 = 4 << 20;

/// One pinned object, read by offset. Clones share what was fetched. Calls block, so it is for blocking threads only.
#[derive(Clone)]
pub struct WindowedObject {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    object: Object,
    handle: Handle,
    window_bytes: u64,
    /// What is read from its start to its end, by its start.
    stretches: Mutex<BTreeMap<u64, Stretch>>,
    /// The store's error behind a failed read: what the decoder reports is only its text.
    failure: Mutex<Option<StoreError>>,
}

type Fetching = JoinHandle<Result<Bytes, StoreError>>;

#[derive(Default)]
struct Stretch {
    end: u64,
    current: Option<(u64, Bytes)>,
    ahead: Option<(u64, Fetching)>,
}

impl WindowedObject {
    /// Reads `ranges` of `object` (byte ranges in order that do not overlap), holding at most `memory_bytes` of them,
    /// or a window of [`WINDOW_BYTES_MIN`] and the one ahead of each where those are more.
    pub fn new(store: Arc<dyn Store>, object: Object, ranges: &[Range<u64>], memory_bytes: u64) -> Self {
        // Each stretch holds the window it reads and the one ahead.
        let window_bytes = (memory_bytes / (2 * ranges.len().max(1) as u64)).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        let stretch = |range: &Range<u64>| (range.start, Stretch { end: range.end, ..Stretch::default() });
        let stretches = Mutex::new(ranges.iter().map(stretch).collect());
        let (handle, failure) = (Handle::current(), Mutex::default());
        Self { inner: Arc::new(Inner { store, object, handle, window_bytes, stretches, failure }) }
    }

    /// The store's error behind the last failed read, once.
    pub fn take_failure(&self) -> Option<StoreError> {
        self.inner.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Bytes from `offset`: at least one, at most to the end of a piece or window. Empty at the object's end.
    fn at(&self, offset: u64) -> Result<Bytes, StoreError> {
        let inner = &self.inner;
        let mut stretches = inner.stretches.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = match stretches.range_mut(..=offset).next_back() {
            Some((_, stretch)) if offset < stretch.end => Some(stretch.at(offset, inner)?),
            _ => None,
        };
        drop(stretches);
        if let Some(bytes) = found {
            return Ok(bytes);
        }
        // Outside of every column chunk (an index, a filter): rare and small, so it is read as it is asked for.
        let end = (offset + WINDOW_BYTES_MIN).min(inner.object.size);
        if offset >= end { Ok(Bytes::new()) } else { inner.get(offset..end) }
    }

    fn failed(&self, error: StoreError) -> String {
        let text = error.to_string();
        *self.inner.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
        text
    }
}

impl Inner {
    fn get(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.handle.block_on(get_whole(self.store.as_ref(), &self.object, Some(range)))
    }
}

fn spawn(handle: &Handle, store: &Arc<dyn Store>, object: &Object, range: Range<u64>) -> Fetching {
    let (store, object) = (Arc::clone(store), object.clone());
    handle.spawn(async move { get_whole(store.as_ref(), &object, Some(range)).await })
}

/// What a task fetched. A task that was cancelled with its runtime fetched nothing, and nobody waits for it.
fn arrived(handle: &Handle, task: &mut Fetching) -> Result<Bytes, StoreError> {
    handle.block_on(task).unwrap_or_else(|_| Ok(Bytes::new()))
}

impl Stretch {
    fn at(&mut self, offset: u64, inner: &Inner) -> Result<Bytes, StoreError> {
        if let Some((start, bytes)) = &self.current
            && offset >= *start
            && offset < start + bytes.len() as u64
        {
            return Ok(bytes.slice((offset - start) as usize..));
        }
        let window_bytes = inner.window_bytes;
        let window = |start: u64| start..(start + window_bytes).min(self.end);
        let (start, bytes) = match self.ahead.take() {
            Some((start, mut task)) if offset >= start && offset < start + window_bytes => {
                (start, arrived(&inner.handle, &mut task)?)
            }
            other => {
                if let Some((_, task)) = other {
                    task.abort();
                }
                (offset, inner.get(window(offset))?)
            }
        };
        let next = start + bytes.len() as u64;
        if !bytes.is_empty() && next < self.end {
            self.ahead = Some((next, spawn(&inner.handle, &inner.store, &inner.object, window(next))));
        }
        let from = ((offset - start) as usize).min(bytes.len());
        self.current = Some((start, bytes.clone()));
        Ok(bytes.slice(from..))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let stretches = self.stretches.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        stretches.values().filter_map(|stretch| stretch.ahead.as_ref()).for_each(|(_, task)| task.abort());
    }
}

impl ReadAt for WindowedObject {
    fn size(&self) -> u64 {
        self.inner.object.size
    }

    fn read_at(&self, offset: u64) -> io::Result<Bytes> {
        self.at(offset).map_err(|error| io::Error::other(self.failed(error)))
    }

    fn is_held(&self) -> bool {
        false
    }
}
