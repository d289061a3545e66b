//! A parquet object for a decoder that reads by offset and may block. What is wanted of it is fetched at once, in a few
//! large requests, where that fits into memory. Else every column chunk is read through a window of its own, and the
//! next window is fetched while the decoder works on this one: memory is bounded by the windows, whatever the row
//! group's size.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::model::object::Object;
use crate::pipeline::fetch::{RANGE_BYTES, get_whole};
use crate::store::{Store, StoreError};

/// The smallest window: below it the round trips cost more than the memory is worth.
const WINDOW_BYTES_MIN: u64 = 256 << 10;

/// The largest window: above it a request is as fast as it gets.
const WINDOW_BYTES_MAX: u64 = 4 << 20;

/// Unwanted bytes between two wanted ranges that are fetched with them: they cost less than a request of their own.
const GAP_BYTES_MAX: u64 = 256 << 10;

/// One pinned object, read by offset. Clones share what was fetched. Calls block, so it is for blocking threads only.
#[derive(Clone)]
pub struct WindowedObject {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    object: Object,
    handle: Handle,
    wanted: Mutex<Wanted>,
    /// The store's error behind a failed read: what the decoder reports is only its text.
    failure: Mutex<Option<StoreError>>,
}

/// The bytes that a decoder will ask for.
enum Wanted {
    /// All of them, under way since the beginning.
    Pieces(Vec<Piece>),
    /// A window of each stretch that is read from its start to its end (a column chunk), by its start.
    Windows { window_bytes: u64, stretches: BTreeMap<u64, Stretch> },
}

struct Piece {
    start: u64,
    state: PieceState,
}

enum PieceState {
    UnderWay(Fetching),
    Here(Bytes),
}

type Fetching = JoinHandle<Result<Bytes, StoreError>>;

#[derive(Default)]
struct Stretch {
    end: u64,
    current: Option<(u64, Bytes)>,
    ahead: Option<(u64, Fetching)>,
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

impl WindowedObject {
    /// Reads `ranges` of `object` (byte ranges in order that do not overlap), holding at most `memory_bytes` of them,
    /// or a window of [`WINDOW_BYTES_MIN`] and the one ahead of each where those are more. Begins to fetch.
    pub fn new(store: Arc<dyn Store>, object: Object, ranges: &[Range<u64>], memory_bytes: u64) -> Self {
        let pieces = pieces(ranges);
        let handle = Handle::current();
        let wanted = if pieces.iter().map(|piece| piece.end - piece.start).sum::<u64>() <= memory_bytes {
            let fetch = |piece: Range<u64>| Piece {
                start: piece.start,
                state: PieceState::UnderWay(spawn(&handle, &store, &object, piece)),
            };
            Wanted::Pieces(pieces.into_iter().map(fetch).collect())
        } else {
            // Each stretch holds the window it reads and the one ahead.
            let window_bytes =
                (memory_bytes / (2 * ranges.len().max(1) as u64)).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
            let stretches =
                ranges.iter().map(|range| (range.start, Stretch { end: range.end, ..Stretch::default() })).collect();
            Wanted::Windows { window_bytes, stretches }
        };
        Self { inner: Arc::new(Inner { store, object, handle, wanted: Mutex::new(wanted), failure: Mutex::new(None) }) }
    }

    /// Whether all that is wanted is held at once.
    pub fn is_held(&self) -> bool {
        let wanted = self.inner.wanted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        matches!(*wanted, Wanted::Pieces(_))
    }

    /// The store's error behind the last failed read, once.
    pub fn take_failure(&self) -> Option<StoreError> {
        self.inner.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Bytes from `offset`: at least one, at most to the end of a piece or window. Empty at the object's end.
    fn at(&self, offset: u64) -> Result<Bytes, StoreError> {
        let inner = &self.inner;
        let mut wanted = inner.wanted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = match &mut *wanted {
            Wanted::Pieces(pieces) => {
                let after = pieces.partition_point(|piece| piece.start <= offset);
                after.checked_sub(1).map(|piece| pieces[piece].at(offset, inner)).transpose()?.flatten()
            }
            Wanted::Windows { window_bytes, stretches } => match stretches.range_mut(..=offset).next_back() {
                Some((_, stretch)) if offset < stretch.end => Some(stretch.at(offset, *window_bytes, inner)?),
                _ => None,
            },
        };
        drop(wanted);
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

impl Piece {
    /// Its bytes from `offset` on; `None` where that is behind its end.
    fn at(&mut self, offset: u64, inner: &Inner) -> Result<Option<Bytes>, StoreError> {
        let bytes = match &mut self.state {
            PieceState::Here(bytes) => bytes.clone(),
            PieceState::UnderWay(task) => arrived(&inner.handle, task)?,
        };
        self.state = PieceState::Here(bytes.clone());
        let from = (offset - self.start) as usize;
        Ok((from < bytes.len()).then(|| bytes.slice(from..)))
    }
}

impl Stretch {
    fn at(&mut self, offset: u64, window_bytes: u64, inner: &Inner) -> Result<Bytes, StoreError> {
        if let Some((start, bytes)) = &self.current
            && offset >= *start
            && offset < start + bytes.len() as u64
        {
            return Ok(bytes.slice((offset - start) as usize..));
        }
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
        match self.wanted.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Wanted::Pieces(pieces) => pieces.iter().for_each(|piece| {
                if let PieceState::UnderWay(task) = &piece.state {
                    task.abort();
                }
            }),
            Wanted::Windows { stretches, .. } => {
                stretches.values().filter_map(|stretch| stretch.ahead.as_ref()).for_each(|(_, task)| task.abort())
            }
        }
    }
}

impl Length for WindowedObject {
    fn len(&self) -> u64 {
        self.inner.object.size
    }
}

impl ChunkReader for WindowedObject {
    type T = WindowedRead;

    fn get_read(&self, start: u64) -> ParquetResult<WindowedRead> {
        Ok(WindowedRead { object: self.clone(), offset: start, bytes: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let mut bytes = self.at(start).map_err(|error| ParquetError::General(self.failed(error)))?;
        if bytes.len() >= length {
            return Ok(bytes.slice(..length));
        }
        let mut whole = Vec::with_capacity(length);
        while whole.len() < length {
            if bytes.is_empty() {
                return Err(ParquetError::EOF(format!("the object ends before byte {}", start + length as u64)));
            }
            let take = bytes.len().min(length - whole.len());
            whole.extend_from_slice(&bytes[..take]);
            if whole.len() < length {
                let next = start + whole.len() as u64;
                bytes = self.at(next).map_err(|error| ParquetError::General(self.failed(error)))?;
            }
        }
        Ok(Bytes::from(whole))
    }
}

/// A sequential read from one offset.
pub struct WindowedRead {
    object: WindowedObject,
    offset: u64,
    bytes: Bytes,
}

impl Read for WindowedRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            self.bytes = self.object.at(self.offset).map_err(|error| io::Error::other(self.object.failed(error)))?;
        }
        let take = buffer.len().min(self.bytes.len());
        self.bytes.copy_to_slice(&mut buffer[..take]);
        self.offset += take as u64;
        Ok(take)
    }
}
