//! The one decision: from what is seen to what should be. PURE: no client, no clock; everything is read before, and
//! written after it.

pub mod check;
pub mod concurrency;
pub mod conditions;
pub mod cursor;
pub mod record;
pub mod run;
pub mod schedule;

mod choose;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use self::choose::Why;

use self::check::{Checked, Refusal, check};
use self::conditions::{Situation, WAIT_MAX, readiness};
use self::cursor::CursorView;
use self::run::{Marks, Run, Worker};
use crate::api::status::{CursorStatus, RunResult};
use crate::api::text;
use crate::api::{S3Sync, S3SyncStatus};
use crate::controller::connections::Connections;
use crate::controller::events::{self, Note};
use crate::controller::names::CANCEL;
use crate::controller::policy::Policy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A look at least this often: timers do not see a wall clock that jumps, so a schedule would be late by the jump.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A look this soon where something is about to change that no watch tells: room under the cap, a pod's report.
const LOOK_SOON: Duration = Duration::from_secs(2);

/// How soon to look again whether a namespace is being deleted while pods there are.
pub const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// How long after its grace period a terminating pod is taken to be on a lost node. A kubelet that is there ends a pod
/// within seconds.
const LOST_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// Everything that a decision is made from.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The resource, with what its S3Connections say in the place of their names.
    pub sync: S3Sync,
    /// What became of the connections that it names.
    pub connections: Connections,
    /// The Jobs with its label, its own and others'.
    pub runs: Vec<Run>,
    /// Their pods.
    pub workers: Vec<Worker>,
    /// Its cursor's ConfigMap.
    pub cursor: Option<CursorView>,
    /// Names that it needs and somebody else has, with the kind of the object.
    pub taken: BTreeMap<String, &'static str>,
    /// Why the API server took no Job at the last try.
    pub refused: Option<String>,
    /// What the last warning says of the Job or pod that [`conditions::silent`] names.
    pub warned: Option<String>,
    /// Whether the cap on concurrent runs leaves room for one.
    pub capacity: bool,
    /// Whether the namespace is being deleted: nothing can be made there any more.
    pub namespace_ends: bool,
    /// What resources may ask for.
    pub policy: Arc<Policy>,
    /// The time.
    pub now: Timestamp,
}

impl Observed {
    /// Whether somebody has cancelled the run.
    pub fn cancels(&self, job: &str) -> bool {
        self.sync.metadata.annotations.as_ref().and_then(|all| all.get(CANCEL)).is_some_and(|name| name == job)
    }

    /// Whether the resource can run, and may.
    pub fn checked(&self) -> Result<Checked, Refusal> {
        if let Some(refusal) = &self.connections.refusal {
            return Err(refusal.clone());
        }
        let checked = check(&self.sync)?;
        self.policy.check(&self.sync)?;
        Ok(checked)
    }
}

/// A run to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its Job's name.
    pub job: String,
    /// What it is for, as written on the Job.
    pub marks: Marks,
    /// What it is for, as told to people.
    pub why: Why,
}

/// An object by name and uid, so that a namesake is not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The status.
    pub status: S3SyncStatus,
    /// The run to start. Its Job is made first, and the status is written at the look that follows.
    pub start: Option<Start>,
    /// A run is due, and waits for a place under the caps.
    pub waits_for_place: bool,
    /// Jobs beyond the history's limits, once their results are in the status.
    pub delete_jobs: Vec<Named>,
    /// Jobs of runs that somebody cancelled.
    pub cancel: Vec<Named>,
    /// Pods on lost nodes.
    pub force_delete: Vec<Named>,
    /// What people are told, once the status is written.
    pub notes: Vec<Note>,
    /// Pods that were ended from outside, by uid, and what people are told of each, once.
    pub killed: Vec<(String, Note)>,
    /// Runs whose end is new, to be counted once the status is written.
    pub ended: Vec<RunResult>,
    /// Slots that will never run: to be counted once the start is made, or else the status written.
    pub missed: u32,
    /// Whether what pods need may have been removed by hand.
    pub mend_rights: bool,
    /// When to look again.
    pub requeue: Duration,
}

/// Whether pods of a run in progress are being deleted. Their namespace may be the reason: its pods go first, and their
/// Job, which waits to replace them (podReplacementPolicy Failed, backoffLimitPerIndex), holds them for ever where no
/// pod can be made.
pub fn dying(seen: &Observed) -> bool {
    let at_work = |job: &str| seen.runs.iter().any(|run| run.owned && run.active() && !run.deleting && run.job == job);
    seen.workers.iter().any(|worker| worker.deleted.is_some() && at_work(&worker.job))
}

