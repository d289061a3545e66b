//! A bucket in memory: deterministic and cheap, for model tests and for whatever needs a bucket without a server.
//!
//! Clones share the bucket, so several "processes" of one test see the same objects. Nothing depends on real time, on
//! randomness or on addresses: the same calls give the same etags, upload ids and times. [`Behaviour`] imitates what
//! real servers do differently.

mod store;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::model::object::Etag;
use crate::model::server::Lack;
use crate::model::settings::ObjectAttributes;

pub use watch::UploadUnderWay;

/// A bucket in memory. See the module.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    place: String,
    behaviour: Behaviour,
    clock: Arc<ManualClock>,
    state: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    objects: BTreeMap<String, Stored>,
    uploads: BTreeMap<String, Upload>,
    uploads_begun: u64,
}

/// An object as it stands in the bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The bytes.
    pub bytes: Bytes,
    /// Follows from the bytes and, for a multipart upload, from their division into parts, as it does on S3.
    pub etag: Etag,
    /// When it was written; for a multipart upload, when that began.
    pub last_modified: Timestamp,
    /// The metadata `s3sync-id`.
    pub id: Option<String>,
    /// What the upload set; the default for an object that `put` wrote.
    pub attributes: ObjectAttributes,
    /// Whether it lies in an archive, and cannot be read.
    pub archived: bool,
}

struct Upload {
    key: String,
    id: String,
    attributes: ObjectAttributes,
    began: Timestamp,
    parts: BTreeMap<u32, Part>,
}

struct Part {
    etag: String,
    bytes: Bytes,
}

/// What servers do differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// What becomes of the conditions of `put` and `complete_upload`.
    pub conditions: Conditions,
    /// In which order keys are listed.
    pub order: Order,
    /// Objects on one page of a listing; 1,000 on S3.
    pub page_objects_max: usize,
    /// Bytes in one chunk of a body.
    pub chunk_bytes: usize,
    /// The least size of every part but the last; 5 MiB on S3, nothing here unless asked for, so that tests stay small.
    pub part_bytes_min: usize,
    /// Whether `head` gives back the `s3sync-id`; a directory keeps no metadata.
    pub keeps_metadata: bool,
    /// Whether `staged_etag` knows the etag beforehand, as a directory does.
    pub staged_etags: bool,
    /// Whether a listing says which objects lie in an archive.
    pub lists_archived: bool,
    /// What it does otherwise than S3 beside all that.
    pub lacks: BTreeSet<Lack>,
}

impl Default for Behaviour {
    /// A general-purpose bucket of AWS.
    fn default() -> Self {
        Self {
            conditions: Conditions::Honoured,
            order: Order::Utf8,
            page_objects_max: 1_000,
            chunk_bytes: 64 << 10,
            part_bytes_min: 0,
            keeps_metadata: true,
            staged_etags: false,
            lists_archived: true,
            lacks: BTreeSet::new(),
        }
    }
}

/// What a server makes of the conditions of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// It fails the request with 412.
    Honoured,
    /// It does not read the header, and writes.
    Ignored,
    /// It answers 501. `put` then fails; `complete_upload` goes on without the condition, as its contract allows.
    Refused,
}

/// The order of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By the UTF-8 bytes of keys: general-purpose buckets.
    Utf8,
    /// No order that a key shows: directory buckets. `start_after` then means nothing and is not applied.
    Scattered,
}

/// A clock that only a test moves.
#[derive(Debug)]
pub struct ManualClock {
    microseconds: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`, cut to microseconds.
    pub fn new(start: Timestamp) -> Self {
        Self { microseconds: AtomicI64::new(start.as_microsecond()) }
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.microseconds.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }

    /// Moves it forward, or back.
    pub fn advance(&self, by: SignedDuration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.microseconds.fetch_add(by, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Noon UTC on 1 January 2026.
    fn default() -> Self {
        Self { microseconds: AtomicI64::new(1_767_268_800_000_000) }
    }
}

impl MemoryStore {
    /// An empty bucket that behaves like AWS, with a clock of its own.
    pub fn new(bucket: &str) -> Self {
        Self::with(bucket, Behaviour::default(), Arc::new(ManualClock::default()))
    }

    /// An empty bucket that behaves as told, on a clock that may be shared with other buckets.
    pub fn with(bucket: &str, behaviour: Behaviour, clock: Arc<ManualClock>) -> Self {
        assert!(behaviour.page_objects_max > 0 && behaviour.chunk_bytes > 0, "pages and chunks hold something");
        let shared = Shared { place: format!("memory://{bucket}"), behaviour, clock, state: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The clock that dates objects.
    pub fn clock(&self) -> &Arc<ManualClock> {
        &self.shared.clock
    }

    /// The state, also after a test's thread panicked while it held the lock: each call leaves it whole.
    fn state(&self) -> MutexGuard<'_, Contents> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryStore")
            .field("place", &self.shared.place)
            .field("objects", &state.objects.keys())
            .field("uploads", &state.uploads.keys())
            .finish()
    }
}

/// A content's etag: hexadecimal, 16 digits. `DefaultHasher::new` is keyless, so it is the same in every process of one
/// build.
fn content_etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A multipart upload's etag: of the parts' etags, with their number, as on S3.
fn multipart_etag<'a>(parts: impl ExactSizeIterator<Item = &'a str>) -> Etag {
    let count = parts.len();
    let mut hasher = DefaultHasher::new();
    parts.for_each(|etag| etag.hash(&mut hasher));
    Etag::new(&format!("{:016x}-{count}", hasher.finish()))
}
