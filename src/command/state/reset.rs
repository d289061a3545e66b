//! `s3sync state reset`: the ledger is forgotten, so that the next run reads everything. Published files stay, and
//! epochs go on counting, so that no key and no blob of before is ever written again.

use super::settle::{self, settle};
use crate::command::syncs::{CursorLocation, Stores, Sync};
use crate::model::commit_record::CommitRecord;
use crate::model::cursor::{Cursor, Phase};
use crate::model::manifest::FileKind;
use crate::model::plan::BlobKey;
use crate::model::spec_hash::SpecHash;
use crate::model::write_mode::Superseded;
use crate::pipeline::commit::garbage::Garbage;
use crate::pipeline::commit::publish::Published;
use crate::pipeline::commit::{attempts, claim};
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::open_log::OpenUpload;
use crate::state::blobs::{BlobError, Blobs};
use crate::state::configmap::content;
use crate::state::wire::BlobKind;
use crate::state::{CursorStore, StateError};
use crate::store::{ErrorKind, Store};

/// Resets one cursor.
pub(super) async fn reset(sync: &Sync, stores: &Stores) -> Result<Vec<String>, RunError> {
    match sync.cursor.store().load().await {
        Ok(Some((cursor, version))) => {
            let (next, mut done) = forget(sync, stores, cursor).await?;
            sync.cursor.store().swap(&version, &next).await.map_err(|error| sync.failed(error))?;
            done.push(format!("reset at epoch {}; the next run reads everything", next.epoch));
            Ok(done)
        }
        Ok(None) => Ok(vec!["there is no cursor; nothing to reset".to_owned()]),
        Err(error @ StateError::Nonsense { .. }) => replace(sync, stores, error).await,
        Err(error) => Err(sync.failed(error)),
    }
}

/// The cursor without its ledger.
async fn forget(sync: &Sync, stores: &Stores, cursor: Cursor) -> Result<(Cursor, Vec<String>), RunError> {
    let (cursor, mut done) = leave_epoch(sync, stores, cursor).await?;
    let destination = stores.destination.as_ref();
    // What is published stays listed, and what is to be removed stays so, as long as the blobs that say it are there.
    let blobs = super::blobs(sync, stores, &cursor);
    let mut kept = async |blob: Option<BlobKey>, kind: BlobKind, what: &str| -> Result<Option<BlobKey>, RunError> {
        let Some(key) = blob else { return Ok(None) };
        let lost = match blobs.is_lost(&key, kind).await {
            Err(BlobError::Store(error)) if error.kind == ErrorKind::NoSuchBucket => {
                Some("is not there any more".to_owned())
            }
            other => other?,
        };
        let Some(lost) = lost else { return Ok(Some(key)) };
        done.push(format!("{what} {}/{} {lost} and was forgotten too", destination.place(), key.0));
        Ok(None)
    };
    let settings = sync.settings();
    let change = SpecHash::parse(&cursor.spec_hash).change_to(&SpecHash::of(settings));
    // Under another path a new table begins, of which the files under the old one are no part.
    let published = cursor.commit_record.clone().filter(|_| !change.is_some_and(|change| change.path));
    let commit_record = kept(published, BlobKind::CommitRecord, "the list of published files").await?;
    let garbage = kept(cursor.garbage.clone(), BlobKind::Garbage, "the list of what is to be removed").await?;
    if settings.destination.write_mode.keeps_published() && commit_record.is_some() {
        done.push(
            "published files stay, and the next run writes the rows of every object once more beside them: remove the files first, \
             which `s3sync state export` lists, or give another destination.path"
                .to_owned(),
        );
    }
    let next = Cursor {
        run: None,
        ledger: None,
        commit_record,
        garbage,
        listed_to: None,
        spec_hash: sync.spec_hash(),
        // It may be another by now, or do what it did not.
        server: None,
        tables: Default::default(),
        ..cursor
    };
    Ok((next, done))
}

