//! The trait: each call runs on a blocking thread.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;

use super::place::Expected;
use super::walk::Walk;
use super::{Failure, LocalStore};
use crate::model::object::{Etag, Object};
use crate::model::settings::ObjectAttributes;
use crate::store::{Body, Condition, ErrorKind, Head, Store, StoreError};

/// The longest name in a directory: NAME_MAX of Linux and of its file systems; APFS and NTFS count 255 characters,
/// which are no fewer bytes.
const NAME_BYTES_MAX: usize = 255;

/// Objects on one page, as on S3.
const PAGE_OBJECTS_MAX: usize = 1_000;

#[async_trait]
impl Store for LocalStore {
    fn place(&self) -> &str {
        &self.bucket.place
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> BoxStream<'a, Result<Vec<Object>, StoreError>> {
        const OP: &str = "ListObjectsV2";
        let begin = move || {
            let (owned, start_after) = (prefix.to_owned(), start_after.map(str::to_owned));
            self.blocking(OP, prefix, move |bucket| {
                match Walk::begin(&bucket.root, &owned, start_after.as_deref()) {
                    Err(Failure::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                        // A destination that nothing was written to yet is an empty one.
                        if bucket.creates {
                            Ok(None)
                        } else {
                            Err(Failure::found(ErrorKind::NoSuchBucket, "the directory is gone"))
                        }
                    }
                    other => other.map(Some),
                }
            })
        };
        let state: Option<Walk> = None;
        stream::try_unfold((state, false), move |(walk, begun)| async move {
            let walk = if begun { walk } else { begin().await? };
            let Some(mut walk) = walk else { return Ok(None) };
            let page = self.blocking(OP, prefix, move |_| Ok((walk.page(PAGE_OBJECTS_MAX)?, walk)));
            let (page, walk) = page.await?;
            Ok((!page.is_empty()).then_some((page, (Some(walk), true))))
        })
        .boxed()
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>, pin: Option<&Etag>) -> Result<Body, StoreError> {
        self.read(key, range, pin).await
    }

    async fn head(&self, key: &str) -> Result<Head, StoreError> {
        let owned = key.to_owned();
        self.blocking("HeadObject", key, move |bucket| bucket.head(&owned)).await
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition<'_>) -> Result<Etag, StoreError> {
        let owned = key.to_owned();
        let expected = match condition {
            Condition::Any => Expected::Anything,
            Condition::Absent => Expected::Nothing,
            Condition::Match(etag) => Expected::Version(etag.clone()),
        };
        self.blocking("PutObject", key, move |bucket| bucket.put(&owned, &body, &expected)).await
    }

    async fn delete(&self, key: &str, pin: Option<&Etag>) -> Result<(), StoreError> {
        let (owned, pin) = (key.to_owned(), pin.cloned());
        self.blocking("DeleteObject", key, move |bucket| bucket.remove(&owned, pin.as_ref())).await
    }

    async fn create_upload(&self, key: &str, id: &str, _attributes: &ObjectAttributes) -> Result<String, StoreError> {
        let (owned, id) = (key.to_owned(), id.to_owned());
        self.blocking("CreateMultipartUpload", key, move |bucket| bucket.create_upload(&owned, &id)).await
    }

    async fn upload_part(&self, key: &str, upload: &str, number: u32, body: Vec<Bytes>) -> Result<String, StoreError> {
        let (owned, upload) = (key.to_owned(), upload.to_owned());
        self.blocking("UploadPart", key, move |bucket| bucket.upload_part(&owned, &upload, number, &body)).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
        if_none_match: bool,
    ) -> Result<Etag, StoreError> {
        let (owned, upload, parts) = (key.to_owned(), upload.to_owned(), parts.to_vec());
        self.blocking("CompleteMultipartUpload", key, move |bucket| {
            bucket.complete_upload(&owned, &upload, &parts, if_none_match)
        })
        .await
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let (owned, upload) = (key.to_owned(), upload.to_owned());
        self.blocking("AbortMultipartUpload", key, move |bucket| bucket.abort_upload(&owned, &upload)).await
    }

    async fn list_parts(&self, key: &str, upload: &str) -> Result<Vec<(u32, String)>, StoreError> {
        let (owned, upload) = (key.to_owned(), upload.to_owned());
        self.blocking("ListParts", key, move |bucket| bucket.list_parts(&owned, &upload)).await
    }

    async fn list_uploads(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let owned = key.to_owned();
        self.blocking("ListMultipartUploads", key, move |bucket| bucket.list_uploads(&owned)).await
    }

    async fn staged_etag(&self, key: &str, upload: &str) -> Result<Option<Etag>, StoreError> {
        let (owned, upload) = (key.to_owned(), upload.to_owned());
        self.blocking("HeadObject", key, move |bucket| bucket.staged_etag(&owned, &upload).map(Some)).await
    }

    fn server_time(&self) -> Timestamp {
        Timestamp::now()
    }

    fn folds_case(&self) -> bool {
        self.bucket.folds_case
    }

    fn keeps_metadata(&self) -> bool {
        false
    }

    fn segment_bytes_max(&self) -> Option<usize> {
        Some(NAME_BYTES_MAX)
    }
}
