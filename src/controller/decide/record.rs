//! What is known of runs: the status as it was last written, brought up to date with the Jobs that are there. PURE.
//!
//! A Job carries what it was started for, so a status that was never written, or is written late, repeats no run. A
//! Job's end is taken over once, by name, and only when it is later than the last one known: Jobs that are kept for
//! history say nothing new.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observed::Observed;
use super::requested::called_off;
use super::run::{End, Ended, Run, Worker};
use crate::api::report::RunReport;
use crate::api::status::{ActiveRun, RunCounts, RunOutcome, RunResult};
use crate::api::text;
use crate::api::{S3Sync, S3SyncStatus};
use crate::model::failure::FailureKind;
use crate::model::memory::{default_budget, mebibytes, raised};
use crate::model::reason::Reason;

/// Earlier runs that a status keeps: what `kubectl describe` shows on one screen.
const HISTORY_MAX: usize = 10;

/// Runs in progress that a status names, as the definition allows. There is one, but for Jobs that were made by hand.
const ACTIVE_MAX: usize = 8;

/// How long a finished Job waits for the report of its worker 0: pods and Jobs come by two watches, one of which may be
/// behind.
const REPORT_WAIT: SignedDuration = SignedDuration::from_secs(15);

/// What has become known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// Jobs that have ended and whose worker's report is not there yet.
    pub unsettled: bool,
    /// Runs whose end is new, the earliest first.
    pub ended: Vec<RunResult>,
}

/// Brings the status up to date with the Jobs.
pub fn bring_up_to_date(status: &mut S3SyncStatus, seen: &Observed) -> News {
    let mut news = News::default();
    let mut runs: Vec<&Run> = seen.runs.iter().filter(|run| run.owned).collect();
    runs.sort_by(|a, b| (a.created, &a.job).cmp(&(b.created, &b.job)));
    let before = std::mem::take(&mut status.active);
    let was_active = |job: &str| before.iter().any(|run| run.job == job);
    for active in &before {
        if !runs.iter().any(|run| run.job == active.job) && !recorded(status, &active.job) {
            take_over(status, &mut news, told(seen, deleted(active, seen.now)));
        }
    }
    for run in runs {
        let settled = match &run.end {
            None => None,
            Some(_) if recorded(status, &run.job) => continue,
            Some(end) if !was_active(&run.job) && end.at < last_end(status) => continue,
            Some(end) => {
                Some((end, lead(run, end, &seen.workers).is_some() || seen.now.duration_since(end.at) > REPORT_WAIT))
            }
        };
        if !was_active(&run.job) {
            take_marks(status, run);
        }
        match settled {
            Some((end, true)) => take_over(status, &mut news, told(seen, result(run, end, &seen.workers))),
            Some((_, false)) => {
                news.unsettled = true;
                status.active.push(active_run(run));
            }
            None => status.active.push(active_run(run)),
        }
    }
    status.active.truncate(ACTIVE_MAX);
    news
}

fn active_run(run: &Run) -> ActiveRun {
    ActiveRun { job: run.job.clone(), requested_by: run.marks.requested_by.clone(), start_time: run.started.map(Time) }
}

fn recorded(status: &S3SyncStatus, job: &str) -> bool {
    status.last_run.iter().chain(&status.history).any(|run| run.job == job)
}

/// A Job that ended before the last run that is known: one that has lost its labels, so that it was not seen. Adopting
/// it would say nothing new, and the run that is due would never start.
pub fn is_history(run: &Run, sync: &S3Sync) -> bool {
    let last = sync.status.as_ref().and_then(|status| status.last_run.as_ref()?.completion_time.as_ref());
    run.end.as_ref().is_some_and(|end| last.is_some_and(|last| end.at < last.0))
}

fn last_end(status: &S3SyncStatus) -> Timestamp {
    status.last_run.as_ref().and_then(|run| run.completion_time.as_ref()).map_or(Timestamp::MIN, |time| time.0)
}

/// What a new run was started for is done.
fn take_marks(status: &mut S3SyncStatus, run: &Run) {
    let marks = &run.marks;
    if let Some(minute) = marks.scheduled {
        status.last_schedule_time = Some(Time(minute));
    }
    if let Some(trigger) = &marks.trigger {
        status.last_trigger = Some(trigger.clone());
    }
    if let Some(trigger) = &marks.trigger_annotation {
        status.last_trigger_annotation = Some(trigger.clone());
    }
    if let Some(synced) = &marks.synced {
        status.last_spec_hash = Some(synced.clone());
    }
}