/// The cursor without an epoch under way. Nothing is visible of one that is only planned; of one that is decided, what
/// can become visible does, and is listed as published.
async fn leave_epoch(sync: &Sync, stores: &Stores, cursor: Cursor) -> Result<(Cursor, Vec<String>), RunError> {
    let (epoch, mut done) = (cursor.epoch + 1, Vec::new());
    if cursor.phase == Phase::Idle {
        return Ok((cursor, done));
    }
    let (store, blobs) = (stores.destination.as_ref(), super::blobs(sync, stores, &cursor));
    // In a cluster the key is the workers' alone, and the next of them reads what they left.
    let blobs = match &sync.cursor {
        CursorLocation::File(_) => blobs.with_key(sync.state_key()?),
        CursorLocation::ConfigMap { .. } => blobs,
    };
    let mut next = Cursor { phase: Phase::Idle, plan: None, decision: None, ..cursor.clone() };
    let mut garbage = Garbage::default();
    if let Some(key) = &cursor.decision {
        next.epoch = epoch;
        match decided(&blobs, store, key, &cursor).await {
            Ok(published) => {
                done = published.done;
                garbage.uploads.extend(published.given_up);
                next.commit_record = Some(published.commit_record);
            }
            // The state is what is reset: where it is torn, it cannot say what it made visible.
            Err(error) if error.kind == RunErrorKind::CursorInvalid => done.push(format!(
                "epoch {epoch} was decided, and what of it is visible cannot be told ({error}): compare the destination with `s3sync state export`"
            )),
            Err(error) => return Err(error),
        }
    }
    let plan = match &cursor.plan {
        Some(key) if blobs.is_lost(key, BlobKind::Plan).await?.is_none() => Some(blobs.get_plan(key).await?),
        _ => None,
    };
    let left = attempts::leavings(store, &blobs, epoch, plan.as_ref(), Some(&[])).await?;
    garbage.uploads.extend(left.uploads);
    if cursor.decision.is_none() {
        garbage.blobs.extend(left.blobs);
        done.push(format!("epoch {epoch}, of which nothing was visible yet, was given up"));
    }
    // What was to be removed before goes along.
    let older = match &cursor.garbage {
        Some(key) if blobs.is_lost(key, BlobKind::Garbage).await?.is_none() => Some(key),
        _ => None,
    };
    next.garbage = Some(garbage.put_with(&blobs, epoch, older).await?);
    Ok((next, done))
}

/// What is visible of a decided epoch.
struct Decided {
    commit_record: BlobKey,
    given_up: Vec<OpenUpload>,
    done: Vec<String>,
}

async fn decided(blobs: &Blobs, store: &dyn Store, key: &BlobKey, cursor: &Cursor) -> Result<Decided, RunError> {
    let decision = blobs.get_decision(key).await?;
    let plan = blobs.get_plan(&decision.plan).await?;
    // With what was there before it, whatever the mode: the next Replace removes both.
    let header = CommitRecord::of(&plan, cursor.commit_record.clone(), Superseded::Nothing);
    let mut committed = blobs.begin_commit_record(&header, &plan).await?;
    let (mut given_up, mut done) = (Vec::new(), Vec::new());
    for shard in 0..decision.attempts.len() {
        let manifest = blobs.get_decided(&decision, shard).await?;
        let settled = settle(store, &plan.settings, &decision, &manifest).await?;
        for Published { file, etag } in
            settled.visible.into_iter().filter(|published| published.file.kind == FileKind::Data)
        {
            done.push(format!("visible: {}", file.key));
            committed.file(file.committed(&plan, manifest.shard, etag));
        }
        for file in settled.vanished.into_iter().chain(settled.refused.into_iter().map(|(file, _)| file)) {
            done.push(settle::given_up(&file));
            given_up.push(OpenUpload { key: file.key, upload: file.upload });
        }
    }
    Ok(Decided { commit_record: blobs.put_commit_record(committed).await?, given_up, done })
}

/// A cursor that makes no sense is put aside, and an empty one goes on counting where the claim in the destination says
/// that it stood.
async fn replace(sync: &Sync, stores: &Stores, error: StateError) -> Result<Vec<String>, RunError> {
    let store = stores.destination.as_ref();
    let claimed = claim::read(store, &claim::claim_key(sync.settings())).await?;
    let Some((claim, _)) = claimed else { return Err(sync.failed(error)) };
    let cursor = Cursor::empty(claim.state_id, claim.epoch, sync.spec_hash());
    let aside = match &sync.cursor {
        CursorLocation::File(file) => {
            let aside = file.path().with_extension("nonsense");
            std::fs::rename(file.path(), &aside).map_err(|error| {
                let message = format!("{}: {} cannot be renamed: {error}", sync.loaded.id, file.path().display());
                RunError::because(RunErrorKind::Failed, message, error)
            })?;
            file.create(&cursor).await.map_err(|error| sync.failed(error))?;
            aside.display().to_string()
        }
        CursorLocation::ConfigMap { cursor: stored, .. } => {
            stored.replace_nonsense(&cursor).await.map_err(|error| sync.failed(error))?;
            format!("the key {} of {}", content::ASIDE_KEY, stored.place())
        }
    };
    Ok(vec![
        format!("the cursor made no sense and was put aside as {aside}"),
        format!(
            "reset at epoch {}, which the claim in the destination names; the next run reads everything",
            claim.epoch
        ),
    ])
}
