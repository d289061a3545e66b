//! The one decision: from what is seen to what should be. PURE: no client, no clock; everything is read before, and
//! written after it.

pub mod check;
pub mod concurrency;
pub mod conditions;
pub mod cursor;
pub mod desired;
pub mod events;
pub mod observed;
pub mod record;
pub mod requested;
pub mod run;
pub mod schedule;
pub mod size;

mod choose;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use self::desired::{Desired, Named, Start, Why};
pub use self::observed::Observed;

use self::conditions::{Situation, WAIT_MAX, readiness, whole_seconds};
use self::cursor::CursorView;
use self::run::Run;
use crate::api::spec::OnDelete;
use crate::api::status::{CursorStatus, RunOutcome};
use crate::api::{S3Sync, S3SyncStatus, text};
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
            told: vec![],
            expired: vec![],
            force_delete: vec![],
            notes: vec![],
            killed: vec![],
            ended: vec![],
            missed: 0,
            mend_rights: false,
            make_state_key: lacks_state_key(seen),
            own_cursor: false,
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
            .filter(|_| waits.as_ref().is_some_and(|waits| waits.is_stuck()))
            .map(|since| conditions::after(since.0, WAIT_MAX)),
    );
    wake.extend(conditions::not_begun(seen).map(|(_, late)| late));
    if choice.waits_for_capacity || news.unsettled {
        wake.push(seen.now + LOOK_SOON);
    }
    let (force_delete, next_lost) = lost(seen);
    wake.extend(next_lost);
    if seen.dying() && !seen.namespace_ends {
        wake.push(seen.now + ASK_AGAIN);
    }
    let (expired, next_expiry) = requested::expired(seen.requested.iter().flatten(), seen.now);
    wake.extend(next_expiry);
    let told = requested::told(
        seen,
        &status,
        &requested::Situation {
            checked: checked.as_ref().ok(),
            ready: &ready,
            waits: waits.as_ref(),
            starts: choice.start.as_ref().map(|start| start.job.as_str()),
        },
    );
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
        told,
        expired,
        force_delete,
        mend_rights: match &choice.start {
            // After a failure.
            Some(_) => status.last_run.as_ref().is_some_and(|run| run.result == RunOutcome::Failed),
            None => seen.cursor.is_some() && conditions::without_pods(seen).any(|(_, late)| late <= seen.now),
        },
        make_state_key: lacks_state_key(seen),
        own_cursor: seen.cursor.as_ref().is_some_and(|cursor| cursor.owners != owners(&seen.sync)),
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
        config_map: crate::controller::names::cursor_name(seen.name()),
        tables: cursor.summary.tables,
        watermark: cursor.summary.watermark.map(|time| Time(whole_seconds(time))),
        size_bytes: cursor.summary.size_bytes,
    }
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

/// Whether a pod waits for the Secret with the key of the state, or for another one.
fn lacks_state_key(seen: &Observed) -> bool {
    seen.workers.iter().any(|worker| worker.ended.is_none() && worker.lacks_config)
}

/// Uids of the objects that the cursor is to die with.
fn owners(sync: &S3Sync) -> Vec<String> {
    match sync.spec.state.on_delete {
        OnDelete::Delete => sync.metadata.uid.iter().cloned().collect(),
        OnDelete::Retain => vec![],
    }
}

/// The run that the annotation names, and one whose S3SyncRun is gone, while its Job is there.
fn cancelled(seen: &Observed) -> Vec<Named> {
    let called_off = |run: &Run| requested::called_off(seen, &run.job, run.marks.requested_by.as_deref());
    let named = seen.runs.iter().filter(|run| run.owned && run.active() && !run.deleting);
    let named = named.filter(|run| seen.cancels(&run.job) || called_off(run));
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