fn take_over(status: &mut S3SyncStatus, news: &mut News, result: RunResult) {
    match result.result {
        RunOutcome::Succeeded => {
            status.consecutive_failures = 0;
            status.last_successful_time = result.completion_time.clone();
        }
        // A person's word is no failure that anybody has to look at.
        RunOutcome::Failed if result.known_reason() == Some(Reason::Cancelled) => {}
        RunOutcome::Failed => status.consecutive_failures = status.consecutive_failures.saturating_add(1),
    }
    if let Some(earlier) = status.last_run.replace(result.clone()) {
        status.history.insert(0, earlier);
        // By the last run that nobody asked for by name it is known whether one is to be repeated.
        let mut recent = status.last_run.iter().chain(&status.history).take(1 + HISTORY_MAX);
        if status.history.len() > HISTORY_MAX && recent.all(|run| run.requested_by.is_some()) {
            status.history.remove(HISTORY_MAX - 1);
        }
        status.history.truncate(HISTORY_MAX);
    }
    news.ended.push(result);
}

/// The last pod of worker 0 that has ended as the run did: one that failed before another succeeded says nothing of the
/// run.
fn lead<'a>(run: &Run, end: &End, workers: &'a [Worker]) -> Option<&'a Worker> {
    let counts = |ended: &Ended| !end.succeeded || ended.exit_code == 0;
    let leads = workers
        .iter()
        .filter(|worker| worker.job == run.job && worker.index == 0 && worker.ended.as_ref().is_some_and(counts));
    leads.max_by_key(|worker| worker.created)
}

fn result(run: &Run, end: &End, workers: &[Worker]) -> RunResult {
    let report =
        lead(run, end, workers).and_then(|worker| worker.ended.as_ref()).and_then(|ended| ended.report.clone());
    let (reason, message) = if end.succeeded {
        let nothing = report.as_ref().is_some_and(|report| report.reason == Reason::NothingFound);
        let reason = if nothing { Reason::NothingFound } else { Reason::Succeeded };
        (reason.into(), report.as_ref().map_or_else(|| "its report is lost with its pod".to_owned(), success))
    } else {
        failure(run, end, workers)
    };
    RunResult {
        job: run.job.clone(),
        requested_by: run.marks.requested_by.clone(),
        start_time: run.started.map(Time),
        completion_time: Some(Time(end.at)),
        result: if end.succeeded { RunOutcome::Succeeded } else { RunOutcome::Failed },
        reason: Some(reason),
        message: Some(text::message(&message)).filter(|message| !message.is_empty()),
        counts: report.map(|report| report.counts).unwrap_or_default(),
    }
}

/// What a run did, where its worker says no more than that.
fn success(report: &RunReport) -> String {
    if !report.message.is_empty() {
        return report.message.clone();
    }
    let RunCounts { tables, objects, rows, bytes, files, .. } = report.counts;
    match objects {
        0 => "nothing new was found".to_owned(),
        _ => format!("{objects} objects of {tables} tables, {rows} rows, {bytes} bytes in {files} files"),
    }
}

