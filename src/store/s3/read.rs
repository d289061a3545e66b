//! GET: the version asked for, and exactly the bytes asked for, however often the connection breaks.

use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;

use super::failure::Failure;
use super::{S3Store, timestamp};
use crate::model::object::Etag;
use crate::net::tries::Tries;
use crate::store::{Body, ErrorKind, StoreError};

const OP: &str = "GetObject";

/// After this much progress the count of breaks begins anew: a connection that breaks now and then in a body of many
/// gigabytes is no reason to give up, one that never gets further is.
const PROGRESS_BYTES: u64 = 1 << 20;

/// The answer to a GET.
struct Opened {
    etag: Etag,
    /// Of the whole object.
    size: u64,
    last_modified: Option<Timestamp>,
    /// Where `bytes` begins in the object.
    from: u64,
    bytes: ByteStream,
}

/// A body under way.
struct Reading {
    store: S3Store,
    key: String,
    etag: Etag,
    /// What is still to come, as offsets in the object.
    left: Range<u64>,
    bytes: Option<ByteStream>,
    /// Breaks since `at` was the place.
    breaks: Tries,
    at: u64,
}

impl S3Store {
    pub(super) async fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        pin: Option<&Etag>,
    ) -> Result<Body, StoreError> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return self.nothing_of(key, pin).await;
        }
        let Some(opened) = self.open(key, range.clone(), pin).await? else {
            // 416: the range begins at the end or behind it.
            return self.nothing_of(key, pin).await;
        };
        let size = opened.size;
        let left = range.map_or(0..size, |range| range.start.min(size)..range.end.min(size));
        let at = left.start;
        let (etag, last_modified) = (opened.etag.clone(), opened.last_modified);
        let bytes = Some(self.bytes_from(key, opened, at)?);
        let (store, breaks) = (self.clone(), self.tries());
        let reading = Reading { store, key: key.to_owned(), etag: etag.clone(), left, bytes, breaks, at };
        Ok(Body { etag, size, last_modified, bytes: reading.stream() })
    }

    /// Sends a GET and checks that the answer is about the pinned version. `None`: nothing lies in the range.
    async fn open(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        pin: Option<&Etag>,
    ) -> Result<Option<Opened>, StoreError> {
        // HTTP ranges include their end (RFC 9110, 14.1.2).
        let header = range.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let answered = self
            .attempt(OP, key, |current| {
                let call = current.client.get_object().bucket(&self.inner.bucket).key(key);
                let sent = call.set_range(header.clone()).set_if_match(pin.map(Etag::quoted)).send();
                async move {
                    match sent.await {
                        Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 416) => Ok(None),
                        other => other.map(Some),
                    }
                }
            })
            .await?;
        let Some(output) = answered else { return Ok(None) };
        let opened = self.opened(key, output)?;
        match pin {
            // A server that does not know If-Match answers with whatever is there.
            Some(pin) if *pin != opened.etag => {
                Err(self.refused(ErrorKind::Changed, OP, key, format!("expected etag {pin}, found {}", opened.etag)))
            }
            _ => Ok(Some(opened)),
        }
    }

    fn opened(&self, key: &str, output: GetObjectOutput) -> Result<Opened, StoreError> {
        let refused = |message: &str| self.refused(ErrorKind::Other, OP, key, message);
        let etag = Etag::new(output.e_tag().ok_or_else(|| refused("the answer has no etag"))?);
        let (from, size) = match output.content_range() {
            Some(text) => content_range(text)
                .ok_or_else(|| refused(&format!("the answer's Content-Range {text:?} makes no sense")))?,
            // No range was asked for, or the server does not know ranges.
            None => {
                let length = output.content_length().and_then(|length| u64::try_from(length).ok());
                (0, length.ok_or_else(|| refused("the answer has no Content-Length"))?)
            }
        };
        let last_modified = output.last_modified().map(timestamp);
        Ok(Opened { etag, size, last_modified, from, bytes: output.body })
    }

    /// The answer's bytes, if they begin where they should. A server without ranges sends everything every time, and
    /// reading over what was not asked for would fetch a large object once for each of its ranges.
    fn bytes_from(&self, key: &str, opened: Opened, at: u64) -> Result<ByteStream, StoreError> {
        if opened.from == at {
            return Ok(opened.bytes);
        }
        let message = format!(
            "bytes from {at} were asked for and the server sent them from {}: it must serve ranges",
            opened.from
        );
        Err(self.refused(ErrorKind::Unsupported, OP, key, message))
    }

    /// A body without bytes, which no Range header can ask for.
    async fn nothing_of(&self, key: &str, pin: Option<&Etag>) -> Result<Body, StoreError> {
        let head = self.look(key).await?;
        if let Some(pin) = pin.filter(|pin| **pin != head.etag) {
            return Err(self.refused(ErrorKind::Changed, OP, key, format!("expected etag {pin}, found {}", head.etag)));
        }
        Ok(Body { etag: head.etag, size: head.size, last_modified: head.last_modified, bytes: stream::empty().boxed() })
    }
}

impl Reading {
    fn stream(self) -> BoxStream<'static, Result<Bytes, StoreError>> {
        stream::unfold(Some(self), |reading| async move {
            let mut reading = reading?;
            match reading.next().await {
                None => None,
                Some(Ok(bytes)) => Some((Ok(bytes), Some(reading))),
                Some(Err(error)) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        while !self.left.is_empty() {
            let mut bytes = match self.bytes.take() {
                Some(bytes) => bytes,
                None => match self.reopen().await {
                    Ok(bytes) => bytes,
                    Err(error) => return Some(Err(error)),
                },
            };
            let failure = match bytes.next().await {
                Some(Ok(mut chunk)) => {
                    let wanted = self.left.end - self.left.start;
                    chunk.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
                    self.left.start += chunk.len() as u64;
                    self.bytes = Some(bytes);
                    if chunk.is_empty() {
                        continue;
                    }
                    return Some(Ok(chunk));
                }
                Some(Err(error)) => Failure::of_body(error),
                None => Failure::of_body(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
            };
            if let Err(error) = self.pause(failure).await {
                return Some(Err(error));
            }
        }
        None
    }

    /// Waits before the next try, or gives up.
    async fn pause(&mut self, failure: Failure) -> Result<(), StoreError> {
        if self.left.start - self.at >= PROGRESS_BYTES {
            (self.breaks, self.at) = (self.store.tries(), self.left.start);
        }
        self.store.pause(OP, &self.key, failure, &mut self.breaks).await
    }

    async fn reopen(&self) -> Result<ByteStream, StoreError> {
        let opened = self.store.open(&self.key, Some(self.left.clone()), Some(&self.etag)).await?;
        let changed =
            || self.store.refused(ErrorKind::Changed, OP, &self.key, "the object became shorter while it was read");
        let opened = opened.ok_or_else(changed)?;
        self.store.bytes_from(&self.key, opened, self.left.start)
    }
}

/// First offset and whole size in a header like `bytes 3-6/10` (RFC 9110, 14.4).
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    (first <= last && last < size).then_some((first, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_say_where_and_how_much() {
        assert_eq!(content_range("bytes 3-6/10"), Some((3, 10)));
        assert_eq!(content_range("bytes 0-0/1"), Some((0, 1)));
        for nonsense in ["", "3-6/10", "bytes 3-6/*", "bytes */10", "bytes 6-3/10", "bytes 3-10/10", "bytes -1-3/10"] {
            assert_eq!(content_range(nonsense), None, "{nonsense}");
        }
    }
}
