//! Where objects are: one trait, and what any store can raise. S3 ([`s3`]), a directory, memory, and a store that fails
//! on purpose implement it; `contract` is the suite they all pass. What is for tests alone is no part of the API.

pub mod adapted;
#[doc(hidden)]
pub mod contract;
#[doc(hidden)]
pub mod faulty;
pub mod local;
#[doc(hidden)]
pub mod memory;
mod probe;
pub mod s3;
pub mod secrets;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};

use crate::model::connection::{Connection, Endpoint};
use crate::model::object::{Etag, Object};
use crate::model::server::{Findings, Lack};
use crate::model::settings::ObjectAttributes;

/// A bucket. Every call names a key inside it; calls are safe to make side by side.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// For error messages: `s3://bucket` or the directory.
    fn place(&self) -> &str;

    /// Objects under `prefix` whose keys are greater than `start_after`, page by page (at most 1,000 each), keys
    /// strictly increasing in UTF-8 order on general-purpose buckets. Pages are fetched as the stream is polled, at
    /// most one ahead.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> BoxStream<'a, Result<Vec<Object>, StoreError>>;

    /// The object's bytes, as stored (never decompressed). With `pin`, the request carries If-Match and the response's
    /// etag (and, without a range, its size) must equal the pin: otherwise [`ErrorKind::Changed`]. A range beyond the
    /// end is cut; the stream gives exactly the bytes asked for or an error, after the store's own bounded retries (a
    /// body that breaks goes on from where it broke).
    async fn get(&self, key: &str, range: Option<Range<u64>>, pin: Option<&Etag>) -> Result<Body, StoreError>;

    /// What stands at `key`; [`ErrorKind::NotFound`] when nothing does.
    async fn head(&self, key: &str) -> Result<Head, StoreError>;

    /// Writes a small object in one request. A failed condition is [`ErrorKind::Precondition`].
    async fn put(&self, key: &str, body: Bytes, condition: Condition<'_>) -> Result<Etag, StoreError>;

    /// Deletes; a missing key is no error. With `pin`, only that version (If-Match): another one stays and is
    /// [`ErrorKind::Precondition`]. Servers that do not know the condition are for [`adapted`] to tell.
    async fn delete(&self, key: &str, pin: Option<&Etag>) -> Result<(), StoreError>;

    /// Begins an upload that stays invisible until it is completed. `id` becomes the metadata `s3sync-id`.
    async fn create_upload(&self, key: &str, id: &str, attributes: &ObjectAttributes) -> Result<String, StoreError>;

    /// Uploads part `number` (from 1), whose bytes are those of `body` one after another. All parts but the last of one
    /// upload have the same size. Returns the part's etag.
    async fn upload_part(&self, key: &str, upload: &str, number: u32, body: Vec<Bytes>) -> Result<String, StoreError>;

    /// Makes the upload visible. With `if_none_match`, only where nothing stands at the key, if the server knows the
    /// condition. [`ErrorKind::NoSuchUpload`] when it is not there (any more); an error inside a 200 body is an error.
    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
        if_none_match: bool,
    ) -> Result<Etag, StoreError>;

    /// Gives the upload up; one that is not there is no error.
    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError>;

    /// Number and etag of each part that the server holds; [`ErrorKind::NoSuchUpload`] when the upload is not there.
    async fn list_parts(&self, key: &str, upload: &str) -> Result<Vec<(u32, String)>, StoreError>;

    /// Uploads under way for exactly this key.
    async fn list_uploads(&self, key: &str) -> Result<Vec<String>, StoreError>;

    /// The etag that the upload will have once completed, where the store knows it (a directory does: inode, size and
    /// time stay).
    async fn staged_etag(&self, key: &str, upload: &str) -> Result<Option<Etag>, StoreError>;

    /// The store's clock, from the last response's `Date` where there is one.
    fn server_time(&self) -> Timestamp;

    /// How far the server's clock is ahead of ours; `None` where there is no server, or none has answered yet.
    fn clock_ahead(&self) -> Option<SignedDuration> {
        None
    }

    /// Whether two keys that differ only in case may be the same object.
    fn folds_case(&self) -> bool {
        false
    }

    /// Whether `head` gives back the id of `create_upload`: a directory has no place for it.
    fn keeps_metadata(&self) -> bool {
        true
    }

    /// The longest segment of a key, in bytes of UTF-8, where there is a bound beside S3's own of the whole key.
    fn segment_bytes_max(&self) -> Option<usize> {
        None
    }

    /// Finds out by trying, under `prefix`, what the server does otherwise than S3; `None` where there is no server.
    /// See [`probe`].
    async fn find_out(
        &self,
        _prefix: &str,
        _attributes: &ObjectAttributes,
    ) -> Result<Option<BTreeSet<Lack>>, StoreError> {
        Ok(None)
    }

    /// From here on what was found is worked around.
    fn adapt(&self, _findings: &Findings) {}
}

