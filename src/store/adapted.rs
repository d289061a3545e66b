//! A store over a server that may do otherwise than S3: what the probe found is worked around here, so that nobody else
//! asks which server it is. Where a condition is not honoured, a look stands in for it, which only advises: somebody
//! may write between look and write.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};

use super::{Body, Condition, ErrorKind, Head, Store, StoreError, probe};
use crate::model::object::{Etag, Object};
use crate::model::server::{Findings, Lack};
use crate::model::settings::ObjectAttributes;

/// The longest segment of a key where objects are files.
const SEGMENT_BYTES_MAX: usize = 255;

/// A store that knows its server. Before anything is known, the careful way is gone where one way is careful.
#[derive(Debug)]
pub struct Adapted {
    inner: Arc<dyn Store>,
    lacks: RwLock<Option<BTreeSet<Lack>>>,
}

impl Adapted {
    /// `inner`, of which nothing is known yet.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, lacks: RwLock::default() }
    }

    fn lacks(&self, lack: Lack) -> bool {
        let lacks = self.lacks.read().unwrap_or_else(PoisonError::into_inner);
        lacks.as_ref().is_some_and(|lacks| lacks.contains(&lack))
    }

    fn is_known(&self) -> bool {
        self.lacks.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The etag of what stands at a key.
    async fn standing(&self, key: &str) -> Result<Option<Etag>, StoreError> {
        match self.inner.head(key).await {
            Ok(head) => Ok(Some(head.etag)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn precondition(&self, op: &'static str, key: &str) -> StoreError {
        StoreError::new(ErrorKind::Precondition, op, self.place(), key, "another version stands there")
    }
}

#[async_trait]
impl Store for Adapted {
    fn place(&self) -> &str {
        self.inner.place()
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> BoxStream<'a, Result<Vec<Object>, StoreError>> {
        self.inner.list(prefix, start_after)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>, pin: Option<&Etag>) -> Result<Body, StoreError> {
        self.inner.get(key, range, pin).await
    }

    async fn head(&self, key: &str) -> Result<Head, StoreError> {
        self.inner.head(key).await
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition<'_>) -> Result<Etag, StoreError> {
        const OP: &str = "PutObject";
        match condition {
            Condition::Absent if self.lacks(Lack::PutIfNoneMatchIgnored) => match self.standing(key).await? {
                None => self.inner.put(key, body, Condition::Any).await,
                Some(_) => Err(self.precondition(OP, key)),
            },
            Condition::Match(etag) if self.lacks(Lack::PutIfMatchIgnored) || self.lacks(Lack::PutIfMatchRefused) => {
                if self.standing(key).await?.as_ref() != Some(etag) {
                    return Err(self.precondition(OP, key));
                }
                self.inner.put(key, body, Condition::Any).await
            }
            _ => self.inner.put(key, body, condition).await,
        }
    }

    async fn delete(&self, key: &str, pin: Option<&Etag>) -> Result<(), StoreError> {
        let Some(pin) = pin else { return self.inner.delete(key, None).await };
        let ignored = self.lacks(Lack::DeleteIfMatchIgnored);
        if ignored || !self.is_known() {
            // A server that does not know If-Match here deletes whatever stands there.
            match self.standing(key).await? {
                None => return Ok(()),
                Some(etag) if etag != *pin => return Err(self.precondition("DeleteObject", key)),
                Some(_) if ignored => return self.inner.delete(key, None).await,
                Some(_) => {}
            }
        }
        match self.inner.delete(key, Some(pin)).await {
            // One that does not know it after all, or that answers 412 to the right etag too: a look tells.
            Err(error) if matches!(error.kind, ErrorKind::Precondition | ErrorKind::Unsupported) => {
                match self.standing(key).await? {
                    Some(etag) if etag == *pin => self.inner.delete(key, None).await,
                    Some(_) => Err(error),
                    None => Ok(()),
                }
            }
            other => other,
        }
    }

    async fn create_upload(&self, key: &str, id: &str, attributes: &ObjectAttributes) -> Result<String, StoreError> {
        self.inner.create_upload(key, id, attributes).await
    }

    async fn upload_part(&self, key: &str, upload: &str, number: u32, body: Vec<Bytes>) -> Result<String, StoreError> {
        self.inner.upload_part(key, upload, number, body).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
        if_none_match: bool,
    ) -> Result<Etag, StoreError> {
        let etag = self.inner.complete_upload(key, upload, parts, if_none_match).await?;
        // What is recorded is compared with listings by whoever reads the manifest.
        if self.lacks(Lack::CompletionEtag) { Ok(self.inner.head(key).await?.etag) } else { Ok(etag) }
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        if self.lacks(Lack::AbortDeletesObject) && self.standing(key).await?.is_some() {
            tracing::warn!(
                place = self.place(),
                key,
                upload,
                "an upload is left to the bucket's lifecycle rule: this server would delete the object at its key with it"
            );
            return Ok(());
        }
        let aborted = self.inner.abort_upload(key, upload).await;
        match aborted {
            // Some answer an upload that is done with an error of their own.
            Err(error) if error.kind == ErrorKind::Other => match self.inner.list_uploads(key).await {
                Ok(under_way) if !under_way.iter().any(|found| found == upload) => Ok(()),
                _ => Err(error),
            },
            other => other,
        }
    }

    async fn list_parts(&self, key: &str, upload: &str) -> Result<Vec<(u32, String)>, StoreError> {
        self.inner.list_parts(key, upload).await
    }

    async fn list_uploads(&self, key: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list_uploads(key).await
    }

    async fn staged_etag(&self, key: &str, upload: &str) -> Result<Option<Etag>, StoreError> {
        self.inner.staged_etag(key, upload).await
    }

    fn server_time(&self) -> Timestamp {
        self.inner.server_time()
    }

    fn clock_ahead(&self) -> Option<SignedDuration> {
        self.inner.clock_ahead()
    }

    fn folds_case(&self) -> bool {
        self.inner.folds_case()
    }

    fn keeps_metadata(&self) -> bool {
        self.inner.keeps_metadata()
    }

    fn segment_bytes_max(&self) -> Option<usize> {
        if self.lacks(Lack::LongSegments) { Some(SEGMENT_BYTES_MAX) } else { self.inner.segment_bytes_max() }
    }

    async fn find_out(
        &self,
        prefix: &str,
        attributes: &ObjectAttributes,
    ) -> Result<Option<BTreeSet<Lack>>, StoreError> {
        probe::probe(self.inner.as_ref(), prefix, attributes).await.map(Some)
    }

    fn adapt(&self, findings: &Findings) {
        *self.lacks.write().unwrap_or_else(PoisonError::into_inner) = Some(findings.lacks.clone());
    }
}
