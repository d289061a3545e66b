//! What the workers of an epoch have left beside its plan: manifests of attempts that hold, and logs of uploads they
//! began. Found by LIST, because a worker that died cannot say.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use crate::model::plan::{BlobKey, Plan};
use crate::pipeline::commit::own::OwnKeys;
use crate::pipeline::error::RunError;
use crate::pipeline::open_log::{self, LogError, OPEN_SUFFIX, OpenUpload};
use crate::state::blobs::{BlobError, Blobs};
use crate::state::seal::StateKey;
use crate::state::wire::BlobKind;
use crate::store::{ErrorKind, Store};

/// An open log's object names at most a batch of uploads; more than this is not one of ours.
const OPEN_LOG_BYTES_MAX: usize = 4 << 20;

/// Open logs of one epoch that are refused before no more are read, and those of them that are named: each costs a
/// request, and whoever writes one may write a million.
const REFUSED_MAX: u32 = 1_000;
const REFUSED_NAMED: u32 = 10;

/// Manifests of one shard that are looked at: more than one is rare, and more than this are not ours. Those behind them
/// are seen once these are refused, and so deleted.
const CANDIDATES_MAX: usize = 16;

/// Keys of one epoch's directory that are remembered, of some hundred bytes each. More of them are not ours: the rest
/// stays where it is.
const BLOBS_MAX: usize = 200_000;

/// Listings under way at once, of keys that killed workers announced.
const LISTINGS_AT_ONCE: usize = 16;

/// Decisions of one epoch that are read: one, and one more for each time that uploads vanished.
const DECISIONS_MAX: usize = 64;

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

/// Everything that workers left in an epoch: uploads that are under way, and the keys of all blobs.
#[derive(Debug, Default)]
pub struct Leavings {
    /// Uploads, of every attempt but the decided ones.
    pub uploads: Vec<OpenUpload>,
    /// Keys of the epoch's blobs, logs aside.
    pub blobs: Vec<String>,
    /// Keys of its logs. They stay until two epochs later: a worker that was taken for dead may begin an upload at a
    /// key that it announced.
    pub logs: Vec<String>,
}

/// Lists the directory of `epoch`, and finds what is under way by the open logs of every attempt but the `decided`
/// ones: what those began was completed, or is given up with the decision. `None`: the decisions that lie there say
/// which. Read are the logs that workers of this sync sealed, or, where the plan under way is of a release without
/// seals, those that name keys of its spec. Whoever has no key leaves the logs where they are, for a worker to read.
///
/// An upload is found by its key, so this is for a time when nobody has begun the next epoch: its keys may be the same.
pub async fn leavings(
    store: &dyn Store,
    blobs: &Blobs,
    epoch: u64,
    plan: Option<&Plan>,
    decided: Option<&[BlobKey]>,
) -> Result<Leavings, RunError> {
    let prefix = blobs.epoch_prefix(epoch);
    let unsealed = plan.filter(|plan| !plan.sealed()).map(|plan| OwnKeys::of(&plan.settings));
    let trust = match (&unsealed, blobs.key()) {
        (Some(own), _) => Trust::Keys(own),
        (None, Some(key)) => Trust::Seal(key),
        (None, None) => Trust::Nobody,
    };
    let mut leavings = Leavings::default();
    let mut decisions = Vec::new();
    let mut pages = store.list(&prefix, None);
    'listing: while let Some(page) = pages.next().await {
        for object in page? {
            if leavings.blobs.len() + leavings.logs.len() >= BLOBS_MAX {
                tracing::warn!(
                    prefix,
                    after = leavings.blobs.last().max(leavings.logs.last()),
                    "more than {BLOBS_MAX} objects of state lie here, far more than workers leave: those behind this key take up room and nothing else, \
                     and stay; uploads that they name are left to the bucket's lifecycle rule"
                );
                break 'listing;
            }
            if object.key.ends_with(OPEN_SUFFIX) {
                if !matches!(trust, Trust::Nobody) {
                    leavings.logs.push(object.key);
                }
                continue;
            }
            if Blobs::kind_of(&object.key) == Some(BlobKind::Decision) && decisions.len() < DECISIONS_MAX {
                decisions.push(BlobKey(object.key.clone()));
            }
            leavings.blobs.push(object.key);
        }
    }
    let attempts: BTreeSet<BlobKey> = match decided {
        Some(attempts) => attempts.iter().cloned().collect(),
        None => decided_there(blobs, decisions).await?,
    };
    let (mut keys, mut refused) = (BTreeSet::new(), 0);
    for log in &leavings.logs {
        let completed = open_log::stem(log).is_some_and(|stem| attempts.contains(&BlobKey(format!("{stem}.s3sync"))));
        if completed || refused >= REFUSED_MAX || keys.len() + leavings.uploads.len() >= UPLOADS_MAX {
            continue;
        }
        match read_open_log(store, log, trust).await? {
            Ok(uploads) => {
                let (announced, named): (Vec<_>, Vec<_>) = uploads.into_iter().partition(|open| open.upload.is_empty());
                keys.extend(announced.into_iter().map(|open| open.key));
                leavings.uploads.extend(named);
            }
            Err(error) => {
                refused += 1;
                told(refused, log, &error);
            }
        }
    }
    let mut listings =
        stream::iter(keys).map(|key| async move { under_way(store, key).await }).buffer_unordered(LISTINGS_AT_ONCE);
    while let Some(found) = listings.try_next().await? {
        leavings.uploads.extend(found);
    }
    Ok(leavings)
}