/// The most bytes of a message: our own sentence, a server's words, and a key or two.
const MESSAGE_BYTES_MAX: usize = 4096;

impl StoreError {
    /// An error of our own making, without a client's error behind it. What a server put into the message (its words,
    /// an etag) is made fit to be shown.
    pub fn new(kind: ErrorKind, op: &'static str, place: &str, key: &str, message: impl AsRef<str>) -> Self {
        let message = secrets::clean(message.as_ref(), MESSAGE_BYTES_MAX);
        Self { kind, op, place: place.to_owned(), key: key.to_owned(), message, source: None }
    }

    /// The same with the client's error behind it.
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// Which end of a sync a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Read only; must exist.
    Source,
    /// Written to; a directory is created by the first write.
    Destination,
}

/// The store of a connection: S3, or a directory. Sends nothing to a server; a source directory must exist.
pub async fn connect(connection: &Connection, bucket: &str, side: Side) -> Result<Arc<dyn Store>, StoreError> {
    connect_with(connection, bucket, side, s3::Options::default()).await
}

/// The same with other patience, which a directory does not need.
pub async fn connect_with(
    connection: &Connection,
    bucket: &str,
    side: Side,
    options: s3::Options,
) -> Result<Arc<dyn Store>, StoreError> {
    let Endpoint::File(directory) = &connection.endpoint else {
        let store: Arc<dyn Store> = Arc::new(s3::S3Store::connect_with(connection, bucket, options).await?);
        return Ok(if side == Side::Destination { Arc::new(adapted::Adapted::new(store)) } else { store });
    };
    let (directory, name) = (directory.clone(), bucket.to_owned());
    let opened = tokio::task::spawn_blocking(move || local::LocalStore::open(&directory, &name, side)).await;
    match opened {
        Ok(store) => Ok(Arc::new(store?)),
        Err(ended) => Err(StoreError::new(ErrorKind::Other, "HeadBucket", bucket, "", ended.to_string())),
    }
}

/// What `put` requires of what stands there.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'a> {
    /// Nothing.
    Any,
    /// Nothing may stand there (`If-None-Match: *`).
    Absent,
    /// This version must stand there (`If-Match`).
    Match(&'a Etag),
}

/// A response's head and its bytes as they come.
pub struct Body {
    /// The version that is being read.
    pub etag: Etag,
    /// Size of the whole object in bytes.
    pub size: u64,
    /// The object's time.
    pub last_modified: Option<Timestamp>,
    /// The bytes asked for.
    pub bytes: BoxStream<'static, Result<Bytes, StoreError>>,
}

impl Body {
    /// The bytes asked for, of an object that is small when it is one of ours. Of a larger one what comes until more
    /// than `bytes_max` are there: it is cut then, and whoever reads it sees nonsense.
    pub async fn up_to(mut self, bytes_max: usize) -> Result<Bytes, StoreError> {
        let mut text = BytesMut::new();
        while let Some(bytes) = self.bytes.try_next().await? {
            text.extend_from_slice(&bytes);
            if text.len() > bytes_max {
                break;
            }
        }
        Ok(text.freeze())
    }
}

/// What HEAD says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The version.
    pub etag: Etag,
    /// Bytes.
    pub size: u64,
    /// The metadata `s3sync-id`, where the store keeps metadata.
    pub id: Option<String>,
    /// The object's time.
    pub last_modified: Option<Timestamp>,
}

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
#[error("{op} {place}/{key}: {message}")]
pub struct StoreError {
    /// What it means for the caller.
    pub kind: ErrorKind,
    /// The call, in the words of the S3 API.
    pub op: &'static str,
    /// The bucket, as [`Store::place`] gives it.
    pub place: String,
    /// The key, or the prefix of a listing.
    pub key: String,
    /// One sentence with what to do, no secrets.
    pub message: String,
    /// The client's own error.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What an error means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such key.
    NotFound,
    /// No such bucket.
    NoSuchBucket,
    /// Credentials are missing, wrong, or not allowed to.
    Denied,
    /// The object is in an archive, and cannot be read before it is restored.
    Archived,
    /// The pinned version is not what stands there (412, or another etag or size in the response).
    Changed,
    /// A condition of a write failed (412, or 409 of a racing conditional write).
    Precondition,
    /// The upload is not there.
    NoSuchUpload,
    /// There is no room: a full disk, or a quota that is used up. It passes once somebody makes room.
    Full,
    /// Retried to the bound: throttling, timeouts, 5xx, broken connections.
    Unavailable,
    /// The server does not know the call or one of its options.
    Unsupported,
    /// Anything else.
    Other,
}