/// Why a run failed. Worker 0's word counts, unless it was only stopped because another worker failed or the time was
/// up.
fn failure(run: &Run, end: &End, workers: &[Worker]) -> (String, String) {
    if end.reason == Reason::DeadlineExceeded {
        return (
            Reason::DeadlineExceeded.into(),
            "the run took longer than spec.worker.activeDeadlineSeconds; the next run goes on from here".into(),
        );
    }
    let lead = lead(run, end, workers).and_then(|worker| worker.ended.as_ref());
    let report = lead.and_then(|ended| ended.report.as_ref());
    if let Some(report) =
        report.filter(|report| report.reason != Reason::Interrupted && report.result == RunOutcome::Failed)
    {
        return (report.reason.clone(), report.message.clone());
    }
    let of_run = || workers.iter().filter(|worker| worker.job == run.job);
    for worker in of_run() {
        let Some(ended) = &worker.ended else { continue };
        if let Some(reason) = FailureKind::of_exit_code(ended.exit_code).and_then(FailureKind::reason) {
            let message = format!(
                "worker {} ended with exit code {}; its log says why: kubectl logs {}",
                worker.index, ended.exit_code, worker.pod
            );
            return (reason.into(), message);
        }
    }
    // The others were only stopped.
    let killed = |worker: &&Worker| worker.ended.as_ref().is_some_and(|ended| ended.reason == Reason::OomKilled);
    if let Some(worker) = of_run().find(killed) {
        return (Reason::OomKilled.into(), out_of_memory(worker));
    }
    if let Some(report) = report {
        return (report.reason.clone(), report.message.clone());
    }
    let broken = of_run()
        .find_map(|worker| worker.ended.as_ref().filter(|ended| ended.exit_code != 0).map(|ended| (worker, ended)));
    let message = match broken {
        Some((worker, ended)) => {
            format!(
                "worker {} ended with exit code {}; its log says why: kubectl logs {}",
                worker.index, ended.exit_code, worker.pod
            )
        }
        None => format!("the Job failed ({}): {}", end.reason, end.message),
    };
    (Reason::Failed.into(), message)
}

/// The result as people are told it: one that was cancelled did not fail by itself.
fn told(seen: &Observed, result: RunResult) -> RunResult {
    if result.result == RunOutcome::Succeeded {
        return result;
    }
    let how = match &result.requested_by {
        _ if seen.cancels(&result.job) => "it was cancelled".to_owned(),
        Some(by) if called_off(seen, &result.job, Some(by)) => format!("its S3SyncRun {by} was deleted"),
        _ => return result,
    };
    let message = format!("{how}; what it published stays, and the next run goes on from here");
    RunResult { reason: Some(Reason::Cancelled.into()), message: Some(message), ..result }
}

/// What is told of a worker that the kernel killed, with a limit to set.
fn out_of_memory(worker: &Worker) -> String {
    let of = format!("worker {} was killed for want of memory ({})", worker.index, Reason::OomKilled);
    match worker.memory_limit {
        Some(limit) => format!(
            "{of}: its limit was {}, and its budget {} of that; set spec.worker.resources.limits.memory to {}",
            mebibytes(limit),
            mebibytes(default_budget(limit)),
            mebibytes(raised(limit))
        ),
        None => format!(
            "{of}: it has no limit, so its node had none left; set spec.worker.resources.limits.memory and requests.memory to {}, which a node \
             then keeps for it",
            mebibytes(raised(0))
        ),
    }
}

