//! A run, as worker 0 leads it: one pass over the listing, epoch after epoch, each decided once and rolled forward
//! whoever crashes.

mod dry_run;
mod epoch;
mod finish;
mod follow;
mod open;
mod summary;

use std::collections::BTreeSet;

pub use self::dry_run::{DryRun, dry_run};
pub use self::follow::follow;
pub use self::open::changed;
pub use self::summary::{RunSummary, TableSummary};

use crate::model::cursor::{Cursor, Phase, Run};
use crate::model::manifest::Excluded;
use crate::model::request::RequestMark;
use crate::pipeline::commit::claim::{self, Held};
use crate::pipeline::commit::outputs::Holder;
use crate::pipeline::commit::sweep;
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::planner::{Freeze, Planned, Planner};
use crate::pipeline::progress::Step;
use crate::pipeline::sample::SourceSampler;
use crate::state::blobs::Blobs;
use crate::state::{StateError, Version};

/// Passes over the listing in one run: objects that change under way get two more.
const PASSES_MAX: u32 = 3;

/// Looks at a whole listing after which one that limits cut is followed by another.
const LOOKS_MAX: u32 = 2;

/// Times that worker 0 reads the cursor again because another worker 0 moved it. Each time one of the two has made
/// progress.
const RELOADS_MAX: u32 = 32;

/// Runs one sync to the end. `summary` counts every epoch that was recorded, also when a later one fails.
pub async fn lead(context: &Context, summary: &mut RunSummary) -> Result<(), RunError> {
    let mut reloads = 0;
    loop {
        let ended = match Lead::open(context, summary).await {
            Ok(mut lead) => {
                let ended = lead.run().await;
                lead.give_back().await;
                ended
            }
            Err(error) => Err(error),
        };
        match ended {
            Ok(Progressed::Reopen) => {}
            Err(error) if error.kind == RunErrorKind::Superseded && reloads < RELOADS_MAX => {
                reloads += 1;
                tracing::info!(sync = %context.settings.id, "another worker moved the cursor: reading it again");
            }
            Err(error) if context.cancel.is_cancelled() => return Err(stopped(context.interrupted(), error)),
            ended => return ended.map(|_| ()),
        }
    }
}

/// The outcome of a run that was told to stop and failed: a server that went on not answering is what it was stopped
/// in, and no failure.
fn stopped(interrupted: RunError, error: RunError) -> RunError {
    if error.kind != RunErrorKind::Failed {
        return error;
    }
    tracing::warn!("while it stopped: {error}");
    interrupted
}

/// How a look at the cursor ended.
enum Progressed {
    /// The run is done, or done as far as it may go.
    Ended,
    /// An earlier run's epoch was finished under that run's settings: whether this one's may go on is to be seen.
    Reopen,
}

/// Worker 0, with the cursor as it last saw it.
struct Lead<'a> {
    context: &'a Context,
    summary: &'a mut RunSummary,
    blobs: Blobs,
    cursor: Cursor,
    version: Version,
    held: Held,
    /// Objects that an earlier pass of this run found changed: one that is listed again as it was is unreadable
    /// (invariant I4).
    changed: BTreeSet<(String, String)>,
}

