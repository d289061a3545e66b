//! What the workers of an epoch have left beside its plan: manifests of attempts that hold, and logs of uploads they began. Found by
//! LIST, because a worker that died cannot say.

use std::collections::BTreeMap;

use bytes::BytesMut;
use futures::{StreamExt, TryStreamExt};

use crate::model::plan::{BlobKey, Plan};
use crate::pipeline::error::RunError;
use crate::pipeline::open_log::{self, LogError, OPEN_SUFFIX, OpenUpload};
use crate::pipeline::own::OwnKeys;
use crate::state::blobs::Blobs;
use crate::state::seal::StateKey;
use crate::store::{ErrorKind, Store};

/// An open log's object names at most a batch of uploads; more than this is not one of ours.
const OPEN_LOG_BYTES_MAX: usize = 4 << 20;

/// Open logs of one epoch that are refused before no more are read, and those of them that are named: each costs a request, and whoever writes one
/// may write a million.
const REFUSED_MAX: u32 = 1_000;
const REFUSED_NAMED: u32 = 10;

/// Manifests of one shard that are looked at: more than one is rare, and more than this are not ours. Those behind them are seen once these are
/// refused, and so deleted.
const CANDIDATES_MAX: usize = 16;

/// Keys of one epoch's directory that are remembered, of some hundred bytes each. More of them are not ours: the rest stays where it is.
const BLOBS_MAX: usize = 200_000;

/// Uploads of one epoch that its logs name, of some hundred bytes each.
const UPLOADS_MAX: usize = 500_000;

/// Manifests by shard, in the order of their attempts' names, so that every reader chooses the same.
pub async fn prepared(store: &dyn Store, blobs: &Blobs, plan: &Plan) -> Result<BTreeMap<u32, Vec<BlobKey>>, RunError> {
    let mut found: BTreeMap<u32, Vec<BlobKey>> = BTreeMap::new();
    let mut numbers: Vec<u32> = plan.shards.iter().map(|shard| shard.plan).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        let prefix = blobs.attempts_prefix(plan.epoch, number);
        let mut pages = store.list(&prefix, None);
        while let Some(page) = pages.next().await {
            for object in page? {
                let Some(shard) = manifest_shard(&object.key[prefix.len()..]) else { continue };
                if plan.shards.get(shard as usize).is_some_and(|planned| planned.plan == number) {
                    let candidates = found.entry(shard).or_default();
                    if candidates.len() < CANDIDATES_MAX {
                        candidates.push(BlobKey(object.key));
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The shard of a manifest's name `<shard>-<attempt>.s3sync`; `None` for other names.
fn manifest_shard(name: &str) -> Option<u32> {
    let stem = name.strip_suffix(".s3sync")?;
    if name.ends_with(OPEN_SUFFIX) {
        return None;
    }
    stem.split_once('-')?.0.parse().ok()
}

/// Everything that workers left in an epoch: the uploads their logs name, and the keys of all blobs.
#[derive(Debug, Default)]
pub struct Leavings {
    /// Uploads, of every attempt.
    pub uploads: Vec<OpenUpload>,
    /// Keys of the epoch's blobs.
    pub blobs: Vec<String>,
}

/// Lists the directory of `epoch` and reads its open logs: those that workers of this sync sealed, or, where the plan under way is of a release
/// without seals, those that name uploads for keys of its spec. Whoever has no key leaves the logs where they are, for a worker to read.
pub async fn leavings(store: &dyn Store, blobs: &Blobs, epoch: u64, plan: Option<&Plan>) -> Result<Leavings, RunError> {
    let prefix = blobs.epoch_prefix(epoch);
    let unsealed = plan.filter(|plan| !plan.sealed()).map(|plan| OwnKeys::of(&plan.settings));
    let mut leavings = Leavings::default();
    let mut refused = 0;
    let mut pages = store.list(&prefix, None);
    while let Some(page) = pages.next().await {
        for object in page? {
            if leavings.blobs.len() >= BLOBS_MAX || leavings.uploads.len() >= UPLOADS_MAX {
                tracing::warn!(prefix, "far more lies here than workers leave: the rest stays");
                return Ok(leavings);
            }
            let trust = match (&unsealed, blobs.key()) {
                (Some(own), _) => Trust::Keys(own),
                (None, Some(key)) => Trust::Seal(key),
                (None, None) if object.key.ends_with(OPEN_SUFFIX) => continue,
                (None, None) => Trust::Nobody,
            };
            if object.key.ends_with(OPEN_SUFFIX) && refused < REFUSED_MAX {
                match read_open_log(store, &object.key, trust).await? {
                    Ok(uploads) => leavings.uploads.extend(uploads),
                    Err(error) => {
                        refused += 1;
                        told(refused, &object.key, &error);
                    }
                }
            }
            leavings.blobs.push(object.key);
        }
    }
    Ok(leavings)
}

/// Says that a log is not used: the first by name, so that no flood of them fills a disk with lines.
fn told(refused: u32, key: &str, error: &LogError) {
    match refused {
        ..=REFUSED_NAMED => tracing::warn!(%error, key, "an open log is not used; its uploads are left to the bucket's lifecycle rule"),
        REFUSED_MAX => tracing::warn!(key, "{REFUSED_MAX} open logs here are not used, and no more of them are read"),
        _ => {}
    }
}

/// Which logs are believed.
#[derive(Clone, Copy)]
enum Trust<'a> {
    /// What is sealed with this key.
    Seal(&'a StateKey),
    /// Those of a release without seals, as far as they name these keys.
    Keys(&'a OwnKeys),
    /// None.
    Nobody,
}

async fn read_open_log(store: &dyn Store, key: &str, trust: Trust<'_>) -> Result<Result<Vec<OpenUpload>, LogError>, RunError> {
    let mut body = match store.get(key, None, None).await {
        Ok(body) => body,
        // Another worker 0 swept it.
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(Ok(Vec::new())),
        Err(error) => return Err(error.into()),
    };
    let mut text = BytesMut::new();
    while let Some(bytes) = body.bytes.try_next().await? {
        text.extend_from_slice(&bytes);
        if text.len() > OPEN_LOG_BYTES_MAX {
            break;
        }
    }
    let text = text.freeze();
    Ok(match trust {
        // What is sealed was begun by us, maybe under another path.
        Trust::Seal(state_key) => open_log::read(&text, key, Some(state_key)),
        Trust::Keys(own) => open_log::read(&text, key, None).map(|mut uploads| {
            uploads.retain(|open| own.hold_any(&open.key));
            uploads
        }),
        Trust::Nobody => Ok(Vec::new()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_manifests_and_logs_are_told_apart() {
        for (name, expected) in [
            ("0-abc.s3sync", Some(0)),
            ("17-abc.s3sync", Some(17)),
            ("17-abc.0.open.s3sync", None),
            ("x-abc.s3sync", None),
            ("17.s3sync", None),
        ] {
            assert_eq!(manifest_shard(name), expected, "{name}");
        }
    }
}
