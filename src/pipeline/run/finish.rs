//! From decision to record: everything that the decision names becomes visible, then the ledger, the manifest and the
//! cursor say so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Lead, TableSummary};
use crate::model::cursor::{Cursor, Phase, Run};
use crate::model::manifest::{AttemptManifest, CommittedHeader, Decision, Excluded, Exclusion, FileKind};
use crate::model::plan::{BlobKey, Plan};
use crate::model::settings::WriteMode;
use crate::model::spec_hash::SpecHash;
use crate::pipeline::attempts;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::open_log::OpenUpload;
use crate::pipeline::own::{OwnKeys, check_attempt};
use crate::pipeline::progress::Step;
use crate::pipeline::publish::{Published, publish_shard};
use crate::pipeline::rebuild::rebuild;
use crate::pipeline::sweep::{Garbage, Replaced};
use crate::state::blobs::{Blobs, ManifestWriter};
use crate::state::ledger::{self, TableUpdate};
use crate::state::wire::BlobKind;

/// What an epoch published, gathered shard by shard.
#[derive(Default)]
struct Epoch {
    /// Attempts that were decided on.
    attempts: Vec<BlobKey>,
    /// Uploads of theirs that are not published: of slices that were dropped, of files that were given up.
    given_up: Vec<OpenUpload>,
    uploads: BTreeSet<String>,
    excluded: BTreeMap<String, Excluded>,
    tables: BTreeMap<u32, (TableUpdate, TableSummary)>,
    bad_records: u64,
}

impl Lead<'_> {
    /// Publishes and records the decision that the cursor names, under its plan's settings.
    pub(super) async fn roll_forward(&mut self) -> Result<(), RunError> {
        let key = self.cursor.decision.clone().ok_or_else(|| {
            RunError::new(
                RunErrorKind::CursorInvalid,
                format!(
                    "{}: the cursor says that an epoch is decided, but names no decision; restore it",
                    self.context.settings.id
                ),
            )
        })?;
        let mut decision = self.blobs.get_decision(&key).await?;
        let plan = Arc::new(self.blobs.get_plan(&decision.plan).await?);
        self.context.progress.enter(Step::Publish);
        let header = CommittedHeader::of(&plan, self.cursor.manifest.clone(), replaces(&plan));
        let mut committed = self.blobs.begin_manifest(&header, &plan).await?;
        let mut epoch = Epoch { attempts: decision.attempts.clone(), ..Epoch::default() };
        let own = OwnKeys::of(&plan.settings);
        for number in 0..decision.attempts.len() {
            let manifest = self.blobs.get_decided(&decision, number).await?;
            check_attempt(&plan, &own, number as u32, &manifest).map_err(|reason| {
                let (id, place, key) =
                    (&plan.settings.id, self.context.destination.place(), &decision.attempts[number].0);
                RunError::new(
                    RunErrorKind::CursorInvalid,
                    format!("{id}: {place}/{key} is no attempt that was decided on: {reason}"),
                )
            })?;
            let published = self.publish(&plan, &mut decision, &manifest).await?;
            epoch.add(&plan, &decision, manifest, published, &mut committed);
        }
        self.context.progress.enter(Step::Record);
        self.record(&plan, epoch, committed).await
    }

    /// Completes one shard's uploads. What has vanished is built again from its rows, decided anew, and completed.
    async fn publish(
        &mut self,
        plan: &Arc<Plan>,
        decision: &mut Decision,
        manifest: &AttemptManifest,
    ) -> Result<Vec<Published>, RunError> {
        loop {
            let outcome = publish_shard(self.context, plan, decision, manifest).await?;
            if outcome.vanished.is_empty() {
                return Ok(outcome.published);
            }
            tracing::warn!(sync = %self.context.settings.id, files = outcome.vanished.len(), "decided uploads are gone: building them again from their rows");
            let rebuilt = rebuild(self.context, &self.blobs, plan, manifest, &outcome.vanished).await?;
            decision.amended.retain(|file| !rebuilt.iter().any(|new| new.key == file.key));
            decision.amended.extend(rebuilt);
            let mut next = self.cursor.clone();
            next.decision = Some(self.blobs.put_decision(decision).await?);
            self.swap(next).await?;
        }
    }

    /// Protocol step 5.
    async fn record(&mut self, plan: &Arc<Plan>, epoch: Epoch, committed: ManifestWriter) -> Result<(), RunError> {
        let excluded = epoch.excluded.values().map(|object| (object.key.clone(), object.clone())).collect();
        let files = committed.files();
        let manifest = self.blobs.put_manifest(committed).await?;
        let updates = epoch.tables.iter().map(|(&table, (update, _))| (table, update.clone())).collect();
        let recorded = ledger::record(&self.blobs, self.cursor.ledger.as_ref(), plan, &excluded, &updates).await?;
        let mut garbage = self.garbage(plan, &epoch, &recorded.referenced, &manifest).await?;
        garbage.blobs.extend(recorded.dropped.into_iter().map(|key| key.0));
        let changed = epoch.excluded.values().any(|object| object.reason == Exclusion::Changed);
        let mut next = Cursor {
            epoch: plan.epoch,
            phase: Phase::Idle,
            plan: None,
            decision: None,
            ledger: Some(recorded.root),
            manifest: Some(manifest),
            garbage: None,
            listed_to: plan.listed_to.clone(),
            // Of where these files lie, whatever the spec says by now.
            spec_hash: SpecHash::of(&plan.settings).to_string(),
            tables: recorded.marks,
            ..self.cursor.clone()
        };
        next.run = next.run.map(|run| Run { changed: run.changed || changed, ..run });
        if !garbage.is_empty() {
            next.garbage = Some(garbage.put(&self.blobs, plan.epoch).await?);
        }
        self.swap(next).await?;
        tracing::info!(sync = %self.context.settings.id, epoch = plan.epoch, files, "recorded");
        // Counted whatever comes: it is recorded.
        let summarised = self.summarise(plan, epoch);
        self.update_claim().await?;
        summarised
    }

    /// What this epoch leaves to be removed: the generation that it replaced, uploads that no decision named, blobs
    /// that are old enough.
    async fn garbage(
        &self,
        plan: &Plan,
        epoch: &Epoch,
        referenced: &BTreeSet<BlobKey>,
        by: &BlobKey,
    ) -> Result<Garbage, RunError> {
        let mut garbage = Garbage::default();
        let store = self.context.destination.as_ref();
        if let Some(from) = self.cursor.manifest.as_ref().filter(|_| replaces(plan)) {
            // Looked at while the run can still stop for it: what the sweep finds gone is left where it is.
            self.blobs.manifest(from).await?;
            garbage.replaced = Some(Replaced { from: from.clone(), by: by.clone() });
        }
        let left = attempts::leavings(store, &self.blobs, plan.epoch, Some(plan), Some(&epoch.attempts)).await?;
        garbage.uploads = left.uploads.into_iter().filter(|open| !epoch.uploads.contains(&open.upload)).collect();
        garbage.uploads.extend_from_slice(&epoch.given_up);
        if plan.epoch > 2 {
            // A worker that was taken for dead may have written into the epoch after it was recorded: its logs are read
            // once more.
            let old = attempts::leavings(store, &self.blobs, plan.epoch - 2, Some(plan), None).await?;
            garbage.uploads.extend(old.uploads);
            let kept = |key: &String| {
                referenced.contains(&BlobKey(key.clone())) || Blobs::kind_of(key) == Some(BlobKind::Manifest)
            };
            garbage.blobs = old.blobs.into_iter().filter(|key| !kept(key)).chain(old.logs).collect();
        }
        Ok(garbage)
    }

    fn summarise(&mut self, plan: &Plan, epoch: Epoch) -> Result<(), RunError> {
        self.summary.epochs += 1;
        self.summary.bad_records += epoch.bad_records;
        for (index, (_, added)) in epoch.tables {
            let table = self.summary.tables.entry(plan.tables[index as usize].name.clone()).or_default();
            table.objects += added.objects;
            table.rows += added.rows;
            table.bytes += added.bytes;
            table.files += added.files;
        }
        for object in epoch.excluded.into_values() {
            match object.reason {
                Exclusion::Quarantined => {
                    tracing::warn!(
                        key = object.key,
                        reason = object.message,
                        "quarantined: left out until its etag changes"
                    );
                    self.summary.quarantine(object);
                }
                Exclusion::Archived => {
                    tracing::warn!(key = object.key, "archived: left out until it is restored");
                    self.summary.quarantine(object);
                }
                Exclusion::Changed => self.note_changed(&object)?,
            }
        }
        Ok(())
    }
}

