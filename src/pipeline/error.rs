//! What stops a run, and what the caller should do about it.

use crate::model::failure::FailureKind;
use crate::model::reason::Reason;
use crate::model::settings::SyncId;
use crate::state::StateError;
use crate::state::blobs::BlobError;
use crate::store::{ErrorKind, StoreError};

/// A run that ended early. Its message is one sentence; the chain of causes is for `-v`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RunError {
    /// What it means.
    pub kind: RunErrorKind,
    /// One sentence: what, which key, what to do.
    pub message: String,
    /// The cause below, if any.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What an early end means; the words of `status.lastRun.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunErrorKind {
    /// The spec cannot be run as it is.
    InvalidSpec,
    /// Source, destination or state changed its identity and nobody accepted that.
    SpecChanged,
    /// Another cursor holds this sync, or this cursor is older than what was published.
    Claimed,
    /// The cursor, or a blob that it names, is missing or makes no sense.
    CursorInvalid,
    /// Credentials are missing or not enough.
    Denied,
    /// The bucket or a named key is not there.
    NotFound,
    /// The input is bad.
    BadData,
    /// Stopped from outside; safe to repeat.
    Interrupted,
    /// A decision cannot be made visible: uploads and their sources are gone.
    DecisionUnpublishable,
    /// Another worker moved the cursor: read it again.
    Superseded,
    /// Anything else: the network, the disk.
    Failed,
}

impl RunErrorKind {
    /// What the process ends with.
    pub fn failure(self) -> FailureKind {
        self.reason().failure()
    }

    /// Whether the same run ends in the same way when it is tried again at once: a later one may not, or somebody has
    /// to do something.
    pub fn is_final(self) -> bool {
        !matches!(self, RunErrorKind::Failed | RunErrorKind::Interrupted | RunErrorKind::Superseded)
    }

    /// The word in `-o json` and in status.
    pub fn reason(self) -> Reason {
        match self {
            RunErrorKind::InvalidSpec => Reason::InvalidSpec,
            RunErrorKind::SpecChanged => Reason::SpecChanged,
            RunErrorKind::Claimed => Reason::Claimed,
            RunErrorKind::CursorInvalid => Reason::CursorInvalid,
            RunErrorKind::Denied => Reason::Denied,
            RunErrorKind::NotFound => Reason::NotFound,
            RunErrorKind::BadData => Reason::BadData,
            RunErrorKind::Interrupted | RunErrorKind::Superseded => Reason::Interrupted,
            RunErrorKind::DecisionUnpublishable => Reason::DecisionUnpublishable,
            RunErrorKind::Failed => Reason::Failed,
        }
    }
}

impl RunError {
    /// An error without a cause below it.
    pub fn new(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The error as one of this sync, which stores and blobs do not know: of several syncs the sentence says which.
    pub fn of(mut self, sync: &SyncId) -> Self {
        let name = format!("{sync}: ");
        if !self.message.starts_with(&name) {
            self.message.insert_str(0, &name);
        }
        self
    }

    /// An error with the cause below it.
    pub fn because(
        kind: RunErrorKind,
        message: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(Box::new(source)) }
    }
}

impl From<&StateError> for RunErrorKind {
    fn from(error: &StateError) -> Self {
        match error {
            StateError::Conflict => RunErrorKind::Superseded,
            StateError::Nonsense { .. } | StateError::BadKey { .. } => RunErrorKind::CursorInvalid,
            StateError::Gone { .. } => RunErrorKind::Interrupted,
            StateError::Denied { .. } => RunErrorKind::Denied,
            StateError::Unavailable { .. } => RunErrorKind::Failed,
        }
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            ErrorKind::Denied => RunErrorKind::Denied,
            ErrorKind::NotFound | ErrorKind::NoSuchBucket => RunErrorKind::NotFound,
            _ => RunErrorKind::Failed,
        };
        Self { kind, message: error.to_string(), source: Some(Box::new(error)) }
    }
}

impl From<BlobError> for RunError {
    fn from(error: BlobError) -> Self {
        let kind = match error {
            BlobError::Store(error) => return error.into(),
            BlobError::Missing { .. } | BlobError::Nonsense { .. } => RunErrorKind::CursorInvalid,
            BlobError::TooLong { .. } => RunErrorKind::InvalidSpec,
        };
        Self { kind, message: error.to_string(), source: Some(Box::new(error)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_sync_once() {
        let sync = SyncId { namespace: "data".into(), name: "orders".into() };
        let store: RunError =
            StoreError::new(ErrorKind::NoSuchBucket, "ListObjectsV2", "s3://raw", "a/", "no such bucket").into();
        let named = store.of(&sync);
        assert_eq!(named.to_string(), "data/orders: ListObjectsV2 s3://raw/a/: no such bucket");
        assert_eq!(
            (named.kind, named.of(&sync).to_string().matches("data/orders").count()),
            (RunErrorKind::NotFound, 1)
        );
    }
}
