//! Protocol step 0: what earlier epochs left behind is removed, as the cursor's garbage blob names it. Safe to do twice, and safe to do
//! by two: everything named is named by key and id or by upload.

use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::model::settings::SyncId;
use crate::pipeline::error::RunError;
use crate::pipeline::open_log::OpenUpload;
use crate::store::{ErrorKind, Head, Store, StoreError};

/// Removals under way at once.
const REMOVALS_AT_ONCE: usize = 16;

/// What the next sweep removes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garbage {
    /// Version of this format. The first had none, and knew a file by its etag alone.
    #[serde(default = "first_version")]
    pub version: u32,
    /// Files of a generation that Replace has replaced.
    pub files: Vec<GarbageFile>,
    /// Uploads that no decision names.
    pub uploads: Vec<OpenUpload>,
    /// Blobs of epochs before the last but one.
    pub blobs: Vec<String>,
}

fn first_version() -> u32 {
    1
}

impl Default for Garbage {
    fn default() -> Self {
        Self { version: Self::VERSION, files: Vec::new(), uploads: Vec::new(), blobs: Vec::new() }
    }
}

/// A published file that is no longer current.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarbageFile {
    /// Its key.
    pub key: String,
    /// Its etag, as it was recorded: what a file is known by where there is no metadata. Servers may show another one later.
    pub etag: String,
    /// Its `s3sync-id`; not there in the first version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its bytes; not there in the first version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl GarbageFile {
    /// Whether what stands at the key is this file: by id and size where the store keeps metadata, else by etag.
    fn is(&self, head: &Head, keeps_metadata: bool) -> bool {
        match &self.id {
            Some(id) if keeps_metadata => head.id.as_ref() == Some(id) && self.bytes.is_none_or(|bytes| bytes == head.size),
            _ => head.etag.as_str() == self.etag,
        }
    }
}

impl Garbage {
    /// The format that this build writes.
    pub const VERSION: u32 = 2;

    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.uploads.is_empty() && self.blobs.is_empty()
    }

    /// Removes everything that is named. What is not there is no error; a file that is another by now stays, and its name is said.
    pub async fn remove(&self, store: &dyn Store, sync: &SyncId) -> Result<(), RunError> {
        let files = stream::iter(&self.files).map(|file| async move { remove_file(store, file, sync).await });
        files.buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await?;
        let uploads = stream::iter(&self.uploads).map(|open| async move { store.abort_upload(&open.key, &open.upload).await });
        uploads.buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await?;
        let blobs = stream::iter(&self.blobs).map(|key| async move { store.delete(key, None).await });
        blobs.buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await?;
        Ok(())
    }
}

/// Deletes one file, if it is still the one that was published.
async fn remove_file(store: &dyn Store, file: &GarbageFile, sync: &SyncId) -> Result<(), StoreError> {
    let standing = async || match store.head(&file.key).await {
        Ok(head) => Ok(Some(head)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let Some(head) = standing().await? else { return Ok(()) };
    let ours = |head: &Head| file.is(head, store.keeps_metadata());
    if ours(&head) {
        // By the etag that it has now: a completion may have given another.
        match store.delete(&file.key, Some(&head.etag)).await {
            Err(error) if matches!(error.kind, ErrorKind::Precondition | ErrorKind::Changed | ErrorKind::NotFound) => {}
            other => return other,
        }
        match standing().await? {
            None => return Ok(()),
            // The condition was right and is refused all the same.
            Some(head) if ours(&head) => return store.delete(&file.key, None).await,
            Some(_) => {}
        }
    }
    tracing::warn!(
        %sync,
        place = store.place(),
        key = file.key,
        "a file that was replaced is another one by now, so it stays: look at it, and delete it if it is not wanted"
    );
    Ok(())
}
