//! The trait; and HEAD, PUT and DELETE.

use std::ops::Range;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ObjectCannedAcl, ServerSideEncryption};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};

use super::{ID, S3Store, timestamp};
use crate::model::connection::Protection;
use crate::model::object::{Etag, Object};
use crate::model::settings::ObjectAttributes;
use crate::store::{Body, Condition, ErrorKind, Head, Store, StoreError};

const PUT: &str = "PutObject";

impl S3Store {
    pub(super) async fn look(&self, key: &str) -> Result<Head, StoreError> {
        const OP: &str = "HeadObject";
        let output = self
            .attempt(OP, key, |current| current.client.head_object().bucket(&self.inner.bucket).key(key).send())
            .await?;
        let missing = |what: &str| self.refused(ErrorKind::Other, OP, key, format!("the answer has no {what}"));
        let size = output.content_length().and_then(|size| u64::try_from(size).ok());
        Ok(Head {
            etag: Etag::new(output.e_tag().ok_or_else(|| missing("etag"))?),
            size: size.ok_or_else(|| missing("Content-Length"))?,
            id: output.metadata().and_then(|metadata| metadata.get(ID)).cloned(),
            last_modified: output.last_modified().map(timestamp),
        })
    }

    async fn write(&self, key: &str, body: Bytes, condition: Condition<'_>) -> Result<Etag, StoreError> {
        let unhashed = self.inner.clients.plan.skips_payload_hash();
        let mut tries = self.tries();
        let Protection { acl, sse, kms_key_id } = &self.inner.clients.plan.connection.protection;
        let written = self
            .attempt_counted(PUT, key, &mut tries, |current| {
                let call = current
                    .client
                    .put_object()
                    .bucket(&self.inner.bucket)
                    .key(key)
                    .body(ByteStream::from(body.clone()));
                let call = call
                    .set_acl(acl.as_deref().map(ObjectCannedAcl::from))
                    .set_server_side_encryption(sse.as_deref().map(ServerSideEncryption::from))
                    .set_ssekms_key_id(kms_key_id.clone());
                let call = match condition {
                    Condition::Any => call,
                    Condition::Absent => call.if_none_match("*"),
                    Condition::Match(etag) => call.if_match(etag.quoted()),
                };
                let call = call.customize();
                if unhashed { call.disable_payload_signing() } else { call }.send()
            })
            .await;
        match written {
            Ok(output) => match output.e_tag().map(Etag::new).filter(|etag| !etag.as_str().is_empty()) {
                Some(etag) => Ok(etag),
                None => Ok(self.look(key).await?.etag),
            },
            // One of the tries whose answer was lost may be what stands in the way. What is there has the bytes that we
            // meant to write.
            Err(error) if error.kind == ErrorKind::Precondition && tries.failed() > 0 => {
                self.ours(key, &body).await?.ok_or(error)
            }
            // A version that must stand there, where nothing does (AWS: 404).
            Err(error) if error.kind == ErrorKind::NotFound && matches!(condition, Condition::Match(_)) => {
                Err(StoreError { kind: ErrorKind::Precondition, ..error })
            }
            Err(error) => Err(error),
        }
    }

    /// The etag of what stands at the key, when that is exactly these bytes.
    async fn ours(&self, key: &str, body: &Bytes) -> Result<Option<Etag>, StoreError> {
        let standing = match self.read(key, None, None).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if standing.size != body.len() as u64 {
            return Ok(None);
        }
        let bytes: BytesMut = standing.bytes.try_collect::<Vec<_>>().await?.into_iter().flatten().collect();
        Ok((bytes == *body).then_some(standing.etag))
    }

    async fn remove(&self, key: &str, pin: Option<&Etag>) -> Result<(), StoreError> {
        const OP: &str = "DeleteObject";
        let deleted = self
            .attempt(OP, key, |current| {
                current
                    .client
                    .delete_object()
                    .bucket(&self.inner.bucket)
                    .key(key)
                    .set_if_match(pin.map(Etag::quoted))
                    .send()
            })
            .await;
        match deleted {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for S3Store {
    fn place(&self) -> &str {
        &self.inner.place
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> BoxStream<'a, Result<Vec<Object>, StoreError>> {
        self.listing(prefix, start_after)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>, pin: Option<&Etag>) -> Result<Body, StoreError> {
        self.read(key, range, pin).await
    }

    async fn head(&self, key: &str) -> Result<Head, StoreError> {
        self.look(key).await
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition<'_>) -> Result<Etag, StoreError> {
        self.write(key, body, condition).await
    }

    async fn delete(&self, key: &str, pin: Option<&Etag>) -> Result<(), StoreError> {
        self.remove(key, pin).await
    }

    async fn create_upload(&self, key: &str, id: &str, attributes: &ObjectAttributes) -> Result<String, StoreError> {
        self.create(key, id, attributes).await
    }

    async fn upload_part(&self, key: &str, upload: &str, number: u32, body: Vec<Bytes>) -> Result<String, StoreError> {
        self.part(key, upload, number, body).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
        if_none_match: bool,
    ) -> Result<Etag, StoreError> {
        self.complete(key, upload, parts, if_none_match).await
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        self.abort(key, upload).await
    }

    async fn list_parts(&self, key: &str, upload: &str) -> Result<Vec<(u32, String)>, StoreError> {
        self.parts(key, upload).await
    }

    async fn list_uploads(&self, key: &str) -> Result<Vec<String>, StoreError> {
        self.uploads(key).await
    }

    async fn staged_etag(&self, _key: &str, _upload: &str) -> Result<Option<Etag>, StoreError> {
        Ok(None)
    }

    fn server_time(&self) -> Timestamp {
        self.inner.clock.now()
    }

    fn clock_ahead(&self) -> Option<SignedDuration> {
        self.inner.clock.ahead()
    }
}