/// The attempts that every decision of an epoch names: one of them was in force, the others were overtaken. Where one
/// cannot be read, or there are more than are read, it is none: then a few logs are read that need not be.
async fn decided_there(blobs: &Blobs, decisions: Vec<BlobKey>) -> Result<BTreeSet<BlobKey>, RunError> {
    if decisions.len() == DECISIONS_MAX {
        return Ok(BTreeSet::new());
    }
    let mut named: Option<BTreeSet<BlobKey>> = None;
    for decision in decisions {
        let attempts: BTreeSet<BlobKey> = match blobs.get_decision(&decision).await {
            Ok(decision) => decision.attempts.into_iter().collect(),
            Err(BlobError::Store(error)) => return Err(error.into()),
            Err(BlobError::Missing { .. } | BlobError::Nonsense { .. } | BlobError::TooLong { .. }) => BTreeSet::new(),
        };
        named = Some(named.map_or(attempts.clone(), |named| &named & &attempts));
    }
    Ok(named.unwrap_or_default())
}

/// The uploads under way at a key. Where they cannot be listed they are left to the bucket's lifecycle rule, by name.
async fn under_way(store: &dyn Store, key: String) -> Result<Vec<OpenUpload>, RunError> {
    match store.list_uploads(&key).await {
        Ok(uploads) => Ok(uploads.into_iter().map(|upload| OpenUpload { key: key.clone(), upload }).collect()),
        Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Unsupported) => {
            tracing::warn!(%error, key, "an upload that a killed worker may have left there is left to the bucket's lifecycle rule");
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}

/// Says that a log is not used: the first by name, so that no flood of them fills a disk with lines.
fn told(refused: u32, key: &str, error: &LogError) {
    match refused {
        ..=REFUSED_NAMED => {
            tracing::warn!(%error, key, "an open log is not used; its uploads are left to the bucket's lifecycle rule")
        }
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

async fn read_open_log(
    store: &dyn Store,
    key: &str,
    trust: Trust<'_>,
) -> Result<Result<Vec<OpenUpload>, LogError>, RunError> {
    let body = match store.get(key, None, None).await {
        Ok(body) => body,
        // Another worker 0 swept it.
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(Ok(Vec::new())),
        Err(error) => return Err(error.into()),
    };
    let text = body.up_to(OPEN_LOG_BYTES_MAX).await?;
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
        assert_eq!(open_log::stem("a.b/17-abc.0.open.s3sync"), Some("a.b/17-abc"));
        assert_eq!(open_log::stem("a.b/17-abc.s3sync"), None);
    }
}