/// Decides.
pub fn decide(seen: &Observed) -> Desired {
    let before = seen.sync.status.clone().unwrap_or_default();
    let mut status = before.clone();
    // What is being deleted gets nothing new: its children go with it, and its cursor as its policy says.
    if seen.sync.metadata.deletion_timestamp.is_some() {
        return Desired {
            status,
            start: None,
            waits_for_place: false,
            delete_jobs: vec![],
            cancel: vec![],
            force_delete: vec![],
            notes: vec![],
            killed: vec![],
            ended: vec![],
            missed: 0,
            mend_rights: false,
            requeue: LOOK_EVERY,
        };
    }
    let news = record::bring_up_to_date(&mut status, seen);
    let checked = seen.checked();
    let ready = readiness(&checked, seen, &status);
    let choice = choose::choose(seen, checked.as_ref().ok(), &status, &ready, &news);
    status.observed_generation = seen.sync.metadata.generation.unwrap_or_default();
    status.next_schedule_time = choice.anchor.map(Time);
    status.progress =
        seen.cursor.as_ref().and_then(|cursor| cursor.progress.clone()).filter(|_| !status.active.is_empty());
    status.cursor = seen.cursor.as_ref().map(|cursor| cursor_status(seen, cursor));
    status.next_run_time = choice.next.map(|time| Time(whole_seconds(time)));
    let situation = Situation { seen, ready: &ready, waits_for_capacity: choice.waits_for_capacity };
    let waits = conditions::waits(&status, &situation);
    status.waiting_since = waits.as_ref().filter(|waits| waits.whole).map(|waits| {
        // Waiting for one thing and then for another are two waits.
        let same = before.waiting().is_some_and(|waited| waited.reason == waits.reason);
        before.waiting_since.clone().filter(|_| same).unwrap_or_else(|| Time(whole_seconds(seen.now)))
    });
    status.conditions = conditions::conditions(&before.conditions, &status, &situation);
    status.run = status.run_in_words();
    status.message = status.sentence().map(|sentence| text::message(&sentence));
    let mut wake = choice.wake;
    wake.extend(
        status
            .waiting_since
            .as_ref()
            .filter(|_| waits.is_some_and(|waits| waits.is_stuck()))
            .map(|since| conditions::after(since.0, WAIT_MAX)),
    );
    wake.extend(conditions::not_begun(seen).map(|(_, late)| late));
    if choice.waits_for_capacity || news.unsettled {
        wake.push(seen.now + LOOK_SOON);
    }
    let (force_delete, next_lost) = lost(seen);
    wake.extend(next_lost);
    if dying(seen) && !seen.namespace_ends {
        wake.push(seen.now + ASK_AGAIN);
    }
    let mut delete_jobs = beyond_history(seen, &status);
    if seen.namespace_ends {
        let at_work = seen.runs.iter().filter(|run| run.owned && run.active() && !run.deleting);
        delete_jobs.extend(at_work.map(|run| Named { name: run.job.clone(), uid: run.uid.clone() }));
    }
    wake.extend(conditions::without_pods(seen).map(|(_, late)| late));
    Desired {
        notes: events::notes(&before, &status, &news),
        killed: events::killed(seen, &before),
        missed: choice.missed,
        ended: news.ended,
        delete_jobs,
        cancel: cancelled(seen),
        force_delete,
        mend_rights: conditions::without_pods(seen).any(|(_, late)| late <= seen.now),
        waits_for_place: choice.waits_for_capacity && seen.refused.is_none(),
        start: choice.start,
        requeue: until(seen.now, wake),
        status,
    }
}

fn until(now: Timestamp, wake: Vec<Timestamp>) -> Duration {
    let soonest = wake.into_iter().filter(|time| *time > now).min();
    let soonest = soonest.and_then(|time| Duration::try_from(time.duration_since(now)).ok());
    soonest.map_or(LOOK_EVERY, |wait| wait.min(LOOK_EVERY))
}

fn cursor_status(seen: &Observed, cursor: &CursorView) -> CursorStatus {
    CursorStatus {
        config_map: crate::controller::names::cursor_name(seen.sync.metadata.name.as_deref().unwrap_or_default()),
        tables: cursor.summary.tables,
        watermark: cursor.summary.watermark.map(|time| Time(whole_seconds(time))),
        size_bytes: cursor.summary.size_bytes,
    }
}

/// A time as Kubernetes writes it; finer, it would differ from itself after the first write.
pub(in crate::controller) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Ended runs that are in the status and beyond the limits, the oldest of each kind.
fn beyond_history(seen: &Observed, status: &S3SyncStatus) -> Vec<Named> {
    let spec = &seen.sync.spec;
    let mut doomed = Vec::new();
    for (succeeded, limit) in [(true, spec.successful_runs_history_limit), (false, spec.failed_runs_history_limit)] {
        let mut ended: Vec<(Timestamp, &Run)> = (seen.runs.iter())
            .filter(|run| run.owned && !run.deleting && !status.active.iter().any(|active| active.job == run.job))
            .filter_map(|run| run.end.as_ref().filter(|end| end.succeeded == succeeded).map(|end| (end.at, run)))
            .collect();
        ended.sort_by_key(|(at, run)| (std::cmp::Reverse(*at), run.job.clone()));
        let kept = usize::try_from(limit).unwrap_or(0);
        doomed
            .extend(ended.into_iter().skip(kept).map(|(_, run)| Named { name: run.job.clone(), uid: run.uid.clone() }));
    }
    doomed
}

/// The run that the annotation names, while its Job is there.
fn cancelled(seen: &Observed) -> Vec<Named> {
    let named = seen.runs.iter().filter(|run| run.owned && run.active() && !run.deleting && seen.cancels(&run.job));
    named.map(|run| Named { name: run.job.clone(), uid: run.uid.clone() }).collect()
}

/// Pods that should be gone long since, and when the next one will be such. While they are there, no other pod takes
/// their index (podReplacementPolicy Failed), and no node will ever say that they have ended.
fn lost(seen: &Observed) -> (Vec<Named>, Vec<Timestamp>) {
    let (mut lost, mut next) = (Vec::new(), Vec::new());
    for worker in &seen.workers {
        let Some(time) = worker.deleted.and_then(|deleted| deleted.checked_add(LOST_AFTER).ok()) else { continue };
        if time <= seen.now {
            lost.push(Named { name: worker.pod.clone(), uid: worker.uid.clone() });
        } else {
            next.push(time);
        }
    }
    (lost, next)
}
