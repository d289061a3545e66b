//! What a server does otherwise than S3, found out by doing it: small objects and uploads under a prefix of their own,
//! which is empty again at the end. Made once in a sync's life: some two dozen requests, in three chains side by side.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use super::{Condition, ErrorKind, Store, StoreError};
use crate::model::object::Etag;
use crate::model::retry::RetryPolicy;
use crate::model::server::Lack;
use crate::model::settings::ObjectAttributes;
use crate::net::tries::Tries;

/// What the probe writes; its etag is an ordinary one, as of any content.
const BODY: &[u8] = b"s3sync probe\n";

/// The `s3sync-id` of the probe's uploads.
const ID: &str = "probe";

/// A version that stands nowhere, in the form that etags have everywhere.
const NO_ETAG: &str = "00000000000000000000000000000000";

/// Longer than a name in any file system that servers keep objects in.
const LONG_SEGMENT_BYTES: usize = 256;

/// How often a probe that another process disturbs begins again: the other takes some dozen round trips, and is done
/// after a few pauses.
const DISTURBED: RetryPolicy = RetryPolicy::tries(8, Duration::from_millis(50), Duration::from_secs(2));

/// How often one begins again that was refused a write of its own: versitygw refuses what meets the removal of its
/// directory, also by the probe's other chains.
const REFUSED: RetryPolicy = RetryPolicy::tries(4, Duration::from_millis(20), Duration::from_millis(50));

/// Looks for every [`Lack`]. `prefix` ends in `/` and is this sync's alone; what a probe that was killed left there is
/// removed.
///
/// # Errors
/// What keeps a run from working at all: rights that are missing, and a server that does not answer.
pub async fn probe(
    store: &dyn Store,
    prefix: &str,
    attributes: &ObjectAttributes,
) -> Result<BTreeSet<Lack>, StoreError> {
    let mut tries = Tries::new(RetryPolicy::ONCE);
    loop {
        let probed = once(store, prefix, attributes).await;
        let Err(error) = &probed else { return probed };
        let policy = match error.kind {
            // What it has just written is gone, or is another's.
            ErrorKind::NotFound | ErrorKind::NoSuchUpload | ErrorKind::Precondition => DISTURBED,
            ErrorKind::Other => REFUSED,
            _ => RetryPolicy::ONCE,
        };
        // Of two that met, one goes first.
        let Some(wait) = tries.fail_by(policy) else { return probed };
        tracing::debug!(%error, "another process seems to probe the server at the same time: trying again");
        tokio::time::sleep(wait).await;
    }
}

async fn once(store: &dyn Store, prefix: &str, attributes: &ObjectAttributes) -> Result<BTreeSet<Lack>, StoreError> {
    let probe = Probe { store, prefix, attributes };
    let (mut lacks, uploads, segments) = futures::try_join!(probe.puts(), probe.uploads(), probe.segments())?;
    lacks.extend(uploads.into_iter().chain(segments));
    Ok(lacks)
}

struct Probe<'a> {
    store: &'a dyn Store,
    prefix: &'a str,
    attributes: &'a ObjectAttributes,
}

/// Whether an answer is one about the request; errors that are not end the probe.
fn answered<T>(result: Result<T, StoreError>) -> Result<Result<T, ErrorKind>, StoreError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error)
            if matches!(
                error.kind,
                ErrorKind::Denied | ErrorKind::NoSuchBucket | ErrorKind::Full | ErrorKind::Unavailable
            ) =>
        {
            Err(error)
        }
        Err(error) => Ok(Err(error.kind)),
    }
}

