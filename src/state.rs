//! The cursor, by compare-and-swap, and the blobs that it names.

pub mod blobs;
pub mod configmap;
pub mod file;
pub mod ledger;
#[doc(hidden)]
pub mod memory;
mod proof;
pub mod seal;
pub mod wire;

use std::time::Duration;

use async_trait::async_trait;

use crate::model::cursor::Cursor;

/// What a store calls one state of the cursor: a digest of its content. Only equality means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub String);

/// Where one sync's cursor lives: the arbiter between workers.
#[async_trait]
pub trait CursorStore: Send + Sync {
    /// The cursor and its version; `None` when there never was one. Content that makes no sense is
    /// [`StateError::Nonsense`], never `None`.
    async fn load(&self) -> Result<Option<(Cursor, Version)>, StateError>;

    /// Writes the first cursor; [`StateError::Conflict`] when there is one.
    async fn create(&self, cursor: &Cursor) -> Result<Version, StateError>;

    /// Writes the next cursor if the stored one still has `version`; otherwise [`StateError::Conflict`] and nothing is
    /// changed.
    async fn swap(&self, version: &Version, cursor: &Cursor) -> Result<Version, StateError>;

    /// The cursor as it was a moment ago, at most a few seconds: for a worker that waits and only looks whether it
    /// still should. What it does on that is never wrong, only late.
    async fn recent(&self) -> Result<Option<(Cursor, Version)>, StateError> {
        self.load().await
    }

    /// Returns when the cursor's version is another than `version` (`None`: when there is a cursor), or after `wait`.
    /// May return early.
    async fn changed(&self, version: Option<&Version>, wait: Duration) -> Result<(), StateError>;
}

/// What can go wrong with a cursor.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Somebody else wrote it first.
    #[error("the cursor was moved by another worker")]
    Conflict,
    /// What is stored is no cursor of this version.
    #[error(
        "the cursor {place} makes no sense: {reason}; restore it from a copy, or start over with `s3sync state reset --yes`"
    )]
    Nonsense {
        /// Where it is.
        place: String,
        /// What does not fit.
        reason: String,
    },
    /// The key beside it is none.
    #[error(
        "the state key {place} makes no sense: {reason}; restore it from a copy, or delete it and run again: shards that are prepared and not yet \
         decided are then prepared again"
    )]
    BadKey {
        /// Where it is.
        place: String,
        /// What does not fit.
        reason: String,
    },
    /// It is not there any more, or another stands in its place: whoever took it away makes it again, or meant it.
    #[error("the cursor {place} {what} while it was in use; nothing is lost: run again")]
    Gone {
        /// Where it was.
        place: String,
        /// What became of it: "was deleted".
        what: String,
    },
    /// It may not be read or written.
    #[error("the cursor {place}: {message}")]
    Denied {
        /// Where it is.
        place: String,
        /// What was said, and what to do.
        message: String,
        /// The cause below.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// It cannot be read or written.
    #[error("the cursor {place}: {message}")]
    Unavailable {
        /// Where it is.
        place: String,
        /// Why, and what to do.
        message: String,
        /// The cause below.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl StateError {
    /// Whether the stored content is the fault.
    pub fn is_nonsense(&self) -> bool {
        matches!(self, StateError::Nonsense { .. })
    }

    /// Whether somebody else was first.
    pub fn is_conflict(&self) -> bool {
        matches!(self, StateError::Conflict)
    }
}
