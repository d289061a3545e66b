//! Which run to start, if any. PURE.

use std::time::Duration;

use jiff::Timestamp;

use super::desired::{Start, Why};
use super::observed::Observed;
use crate::api::S3SyncStatus;
use crate::api::status::{RunOutcome, RunResult};
use crate::api::text::cut;
use crate::controller::decide::check::Checked;
use crate::controller::decide::conditions::{Gate, Readiness};
use crate::controller::decide::cursor::Position;
use crate::controller::decide::record::News;
use crate::controller::decide::requested;
use crate::controller::decide::run::{Marks, Run};
use crate::controller::decide::schedule::{Anchor, Look, Slot};
use crate::controller::names::{CANCEL, Repeat, TRIGGER, job_name, parse_job_name, short_hash};
use crate::model::cursor::Phase;
use crate::model::reason::Reason;
use crate::model::retry::{GiveUp, Jitter, RetryPolicy};

/// When a failed run is repeated: after 1, 2, 4 ... 60 minutes, so that what is healed outside is noticed within the
/// hour.
const BACKOFF: RetryPolicy = RetryPolicy {
    base: Duration::from_mins(1),
    cap: Duration::from_hours(1),
    at_least: Duration::ZERO,
    jitter: Jitter::None,
    give_up: GiveUp::Never,
};

/// What is read of the annotation s3sync.dev/trigger, in bytes: as long as the field. An annotation has no bound of its
/// own.
const TOKEN_BYTES_MAX: usize = 253;

/// What was chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// The run to start.
    pub start: Option<Start>,
    /// A run is due, and the cap on concurrent runs leaves no room for it.
    pub waits_for_capacity: bool,
    /// `status.nextScheduleTime`.
    pub anchor: Option<Timestamp>,
    /// `status.nextRunTime`: when a run starts by itself, unless one is in progress then.
    pub next: Option<Timestamp>,
    /// Times at which another choice may be made.
    pub wake: Vec<Timestamp>,
    /// Slots that will never run.
    pub missed: u32,
}

/// Chooses. `status` is up to date with the Jobs that are there.
pub fn choose(
    seen: &Observed,
    checked: Option<&Checked>,
    status: &S3SyncStatus,
    ready: &Readiness,
    news: &News,
) -> Choice {
    let mut choice = Choice::default();
    let Some(checked) = checked else { return choice };
    // Nothing starts either where nothing can be made any more.
    let busy = seen.namespace_ends || news.unsettled || seen.runs.iter().any(|run| run.owned && run.active());
    let candidate = match ready.gate {
        Gate::Shut => None,
        Gate::CommittingOnly => recovery(seen, checked, status, true, &mut choice.wake),
        Gate::Open => {
            let look = look(seen, checked, status).unwrap_or_default();
            choice.anchor = look.anchor;
            choice.wake.extend(look.next);
            let named = requested::due(seen, checked, status);
            let (first, later) = if requested::had_their_turn(status) { (None, named) } else { (named, None) };
            // A run by name makes up for no slot.
            choice.missed = newly_missed(&look, busy || !seen.capacity || first.is_some());
            first
                .or_else(|| asked_for(seen, checked, status, look.due))
                .or_else(|| look.due.map(|slot| scheduled(seen, checked, slot)))
                // A repetition has its turn before the next of them, too.
                .or_else(|| later.map(|later| retry(seen, checked, status, &mut choice.wake).unwrap_or(later)))
                .or_else(|| recovery(seen, checked, status, was_cancelled(status), &mut choice.wake))
                .or_else(|| retry(seen, checked, status, &mut choice.wake))
        }
    };
    // What would be repeated after a run in progress depends on how that ends.
    let repeated = choice.wake.iter().copied().filter(|_| !busy);
    choice.next = choice.anchor.into_iter().chain(repeated).min();
    match candidate {
        Some(_) if busy => {}
        Some(_) if !seen.capacity => choice.waits_for_capacity = true,
        start => choice.start = start,
    }
    choice
}

/// Slots are counted as missed once: when a run makes up for them, or when they are given up.
fn newly_missed(look: &Look, held_up: bool) -> u32 {
    if look.due.is_some() && held_up { 0 } else { look.missed }
}