/// Whether what a plan publishes takes the place of everything before it.
fn replaces(plan: &Plan) -> bool {
    plan.settings.destination.write_mode == WriteMode::Replace
}

impl Epoch {
    /// Adds a shard, whose data files go into the manifest.
    fn add(
        &mut self,
        plan: &Plan,
        decision: &Decision,
        manifest: AttemptManifest,
        published: Vec<Published>,
        committed: &mut ManifestWriter,
    ) {
        let dropped = decision.dropped.contains(&manifest.shard);
        self.bad_records += manifest.bad_records;
        for totals in manifest.tables.into_iter().filter(|_| !dropped) {
            let (update, summary) = self.tables.entry(totals.table).or_default();
            update.mark.objects += totals.objects;
            if let Some((time, key)) = totals.newest
                && update.mark.last_modified.is_none_or(|known| known < time)
            {
                update.mark.last_modified = Some(time);
                update.mark.key = key;
            }
            summary.objects += totals.objects;
        }
        let visible: BTreeSet<&str> = published.iter().map(|published| published.file.upload.as_str()).collect();
        let given_up = manifest.files.into_iter().filter(|file| !visible.contains(file.upload.as_str()));
        self.given_up.extend(given_up.map(|file| OpenUpload { key: file.key, upload: file.upload }));
        self.excluded.extend(manifest.excluded.into_iter().map(|object| (object.key.clone(), object)));
        for Published { file, etag } in published {
            if file.kind == FileKind::Data {
                let (update, summary) = self.tables.entry(file.table).or_default();
                // Of files, not of what was read: files that were given up have no rows.
                update.mark.rows += file.rows;
                summary.rows += file.rows;
                update.mark.bytes += file.size;
                summary.bytes += file.size;
                summary.files += 1;
            }
            self.uploads.insert(file.upload.clone());
            if file.kind == FileKind::DeadLetter {
                continue;
            }
            committed.file(file.committed(plan, manifest.shard, etag));
        }
    }
}
