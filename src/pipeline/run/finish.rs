//! From decision to record: everything that the decision names becomes visible, then the ledger, the commit record and
//! the cursor say so.

use std::sync::Arc;

use super::Lead;
use crate::model::manifest::{AttemptManifest, Decision, Exclusion};
use crate::model::plan::Plan;
use crate::pipeline::commit::own::{OwnKeys, check_attempt};
use crate::pipeline::commit::publish::{Published, publish_shard};
use crate::pipeline::commit::rebuild::rebuild;
use crate::pipeline::commit::record::{PublishedEpoch, record};
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::progress::Step;

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
        let (mut epoch, mut committed) = PublishedEpoch::begin(&self.blobs, &self.cursor, &plan, &decision).await?;
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
        let files = committed.files();
        let next = record(&self.blobs, &self.cursor, &plan, &epoch, committed).await?;
        self.swap(next).await?;
        tracing::info!(sync = %self.context.settings.id, epoch = plan.epoch, files, "recorded");
        // Counted whatever comes: it is recorded.
        let summarised = self.summarise(&plan, epoch);
        self.update_claim().await?;
        summarised
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

    fn summarise(&mut self, plan: &Plan, epoch: PublishedEpoch) -> Result<(), RunError> {
        self.summary.epochs += 1;
        self.summary.bad_records += epoch.bad_records;
        for (index, added) in epoch.tables {
            self.summary.tables.entry(plan.tables[index as usize].name.clone()).or_default().add(&added);
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
