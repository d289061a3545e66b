//! Runs that S3SyncRuns ask for by name: which of them is due, and what each of them says. PURE.
//!
//! An S3SyncRun starts one Job, whose name is made of its uid: a controller that knows of no start meets the Job of
//! the one before it. What the Job's workers are asked for has that uid as its id, so that nothing is read twice even
//! where the Job is gone.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::check::Checked;
use super::conditions::{Gate, Readiness, Waits, after, condition, whole_seconds};
use super::desired::{Named, Start, Told, Why};
use super::observed::Observed;
use super::run::Marks;
use crate::api::S3SyncStatus;
use crate::api::run::{S3SyncRun, S3SyncRunStatus};
use crate::api::status::{ConditionType, RunOutcome, RunResult};
use crate::api::text;
use crate::controller::names::{Repeat, job_name, short_hash};
use crate::model::reason::Reason;
use crate::model::request::{Asked, Request};

/// As a Job that has failed, and as kstatus knows it of any kind.
const FAILED: [ConditionType; 2] = [ConditionType::Failed, ConditionType::Stalled];

/// What the runs that are asked for wait for, beside the sync's status.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The spec, where it can be run.
    pub checked: Option<&'a Checked>,
    /// Which runs may start, and why.
    pub ready: &'a Readiness,
    /// What a run that is due or in progress waits for.
    pub waits: Option<&'a Waits>,
    /// The Job that is about to be made.
    pub starts: Option<&'a str>,
}

/// The Job of an S3SyncRun.
pub fn job_of(sync: &str, run: &S3SyncRun) -> String {
    job_name(sync, &slot_of(run), Repeat::First)
}

fn slot_of(run: &S3SyncRun) -> String {
    short_hash(&["s3syncrun", run.metadata.uid.as_deref().unwrap_or_default()])
}

/// The S3SyncRun that asks for the Job; one that is being deleted asks for nothing.
fn asks<'a>(seen: &'a Observed, job: &str) -> Option<&'a S3SyncRun> {
    let wanted = |run: &&S3SyncRun| run.metadata.deletion_timestamp.is_none() && job_of(seen.name(), run) == job;
    seen.requested.iter().flatten().find(wanted)
}

/// Whether the S3SyncRun that asked for a Job is gone: deleting it calls its run off. While they are not listed, nobody
/// knows.
pub fn called_off(seen: &Observed, job: &str, requested_by: Option<&str>) -> bool {
    requested_by.is_some() && seen.requested.is_some() && asks(seen, job).is_none()
}

/// Whether the last run was one of these: then whatever else is due goes before the next, so that many of them hold up
/// no schedule.
pub fn had_their_turn(status: &S3SyncStatus) -> bool {
    status.last_run.as_ref().is_some_and(|run| run.requested_by.is_some())
}

/// The run of the oldest S3SyncRun that has none yet.
pub fn due(seen: &Observed, checked: &Checked, status: &S3SyncStatus) -> Option<Start> {
    let has_job = |job: &str| seen.runs.iter().any(|run| run.job == job) || seen.taken.contains_key(job);
    let waits = |run: &&S3SyncRun| {
        let job = job_of(seen.name(), run);
        let begun = run.status.as_ref().is_some_and(|status| status.job.is_some());
        let gone = run.has_ended() || run.metadata.deletion_timestamp.is_some();
        !gone && !begun && !has_job(&job) && result_of(status, &job).is_none() && asked(checked, run).is_ok()
    };
    let age = |run: &&S3SyncRun| (run.metadata.creation_timestamp.clone(), run.metadata.name.clone());
    let run = seen.requested.iter().flatten().filter(waits).min_by_key(age)?;
    let Named { name, uid } = named(run);
    Some(Start {
        job: job_of(seen.name(), run),
        // It is no slot's run, no change's and no trigger's: a window may leave out what they are for.
        marks: Marks { slot: slot_of(run), requested_by: Some(name), ..Marks::default() },
        why: Why::Requested,
        request: Some(Request { id: uid.replace('-', ""), asked: asked(checked, run).ok()? }),
    })
}

