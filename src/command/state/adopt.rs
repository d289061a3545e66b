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
use crate::pipeline::commit::garbage::{Garbage, Replaced};
use crate::pipeline::commit::own::OwnKeys;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::blobs::{BlobError, Blobs, CommitRecordLine};
use crate::state::ledger::LedgerRoot;
use crate::state::wire::BlobKind;

/// Blobs of one kind that are looked at in an epoch's directory: whoever can write there can write a million.
const BLOBS_MAX: usize = 100;

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
        cursor.commit_record = the_one(sync, &blobs, claim.epoch, BlobKind::CommitRecord).await?;
    }
    if let Some(record) = &cursor.commit_record
        && let Some(stranger) = stranger(sync, &blobs, record).await?
    {
        done.push(format!(
            "{} lists {stranger:?}, which destination.path does not give; what it lists stays and is not shown",
            record.0
        ));
        cursor.commit_record = None;
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
    } else if let Some(garbage) = left_to_remove(sync, &blobs, &cursor, done).await? {
        let own = Blobs::new(stores.destination.clone(), state_prefix, &cursor.state_id);
        cursor.garbage = Some(garbage.put(&own, claim.epoch).await?);
    }
    Ok(cursor)
}

/// What the last epoch took the place of. Its run may have died before all of it was removed; what is gone already is
/// no error, and no later plan was made, since a sweep comes before.
async fn left_to_remove(
    sync: &Sync,
    blobs: &Blobs,
    cursor: &Cursor,
    done: &mut Vec<String>,
) -> Result<Option<Garbage>, RunError> {
    for key in all_of(blobs, cursor.epoch, BlobKind::Garbage).await? {
        let mut lines = blobs.lines(&key, BlobKind::Garbage);
        while let Some(garbage) = lines.next::<Garbage>().await? {
            // What another record took the place of is not what this cursor goes on from.
            let Some(replaced) =
                garbage.replaced.filter(|replaced| cursor.commit_record.as_ref() == Some(&replaced.by))
            else {
                continue;
            };
            return Ok(match stranger_before(sync, blobs, &replaced).await? {
                Some((record, stranger)) => {
                    done.push(format!(
                        "{} lists {stranger:?}, which destination.path does not give; what was replaced and is not removed yet stays",
                        record.0
                    ));
                    None
                }
                None => Some(Garbage { replaced: Some(replaced), ..Garbage::default() }),
            });
        }
    }
    Ok(None)
}

/// A file that the records of a replaced generation list and that this sync does not write, with its record. What is
/// before a record that is lost is not removed.
async fn stranger_before(
    sync: &Sync,
    blobs: &Blobs,
    replaced: &Replaced,
) -> Result<Option<(BlobKey, String)>, RunError> {
    let mut next = Some(replaced.from.clone());
    while let Some(record) = next {
        let header = match blobs.commit_record(&record).await {
            Ok((header, _)) => header,
            Err(BlobError::Missing { .. } | BlobError::Nonsense { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if let Some(stranger) = stranger(sync, blobs, &record).await? {
            return Ok(Some((record, stranger)));
        }
        next = header.previous.filter(|_| !header.replaces);
    }
    Ok(None)
}

/// A file that a commit record lists and that this sync does not write: Replace would remove it.
async fn stranger(sync: &Sync, blobs: &Blobs, record: &BlobKey) -> Result<Option<String>, RunError> {
    let own = OwnKeys::of(sync.settings());
    let mut lines = blobs.lines(record, BlobKind::CommitRecord);
    while let Some(line) = lines.next().await? {
        if let CommitRecordLine::File(file) = line
            && !own.hold(FileKind::Data, &file.key)
        {
            return Ok(Some(file.key));
        }
    }
    Ok(None)
}

/// The blob of a kind in an epoch's directory. Several leave open which one counted, and only the lost cursor knew.
async fn the_one(sync: &Sync, blobs: &Blobs, epoch: u64, kind: BlobKind) -> Result<Option<BlobKey>, RunError> {
    let mut found = all_of(blobs, epoch, kind).await?;
    if found.len() > 1 {
        let place = format!("{}/{}", blobs.store().place(), blobs.epoch_prefix(epoch));
        return Err(lost(sync, format!("there are several blobs {}-* under {place}", kind.word())));
    }
    Ok(found.pop())
}

/// The blobs of a kind in an epoch's directory, the first of them: an epoch has one or two.
async fn all_of(blobs: &Blobs, epoch: u64, kind: BlobKind) -> Result<Vec<BlobKey>, RunError> {
    let mut found = Vec::new();
    let prefix = blobs.epoch_prefix(epoch);
    let mut pages = blobs.store().list(&prefix, None);
    while let Some(page) = pages.try_next().await? {
        let of_kind = page.into_iter().filter(|object| Blobs::kind_of(&object.key) == Some(kind));
        found.extend(of_kind.map(|object| BlobKey(object.key)).take(BLOBS_MAX - found.len()));
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
