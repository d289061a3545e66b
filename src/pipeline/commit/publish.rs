//! Protocol step 4: the uploads that the decision names are completed. Whoever comes later does it again; nothing else
//! can happen to a decision, so every way on from here ends with the files visible, or stops loudly with their names.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::model::manifest::{AttemptManifest, Decision, StagedFile};
use crate::model::plan::Plan;
use crate::model::write_mode::OutputKeys;
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::store::{ErrorKind, Store, StoreError};

/// Uploads completed side by side: a completion is one small request that waits on the server.
const COMPLETIONS_AT_ONCE: usize = 16;

/// A file that is visible.
#[derive(Clone, Debug)]
pub struct Published {
    /// What was staged.
    pub file: StagedFile,
    /// The etag it has now.
    pub etag: String,
}

/// What became of one shard's files.
#[derive(Debug, Default)]
pub struct ShardOutcome {
    /// Visible files, in the manifest's order.
    pub published: Vec<Published>,
    /// Files whose uploads are gone and that are not visible.
    pub vanished: Vec<StagedFile>,
}

/// Completes the uploads of one chosen attempt.
pub async fn publish_shard(
    context: &Context,
    plan: &Arc<Plan>,
    decision: &Decision,
    manifest: &AttemptManifest,
) -> Result<ShardOutcome, RunError> {
    let amended = decision.amended_by_key();
    let files = manifest
        .files
        .iter()
        .filter(|_| !decision.dropped.contains(&manifest.shard))
        .map(|file| (*amended.get(file.key.as_str()).unwrap_or(&file)).clone())
        .filter(|file| !decision.abandoned.contains(&file.key));
    let files: Vec<StagedFile> = files.collect();
    let keys = plan.settings.destination.write_mode.keys();
    let store = context.destination.as_ref();
    let mut completions =
        stream::iter(files).map(|file| async move { complete(store, file, keys).await }).buffered(COMPLETIONS_AT_ONCE);
    let mut outcome = ShardOutcome::default();
    while let Some(completed) = completions.try_next().await? {
        match completed {
            Completed::Visible(published) => outcome.published.push(published),
            Completed::Vanished(file) => outcome.vanished.push(file),
            Completed::Refused(refused) => return Err(refused.error),
        }
    }
    Ok(outcome)
}

/// What became of one file.
pub enum Completed {
    /// It is visible.
    Visible(Published),
    /// Its upload is gone, and it is not visible.
    Vanished(StagedFile),
    /// The server does not take it, and another try would bring the same.
    Refused(Box<Refused>),
}

/// A file that a server refuses for good.
pub struct Refused {
    /// What was staged.
    pub file: StagedFile,
    /// What a run ends with.
    pub error: RunError,
    /// The server's reason.
    pub why: String,
}

/// Completes one upload. Any failure is settled by looking at the key: our id there means done, by us before or by
/// somebody else for us.
pub async fn complete(store: &dyn Store, file: StagedFile, keys: OutputKeys) -> Result<Completed, RunError> {
    let create_only = match keys {
        OutputKeys::Once => true,
        OutputKeys::Again => false,
    };
    let failed = match store.complete_upload(&file.key, &file.upload, &file.parts, create_only).await {
        Ok(etag) => return Ok(Completed::Visible(Published { etag: etag.as_str().to_owned(), file })),
        Err(error) => error,
    };
    match store.head(&file.key).await {
        Ok(head) if is_ours(&file, &head) => {
            Ok(Completed::Visible(Published { etag: head.etag.as_str().to_owned(), file }))
        }
        Ok(_) if create_only => {
            let message = format!(
                "{}/{} is taken by an object that is not of this sync, so the decided file cannot be published; move it away and run again",
                store.place(),
                file.key
            );
            refused(file, failed, message)
        }
        Ok(_) => gone(file, failed),
        Err(error) if error.kind == ErrorKind::NotFound => gone(file, failed),
        Err(error) => Err(error.into()),
    }
}

fn gone(file: StagedFile, error: StoreError) -> Result<Completed, RunError> {
    match error.kind {
        ErrorKind::NoSuchUpload | ErrorKind::NotFound => Ok(Completed::Vanished(file)),
        ErrorKind::Denied | ErrorKind::NoSuchBucket | ErrorKind::Full | ErrorKind::Unavailable => Err(error.into()),
        // Whatever it is, it is decided: the next run meets it again.
        _ => {
            let message = format!(
                "the decided file cannot be published: {error}; run again, or give up what is refused with `s3sync state abandon`"
            );
            refused(file, error, message)
        }
    }
}

fn refused(file: StagedFile, error: StoreError, message: String) -> Result<Completed, RunError> {
    let why = error.message.clone();
    Ok(Completed::Refused(Box::new(Refused {
        file,
        error: RunError::because(RunErrorKind::Failed, message, error),
        why,
    })))
}

/// Whether what stands at a key is this staged file: by its id, or, where the store keeps no metadata, by the etag it
/// was to have.
pub fn is_ours(file: &StagedFile, head: &crate::store::Head) -> bool {
    let by_id = head.id.as_deref() == Some(file.id.as_str()) && head.size == file.size;
    let by_etag = file.etag.as_deref().is_some_and(|etag| etag == head.etag.as_str());
    by_id || by_etag
}
