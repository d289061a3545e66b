//! Reading a file's bytes, and noticing when it changes meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use rustix::buffer::spare_capacity;

use super::{Bucket, Failure, LocalStore, etag, io_error, last_modified, path};
use crate::model::object::Etag;
use crate::store::{Body, ErrorKind, Head, StoreError};

/// Bytes of one read: large enough that the hop to a blocking thread (tens of microseconds) does not count, small
/// enough for the budget.
const CHUNK_BYTES: u64 = 1 << 20;

const GET: &str = "GetObject";

/// A file that was opened to be read.
struct Opened {
    file: File,
    etag: Etag,
}

impl Bucket {
    /// What stands at a key. A directory or a device is no object.
    pub(super) fn metadata(&self, key: &str) -> Result<fs::Metadata, Failure> {
        let metadata = match fs::metadata(path::of_key(&self.root, key)?) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.creates && !self.root.exists() => {
                return Err(Failure::found(ErrorKind::NoSuchBucket, "the directory is gone"));
            }
            other => other?,
        };
        if metadata.is_file() {
            Ok(metadata)
        } else {
            Err(Failure::found(ErrorKind::NotFound, "no file, but something else, stands there"))
        }
    }

    pub(super) fn head(&self, key: &str) -> Result<Head, Failure> {
        let metadata = self.metadata(key)?;
        Ok(Head {
            etag: etag(&metadata),
            size: metadata.len(),
            id: None,
            last_modified: Some(last_modified(&metadata)),
        })
    }

    fn open(&self, key: &str) -> Result<(Opened, fs::Metadata), Failure> {
        self.metadata(key)?;
        // Without O_NONBLOCK, a named pipe that took the file's place would hang the thread.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path::of_key(&self.root, key)?)?;
        let metadata = file.metadata()?;
        Ok((Opened { file, etag: etag(&metadata) }, metadata))
    }
}

impl Opened {
    fn changed(&self) -> Failure {
        Failure::found(ErrorKind::Changed, format!("the file with etag {} changed while it was read", self.etag))
    }

    /// Reads up to `CHUNK_BYTES` from the front of `range`. Bytes are given only when the file was still the same after
    /// they were read.
    fn chunk(&self, range: &Range<u64>) -> Result<Bytes, Failure> {
        let wanted = (range.end - range.start).min(CHUNK_BYTES) as usize;
        let mut buffer = Vec::with_capacity(wanted);
        while buffer.len() < wanted {
            let offset = range.start + buffer.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut buffer), offset) {
                Ok(0) => return Err(self.changed()),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        // `with_capacity` may reserve more than asked for, and then more was read.
        buffer.truncate(wanted);
        if etag(&self.file.metadata()?) != self.etag {
            return Err(self.changed());
        }
        Ok(buffer.into())
    }
}

impl LocalStore {
    pub(super) async fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        pin: Option<&Etag>,
    ) -> Result<Body, StoreError> {
        let owned = key.to_owned();
        let (opened, metadata) = self.blocking(GET, key, move |bucket| bucket.open(&owned)).await?;
        if let Some(pin) = pin.filter(|pin| **pin != opened.etag) {
            let message = format!("expected etag {pin}, found {}", opened.etag);
            return Err(StoreError::new(ErrorKind::Changed, GET, &self.bucket.place, key, message));
        }
        let size = metadata.len();
        let range = range.map_or(0..size, |range| range.start.min(size)..range.end.min(size));
        Ok(Body {
            etag: opened.etag.clone(),
            size,
            last_modified: Some(last_modified(&metadata)),
            bytes: chunks(self.bucket.place.clone(), key.to_owned(), opened, range),
        })
    }
}

fn chunks(
    place: String,
    key: String,
    opened: Opened,
    range: Range<u64>,
) -> BoxStream<'static, Result<Bytes, StoreError>> {
    let opened = Arc::new(opened);
    stream::try_unfold(range, move |range| {
        let (opened, place, key) = (opened.clone(), place.clone(), key.clone());
        async move {
            if range.is_empty() {
                return Ok(None);
            }
            let asked = range.clone();
            let read = tokio::task::spawn_blocking(move || opened.chunk(&asked)).await;
            let read = read.map_err(|ended| io_error(GET, &place, &key, io::Error::other(ended)))?;
            let bytes = read.map_err(|failure| failure.into_error(GET, &place, &key))?;
            let rest = range.start + bytes.len() as u64..range.end;
            Ok(Some((bytes, rest)))
        }
    })
    .boxed()
}