/// What the schedule says. A slot whose name somebody else's Job has is skipped.
fn look(seen: &Observed, checked: &Checked, status: &S3SyncStatus) -> Option<Look> {
    let schedule = checked.schedule.as_ref()?;
    let anchor = match &status.next_schedule_time {
        Some(time) => Anchor::Armed(time.0),
        None if status.observed_generation < 0 => {
            Anchor::Since(seen.sync.metadata.creation_timestamp.as_ref().map_or(seen.now, |time| time.0))
        }
        None => Anchor::Since(seen.now),
    };
    let done = status.last_schedule_time.as_ref().map(|time| time.0);
    let look = schedule.look(anchor, done, seen.now);
    match look.due {
        Some(slot) if is_foreign(seen, &job_name(&name(seen), &slot.text(), Repeat::First)) => {
            let after = schedule.look(anchor, Some(slot.minute), seen.now);
            Some(Look { missed: look.missed + 1, ..after })
        }
        _ => Some(look),
    }
}

fn is_foreign(seen: &Observed, job: &str) -> bool {
    seen.taken.contains_key(job) || seen.runs.iter().any(|run| !run.owned && run.job == job)
}

/// A run for a change of what is synced, where there is no schedule, or for a trigger's new value. It is the due slot's
/// run too.
fn asked_for(seen: &Observed, checked: &Checked, status: &S3SyncStatus, due: Option<Slot>) -> Option<Start> {
    let marks = marks(seen, checked);
    let changed = checked.schedule.is_none() && status.last_spec_hash != marks.synced;
    let new = |value: &Option<String>, last: &Option<String>| value.is_some() && value != last;
    let triggered =
        new(&marks.trigger, &status.last_trigger) || new(&marks.trigger_annotation, &status.last_trigger_annotation);
    let why = match (changed, triggered) {
        (true, _) => Why::Change,
        (_, true) => Why::Trigger,
        _ => return None,
    };
    let slot = hashed_slot(&marks);
    let repeat = free(seen, status, &slot, Repeat::Attempt);
    Some(Start {
        job: job_name(&name(seen), &slot, repeat),
        marks: Marks { slot, scheduled: due.map(|slot| slot.minute), ..marks },
        why,
        request: None,
    })
}

fn scheduled(seen: &Observed, checked: &Checked, slot: Slot) -> Start {
    let text = slot.text();
    Start {
        job: job_name(&name(seen), &text, Repeat::First),
        marks: Marks { slot: text, scheduled: Some(slot.minute), ..marks(seen, checked) },
        why: Why::Slot,
        request: None,
    }
}

/// Without a schedule a failed run is repeated, so that what is healed outside heals here.
fn retry(seen: &Observed, checked: &Checked, status: &S3SyncStatus, wake: &mut Vec<Timestamp>) -> Option<Start> {
    // One that was asked for by name is asked for again by another S3SyncRun.
    let own = status.last_run.iter().chain(&status.history).find(|run| run.requested_by.is_none())?;
    if checked.schedule.is_some() || own.result != RunOutcome::Failed || is_cancelled(own) {
        return None;
    }
    wait(seen, status, own, wake)?;
    let slot = parse_job_name(&own.job)?.0.to_owned();
    let repeat = free(seen, status, &slot, Repeat::Attempt);
    Some(Start {
        job: job_name(&name(seen), &slot, repeat),
        marks: Marks { slot, ..marks(seen, checked) },
        why: Why::Retry,
        request: None,
    })
}

/// Whether the last run was cancelled: then nothing starts by itself but what ends what is half visible, until a slot,
/// a change or a trigger.
fn was_cancelled(status: &S3SyncStatus) -> bool {
    status.last_run.as_ref().is_some_and(is_cancelled)
}

fn is_cancelled(run: &RunResult) -> bool {
    run.known_reason() == Some(Reason::Cancelled)
}

