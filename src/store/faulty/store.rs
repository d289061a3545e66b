//! The trait: each call asks for its fault, then goes to the wrapped store.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;

use super::{Fault, Faults, FaultyStore, crash_error};
use crate::model::object::{Etag, Object};
use crate::model::settings::ObjectAttributes;
use crate::store::{Body, Condition, ErrorKind, Head, Store, StoreError};

impl FaultyStore {
    /// Does a call with its fault. Breaks and wrong etags are left to the caller.
    async fn call<T>(
        &self,
        fault: &Fault,
        op: &'static str,
        key: &str,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match fault {
            Fault::Before(kind) => return Err(self.injected(*kind, op, key)),
            Fault::CrashBefore => {
                self.faults.crash();
                return Err(crash_error(op, self.place(), key));
            }
            Fault::Slow(wait) => tokio::time::sleep(*wait).await,
            Fault::None | Fault::After(_) | Fault::CrashAfter | Fault::Break { .. } | Fault::WrongEtag => {}
        }
        let result = done.await;
        match fault {
            Fault::After(kind) => Err(self.injected(*kind, op, key)),
            Fault::CrashAfter => {
                self.faults.crash();
                Err(crash_error(op, self.place(), key))
            }
            // Another task of this process crashed while this call was under way: what it did stays done, nobody sees
            // the response.
            _ if self.faults.crashed() => Err(crash_error(op, self.place(), key)),
            _ => result,
        }
    }

    fn injected(&self, kind: ErrorKind, op: &'static str, key: &str) -> StoreError {
        StoreError::new(kind, op, self.place(), key, "failed on purpose")
    }
}

fn wrong(etag: Etag, fault: &Fault) -> Etag {
    if *fault == Fault::WrongEtag { Etag::new(&format!("not-{etag}")) } else { etag }
}

/// A stream that ends in an error when its process crashes or, where `left` says so, after that much of it.
struct Breaking<'a, T> {
    inner: BoxStream<'a, Result<T, StoreError>>,
    faults: Arc<Faults>,
    left: Option<(u64, ErrorKind)>,
    op: &'static str,
    place: String,
    key: String,
    ended: bool,
}

/// What a break counts: bytes of a body, pages of a listing.
trait Measured: Sized + Send {
    /// At most `max` of it, and how much that is.
    fn cut(self, max: u64) -> (Self, u64);
}

impl Measured for Bytes {
    fn cut(mut self, max: u64) -> (Self, u64) {
        self.truncate(usize::try_from(max).unwrap_or(usize::MAX));
        let taken = self.len() as u64;
        (self, taken)
    }
}

impl Measured for Vec<Object> {
    fn cut(self, _max: u64) -> (Self, u64) {
        (self, 1)
    }
}

impl<'a, T: Measured + 'a> Breaking<'a, T> {
    async fn next(&mut self) -> Option<Result<T, StoreError>> {
        if self.ended {
            return None;
        }
        let broken = match self.left {
            _ if self.faults.crashed() => Some(crash_error(self.op, &self.place, &self.key)),
            Some((0, kind)) => Some(StoreError::new(kind, self.op, &self.place, &self.key, "broken on purpose")),
            _ => None,
        };
        if let Some(error) = broken {
            self.ended = true;
            return Some(Err(error));
        }
        let item = self.inner.next().await?;
        Some(item.map(|item| match &mut self.left {
            None => item,
            Some((left, _)) => {
                let (item, taken) = item.cut(*left);
                *left -= taken;
                item
            }
        }))
    }

    fn boxed(self) -> BoxStream<'a, Result<T, StoreError>> {
        stream::unfold(self, |mut broken| async move { broken.next().await.map(|item| (item, broken)) }).boxed()
    }
}