/// What is asked for, or why these settings do not allow it.
fn asked(checked: &Checked, run: &S3SyncRun) -> Result<Asked, String> {
    let asked = run.spec.asked().map_err(|error| error.to_string())?;
    asked.check(&checked.settings)?;
    Ok(asked)
}

fn named(run: &S3SyncRun) -> Named {
    Named { name: run.metadata.name.clone().unwrap_or_default(), uid: run.metadata.uid.clone().unwrap_or_default() }
}

/// How a Job ended, as far as the sync's status goes back.
fn result_of<'a>(status: &'a S3SyncStatus, job: &str) -> Option<&'a RunResult> {
    status.last_run.iter().chain(&status.history).find(|result| result.job == job)
}

/// What is new to say. `status` is up to date with the Jobs that are there.
pub fn told(seen: &Observed, status: &S3SyncStatus, situation: &Situation<'_>) -> Vec<Told> {
    let next = situation.checked.and_then(|checked| due(seen, checked, status)).map(|start| start.job);
    let open = seen.requested.iter().flatten();
    let open = open.filter(|run| !run.has_ended() && run.metadata.deletion_timestamp.is_none());
    open.filter_map(|run| {
        let job = job_of(seen.name(), run);
        // It is told once its Job is there.
        let starts = situation.starts == Some(job.as_str());
        let told = Telling { run, now: seen.now };
        (!starts).then(|| told.news(&told.state(seen, status, situation, job, next.as_deref())))?
    })
    .collect()
}

/// What is new to say where the S3Sync is not there. One that has been there was deleted, and what it was asked for is
/// over; one that was never seen may be applied later.
pub fn without_sync(run: &S3SyncRun, now: Timestamp) -> Option<Told> {
    if run.has_ended() || run.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let (name, told) = (&run.spec.sync_ref.name, Telling { run, now });
    let was_there = run.status.as_ref().and_then(|status| status.reason.as_deref());
    let state = if was_there.is_some_and(|reason| reason != Reason::SyncNotFound.as_str()) {
        let message = format!(
            "the S3Sync {name} was deleted, and its runs with it; make another S3SyncRun once it is there again"
        );
        told.failed(Reason::SyncDeleted, &message)
    } else {
        let message = format!(
            "there is no S3Sync {name} in this namespace; the run starts once there is; if another is meant, make another S3SyncRun"
        );
        told.waits(Reason::SyncNotFound, &message)
    };
    told.news(&state)
}

/// When an S3SyncRun that has ended is to be deleted.
pub fn expires(run: &S3SyncRun) -> Option<Timestamp> {
    let seconds = run.spec.ttl_seconds_after_finished?;
    let status = run.status.as_ref().filter(|status| status.result.is_some())?;
    Some(after(status.completion_time.as_ref()?.0, SignedDuration::from_secs(i64::from(seconds))))
}

/// S3SyncRuns whose time is over, and when the others' is.
pub fn expired<'a>(runs: impl Iterator<Item = &'a S3SyncRun>, now: Timestamp) -> (Vec<Named>, Vec<Timestamp>) {
    let (mut expired, mut next) = (Vec::new(), Vec::new());
    for (run, time) in runs.filter_map(|run| Some((run, expires(run)?))) {
        if time <= now { expired.push(named(run)) } else { next.push(time) }
    }
    (expired, next)
}

/// Makes one S3SyncRun's status.
struct Telling<'a> {
    run: &'a S3SyncRun,
    now: Timestamp,
}

