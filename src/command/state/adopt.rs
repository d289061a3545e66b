//! `s3sync state adopt`: a sync goes on from here, whoever held it before.
//!
//! A cursor of its own that has a ledger takes the claim over as it is. Otherwise the cursor is made from what was
//! published: the claim names the last epoch, and that epoch's directory holds the ledger. The new cursor gets a
//! directory of its own, so that the old one, should it come back, is refused by the claim and cannot write beside it.
//! Its blobs stay where they are: they are named by whole keys.

use futures::TryStreamExt;

use crate::command::syncs::{Stores, Sync};
use crate::model::cursor::{Cursor, Phase, Run};
use crate::model::manifest::FileKind;
use crate::model::plan::BlobKey;
use crate::pipeline::commit::claim::{self, Claim};
use crate::pipeline::commit::own::OwnKeys;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::blobs::{Blobs, ManifestLine};
use crate::state::ledger::LedgerRoot;
use crate::state::wire::BlobKind;
use crate::store::Store;

/// Takes one sync over.
pub(super) async fn adopt(sync: &Sync, stores: &Stores) -> Result<Vec<String>, RunError> {
    let (settings, store) = (sync.settings(), stores.destination.as_ref());
    let ours = sync.load().await?;
    let found = match (claim::read(store, &claim::claim_key(settings)).await, &ours) {
        // Whoever wrote that, no other cursor is known.
        (Err(error), Some((cursor, _))) if error.kind == RunErrorKind::CursorInvalid && cursor.ledger.is_some() => {
            claim::adopt(store, settings, cursor, &sync.owner()).await?;
            return Ok(vec!["the claim made no sense, and was written anew for this cursor".to_owned()]);
        }
        (found, _) => found?,
    };
    let Some((claim, _)) = found else {
        return Ok(vec!["nobody holds this sync; the next run does".to_owned()]);
    };
    let mut done = Vec::new();
    let cursor = match &ours {
        Some((cursor, _)) if cursor.state_id == claim.state_id && cursor.epoch >= claim.epoch => {
            return Ok(vec!["this cursor holds the sync already".to_owned()]);
        }
        Some((cursor, _)) if cursor.state_id != claim.state_id && cursor.ledger.is_some() => cursor.clone(),
        _ => {
            let cursor = published(sync, stores, &claim, &mut done).await?;
            let written = match &ours {
                Some((_, version)) => sync.cursor.store().swap(version, &cursor).await,
                None => sync.cursor.store().create(&cursor).await,
            };
            written.map_err(|error| sync.failed(error))?;
            cursor
        }
    };
    claim::adopt(store, settings, &cursor, &sync.owner()).await?;
    done.push(format!("taken over from {} at epoch {}", claim.owner, cursor.epoch));
    Ok(done)
}

/// A cursor at the last epoch that was published, or in the middle of the one that was decided after it. The bucket is
/// taken at its word: whoever can write there says what was read.
async fn published(sync: &Sync, stores: &Stores, claim: &Claim, done: &mut Vec<String>) -> Result<Cursor, RunError> {
    let state_prefix = &sync.settings().state_prefix;
    let blobs = Blobs::new(stores.destination.clone(), state_prefix, &claim.state_id);
    let mut cursor = Cursor::empty(uuid::Uuid::new_v4().simple().to_string(), claim.epoch, sync.spec_hash());
    let place = stores.destination.place();
    done.push(format!(
        "{place}/{state_prefix} was taken at its word: whoever can write there says where the sync stands"
    ));
    if claim.epoch > 0 {
        cursor.ledger = Some(the_one(sync, &blobs, claim.epoch, BlobKind::Ledger).await?.ok_or_else(|| {
            let place = format!("{}/{}", stores.destination.place(), blobs.epoch_prefix(claim.epoch));
            lost(sync, format!("there is no ledger under {place}"))
        })?);
        cursor.manifest = the_one(sync, &blobs, claim.epoch, BlobKind::Manifest).await?;
    }
    if let Some(manifest) = &cursor.manifest
        && let Some(stranger) = stranger(sync, &blobs, manifest).await?
    {
        done.push(format!(
            "{} lists {stranger:?}, which destination.path does not give; what it lists stays and is not shown",
            manifest.0
        ));
        cursor.manifest = None;
    }
    if let Some(ledger) = &cursor.ledger {
        cursor.request = LedgerRoot::load_head(&blobs, ledger).await?.request;
        let mut tables = 0;
        let first = |_: &str| {
            tables += 1;
            tables <= Cursor::TABLES_MAX
        };
        let tables = LedgerRoot::load_where(&blobs, ledger, first).await?.tables;
        cursor.tables = tables.into_iter().map(|(name, table)| (name, table.mark)).collect();
    }
    // What was decided may be visible in part: the next run goes on with it. What was only planned is not, and is
    // planned again.
    if let Some(key) = the_one(sync, &blobs, claim.epoch + 1, BlobKind::Decision).await? {
        let decision = blobs.get_decision(&key).await?;
        let plan = blobs.get_plan(&decision.plan).await?;
        cursor.phase = Phase::Committing;
        cursor.request = plan.request.or(cursor.request);
        cursor.run =
            Some(Run { id: plan.run, started: plan.planned_at, pass: plan.pass, changed: false, ended: false });
        cursor.plan = Some(decision.plan);
        cursor.decision = Some(key);
    }
    Ok(cursor)
}

/// A file that a committed manifest lists and that this sync does not write: Replace would remove it.
async fn stranger(sync: &Sync, blobs: &Blobs, manifest: &BlobKey) -> Result<Option<String>, RunError> {
    let own = OwnKeys::of(sync.settings());
    let mut lines = blobs.lines(manifest, BlobKind::Manifest);
    while let Some(line) = lines.next().await? {
        if let ManifestLine::File(file) = line
            && !own.hold(FileKind::Data, &file.key)
        {
            return Ok(Some(file.key));
        }
    }
    Ok(None)
}

/// The blob of a kind in an epoch's directory. Several leave open which one counted, and only the lost cursor knew.
async fn the_one(sync: &Sync, blobs: &Blobs, epoch: u64, kind: BlobKind) -> Result<Option<BlobKey>, RunError> {
    let store: &dyn Store = blobs.store().as_ref();
    let prefix = blobs.epoch_prefix(epoch);
    let mut found = None;
    let mut pages = store.list(&prefix, None);
    while let Some(page) = pages.try_next().await? {
        for object in page {
            if Blobs::kind_of(&object.key) != Some(kind) {
                continue;
            }
            if found.is_some() {
                let place = format!("{}/{prefix}", store.place());
                return Err(lost(sync, format!("there are several blobs {}-* under {place}", kind.word())));
            }
            found = Some(BlobKey(object.key));
        }
    }
    Ok(found)
}

fn lost(sync: &Sync, what: String) -> RunError {
    let message = format!(
        "{}: what was published does not tell where the sync stood: {what}; put the lost cursor back from a copy, or delete the claim {} in \
         bucket {} and run the sync, which reads everything again",
        sync.loaded.id,
        claim::claim_key(sync.settings()),
        sync.settings().destination.bucket
    );
    RunError::new(RunErrorKind::CursorInvalid, message)
}
