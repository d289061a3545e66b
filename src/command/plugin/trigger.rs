//! `s3sync trigger`: an annotation with a new value starts a run; `--wait` follows it to its end.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use crate::api::status::{RunOutcome, RunResult, S3SyncStatus};
use crate::api::{S3Sync, summary};
use crate::cli::TriggerArgs;
use crate::command::plugin::cluster::Cluster;
use crate::command::plugin::select;
use crate::command::{CommandError, FailureKind, note, render, runtime};
use crate::controller::names::TRIGGER;
use crate::model::reason::Reason;

/// How often a waiting command looks: a person does not see a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The operator answers within a second; when it has not after so long, a person is told where to look.
const SILENT_AFTER: Duration = Duration::from_secs(30);

/// Triggers runs.
pub fn execute(args: &TriggerArgs) -> Result<(), CommandError> {
    runtime()?.block_on(async {
        let cluster = Cluster::connect(&args.cluster).await?;
        let at_once = if args.wait { select::AWAITED_AT_ONCE } else { select::AT_ONCE };
        select::each(&cluster, &args.select, at_once, |cluster, before| trigger(cluster, before, args.wait)).await
    })
}

async fn trigger(cluster: Cluster, before: S3Sync, waits: bool) -> Result<String, CommandError> {
    let name = format!("{}/{}", cluster.namespace, before.name_any());
    if before.spec.suspend && waits {
        let message = format!("{name} is suspended, so a run would not start; resume it first, or leave --wait out");
        return Err(CommandError::new(FailureKind::Usage, anyhow::anyhow!(message)));
    }
    // Any new value is a trigger; the time says more to who finds it.
    let token = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    cluster.patch(&before, json!({"metadata": {"annotations": {TRIGGER: token}}})).await?;
    if !waits {
        let note = if before.spec.suspend { "; it is suspended, so the run waits until it is resumed" } else { "" };
        return Ok(format!("{name} triggered{note}\n"));
    }
    note(&format!("{name} triggered; waiting for the run to end"));
    let run = wait(&cluster, &before.name_any(), &token, &before).await?;
    ended(&name, &run)
}

/// Waits until the run that the token started has ended.
async fn wait(cluster: &Cluster, name: &str, token: &str, before: &S3Sync) -> Result<RunResult, CommandError> {
    let mut watch = Awaited::new(token, before.status.as_ref());
    let mut waited = Duration::ZERO;
    let mut unseen = 0;
    let mut shown = String::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
        let Some(sync) = select::look(cluster, name, &mut unseen).await? else { continue };
        // A later trigger, which took ours along.
        if let Some(token) = sync.annotations().get(TRIGGER) {
            watch.token.clone_from(token);
        }
        let Some(status) = &sync.status else { continue };
        match watch.look(status) {
            Seen::Ended(run) => return Ok(*run),
            Seen::Running(text) if text != shown => {
                note(&text);
                shown = text;
            }
            Seen::Running(_) => {}
            Seen::NotStarted => {
                if let Some(message) = hindrance(&sync, status) {
                    return Err(CommandError::new(
                        FailureKind::Usage,
                        anyhow::anyhow!("{}/{name}: no run starts: {message}", cluster.namespace),
                    ));
                }
                // Whoever waits is told what for, and again when that changes.
                if let Some(waits) = status.waiting().map(|waits| format!("the run waits: {}", waits.message))
                    && waits != shown
                {
                    note(&waits);
                    shown = waits;
                }
                if waited == SILENT_AFTER && shown.is_empty() {
                    note(
                        "the run has not started yet; it waits for another one to end, or the operator is not there (its pods say why)",
                    );
                }
            }
        }
    }
}

/// Why no run will start until somebody changes something. What a run found out is none: the next one looks again.
fn hindrance(sync: &S3Sync, status: &S3SyncStatus) -> Option<String> {
    let ready = crate::command::plugin::status::ready(status)
        .filter(|ready| ready.status == "False" && summary::reason(ready).is_some_and(Reason::bars_runs))?;
    let said =
        |run: &RunResult| run.reason.as_ref() == Some(&ready.reason) && run.message.as_ref() == Some(&ready.message);
    let outdated = ready.observed_generation != sync.metadata.generation;
    if outdated || !status.active.is_empty() || status.last_run.iter().chain(&status.history).any(said) {
        return None;
    }
    Some(format!("{}: {}", ready.reason, ready.message))
}