impl Telling<'_> {
    fn before(&self) -> S3SyncRunStatus {
        self.run.status.clone().unwrap_or_default()
    }

    fn news(&self, status: &S3SyncRunStatus) -> Option<Told> {
        (*status != self.before()).then(|| Told { run: named(self.run), status: status.clone() })
    }

    fn state(
        &self,
        seen: &Observed,
        status: &S3SyncStatus,
        situation: &Situation<'_>,
        job: String,
        next: Option<&str>,
    ) -> S3SyncRunStatus {
        if let Some(result) = result_of(status, &job) {
            return self.ended(result);
        }
        let waits = situation.waits;
        if let Some(active) = status.active.iter().find(|active| active.job == job) {
            let told = match waits.filter(|waits| waits.whole) {
                Some(waits) => self.waits(waits.reason, &waits.message),
                None => self.waits(Reason::Running, &format!("the run {job} is in progress")),
            };
            return S3SyncRunStatus { job: Some(job), start_time: active.start_time.clone(), ..told };
        }
        // Made once, and gone before its end was seen; or another's, whose S3Sync had this one's name.
        if self.before().job.is_some() || seen.runs.iter().any(|run| run.job == job) {
            let message = format!("the Job {job} is gone, and how it ended is not known; make another S3SyncRun");
            return self.failed(Reason::Interrupted, &message);
        }
        if let Some(Err(reason)) = situation.checked.map(|checked| asked(checked, self.run)) {
            return self.failed(Reason::InvalidSpec, &reason);
        }
        if seen.taken.contains_key(&job) {
            let message = format!("the Job {job} is there and not this sync's; remove it, and make another S3SyncRun");
            return self.failed(Reason::NameTaken, &message);
        }
        if situation.ready.gate != Gate::Open {
            return self.waits(situation.ready.reason, &format!("waits for its sync: {}", situation.ready.message));
        }
        match waits.filter(|_| status.active.is_empty() && next == Some(job.as_str())) {
            Some(waits) => self.waits(waits.reason, &waits.message),
            // The same words for as long as it waits: each other one would be a write, of each that waits.
            None => self.waits(Reason::WaitingForTurn, "waits for its turn: a sync has one run at a time"),
        }
    }

    fn waits(&self, reason: Reason, message: &str) -> S3SyncRunStatus {
        self.says(self.before(), &[ConditionType::Reconciling], reason, message)
    }

    fn failed(&self, reason: Reason, message: &str) -> S3SyncRunStatus {
        let status = S3SyncRunStatus {
            result: Some(RunOutcome::Failed),
            completion_time: Some(Time(whole_seconds(self.now))),
            ..self.before()
        };
        self.says(status, &FAILED, reason, message)
    }

    fn ended(&self, result: &RunResult) -> S3SyncRunStatus {
        let before = self.before();
        let status = S3SyncRunStatus {
            job: Some(result.job.clone()),
            start_time: result.start_time.clone().or(before.start_time.clone()),
            completion_time: result.completion_time.clone(),
            result: Some(result.result),
            counts: result.counts,
            ..before
        };
        let message = result.message.as_deref().unwrap_or_default();
        // A worker of another image may have words of its own.
        let reason = |other| result.known_reason().unwrap_or(other);
        match result.result {
            RunOutcome::Succeeded => self.says(status, &[ConditionType::Complete], reason(Reason::Succeeded), message),
            RunOutcome::Failed => self.says(status, &FAILED, reason(Reason::Failed), message),
        }
    }

    /// A status with these conditions, and no others.
    fn says(
        &self,
        status: S3SyncRunStatus,
        conditions: &[ConditionType],
        reason: Reason,
        message: &str,
    ) -> S3SyncRunStatus {
        let generation = self.run.metadata.generation;
        let made =
            |kind: &ConditionType| condition(&status.conditions, *kind, true, reason, message, generation, self.now);
        S3SyncRunStatus {
            observed_generation: generation.unwrap_or_default(),
            conditions: conditions.iter().map(made).collect(),
            reason: Some(reason.into()),
            message: Some(text::message(message)).filter(|message| !message.is_empty()),
            ..status
        }
    }
}
