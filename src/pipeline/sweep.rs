//! Protocol step 0: what earlier epochs left behind is removed, as the cursor's garbage blob names it. Safe to do twice, and safe to do
//! by two: everything named is named by key and version or by upload.

use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::model::object::Etag;
use crate::pipeline::error::RunError;
use crate::pipeline::open_log::OpenUpload;
use crate::store::{ErrorKind, Store};

/// Removals under way at once.
const REMOVALS_AT_ONCE: usize = 16;

/// What the next sweep removes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garbage {
    /// Files of a generation that Replace has replaced.
    pub files: Vec<GarbageFile>,
    /// Uploads that no decision names.
    pub uploads: Vec<OpenUpload>,
    /// Blobs of epochs before the last but one.
    pub blobs: Vec<String>,
}

/// A published file that is no longer current.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarbageFile {
    /// Its key.
    pub key: String,
    /// The version that may be deleted.
    pub etag: String,
}

impl Garbage {
    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.uploads.is_empty() && self.blobs.is_empty()
    }

    /// Removes everything that is named. What is not there, or is another version by now, is no error.
    pub async fn remove(&self, store: &dyn Store) -> Result<(), RunError> {
        let files = stream::iter(&self.files).map(|file| async move {
            match store.delete(&file.key, Some(&Etag::new(&file.etag))).await {
                Err(error) if !matches!(error.kind, ErrorKind::Precondition | ErrorKind::Changed | ErrorKind::NotFound) => Err(error),
                _ => Ok(()),
            }
        });
        files.buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await?;
        let uploads = stream::iter(&self.uploads).map(|open| async move { store.abort_upload(&open.key, &open.upload).await });
        uploads.buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await?;
        let blobs = stream::iter(&self.blobs).map(|key| async move { store.delete(key, None).await });
        blobs.buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await?;
        Ok(())
    }
}