impl Lead<'_> {
    async fn run(&mut self) -> Result<Progressed, RunError> {
        match self.cursor.phase {
            Phase::Committing => {
                self.summary.remarks.found(1);
                self.roll_forward().await?;
                return Ok(Progressed::Reopen);
            }
            _ if self.context.finish_only => return Ok(Progressed::Ended),
            Phase::Idle => {}
            Phase::Running if self.plan_is_current().await? => {
                self.summary.remarks.found(1);
                self.work().await?;
            }
            Phase::Running => self.drop_plan().await?,
        }
        if self.is_done() {
            self.sweep().await?;
            return Ok(Progressed::Ended);
        }
        if self.cursor.run_under_way(self.context.request_id()).is_none() {
            // It was how far another run had come, which is another selection's.
            self.cursor.listed_to = None;
        }
        let mut looks = 0;
        loop {
            self.context.go_on()?;
            self.sweep().await?;
            self.context.progress.enter(Step::Plan);
            let listed_whole = self.cursor.listed_to.is_none();
            looks += u32::from(listed_whole);
            if self.plan().await? {
                self.work().await?;
                // A pass that limits cut ends with a look at the whole: a server that lists out of order has keys
                // behind the cut. One such look: where somebody always writes there, more would be a run without an
                // end.
                if self.cursor.listed_to.is_some() || (!listed_whole && looks < LOOKS_MAX) {
                    continue;
                }
            }
            if !self.another_pass().await? {
                break;
            }
        }
        self.sweep().await?;
        self.end_run().await?;
        Ok(Progressed::Ended)
    }

    /// Plans the next epoch and names it in the cursor; `false` when the pass has ended and found nothing more.
    async fn plan(&mut self) -> Result<bool, RunError> {
        let run = self.this_run();
        let planner = Planner {
            source: self.context.source.as_ref(),
            blobs: &self.blobs,
            settings: &self.context.settings,
            cursor: &self.cursor,
            run: Some(&run.id),
            request: self.context.request.as_ref(),
            sampler: &SourceSampler::new(self.context),
            scratch: &self.context.scratch,
        };
        let freeze = Freeze {
            run: &run,
            seed: (self.context.ids)(),
            now: (self.context.clock)(),
            holder: Some(Holder {
                store: self.context.destination.as_ref(),
                claim: self.held.key(),
                owner: &self.context.owner,
                state_id: &self.cursor.state_id,
            }),
        };
        let planned = planner.plan_epoch(freeze, &mut self.summary.remarks).await?;
        let (key, plan) = match planned {
            Planned::Nothing => return Ok(false),
            Planned::Epoch(key, plan) => (key, plan),
        };
        let mut next = self.cursor.clone();
        next.phase = Phase::Running;
        next.run = Some(run);
        next.plan = Some(key);
        next.decision = None;
        next.request = plan.request.clone().or(next.request);
        self.swap(next).await?;
        let objects: u64 = plan.tables.iter().map(|table| table.objects).sum();
        let bytes: u64 = plan.tables.iter().map(|table| table.bytes).sum();
        let (shards, tables) = (plan.shards.len(), plan.tables.len());
        tracing::info!(sync = %self.context.settings.id, epoch = plan.epoch, objects, bytes, shards, tables, "planned");
        Ok(true)
    }

    /// Whether the run was asked for and is complete: a worker died after its last step, or nobody heard of it.
    fn is_done(&mut self) -> bool {
        let Some(request) = &self.context.request else { return false };
        let mark = self.cursor.mark_of(request);
        if mark.ended {
            let ended = mark.ended_at.map(|at| format!(", which ended at {at:.0}")).unwrap_or_default();
            let note = format!("what was asked for is complete since an earlier try{ended}: nothing is left to read");
            self.summary.remarks.note(note);
        }
        mark.ended
    }

    /// The run that the cursor names, or a new one. A run that is asked for has the request's id, so that what is kept
    /// for one run is kept for it however often it is begun.
    fn this_run(&self) -> Run {
        let asked = self.context.request_id();
        let id = || asked.map_or_else(|| (self.context.ids)(), str::to_owned);
        match self.cursor.run_under_way(asked) {
            Some(run) => run.clone(),
            None => Run { id: id(), started: (self.context.clock)(), pass: 1, changed: false, ended: false },
        }
    }

    /// At a pass's end: whether another one is due, because objects changed under way.
    async fn another_pass(&mut self) -> Result<bool, RunError> {
        let run = self.cursor.run_under_way(self.context.request_id()).cloned();
        let Some(run) = run.filter(|run| run.changed && run.pass < PASSES_MAX) else {
            return Ok(false);
        };
        let mut next = self.cursor.clone();
        next.listed_to = None;
        next.run = Some(Run { pass: run.pass + 1, changed: false, ..run });
        self.swap(next).await?;
        Ok(true)
    }

    /// Marks the run as ended, when the cursor knows of it; and always what it was asked for, so that this is done
    /// once.
    async fn end_run(&mut self) -> Result<(), RunError> {
        let run = self.cursor.run_under_way(self.context.request_id()).cloned();
        let ended_at = Some((self.context.clock)());
        let ended = |request| RequestMark { ended: true, ended_at, ..self.cursor.mark_of(request) };
        let request = self.context.request.as_ref().map(ended);
        if run.is_none() && request.is_none() {
            return Ok(());
        }
        if run.as_ref().is_some_and(|run| run.changed) {
            tracing::warn!(sync = %self.context.settings.id, "objects kept changing while they were read; the next run reads them");
        }
        let mut next = self.cursor.clone();
        next.listed_to = None;
        next.run = run.map(|run| Run { ended: true, ..run }).or(next.run);
        next.request = request.or(next.request);
        self.swap(next).await
    }

    /// An object that one pass found changed and the next finds listed as it was cannot be read at all.
    fn note_changed(&mut self, object: &Excluded) -> Result<(), RunError> {
        let identity = (object.key.clone(), object.etag.clone());
        if self.changed.insert(identity) {
            return Ok(());
        }
        Err(RunError::new(
            RunErrorKind::NotFound,
            format!(
                "{}: {}/{}: the listing shows it, but it cannot be read ({}); look at the object, or leave it out with source.exclude",
                self.context.settings.id,
                self.context.source.place(),
                object.key,
                object.message
            ),
        ))
    }

    /// Moves the cursor, by compare-and-swap.
    async fn swap(&mut self, next: Cursor) -> Result<(), RunError> {
        match self.context.cursor.swap(&self.version, &next).await {
            Ok(version) => {
                self.cursor = next;
                self.version = version;
                Ok(())
            }
            Err(StateError::Conflict) => Err(RunError::new(
                RunErrorKind::Superseded,
                format!("{}: another worker moved the cursor", self.context.settings.id),
            )),
            Err(error) => Err(open::state_error(self.context, error)),
        }
    }

    /// Empties the garbage that the cursor names, then forgets it.
    async fn sweep(&mut self) -> Result<(), RunError> {
        let Some(key) = self.cursor.garbage.clone() else { return Ok(()) };
        for sentence in sweep::sweep(&self.blobs, &key, &self.context.settings.id).await? {
            tracing::warn!(sync = %self.context.settings.id, "{sentence}");
            self.summary.remarks.note(sentence);
        }
        let mut next = self.cursor.clone();
        next.garbage = None;
        self.swap(next).await
    }

    /// Gives the claim back when nothing was published under this cursor, so that a slip of the pen does not keep the
    /// place from others. A failure leaves it, as a process that was killed does.
    async fn give_back(&self) {
        if !self.cursor.is_untouched() {
            return;
        }
        // Another process of this cursor may be further than we know.
        let untouched = match self.context.cursor.load().await {
            Ok(Some((cursor, _))) => cursor.is_untouched() && cursor.state_id == self.cursor.state_id,
            Ok(None) => true,
            Err(_) => false,
        };
        if untouched
            && let Err(error) =
                claim::give_back(self.context.destination.as_ref(), self.held.key(), &self.cursor.state_id).await
        {
            tracing::debug!("the claim of a run that published nothing is left: {error}");
        }
    }

    async fn update_claim(&mut self) -> Result<(), RunError> {
        self.held.update(self.context.destination.as_ref(), &self.context.owner, self.cursor.epoch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_was_told_to_stop_was_interrupted_whatever_does_not_answer() {
        let outcome =
            |kind| stopped(RunError::new(RunErrorKind::Interrupted, "safe to repeat"), RunError::new(kind, "why")).kind;
        assert_eq!(outcome(RunErrorKind::Failed), RunErrorKind::Interrupted, "the network");
        assert_eq!(outcome(RunErrorKind::BadData), RunErrorKind::BadData, "what the next run meets again is said");
    }
}
