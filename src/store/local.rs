//! A directory as an endpoint: its sub-directories are buckets, files are objects.
//!
//! Guarantees: what is staged is invisible to listings until it is complete; a file appears whole, by a rename on one
//! filesystem, after its bytes and before the call returns its directory entry are on disk; conditional writes are
//! atomic among all processes that write through this store, and [`Condition::Absent`](super::Condition::Absent) also
//! against anybody else. Not guaranteed: that other programs' writes in place are noticed within the granularity of the
//! filesystem's times.
//!
//! A file's etag is inode, size and modification time in nanoseconds: all three outlive a rename, so a staged file's
//! etag is known before it is published. Attributes of objects (ACL, storage class, metadata) mean nothing here and are
//! not kept.

mod case;
mod lock;
mod path;
mod place;
mod read;
mod staging;
mod store;
mod walk;

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use self::staging::{Listed, Parts};
use super::{ErrorKind, Side, StoreError};
use crate::model::object::Etag;

/// The hidden directory inside a bucket where uploads wait: on the bucket's filesystem, so that publishing is a rename.
pub const STAGING: &str = ".s3sync-staging";

/// A bucket that is a directory. Cloning is cheap.
#[derive(Clone)]
pub struct LocalStore {
    bucket: Arc<Bucket>,
}

struct Bucket {
    /// The bucket's directory as text: the place in errors.
    place: String,
    root: PathBuf,
    /// Whether the directory may be created.
    creates: bool,
    folds_case: bool,
    /// Uploads whose parts this process wrote itself. An upload that is not here was written by a process that may have
    /// ended with its machine, so its bytes are verified before they are published. Entries go with their uploads.
    written: Mutex<HashMap<String, Arc<Mutex<Parts>>>>,
    /// What the staging directory held when it was last looked through for uploads.
    listed: Mutex<Option<Listed>>,
}

impl LocalStore {
    /// The bucket `bucket` of the endpoint `directory`. A source must exist ([`ErrorKind::NoSuchBucket`]); a
    /// destination is created by the first write to it. Blocks on a few filesystem calls.
    pub fn open(directory: &Path, bucket: &str, side: Side) -> Result<Self, StoreError> {
        const OP: &str = "HeadBucket";
        let root = directory.join(bucket);
        let place = root.display().to_string();
        let refused = |kind, message: String| Err(StoreError::new(kind, OP, &place, "", message));
        if path::check_segment(bucket).is_err() || bucket == STAGING {
            return refused(
                ErrorKind::NoSuchBucket,
                format!("bucket {bucket:?} does not name a sub-directory of {}", directory.display()),
            );
        }
        match std::fs::metadata(&root) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return refused(ErrorKind::NoSuchBucket, "the bucket must be a directory, and is a file".to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && side == Side::Destination => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return refused(ErrorKind::NoSuchBucket, "no such directory: check endpoint and bucket".to_owned());
            }
            Err(error) => return Err(io_error(OP, &place, "", error)),
        }
        let folds_case = case::folds(&root);
        let bucket = Bucket {
            place,
            root,
            creates: side == Side::Destination,
            folds_case,
            written: Mutex::default(),
            listed: Mutex::default(),
        };
        Ok(Self { bucket: Arc::new(bucket) })
    }

    /// Runs filesystem calls off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        op: &'static str,
        key: &str,
        work: impl FnOnce(&Bucket) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let bucket = self.bucket.clone();
        let done = tokio::task::spawn_blocking(move || work(&bucket)).await;
        let failure = match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => failure,
            Err(ended) => Failure::Io(io::Error::other(ended)),
        };
        Err(failure.into_error(op, &self.bucket.place, key))
    }
}

impl std::fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalStore({})", self.bucket.place)
    }
}

/// What stopped a call: either the filesystem, or what we found there.
#[derive(Debug)]
enum Failure {
    Io(io::Error),
    Found(ErrorKind, String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl Failure {
    fn found(kind: ErrorKind, message: impl Into<String>) -> Self {
        Failure::Found(kind, message.into())
    }

    fn no_such_upload(upload: &str) -> Self {
        Failure::found(ErrorKind::NoSuchUpload, format!("upload {upload} is not there"))
    }

    fn into_error(self, op: &'static str, place: &str, key: &str) -> StoreError {
        match self {
            Failure::Io(error) => io_error(op, place, key, error),
            Failure::Found(kind, message) => StoreError::new(kind, op, place, key, message),
        }
    }
}

/// The filesystem's errors in the words of a store.
fn io_error(op: &'static str, place: &str, key: &str, error: io::Error) -> StoreError {
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "no such file".to_owned()),
        io::ErrorKind::PermissionDenied => {
            (ErrorKind::Denied, "permission denied: check the owner and mode of the path".to_owned())
        }
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Denied, "the filesystem is read-only".to_owned()),
        io::ErrorKind::StorageFull => {
            (ErrorKind::Full, "the filesystem is full: free some space and run again".to_owned())
        }
        io::ErrorKind::QuotaExceeded => {
            (ErrorKind::Full, "the disk quota is used up: free some space and run again".to_owned())
        }
        io::ErrorKind::InvalidFilename => (ErrorKind::Other, "the path is too long for this filesystem".to_owned()),
        io::ErrorKind::NotADirectory => {
            (ErrorKind::Other, "a part of the key is a file, so nothing can lie under it".to_owned())
        }
        io::ErrorKind::IsADirectory | io::ErrorKind::DirectoryNotEmpty => {
            (ErrorKind::Other, "a directory stands there, so no file can have this key".to_owned())
        }
        io::ErrorKind::CrossesDevices => (
            ErrorKind::Other,
            "the path leads to another filesystem, where a staged file cannot be renamed to".to_owned(),
        ),
        _ => (ErrorKind::Other, error.to_string()),
    };
    StoreError::new(kind, op, place, key, message).caused_by(error)
}

/// A file's version. See the module.
fn etag(metadata: &std::fs::Metadata) -> Etag {
    let nanoseconds = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Etag::new(&format!("{:x}-{:x}-{nanoseconds}", metadata.ino(), metadata.len()))
}

/// When a file was last written; the epoch for a time that no calendar holds.
fn last_modified(metadata: &std::fs::Metadata) -> Timestamp {
    let nanoseconds = i32::try_from(metadata.mtime_nsec()).unwrap_or_default();
    Timestamp::new(metadata.mtime(), nanoseconds).unwrap_or_default()
}

#[cfg(test)]
mod tests;
