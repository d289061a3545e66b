//! One sync in detail: what it waits for, how far it is, and its last runs.

use jiff::Timestamp;

use super::{SyncStatus, ago, next, none, number, progress, ready, until};
use crate::api::status::{RunResult, S3SyncStatus};
use crate::command::render::{self, Align, bytes, printable, seconds};

/// The details for a person.
pub(super) fn text(sync: &SyncStatus, now: Timestamp) -> String {
    let status = sync.status.clone().unwrap_or_default();
    let mut lines = vec![("Sync", format!("{}/{}", sync.namespace, sync.name))];
    lines.push(("Ready", readiness(sync, &status)));
    lines.push(("Schedule", schedule(sync)));
    if let Some(at) = next(sync, &status) {
        lines.push(("Next run", format!("{} ({})", render::time(at.0), until(at, now))));
    }
    if let Some(at) = &status.last_successful_time {
        lines.push(("Last success", format!("{} ({})", render::time(at.0), ago(at, now))));
    }
    if status.consecutive_failures > 0 {
        lines.push(("Failures", format!("{} since then", status.consecutive_failures)));
    }
    for run in &status.active {
        let since = run.start_time.as_ref().map(|at| format!(", since {}", render::time(at.0))).unwrap_or_default();
        let done = status.progress.as_ref().map(|shown| format!(", {}", progress(shown))).unwrap_or_default();
        let run = asked(&run.job, run.requested_by.as_deref());
        lines.push(("Running", format!("{run}{since}{done}")));
    }
    if let Some(waiting) = status.waiting() {
        let since =
            status.waiting_since.as_ref().map(|at| format!(", since {}", render::time(at.0))).unwrap_or_default();
        lines.push(("Waiting", format!("{}{since}: {}", waiting.reason, waiting.message)));
    }
    if let Some(cursor) = &status.cursor {
        let newest =
            cursor.watermark.as_ref().map(|at| format!(", newest object {}", render::time(at.0))).unwrap_or_default();
        let size = bytes(u64::try_from(cursor.size_bytes).unwrap_or(0));
        lines.push((
            "Cursor",
            format!("ConfigMap {}, {} tables, {size}{newest}", cursor.config_map, number(cursor.tables)),
        ));
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text: String = lines.iter().map(|(name, value)| format!("{name:width$}  {}\n", printable(value))).collect();
    text.push_str(&runs(&status));
    text
}

fn readiness(sync: &SyncStatus, status: &S3SyncStatus) -> String {
    let text = match ready(status) {
        Some(condition) => format!("{} ({}): {}", condition.status, condition.reason, condition.message),
        None => "Unknown: the operator has not seen it yet; is it there?".to_owned(),
    };
    if status.conditions.is_empty() || sync.is_observed() { text } else { format!("{text} (before the last change)") }
}

fn schedule(sync: &SyncStatus) -> String {
    let schedule = match (&sync.schedule, &sync.time_zone) {
        (None, _) => "none: a run per change of what is synced, and on trigger".to_owned(),
        (Some(schedule), zone) => format!("{schedule} ({})", zone.as_deref().unwrap_or("UTC")),
    };
    if sync.suspend { format!("{schedule}, suspended") } else { schedule }
}

/// A run, and the S3SyncRun that asked for it.
fn asked(job: &str, by: Option<&str>) -> String {
    by.map_or_else(|| job.to_owned(), |by| format!("{job} ({by})"))
}

/// The last runs, the latest first, with what failed below them.
fn runs(status: &S3SyncStatus) -> String {
    let all: Vec<&RunResult> = status.last_run.iter().chain(&status.history).collect();
    if all.is_empty() {
        return "\nNo run has ended yet.\n".to_owned();
    }
    let rows = all.iter().map(|run| {
        let took = match (&run.start_time, &run.completion_time) {
            (Some(start), Some(end)) => seconds(u64::try_from(end.0.as_second() - start.0.as_second()).unwrap_or(0)),
            _ => none(),
        };
        [
            asked(&run.job, run.requested_by.as_deref()),
            run.reason.clone().unwrap_or_else(|| run.result.name().to_owned()),
            run.start_time.as_ref().map_or_else(none, |at| render::time(at.0)),
            took,
            number(run.counts.objects),
            number(run.counts.rows),
            number(run.counts.files),
            bytes(u64::try_from(run.counts.bytes).unwrap_or(0)),
        ]
    });
    let heading = [
        ("RUN", Align::Left),
        ("RESULT", Align::Left),
        ("STARTED", Align::Left),
        ("TOOK", Align::Right),
        ("OBJECTS", Align::Right),
        ("ROWS", Align::Right),
        ("FILES", Align::Right),
        ("BYTES", Align::Right),
    ];
    let mut text = format!("\n{}", render::table(heading, rows));
    if let Some(message) = all[0].message.as_deref().filter(|message| !message.is_empty()) {
        text.push_str(&format!("\nThe last run: {}\n", printable(message)));
    }
    text
}