/// Says how the run ended, and ends as it did.
fn ended(name: &str, run: &RunResult) -> Result<String, CommandError> {
    let message = run.message.clone().unwrap_or_default();
    if run.result == RunOutcome::Succeeded {
        return Ok(format!("{name}: {}\n", render::printable(&message)));
    }
    // Another release's word says nothing here.
    let kind = run.known_reason().map_or(FailureKind::Other, Reason::failure);
    Err(CommandError::new(kind, anyhow::anyhow!("{name}: the run {} failed: {message}", run.job)))
}

/// One triggered run, as the status shows it from look to look.
struct Awaited {
    token: String,
    /// Jobs that ended before, so that an old result is not taken for the new one.
    known: Vec<String>,
    /// The run's Job, once it was seen.
    job: Option<String>,
}

/// What one look shows.
#[derive(Debug, PartialEq)]
enum Seen {
    NotStarted,
    /// A line for a person.
    Running(String),
    Ended(Box<RunResult>),
}

impl Awaited {
    fn new(token: &str, before: Option<&S3SyncStatus>) -> Self {
        let ended =
            before.iter().flat_map(|status| status.last_run.iter().chain(&status.history)).map(|run| run.job.clone());
        let active = before.iter().flat_map(|status| &status.active).map(|run| run.job.clone());
        Self { token: token.to_owned(), known: ended.chain(active).collect(), job: None }
    }