/// A run whose Job is gone before its end was seen.
fn deleted(run: &ActiveRun, now: Timestamp) -> RunResult {
    RunResult {
        job: run.job.clone(),
        requested_by: run.requested_by.clone(),
        start_time: run.start_time.clone(),
        completion_time: Some(Time(now)),
        result: RunOutcome::Failed,
        reason: Some(Reason::Interrupted.into()),
        message: Some("the run's Job was deleted; the next run goes on from here".into()),
        counts: RunCounts::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::decide::run::Marks;
    use crate::controller::fixtures::{at, good, observed, reported, run, sync};
    use crate::controller::names::Repeat;

    fn bring(status: S3SyncStatus, runs: Vec<Run>, workers: Vec<Worker>, now: &str) -> (S3SyncStatus, News) {
        let mut status = status;
        let seen = Observed { runs, workers, ..observed(sync(), now) };
        let news = bring_up_to_date(&mut status, &seen);
        // A second look at the same things finds nothing new.
        let mut again = status.clone();
        let nothing = bring_up_to_date(&mut again, &seen);
        assert_eq!((&again, nothing.ended), (&status, vec![]));
        (status, news)
    }

    fn active(job: &str) -> ActiveRun {
        ActiveRun { job: job.into(), requested_by: None, start_time: None }
    }

    #[test]
    fn marks_are_taken_from_new_runs_alone() {
        let marked = |slot: &str, trigger: &str, created: &str| {
            let marks = Marks { trigger: Some(trigger.into()), synced: Some("hash".into()), ..Marks::default() };
            Run { marks, ..run(slot, Repeat::First, created) }
        };
        let (status, _) =
            bring(S3SyncStatus::default(), vec![marked("aaaaaaaaaa", "one", "12:00:00")], vec![], "12:00:01");
        assert_eq!((status.last_trigger.as_deref(), status.last_spec_hash.as_deref()), (Some("one"), Some("hash")));
        // The run of "two" was recorded and its Job is gone; the older Job of "one" is kept for history.
        let newer = marked("bbbbbbbbbb", "two", "12:10:00").ended("12:11:00", true);
        let older = marked("aaaaaaaaaa", "one", "12:00:00").ended("12:01:00", true);
        let (status, _) = bring(status, vec![older.clone(), newer], vec![], "12:20:00");
        assert_eq!(status.last_trigger.as_deref(), Some("two"));
        assert_eq!(status.history.iter().map(|run| run.job.as_str()).collect::<Vec<_>>(), ["orders-aaaaaaaaaa"]);
        let forgotten = S3SyncStatus { history: vec![], ..status };
        let (status, news) = bring(forgotten, vec![older], vec![], "12:30:00");
        assert_eq!((status.last_trigger.as_deref(), news), (Some("two"), News::default()));
    }

    #[test]
    fn a_run_is_recorded_once_its_report_is_there() {
        let ended = run("aaaaaaaaaa", Repeat::First, "12:00:00").ended("12:05:00", true);
        let (status, news) = bring(S3SyncStatus::default(), vec![ended.clone()], vec![], "12:05:01");
        assert_eq!((status.last_run, status.active.len(), news.unsettled), (None, 1, true));
        let (status, news) =
            bring(S3SyncStatus::default(), vec![ended.clone()], vec![reported(&ended, 0, good())], "12:05:02");
        let result = status.last_run.unwrap();
        assert_eq!(
            (result.result, result.counts.rows, result.message.as_deref()),
            (RunOutcome::Succeeded, 10, Some("2 objects, 10 rows"))
        );
        assert_eq!(
            (status.last_successful_time, news.unsettled, news.ended.len()),
            (Some(Time(at("12:05:00"))), false, 1)
        );
        let nothing = RunReport {
            reason: "NothingFound".into(),
            message: "no object is selected under s3://raw/ordrs/".into(),
            ..good()
        };
        let (status, _) =
            bring(S3SyncStatus::default(), vec![ended.clone()], vec![reported(&ended, 0, nothing)], "12:05:02");
        let result = status.last_run.unwrap();
        assert_eq!((result.result, result.reason.as_deref()), (RunOutcome::Succeeded, Some("NothingFound")));
        // That of a pod which failed before is not the run's, even where the watch shows no other yet.
        let failed = reported(&ended, 1, RunReport::failed("Failed", "connection reset"));
        let (status, news) = bring(S3SyncStatus::default(), vec![ended.clone()], vec![failed], "12:05:02");
        assert_eq!((status.last_run, news.unsettled), (None, true));
        // A pod that is gone has no report to wait for.
        let (status, _) = bring(S3SyncStatus::default(), vec![ended], vec![], "12:05:16");
        assert_eq!(status.last_run.map(|run| (run.result, run.counts.rows)), Some((RunOutcome::Succeeded, 0)));
    }

    #[test]
    fn failures() {
        let failed = run("aaaaaaaaaa", Repeat::First, "12:00:00").ended("12:05:00", false);
        let exit = |index: u32, exit_code: i32, reason: &str, report: Option<RunReport>| Worker {
            index,
            ended: Some(Ended { exit_code, reason: reason.into(), report }),
            ..reported(&failed, 0, good())
        };
        let interrupted = RunReport::failed("Interrupted", "stopped on the way");
        for (workers, reason, message) in [
            (vec![exit(0, 3, "", Some(RunReport::failed("NotFound", "no bucket raw")))], "NotFound", "no bucket raw"),
            (
                vec![exit(0, 5, "", Some(interrupted.clone())), exit(1, 4, "", None)],
                "BadData",
                "worker 1 ended with exit code 4; its log says why: kubectl logs orders-aaaaaaaaaa-0-abcde",
            ),
            (vec![exit(0, 5, "", Some(interrupted.clone()))], "Interrupted", "stopped on the way"),
            (
                vec![exit(0, 137, "OOMKilled", None)],
                "OOMKilled",
                "worker 0 was killed for want of memory (OOMKilled): it has no limit, so its node had none left; set \
                 spec.worker.resources.limits.memory and requests.memory to 512Mi, which a node then keeps for it",
            ),
            (
                vec![
                    exit(0, 5, "", Some(interrupted)),
                    Worker { memory_limit: Some(300 << 20), ..exit(1, 137, "OOMKilled", None) },
                ],
                "OOMKilled",
                "worker 1 was killed for want of memory (OOMKilled): its limit was 300Mi, and its budget 150Mi of that; set \
                 spec.worker.resources.limits.memory to 600Mi",
            ),
            (
                vec![exit(0, 1, "Error", None)],
                "Failed",
                "worker 0 ended with exit code 1; its log says why: kubectl logs orders-aaaaaaaaaa-0-abcde",
            ),
            (vec![], "Failed", "the Job failed (PodFailurePolicy): "),
        ] {
            let (status, _) = bring(S3SyncStatus::default(), vec![failed.clone()], workers, "12:06:00");
            let result = status.last_run.unwrap();
            assert_eq!((result.reason.as_deref(), result.message.as_deref()), (Some(reason), Some(message)));
            assert_eq!((status.consecutive_failures, status.last_successful_time), (1, None));
        }
    }

    /// Advice that is followed leads to a spec that is valid, and to more memory than before.
    #[test]
    fn what_is_advised_after_a_kill_works() {
        let run = run("aaaaaaaaaa", Repeat::First, "12:00:00");
        for limit in [None, Some(128 << 20), Some(300 << 20), Some(8 << 30)] {
            let sentence = out_of_memory(&Worker { memory_limit: limit, ..reported(&run, 137, good()) });
            let advised = sentence.split(" to ").last().unwrap().split(',').next().unwrap();
            let spec = serde_json::json!({"worker": {"resources": {"limits": {"memory": advised}, "requests": {"memory": advised}}}});
            let sync = crate::controller::fixtures::sync_with(spec);
            assert!(crate::controller::decide::check::check(&sync).is_ok(), "{sentence}");
            let bytes = sync.spec.worker.resources.limits["memory"].amount().unwrap();
            assert!(
                limit.is_none_or(|limit| bytes >= 2 * limit && default_budget(bytes) >= default_budget(limit)),
                "{sentence}"
            );
        }
    }

    #[test]
    fn a_run_out_of_time_says_so() {
        let mut late = run("aaaaaaaaaa", Repeat::First, "12:00:00").ended("12:05:00", false);
        late.end.as_mut().unwrap().reason = "DeadlineExceeded".into();
        let stopped = reported(&late, 5, RunReport::failed("Interrupted", "stopped"));
        let (status, _) = bring(S3SyncStatus::default(), vec![late], vec![stopped], "12:06:00");
        assert_eq!(status.last_run.unwrap().reason.as_deref(), Some("DeadlineExceeded"));
    }

    #[test]
    fn a_deleted_job_ends_its_run() {
        let before = S3SyncStatus {
            active: vec![active("orders-aaaaaaaaaa")],
            consecutive_failures: 1,
            ..S3SyncStatus::default()
        };
        let (status, news) = bring(before, vec![], vec![], "12:06:00");
        assert_eq!((status.active, status.consecutive_failures, news.ended.len()), (vec![], 2, 1));
        assert_eq!(status.last_run.unwrap().reason.as_deref(), Some("Interrupted"));
    }

    #[test]
    fn history_is_bounded_and_the_latest_comes_first() {
        let mut status = S3SyncStatus::default();
        for minute in 10..25 {
            let run = run(&format!("slot-{minute}"), Repeat::First, &format!("12:{minute}:00"))
                .ended(&format!("12:{minute}:30"), true);
            (status, _) = bring(status, vec![run], vec![], "13:00:00");
        }
        assert_eq!(status.last_run.as_ref().unwrap().job, "orders-slot-24");
        let jobs: Vec<&str> = status.history.iter().map(|run| run.job.as_str()).collect();
        assert_eq!((jobs.len(), jobs[0], jobs[9]), (10, "orders-slot-23", "orders-slot-14"));
    }

    #[test]
    fn runs_of_others_say_nothing() {
        let foreign = Run { owned: false, ..run("aaaaaaaaaa", Repeat::First, "12:00:00") };
        let (status, news) = bring(S3SyncStatus::default(), vec![foreign], vec![], "12:06:00");
        assert_eq!((status, news), (S3SyncStatus::default(), News::default()));
    }
}