impl FaultyStore {
    fn breaking<'a, T: Measured + 'a>(
        &self,
        inner: BoxStream<'a, Result<T, StoreError>>,
        fault: &Fault,
        op: &'static str,
        key: &str,
    ) -> BoxStream<'a, Result<T, StoreError>> {
        let left = if let Fault::Break { after, kind } = fault { Some((*after, *kind)) } else { None };
        let (faults, place, key) = (self.faults.clone(), self.place().to_owned(), key.to_owned());
        Breaking { inner, faults, left, op, place, key, ended: false }.boxed()
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn place(&self) -> &str {
        self.inner.place()
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> BoxStream<'a, Result<Vec<Object>, StoreError>> {
        const OP: &str = "ListObjectsV2";
        let begun = async move {
            let fault = self.faults.next("list", prefix);
            match self.call(&fault, OP, prefix, async { Ok(()) }).await {
                Ok(()) => self.breaking(self.inner.list(prefix, start_after), &fault, OP, prefix),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(begun).flatten().boxed()
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>, pin: Option<&Etag>) -> Result<Body, StoreError> {
        let fault = self.faults.next("get", key);
        let body = self.call(&fault, "GetObject", key, self.inner.get(key, range, pin)).await?;
        let etag = wrong(body.etag, &fault);
        if let Some(pin) = pin.filter(|pin| **pin != etag) {
            // What a store does when a server ignores If-Match.
            let message = format!("expected etag {pin}, found {etag}");
            return Err(StoreError::new(ErrorKind::Changed, "GetObject", self.place(), key, message));
        }
        Ok(Body { etag, bytes: self.breaking(body.bytes, &fault, "GetObject", key), ..body })
    }

    async fn head(&self, key: &str) -> Result<Head, StoreError> {
        let fault = self.faults.next("head", key);
        let head = self.call(&fault, "HeadObject", key, self.inner.head(key)).await?;
        Ok(Head { etag: wrong(head.etag, &fault), ..head })
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition<'_>) -> Result<Etag, StoreError> {
        let fault = self.faults.next("put", key);
        let etag = self.call(&fault, "PutObject", key, self.inner.put(key, body, condition)).await?;
        Ok(wrong(etag, &fault))
    }

    async fn delete(&self, key: &str, pin: Option<&Etag>) -> Result<(), StoreError> {
        let fault = self.faults.next("delete", key);
        self.call(&fault, "DeleteObject", key, self.inner.delete(key, pin)).await
    }

    async fn create_upload(&self, key: &str, id: &str, attributes: &ObjectAttributes) -> Result<String, StoreError> {
        let fault = self.faults.next("create_upload", key);
        self.call(&fault, "CreateMultipartUpload", key, self.inner.create_upload(key, id, attributes)).await
    }

    async fn upload_part(&self, key: &str, upload: &str, number: u32, body: Vec<Bytes>) -> Result<String, StoreError> {
        let fault = self.faults.next("upload_part", key);
        self.call(&fault, "UploadPart", key, self.inner.upload_part(key, upload, number, body)).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
        if_none_match: bool,
    ) -> Result<Etag, StoreError> {
        let fault = self.faults.next("complete_upload", key);
        let done = self.inner.complete_upload(key, upload, parts, if_none_match);
        let etag = self.call(&fault, "CompleteMultipartUpload", key, done).await?;
        Ok(wrong(etag, &fault))
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let fault = self.faults.next("abort_upload", key);
        self.call(&fault, "AbortMultipartUpload", key, self.inner.abort_upload(key, upload)).await
    }

    async fn list_parts(&self, key: &str, upload: &str) -> Result<Vec<(u32, String)>, StoreError> {
        let fault = self.faults.next("list_parts", key);
        self.call(&fault, "ListParts", key, self.inner.list_parts(key, upload)).await
    }

    async fn list_uploads(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let fault = self.faults.next("list_uploads", key);
        self.call(&fault, "ListMultipartUploads", key, self.inner.list_uploads(key)).await
    }

    async fn staged_etag(&self, key: &str, upload: &str) -> Result<Option<Etag>, StoreError> {
        let fault = self.faults.next("staged_etag", key);
        self.call(&fault, "HeadObject", key, self.inner.staged_etag(key, upload)).await
    }

    fn server_time(&self) -> Timestamp {
        self.inner.server_time()
    }

    fn folds_case(&self) -> bool {
        self.inner.folds_case()
    }

    fn keeps_metadata(&self) -> bool {
        self.inner.keeps_metadata()
    }

    fn segment_bytes_max(&self) -> Option<usize> {
        self.inner.segment_bytes_max()
    }
}
