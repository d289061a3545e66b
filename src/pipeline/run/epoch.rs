//! From plan to decision: shards are prepared by every worker, and worker 0 decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Lead;
use crate::model::cursor::Phase;
use crate::model::plan::{BlobKey, Plan};
use crate::pipeline::commit::attempts;
use crate::pipeline::commit::decide::{Verdict, decide};
use crate::pipeline::commit::garbage::Garbage;
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::prepare::Shard;
use crate::pipeline::progress::Step;
use crate::state::blobs::Blobs;
use crate::state::ledger::LedgerRoot;

/// Times that a run prepares what its own decision set aside: uploads that vanished, attempts that are not ours. Each
/// time all of those shards is uploaded again.
const VOIDS_MAX: u32 = 16;

impl Lead<'_> {
    /// Whether the plan under way is what the spec says now, and what this run is asked for. Another one plans again:
    /// nothing is visible yet.
    pub(super) async fn plan_is_current(&self) -> Result<bool, RunError> {
        let plan = self.plan_under_way().await?.1;
        let request = plan.request.as_ref().map(|mark| mark.id.as_str());
        Ok(plan.settings == *self.context.settings && request == self.context.request_id())
    }

    pub(super) async fn plan_under_way(&self) -> Result<(BlobKey, Plan), RunError> {
        let key = self.cursor.plan.clone().ok_or_else(|| {
            RunError::new(
                RunErrorKind::CursorInvalid,
                format!(
                    "{}: the cursor says that an epoch is under way, but names no plan; restore it, or `s3sync state reset --yes`",
                    self.context.settings.id
                ),
            )
        })?;
        let plan = self.blobs.get_plan(&key).await?;
        Ok((key, plan))
    }

    /// Takes the epoch under way from its plan to its record. Bad input, or a spec that turns out not to fit it, takes
    /// the plan back, so that nothing of it stays behind.
    pub(super) async fn work(&mut self) -> Result<(), RunError> {
        match self.until_decided().await {
            Ok(()) => self.roll_forward().await,
            Err(error) if matches!(error.kind, RunErrorKind::BadData | RunErrorKind::InvalidSpec) => {
                if let Err(failed) = self.drop_plan().await {
                    tracing::warn!(error = %failed, "the plan could not be taken back; the next run does");
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn until_decided(&mut self) -> Result<(), RunError> {
        let (mut key, plan) = self.plan_under_way().await?;
        let mut plan = Arc::new(plan);
        self.begin_progress(&plan);
        let ledger = match &self.cursor.ledger {
            Some(root) => {
                let names: BTreeSet<&str> = plan.tables.iter().map(|table| table.name.as_str()).collect();
                Some(LedgerRoot::load_where(&self.blobs, root, |name| names.contains(name)).await?)
            }
            None => None,
        };
        let in_force = |table: &str| ledger.as_ref().and_then(|ledger| ledger.schema(table)).cloned();
        let mut voids = 0;
        loop {
            self.context.progress.enter(Step::Prepare);
            let prepared = prepare_all(self.context, &self.blobs, &key, &plan).await?;
            self.context.progress.enter(Step::Decide);
            let mut next = self.cursor.clone();
            match decide(
                self.context,
                &self.blobs,
                &key,
                &plan,
                &prepared,
                &in_force,
                self.cursor.commit_record.as_ref(),
            )
            .await?
            {
                Verdict::Decision(decision) => {
                    self.context.go_on()?;
                    next.phase = Phase::Committing;
                    next.decision = Some(self.blobs.put_decision(&decision).await?);
                    // Last of all: where writes have no conditions, another cursor may have taken the claim at the same
                    // moment.
                    self.held.confirm(self.context.destination.as_ref(), &self.context.settings).await?;
                    return self.swap(next).await;
                }
                Verdict::Replan(wider) => {
                    tracing::info!(sync = %self.context.settings.id, epoch = plan.epoch, plan = wider.number, "values that the sampled schema cannot hold: planning again under a wider one");
                    key = self.blobs.put_plan(&wider).await?;
                    plan = Arc::new(*wider);
                    next.plan = Some(key.clone());
                    self.swap(next).await?;
                    self.begin_progress(&plan);
                }
                Verdict::Void(manifests) => {
                    voids += 1;
                    if voids > VOIDS_MAX {
                        return Err(set_aside(self.context));
                    }
                    for manifest in manifests {
                        self.context.destination.delete(&manifest.0, None).await?;
                    }
                }
            }
        }
    }

    fn begin_progress(&self, plan: &Plan) {
        let (objects, bytes) =
            (plan.tables.iter().map(|table| table.objects).sum(), plan.tables.iter().map(|table| table.bytes).sum());
        self.context.progress.begin(plan.epoch, objects, bytes);
    }

    /// Gives the epoch under way up before its decision: its uploads and blobs become garbage.
    pub(super) async fn drop_plan(&mut self) -> Result<(), RunError> {
        let epoch = self.cursor.epoch + 1;
        let (_, plan) = self.plan_under_way().await?;
        let left =
            attempts::leavings(self.context.destination.as_ref(), &self.blobs, epoch, Some(&plan), Some(&[])).await?;
        let garbage = Garbage { uploads: left.uploads, blobs: left.blobs, ..Garbage::default() };
        let mut next = self.cursor.clone();
        next.garbage = Some(garbage.put(&self.blobs, epoch).await?);
        next.phase = Phase::Idle;
        next.plan = None;
        next.decision = None;
        self.swap(next).await?;
        self.sweep().await
    }
}

/// Attempts that do not hold, again and again.
fn set_aside(context: &Context) -> RunError {
    let message = format!(
        "{}: what was prepared was set aside {VOIDS_MAX} times, for the reasons that the warnings before this name: see who else writes or \
         deletes under {}/{} and ends uploads there, and run again",
        context.settings.id,
        context.destination.place(),
        context.settings.state_prefix
    );
    RunError::new(RunErrorKind::Failed, message)
}

/// Prepares shards until every one has a manifest: this worker's own first, then, after a while, those of others.
pub(super) async fn prepare_all(
    context: &Context,
    blobs: &Blobs,
    key: &BlobKey,
    plan: &Arc<Plan>,
) -> Result<BTreeMap<u32, Vec<BlobKey>>, RunError> {
    let replicas = plan.settings.worker.replicas.max(1);
    let mut idle = std::time::Duration::ZERO;
    loop {
        context.go_on()?;
        let prepared = attempts::prepared(context.destination.as_ref(), blobs, plan).await?;
        let missing = (0..plan.shards.len() as u32).filter(|shard| !prepared.contains_key(shard));
        let mut missing: Vec<u32> = missing.collect();
        if missing.is_empty() {
            return Ok(prepared);
        }
        let own = missing.iter().position(|shard| shard % replicas == context.index % replicas);
        let number = match own {
            Some(position) => missing.swap_remove(position),
            None if idle < context.patience.left_to_owner => {
                tokio::time::sleep(context.patience.look_every).await;
                idle += context.patience.look_every;
                if context.index > 0 && !names_plan(context, key).await? {
                    return Ok(prepared);
                }
                continue;
            }
            // From the other end than its owner would.
            None => missing[missing.len() - 1],
        };
        let objects = Arc::new(blobs.get_shard(&plan.shards[number as usize].blob).await?);
        Shard { context, blobs, plan, number, objects }.prepare().await?;
    }
}

/// Whether the cursor still names this plan as under way.
async fn names_plan(context: &Context, key: &BlobKey) -> Result<bool, RunError> {
    let found = context.cursor.recent().await.map_err(|error| super::open::state_error(context, error))?;
    Ok(found.is_some_and(|(cursor, _)| cursor.phase == Phase::Running && cursor.plan.as_ref() == Some(key)))
}