impl Probe<'_> {
    async fn put(&self, key: &str, condition: Condition<'_>) -> Result<Result<Etag, ErrorKind>, StoreError> {
        answered(self.store.put(key, Bytes::from_static(BODY), condition).await)
    }

    /// Conditions of PUT, and of DELETE.
    async fn puts(&self) -> Result<BTreeSet<Lack>, StoreError> {
        let mut lacks = BTreeSet::new();
        let key = format!("{}put.s3sync", self.prefix);
        let wrong = Etag::new(NO_ETAG);
        let mut etag = self.store.put(&key, Bytes::from_static(BODY), Condition::Any).await?;
        match self.put(&key, Condition::Absent).await? {
            Err(ErrorKind::Precondition) => {}
            Ok(over) => {
                etag = over;
                lacks.insert(Lack::PutIfNoneMatchIgnored);
            }
            Err(_) => drop(lacks.insert(Lack::PutIfNoneMatchIgnored)),
        }
        match self.put(&key, Condition::Match(&wrong)).await? {
            Err(ErrorKind::Precondition) => match self.put(&key, Condition::Match(&etag)).await? {
                Ok(over) => etag = over,
                Err(_) => drop(lacks.insert(Lack::PutIfMatchRefused)),
            },
            Ok(over) => {
                etag = over;
                lacks.insert(Lack::PutIfMatchIgnored);
            }
            Err(_) => drop(lacks.insert(Lack::PutIfMatchIgnored)),
        }
        if self.delete(&key, &wrong).await? == Err(ErrorKind::Precondition) {
            if self.delete(&key, &etag).await?.is_err() {
                lacks.insert(Lack::DeleteIfMatchRefused);
                self.store.delete(&key, None).await?;
            }
        } else {
            lacks.insert(Lack::DeleteIfMatchIgnored);
            self.store.delete(&key, None).await?;
        }
        Ok(lacks)
    }

    async fn delete(&self, key: &str, pin: &Etag) -> Result<Result<(), ErrorKind>, StoreError> {
        answered(self.store.delete(key, Some(pin)).await)
    }

    /// An upload with its one part.
    async fn upload(&self, key: &str) -> Result<(String, [String; 1]), StoreError> {
        let upload = self.store.create_upload(key, ID, self.attributes).await?;
        let part = self.store.upload_part(key, &upload, 1, vec![Bytes::from_static(BODY)]).await?;
        Ok((upload, [part]))
    }

    /// What becomes visible by an upload, and what does not.
    async fn uploads(&self) -> Result<BTreeSet<Lack>, StoreError> {
        let mut lacks = BTreeSet::new();
        // One is listed before the other by the bytes of their keys, and after it by directories.
        let (key, beside) = (format!("{}upload/1.s3sync", self.prefix), format!("{}upload-1.s3sync", self.prefix));
        for left in answered(self.store.list_uploads(&key).await)?.unwrap_or_default() {
            let _ = answered(self.store.abort_upload(&key, &left).await)?;
        }
        self.store.delete(&key, None).await?;
        self.store.put(&beside, Bytes::from_static(BODY), Condition::Any).await?;
        let (upload, parts) = self.upload(&key).await?;
        let completed = self.store.complete_upload(&key, &upload, &parts, true).await?;
        let head = self.store.head(&key).await?;
        if head.id.as_deref() != Some(ID) && self.store.keeps_metadata() {
            lacks.insert(Lack::Metadata);
        }
        if head.etag != completed {
            lacks.insert(Lack::CompletionEtag);
        }
        let listed: Vec<_> = self.store.list(self.prefix, None).next().await.transpose()?.unwrap_or_default();
        let at = |wanted: &str| listed.iter().position(|object| object.key == wanted);
        if at(&key).is_some_and(|at| listed[at].etag != head.etag) {
            lacks.insert(Lack::ListingEtag);
        }
        if !matches!((at(&beside), at(&key)), (Some(first), Some(second)) if first < second) {
            lacks.insert(Lack::ListingOrder);
        }
        // One that another attempt has overtaken: it is refused, given up, and leaves what stands there alone. So does
        // one that is done.
        let (mut losing, parts) = self.upload(&key).await?;
        if answered(self.store.complete_upload(&key, &losing, &parts, true).await)?.is_ok() {
            lacks.insert(Lack::CompletionIfNoneMatchIgnored);
            (losing, _) = self.upload(&key).await?;
        }
        let _ = answered(self.store.abort_upload(&key, &losing).await)?;
        if answered(self.store.abort_upload(&key, &upload).await)?.is_err() {
            lacks.insert(Lack::AbortAfterCompletion);
        }
        if answered(self.store.head(&key).await)? == Err(ErrorKind::NotFound) {
            lacks.insert(Lack::AbortDeletesObject);
        }
        self.store.delete(&key, None).await?;
        self.store.delete(&beside, None).await?;
        Ok(lacks)
    }

    /// Servers that keep objects as files refuse long names: some only when an upload is completed.
    async fn segments(&self) -> Result<BTreeSet<Lack>, StoreError> {
        let key = format!("{}{}/1.s3sync", self.prefix, "x".repeat(LONG_SEGMENT_BYTES));
        match self.put(&key, Condition::Any).await? {
            Ok(_) => {
                self.store.delete(&key, None).await?;
                Ok(BTreeSet::new())
            }
            Err(_) => Ok(BTreeSet::from([Lack::LongSegments])),
        }
    }
}

#[cfg(test)]
mod tests;
