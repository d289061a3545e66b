//! A parquet object for a decoder that reads by offset and may block: every column chunk is read through a window of its own, and the
//! next window is fetched while the decoder works on this one. Memory is bounded by the windows, whatever the row group's size.

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
use crate::pipeline::fetch::get_whole;
use crate::store::{Store, StoreError};

/// The smallest window: below it the round trips cost more than the memory is worth.
const WINDOW_BYTES_MIN: u64 = 256 << 10;

/// The largest window: above it a request is as fast as it gets.
const WINDOW_BYTES_MAX: u64 = 4 << 20;

/// One pinned object, read by offset. Clones share their windows. Calls block, so it is for blocking threads only.
#[derive(Clone)]
pub struct WindowedObject {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    object: Object,
    handle: Handle,
    window_bytes: u64,
    /// Stretches that are read one after the other (column chunks), by their start.
    stretches: Mutex<BTreeMap<u64, Stretch>>,
    /// The store's error behind a failed read: what the decoder reports is only its text.
    failure: Mutex<Option<StoreError>>,
}

#[derive(Default)]
struct Stretch {
    end: u64,
    current: Option<(u64, Bytes)>,
    ahead: Option<(u64, JoinHandle<Result<Bytes, StoreError>>)>,
}

impl WindowedObject {
    /// Reads `object` through windows over `stretches` (byte ranges that do not overlap), together within `memory_bytes` where
    /// [`WINDOW_BYTES_MIN`] allows it.
    pub fn new(store: Arc<dyn Store>, object: Object, stretches: &[Range<u64>], memory_bytes: u64) -> Self {
        // Each stretch holds the window it reads and the one ahead.
        let window_bytes = (memory_bytes / (2 * stretches.len().max(1) as u64)).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        let stretches = stretches.iter().map(|range| (range.start, Stretch { end: range.end, ..Stretch::default() })).collect();
        Self {
            inner: Arc::new(Inner {
                store,
                object,
                handle: Handle::current(),
                window_bytes,
                stretches: Mutex::new(stretches),
                failure: Mutex::new(None),
            }),
        }
    }

    /// The store's error behind the last failed read, once.
    pub fn take_failure(&self) -> Option<StoreError> {
        self.inner.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Bytes from `offset`: at least one, at most to the end of a window. Empty at the object's end.
    fn at(&self, offset: u64) -> Result<Bytes, StoreError> {
        let inner = &self.inner;
        let mut stretches = inner.stretches.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let stretch = stretches.range_mut(..=offset).next_back().map(|(_, stretch)| stretch);
        let Some(stretch) = stretch.filter(|stretch| offset < stretch.end) else {
            // Outside of every column chunk (an index, a filter): rare and small, so it is read as it is asked for.
            drop(stretches);
            let end = (offset + WINDOW_BYTES_MIN).min(inner.object.size);
            if offset >= end {
                return Ok(Bytes::new());
            }
            return inner.handle.block_on(get_whole(inner.store.as_ref(), &inner.object, Some(offset..end)));
        };
        if let Some((start, bytes)) = &stretch.current
            && offset >= *start
            && offset < start + bytes.len() as u64
        {
            return Ok(bytes.slice((offset - start) as usize..));
        }
        let (start, bytes) = match stretch.ahead.take() {
            Some((start, task)) if offset >= start && offset < start + inner.window_bytes => {
                (start, inner.handle.block_on(task).unwrap_or_else(|_| Ok(Bytes::new()))?)
            }
            other => {
                if let Some((_, task)) = other {
                    task.abort();
                }
                let window = offset..(offset + inner.window_bytes).min(stretch.end);
                (offset, inner.handle.block_on(get_whole(inner.store.as_ref(), &inner.object, Some(window)))?)
            }
        };
        let next = start + bytes.len() as u64;
        if !bytes.is_empty() && next < stretch.end {
            let window = next..(next + inner.window_bytes).min(stretch.end);
            let (store, object) = (Arc::clone(&inner.store), inner.object.clone());
            let task = inner.handle.spawn(async move { get_whole(store.as_ref(), &object, Some(window)).await });
            stretch.ahead = Some((next, task));
        }
        let from = ((offset - start) as usize).min(bytes.len());
        stretch.current = Some((start, bytes.clone()));
        Ok(bytes.slice(from..))
    }

    fn failed(&self, error: StoreError) -> String {
        let text = error.to_string();
        *self.inner.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
        text
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let stretches = self.stretches.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        for stretch in stretches.values_mut() {
            if let Some((_, task)) = stretch.ahead.take() {
                task.abort();
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