/// An epoch that was begun is ended, and what it left is swept, whatever the schedule says. `committing_only`: only
/// what is half visible.
fn recovery(
    seen: &Observed,
    checked: &Checked,
    status: &S3SyncStatus,
    committing_only: bool,
    wake: &mut Vec<Timestamp>,
) -> Option<Start> {
    let Position::At { phase, garbage, .. } = seen.cursor.as_ref()?.position else { return None };
    let needed = if committing_only { phase == Phase::Committing } else { phase != Phase::Idle || garbage };
    if !needed {
        return None;
    }
    if let Some(last) = &status.last_run {
        wait(seen, status, last, wake)?;
    }
    let marks = Marks { scheduled: None, ..marks(seen, checked) };
    let last = status.last_run.as_ref().and_then(|run| parse_job_name(&run.job));
    let slot = last.map_or_else(|| hashed_slot(&marks), |(slot, _)| slot.to_owned());
    let repeat = free(seen, status, &slot, Repeat::Recovery);
    // It ends what is there; whether a change or a trigger has had its run is not its business.
    let marks = Marks { slot, ..Marks::default() };
    Some(Start { job: job_name(&name(seen), &marks.slot, repeat), marks, why: Why::Recovery, request: None })
}

/// `Some` when the backoff after a run is over, by the number of failures in a row.
fn wait(seen: &Observed, status: &S3SyncStatus, after: &RunResult, wake: &mut Vec<Timestamp>) -> Option<()> {
    let Some(ended) = &after.completion_time else { return Some(()) };
    // A run that somebody cancelled has not failed: the failures before it make nothing later.
    let failures = if was_cancelled(status) { 1 } else { status.consecutive_failures };
    let failures = u32::try_from(failures).unwrap_or(0).max(1);
    let time = ended.0.checked_add(BACKOFF.wait(failures, Duration::ZERO, 0.0)?).ok()?;
    if time <= seen.now {
        return Some(());
    }
    wake.push(time);
    None
}

fn name(seen: &Observed) -> String {
    seen.sync.metadata.name.clone().unwrap_or_default()
}

/// What a run that starts now is for. Its slot is still to be named.
fn marks(seen: &Observed, checked: &Checked) -> Marks {
    Marks {
        slot: String::new(),
        scheduled: None,
        synced: Some(checked.synced.clone()),
        requested_by: None,
        trigger: seen.sync.spec.trigger.clone(),
        trigger_annotation: seen
            .sync
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(TRIGGER))
            .map(|token| cut(token, TOKEN_BYTES_MAX)),
    }
}

fn hashed_slot(marks: &Marks) -> String {
    let text = |value: &Option<String>| value.as_ref().map_or_else(|| "-".to_owned(), |value| format!("+{value}"));
    short_hash(&[&text(&marks.synced), &text(&marks.trigger), &text(&marks.trigger_annotation)])
}

/// The slot's first run, or the first repetition of it that no Job has, or had as far as the status goes back and the
/// annotation says.
fn free(seen: &Observed, status: &S3SyncStatus, slot: &str, kind: fn(u32) -> Repeat) -> Repeat {
    let recorded = status.last_run.iter().chain(&status.history).map(|run| run.job.as_str());
    // A run by the name that the annotation still bears would be ended at once.
    let cancelled = seen.sync.metadata.annotations.as_ref().and_then(|all| all.get(CANCEL)).map(String::as_str);
    let jobs = seen.runs.iter().map(|run: &Run| run.job.as_str()).chain(seen.taken.keys().map(String::as_str));
    let jobs = jobs.chain(recorded).chain(cancelled);
    let used = jobs.filter_map(parse_job_name).filter(|(of, _)| *of == slot).map(|(_, repeat)| repeat);
    let number = used.filter_map(|repeat| match (repeat, kind(0)) {
        (Repeat::First, Repeat::Attempt(_)) => Some(1),
        (Repeat::Attempt(n), Repeat::Attempt(_)) | (Repeat::Recovery(n), Repeat::Recovery(_)) => Some(n),
        _ => None,
    });
    match (number.max(), kind(0)) {
        (None, Repeat::Recovery(_)) => Repeat::Recovery(1),
        (None, _) => Repeat::First,
        (Some(number), _) => kind(number + 1),
    }
}
