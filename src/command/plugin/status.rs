//! `s3sync status`: the syncs of a cluster, one a line, or one in detail. Everything comes from the resources' status;
//! nothing else is read.

mod detail;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use serde::Serialize;

use crate::api::S3Sync;
use crate::api::status::{ConditionType, Progress, S3SyncStatus};
use crate::cli::{Output, StatusArgs};
use crate::command::plugin::cluster::Cluster;
use crate::command::plugin::select;
use crate::command::render::{self, Align, bytes, count};
use crate::command::{CommandError, note, print, runtime};
use crate::model::reason::Reason;

/// Columns of a message that a narrow terminal shows all the same, on a second line of its own making; a wide one shows
/// what has room, and what is no terminal all of it, as the details do.
const MESSAGE_MIN: usize = 40;

/// Prints the status.
pub fn execute(args: &StatusArgs) -> Result<(), CommandError> {
    let select = &args.select;
    let syncs = runtime()?.block_on(async {
        let cluster = Cluster::connect(&args.cluster).await?;
        select::syncs(&cluster, select).await
    })?;
    let shown = Shown { syncs: syncs.iter().map(SyncStatus::new).collect() };
    let now = Timestamp::now();
    let text =
        render::document(args.print.output, &shown, |shown| match (select.names.len(), shown.syncs.as_slice()) {
            (1, [one]) => detail::text(one, now),
            _ => render::cut(&shown.text(select.all_namespaces, now), render::terminal_width(), MESSAGE_MIN),
        })?;
    if shown.syncs.is_empty() && args.print.output == Output::Table {
        let other = if select.selector.is_some() { ", the labels (-l)" } else { "" };
        note(&format!("there is no S3Sync here; look at the namespace (-n){other}, or at all of them (-A)"));
        return Ok(());
    }
    print(&text)
}

#[derive(Debug, Serialize)]
struct Shown {
    syncs: Vec<SyncStatus>,
}

/// A sync as `-o json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SyncStatus {
    namespace: String,
    name: String,
    generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    suspend: bool,
    /// As the operator wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<S3SyncStatus>,
}

impl SyncStatus {
    fn new(sync: &S3Sync) -> SyncStatus {
        SyncStatus {
            namespace: sync.namespace().unwrap_or_default(),
            name: sync.name_any(),
            generation: sync.metadata.generation.unwrap_or_default(),
            schedule: sync.spec.schedule.clone(),
            time_zone: sync.spec.time_zone.clone(),
            suspend: sync.spec.suspend,
            status: sync.status.clone(),
        }
    }

    /// Whether the operator has seen the spec as it is now.
    fn is_observed(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.observed_generation == self.generation)
    }

    fn ready(&self) -> String {
        let condition = self.status.as_ref().and_then(ready);
        match condition {
            _ if !self.is_observed() => "Unknown".to_owned(),
            None => "Unknown".to_owned(),
            Some(condition) if condition.status == "True" && condition.reason != Reason::Suspended => "True".to_owned(),
            Some(condition) => format!("{} ({})", condition.status, condition.reason),
        }
    }

    fn run(&self) -> String {
        self.status.as_ref().and_then(S3SyncStatus::run_in_words).unwrap_or_else(none)
    }

    /// The sentence that matters most now.
    fn message(&self) -> String {
        let Some(status) = &self.status else { return "the operator has not seen it yet; is it there?".to_owned() };
        status.sentence().unwrap_or_default()
    }
}

impl Shown {
    fn text(&self, all: bool, now: Timestamp) -> String {
        let rows = self.syncs.iter().map(|sync| {
            let status = sync.status.clone().unwrap_or_default();
            let name = if all { format!("{}/{}", sync.namespace, sync.name) } else { sync.name.clone() };
            [
                name,
                sync.ready(),
                sync.run(),
                status.progress.as_ref().filter(|_| !status.active.is_empty()).map_or_else(none, share),
                status.last_run.as_ref().map_or_else(none, |run| number(run.counts.objects)),
                status.last_successful_time.as_ref().map_or_else(none, |at| ago(at, now)),
                next(sync, &status).map_or_else(none, |at| until(at, now)),
                Some(sync.message()).filter(|message| !message.is_empty()).unwrap_or_else(none),
            ]
        });
        let heading = [
            ("SYNC", Align::Left),
            ("READY", Align::Left),
            ("RUN", Align::Left),
            ("PROGRESS", Align::Right),
            ("OBJECTS", Align::Right),
            ("LAST SUCCESS", Align::Left),
            ("NEXT", Align::Left),
            ("MESSAGE", Align::Left),
        ];
        render::table(heading, rows)
    }
}

/// The condition Ready.
pub fn ready(status: &S3SyncStatus) -> Option<&Condition> {
    status.condition(ConditionType::Ready)
}

/// When a run starts by itself. An operator of before tells of the schedule's alone.
fn next<'a>(sync: &SyncStatus, status: &'a S3SyncStatus) -> Option<&'a Time> {
    status.next_run_time.as_ref().or(status.next_schedule_time.as_ref()).filter(|_| !sync.suspend)
}

/// A run's progress in words: `3/10 objects, 1.00 KiB of 2.00 KiB`.
pub fn progress(progress: &Progress) -> String {
    let size = |number: i64| bytes(u64::try_from(number).unwrap_or(0));
    format!(
        "{}/{} objects, {} of {}",
        number(progress.objects_done),
        number(progress.objects_total),
        size(progress.bytes_done),
        size(progress.bytes_total)
    )
}

/// Of the bytes where there are any, since objects differ: `42%`.
fn share(progress: &Progress) -> String {
    let (done, total) = match progress.bytes_total {
        1.. => (progress.bytes_done, progress.bytes_total),
        _ => (progress.objects_done, progress.objects_total),
    };
    // Others than worker 0 may be ahead of the total for a moment.
    if total <= 0 { none() } else { format!("{}%", (i128::from(done.max(0)) * 100 / i128::from(total)).min(100)) }
}

fn number(number: i64) -> String {
    count(u64::try_from(number).unwrap_or(0))
}

fn none() -> String {
    "-".to_owned()
}

fn ago(at: &Time, now: Timestamp) -> String {
    let seconds = now.as_second() - at.0.as_second();
    format!("{} ago", span(seconds))
}

fn until(at: &Time, now: Timestamp) -> String {
    match at.0.as_second() - now.as_second() {
        ..=0 => "now".to_owned(),
        seconds => format!("in {}", span(seconds)),
    }
}

/// Days above two, as kubectl does: `9s`, `1m05s`, `2h03m`, `3d`.
fn span(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    if seconds >= 2 * 86_400 { format!("{}d", seconds / 86_400) } else { render::seconds(seconds) }
}