    fn look(&mut self, status: &S3SyncStatus) -> Seen {
        if status.last_trigger_annotation.as_deref() != Some(self.token.as_str()) {
            return Seen::NotStarted;
        }
        if self.job.is_none() {
            self.job = status.active.iter().map(|run| &run.job).find(|job| !self.known.contains(job)).cloned();
        }
        let ours = |run: &&RunResult| match &self.job {
            Some(job) => run.job == *job,
            None => !self.known.contains(&run.job) && run.requested_by.is_none(),
        };
        if let Some(run) = status.last_run.iter().chain(&status.history).find(ours) {
            return Seen::Ended(Box::new(run.clone()));
        }
        let run = self.job.as_deref().unwrap_or("the run");
        let progress = status.progress.as_ref().map(crate::command::plugin::status::progress);
        let progress = progress.map(|text| format!(": {text}")).unwrap_or_default();
        Seen::Running(match (status.waiting(), &status.waiting_since) {
            (Some(waits), Some(_)) => format!("{run} waits: {}", waits.message),
            // Worker 0 is at work, and another one waits.
            (Some(waits), None) => format!("{run} is running{progress}; {}", waits.message),
            (None, _) => format!("{run} is running{progress}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: serde_json::Value) -> S3SyncStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_the_triggered_run_counts() {
        let old = json!({"job": "orders-1", "result": "Failed"});
        let new = json!({"job": "orders-2", "result": "Succeeded"});
        let before = status(json!({"lastRun": old, "active": [], "lastTriggerAnnotation": "earlier"}));
        let mut awaited = Awaited::new("token", Some(&before));
        assert_eq!(awaited.look(&before), Seen::NotStarted);
        // Another run ends meanwhile.
        assert_eq!(
            awaited.look(&status(json!({"lastRun": new, "lastTriggerAnnotation": "earlier"}))),
            Seen::NotStarted
        );
        let running = json!({
            "lastRun": old, "active": [{"job": "orders-2"}], "lastTriggerAnnotation": "token",
            "progress": {"objectsDone": 3, "objectsTotal": 10, "bytesDone": 1024, "bytesTotal": 2048},
        });
        assert_eq!(
            awaited.look(&status(running)),
            Seen::Running("orders-2 is running: 3/10 objects, 1.00 KiB of 2.00 KiB".into())
        );
        let ended = awaited.look(&status(json!({"lastRun": new, "history": [old], "lastTriggerAnnotation": "token"})));
        assert!(matches!(ended, Seen::Ended(run) if run.job == "orders-2"));
        // A run that begins and ends between two looks.
        let mut awaited = Awaited::new("token", Some(&before));
        let ended = awaited.look(&status(json!({"lastRun": new, "history": [old], "lastTriggerAnnotation": "token"})));
        assert!(matches!(ended, Seen::Ended(run) if run.job == "orders-2"));
    }

    /// A quota, a Secret that is not there, a queue: what the run waits for is told, and when it changes.
    #[test]
    fn a_run_that_waits_does_not_run() {
        let before = status(json!({"lastTriggerAnnotation": "earlier"}));
        let mut awaited = Awaited::new("token", Some(&before));
        let waits = |reason: &str, message: &str, since: Option<&str>| {
            let waits = json!({"type": "Reconciling", "status": "True", "reason": reason, "message": message,
                "lastTransitionTime": "2026-11-21T12:00:10Z"});
            status(json!({"active": [{"job": "orders-2"}], "lastTriggerAnnotation": "token", "conditions": [waits],
                "waitingSince": since}))
        };
        let since = Some("2026-11-21T12:00:10Z");
        for (status, expected) in [
            (waits("WorkerWaiting", "exceeded quota", since), "orders-2 waits: exceeded quota"),
            (waits("Queued", "its queue holds it", since), "orders-2 waits: its queue holds it"),
            (
                waits("WorkerWaiting", "worker 3 does not start: Unschedulable", None),
                "orders-2 is running; worker 3 does not start: Unschedulable",
            ),
            (waits("Running", "the run orders-2 is in progress", None), "orders-2 is running"),
        ] {
            assert_eq!(awaited.look(&status), Seen::Running(expected.into()));
        }
    }

    #[test]
    fn only_what_keeps_runs_from_starting_ends_the_wait() {
        let says = |reason: &str, rest: serde_json::Value| {
            let sync = json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "metadata": {"name": "orders", "generation": 3},
                "spec": {"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "parquet"}}});
            let ready = json!({"type": "Ready", "status": "False", "reason": reason, "message": "why", "observedGeneration": 3,
                "lastTransitionTime": "2026-11-21T12:00:10Z"});
            let mut whole = json!({"conditions": [ready]});
            whole.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            hindrance(&serde_json::from_value(sync).unwrap(), &status(whole))
        };
        assert_eq!(says("SpecChanged", json!({})).as_deref(), Some("SpecChanged: why"));
        for reason in ["NameTaken", "NotAllowed", "ConnectionNotFound"] {
            assert_eq!(says(reason, json!({})), Some(format!("{reason}: why")));
        }
        // The next run may find it free.
        assert_eq!(says("Claimed", json!({})), None);
        // Found by the last run, and looked for again by the next.
        let failed = json!({"job": "orders-1", "result": "Failed", "reason": "InvalidSpec", "message": "why"});
        assert_eq!(says("InvalidSpec", json!({"lastRun": failed.clone()})), None);
        let later = json!({"lastRun": {"job": "orders-2", "result": "Failed", "reason": "Failed", "message": "no network"}, "history": [failed]});
        assert_eq!(says("InvalidSpec", later), None);
        assert_eq!(
            says("InvalidSpec", json!({"lastRun": {"job": "orders-1", "result": "Succeeded"}})).as_deref(),
            Some("InvalidSpec: why")
        );
        assert_eq!(says("SpecChanged", json!({"active": [{"job": "orders-2"}]})), None);
        // Said of a spec that was mended since.
        let ready = json!({"type": "Ready", "status": "False", "reason": "InvalidSpec", "message": "why", "observedGeneration": 2,
            "lastTransitionTime": "2026-11-21T12:00:10Z"});
        assert_eq!(says("InvalidSpec", json!({"conditions": [ready]})), None);
    }

    #[test]
    fn the_exit_code_is_the_runs() {
        for (reason, kind) in [
            ("BadData", FailureKind::BadData),
            ("Denied", FailureKind::Access),
            ("SpecChanged", FailureKind::Usage),
            ("Claimed", FailureKind::Other),
        ] {
            let run = serde_json::from_value(
                json!({"job": "orders-2", "result": "Failed", "reason": reason, "message": "why"}),
            )
            .unwrap();
            let error = ended("data/orders", &run).unwrap_err();
            assert_eq!((error.kind, error.to_string().as_str()), (kind, "data/orders: the run orders-2 failed: why"));
        }
    }
}
