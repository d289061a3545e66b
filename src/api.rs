//! The resources `S3Sync`, `S3Connection` and `S3SyncRun`: their wire types, their CRDs, and the way from a manifest to
//! validated settings.

pub mod connect;
pub mod crd;
pub mod error;
pub mod manifest;
pub mod reference;
pub mod report;
pub mod run;
pub mod scalar;
pub mod spec;
pub mod status;
pub mod summary;
pub mod text;
pub mod validate;
pub mod variables;

pub use manifest::{CheckedSync, LoadedSync, ManifestError, ManifestErrorKind, Manifests, check, load};
pub use run::{S3SyncRun, S3SyncRunStatus};
pub use spec::{S3Connection, S3Sync, S3SyncSpec};
pub use status::S3SyncStatus;
