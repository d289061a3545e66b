//! Events: what people are told when something changes. PURE: made from the status before and after, so that what stays
//! is told once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::desired::{Note, Why};
use super::observed::Observed;
use super::record::News;
use super::run::{Run, Worker};
use crate::api::S3SyncStatus;
use crate::api::status::{ConditionType, RunOutcome, RunResult};
use crate::api::summary;
use crate::controller::names::worker_name;
use crate::model::reason::Reason;

/// What to tell when `after` takes the place of `before`.
pub fn notes(before: &S3SyncStatus, after: &S3SyncStatus, news: &News) -> Vec<Note> {
    let mut notes: Vec<Note> = news.ended.iter().map(ended).collect();
    let (was, is) = (before.condition(ConditionType::Ready), after.condition(ConditionType::Ready));
    if let Some(is) = is
        && was.map(|was| (&was.status, &was.reason)) != Some((&is.status, &is.reason))
    {
        // A resource that is fine from its beginning needs no event to say so.
        match (is.status == "True", was.is_some()) {
            (true, true) => notes.push(Note::normal(is.reason.as_str(), &is.message)),
            (true, false) => {}
            (false, _) => notes.push(Note::warning(is.reason.as_str(), &is.message)),
        }
    }
    if let Some(is) = stuck(after)
        && stuck(before).is_none_or(|was| was.reason != is.reason)
    {
        notes.push(Note::warning(is.reason.as_str(), &is.message));
    }
    notes
}

/// The condition of a run that waits for what may never come.
fn stuck(status: &S3SyncStatus) -> Option<&Condition> {
    status
        .condition(ConditionType::Reconciling)
        .filter(|condition| summary::reason(condition).is_some_and(Reason::is_stuck))
}

/// Pods of runs in progress, or just ended, that somebody or something else ended, by uid.
pub fn killed(seen: &Observed, before: &S3SyncStatus) -> Vec<(String, Note)> {
    // No event can be made there any more.
    if seen.namespace_ends {
        return Vec::new();
    }
    // The Job's own deeds are none: it ends its other pods with itself.
    let deleted = |run: &Run, worker: &Worker| {
        let failed = worker.ended.as_ref().is_some_and(|ended| ended.exit_code != 0);
        worker.deleted.is_some() && failed && run.active() && !run.ending && !run.deleting && !run.held
    };
    let told = |worker: &Worker| {
        let run = seen.runs.iter().find(|run| run.owned && run.job == worker.job)?;
        // What earlier runs' pods met was told then; they are kept with their Jobs.
        if !run.active() && before.active.iter().all(|active| active.job != run.job) {
            return None;
        }
        let how = match &worker.killed {
            Some(killed) => format!("was killed: {killed}"),
            None if deleted(run, worker) => "was deleted".to_owned(),
            None => return None,
        };
        Some((
            worker.uid.clone(),
            Note::warning(Reason::WorkerKilled, format!("the pod {} of worker {} {how}", worker.pod, worker.index)),
        ))
    };
    seen.workers.iter().filter_map(told).collect()
}

/// What is told of slots that have no run of their own: one run takes what several would have, or they were given up as
/// too late.
pub fn missed(slots: u32) -> Note {
    let (what, their) = if slots == 1 { ("slot", "its") } else { ("slots", "their") };
    Note::warning(
        Reason::SlotMissed,
        format!(
            "{slots} scheduled {what} passed without a run of {their} own; the next run makes up for all that is missed"
        ),
    )
}

/// What is told of a run that starts.
pub fn started(job: &str, why: Why) -> Note {
    let why = match why {
        Why::Change => "what is synced is new or has changed",
        Why::Trigger => "it was triggered",
        Why::Slot => "it is due",
        Why::Retry => "the last run failed",
        Why::Recovery => "the last run left something half done",
        Why::Requested => "an S3SyncRun asks for it",
    };
    Note::normal(Reason::RunStarted, format!("{job}: {why}"))
}

/// What is told of a name that somebody else's object has; `None` for that of the workers' rights, which stands under
/// Ready by the same word, and is told with it.
pub fn taken(sync: &str, kind: &str, name: &str) -> Option<Note> {
    let message = format!("the {kind} {name} is there and not this sync's; it is left alone, and its place is skipped");
    (name != worker_name(sync)).then(|| Note::warning(Reason::NameTaken, message))
}

fn ended(run: &RunResult) -> Note {
    let message = run.message.as_deref().unwrap_or_default();
    match run.result {
        RunOutcome::Succeeded => Note::normal(Reason::RunSucceeded, format!("{}: {message}", run.job)),
        RunOutcome::Failed => Note::warning(
            Reason::RunFailed,
            format!("{} ({}): {message}", run.job, run.reason.as_deref().unwrap_or(Reason::Failed.as_str())),
        ),
    }
}
