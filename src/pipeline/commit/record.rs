//! Protocol step 5: what an epoch published, gathered shard by shard, and what is written of it: the commit
//! record, the ledger, the garbage that it leaves, and the cursor that names them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::commit_record::CommitRecord;
use crate::model::cursor::{Cursor, Phase, Run};
use crate::model::manifest::{AttemptManifest, Decision, Excluded, Exclusion, FileKind};
use crate::model::plan::{BlobKey, Plan};
use crate::model::spec_hash::SpecHash;
use crate::model::write_mode::Superseded;
use crate::pipeline::commit::attempts;
use crate::pipeline::commit::garbage::{Garbage, Replaced};
use crate::pipeline::commit::publish::Published;
use crate::pipeline::error::RunError;
use crate::pipeline::open_log::OpenUpload;
use crate::state::blobs::{BlobError, Blobs, CommitRecordWriter};
use crate::state::ledger::{self, TableUpdate};
use crate::state::wire::BlobKind;

/// What an epoch published, gathered shard by shard.
pub struct PublishedEpoch {
    /// By index into the plan's tables.
    pub tables: BTreeMap<u32, PublishedTable>,
    /// Objects that were left out, by key.
    pub excluded: BTreeMap<String, Excluded>,
    /// Bad records that were set aside.
    pub bad_records: u64,
    /// Attempts that were decided on.
    attempts: Vec<BlobKey>,
    /// Uploads of theirs that are not published: of slices that were dropped, of files that were given up.
    given_up: Vec<OpenUpload>,
    uploads: BTreeSet<String>,
}

/// What an epoch published of one table.
#[derive(Default)]
pub struct PublishedTable {
    /// Objects, rows and bytes.
    pub update: TableUpdate,
    /// Files.
    pub files: u64,
}

impl PublishedEpoch {
    /// Nothing yet of what was decided, and the commit record of it, which comes after the one that the cursor names.
    pub async fn begin(
        blobs: &Blobs,
        cursor: &Cursor,
        plan: &Plan,
        decision: &Decision,
    ) -> Result<(Self, CommitRecordWriter), BlobError> {
        let superseded = plan.settings.destination.write_mode.supersedes();
        let header = CommitRecord::of(plan, cursor.commit_record.clone(), superseded);
        let epoch = Self {
            tables: BTreeMap::new(),
            excluded: BTreeMap::new(),
            bad_records: 0,
            attempts: decision.attempts.clone(),
            given_up: Vec::new(),
            uploads: BTreeSet::new(),
        };
        Ok((epoch, blobs.begin_commit_record(&header, plan).await?))
    }

    /// Adds a shard, whose data files go into the commit record.
    pub fn add(
        &mut self,
        plan: &Plan,
        decision: &Decision,
        manifest: AttemptManifest,
        published: Vec<Published>,
        committed: &mut CommitRecordWriter,
    ) {
        let dropped = decision.dropped.contains(&manifest.shard);
        self.bad_records += manifest.bad_records;
        for totals in manifest.tables.into_iter().filter(|_| !dropped) {
            let mark = &mut self.tables.entry(totals.table).or_default().update.mark;
            mark.objects += totals.objects;
            if let Some((time, key)) = totals.newest
                && mark.last_modified.is_none_or(|known| known < time)
            {
                mark.last_modified = Some(time);
                mark.key = key;
            }
        }
        let visible: BTreeSet<&str> = published.iter().map(|published| published.file.upload.as_str()).collect();
        let given_up = manifest.files.into_iter().filter(|file| !visible.contains(file.upload.as_str()));
        self.given_up.extend(given_up.map(|file| OpenUpload { key: file.key, upload: file.upload }));
        self.excluded.extend(manifest.excluded.into_iter().map(|object| (object.key.clone(), object)));
        for Published { file, etag } in published {
            self.uploads.insert(file.upload.clone());
            match file.kind {
                FileKind::DeadLetter => {}
                FileKind::Data => {
                    let table = self.tables.entry(file.table).or_default();
                    // Of files, not of what was read: files that were given up have no rows.
                    table.update.mark.rows += file.rows;
                    table.update.mark.bytes += file.size;
                    table.files += 1;
                    committed.file(file.committed(plan, manifest.shard, etag));
                }
            }
        }
    }
}

/// Writes what is kept of a published epoch, and gives the cursor that names it, to be swapped in for `cursor`. Whoever
/// does it again writes the same under the same names.
pub async fn record(
    blobs: &Blobs,
    cursor: &Cursor,
    plan: &Plan,
    epoch: &PublishedEpoch,
    committed: CommitRecordWriter,
) -> Result<Cursor, RunError> {
    let record = blobs.put_commit_record(committed).await?;
    let updates = epoch.tables.iter().map(|(&index, table)| (index, table.update.clone())).collect();
    let recorded = ledger::record(blobs, cursor.ledger.as_ref(), plan, &epoch.excluded, &updates).await?;
    let mut garbage = garbage(blobs, cursor, plan, epoch, &recorded.referenced, &record).await?;
    garbage.blobs.extend(recorded.dropped.into_iter().map(|key| key.0));
    let changed = epoch.excluded.values().any(|object| object.reason == Exclusion::Changed);
    let mut next = Cursor {
        epoch: plan.epoch,
        phase: Phase::Idle,
        plan: None,
        decision: None,
        ledger: Some(recorded.root),
        commit_record: Some(record),
        garbage: None,
        listed_to: plan.listed_to.clone(),
        // Of where these files lie, whatever the spec says by now.
        spec_hash: SpecHash::of(&plan.settings).to_string(),
        tables: recorded.marks,
        ..cursor.clone()
    };
    next.run = next.run.map(|run| Run { changed: run.changed || changed, ..run });
    if !garbage.is_empty() {
        next.garbage = Some(garbage.put(blobs, plan.epoch).await?);
    }
    Ok(next)
}

/// What an epoch leaves to be removed: the generation that it took the place of, uploads that no decision named, blobs
/// that are old enough.
async fn garbage(
    blobs: &Blobs,
    cursor: &Cursor,
    plan: &Plan,
    epoch: &PublishedEpoch,
    referenced: &BTreeSet<BlobKey>,
    by: &BlobKey,
) -> Result<Garbage, RunError> {
    let mut garbage = Garbage::default();
    let store = blobs.store().as_ref();
    let superseded = match plan.settings.destination.write_mode.supersedes() {
        Superseded::Nothing => None,
        Superseded::Everything => cursor.commit_record.as_ref(),
    };
    if let Some(from) = superseded {
        // Looked at while the run can still stop for it: what the sweep finds gone is left where it is.
        blobs.commit_record(from).await?;
        garbage.replaced = Some(Replaced { from: from.clone(), by: by.clone() });
    }
    let left = attempts::leavings(store, blobs, plan.epoch, Some(plan), Some(&epoch.attempts)).await?;
    garbage.uploads = left.uploads.into_iter().filter(|open| !epoch.uploads.contains(&open.upload)).collect();
    garbage.uploads.extend_from_slice(&epoch.given_up);
    if plan.epoch > 2 {
        // A worker that was taken for dead may have written into the epoch after it was recorded: its logs are read
        // once more.
        let old = attempts::leavings(store, blobs, plan.epoch - 2, Some(plan), None).await?;
        garbage.uploads.extend(old.uploads);
        let kept = |key: &String| {
            referenced.contains(&BlobKey(key.clone())) || Blobs::kind_of(key) == Some(BlobKind::CommitRecord)
        };
        garbage.blobs = old.blobs.into_iter().filter(|key| !kept(key)).chain(old.logs).collect();
    }
    Ok(garbage)
}
