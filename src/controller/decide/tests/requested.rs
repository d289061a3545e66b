//! Runs that S3SyncRuns ask for.

use super::*;
use crate::api::S3SyncRunStatus;
use crate::api::status::RunOutcome;
use crate::controller::decide::requested::{expires, job_of, without_sync};
use crate::controller::fixtures::asks;

/// Result, reason and the true conditions.
fn said(status: &S3SyncRunStatus) -> (Option<RunOutcome>, &str, String) {
    let conditions: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    for condition in &status.conditions {
        let same = (condition.status.as_str(), Some(&condition.reason), Some(&condition.message));
        assert_eq!(same, ("True", status.reason.as_ref(), status.message.as_ref()), "{status:?}");
    }
    (status.result, status.reason.as_deref().unwrap_or_default(), conditions.join(" "))
}

impl World {
    /// One that runs by itself at midnight alone.
    fn asked(runs: Vec<S3SyncRun>) -> World {
        let mut world = World::new(json!({"schedule": "@daily"}), "12:00:00");
        world.seen.requested = Some(runs);
        world
    }

    fn of(&self, name: &str) -> &S3SyncRun {
        self.seen.requested.iter().flatten().find(|run| run.metadata.name.as_deref() == Some(name)).unwrap()
    }

    fn says(&self, name: &str) -> S3SyncRunStatus {
        self.of(name).status.clone().unwrap_or_default()
    }

    fn forget(&mut self, name: &str) {
        self.seen.requested.as_mut().unwrap().retain(|run| run.metadata.name.as_deref() != Some(name));
    }
}

const RECONCILING: &str = "Reconciling";

#[test]
fn one_runs_once_and_says_how() {
    let window = json!({"window": {"fromKey": "a", "modifiedTo": "2026-11-01T00:00:00Z"}, "reread": true});
    let mut world = World::asked(vec![asks("backfill", "12:00:00", window)]);
    let request = decide(&world.seen).start.unwrap().request.unwrap();
    assert_eq!(
        serde_json::to_value(&request).unwrap(),
        json!({"id": "0000backfill", "window": {"fromKey": "a", "modifiedTo": "2026-11-01T00:00:00Z"}, "reread": true})
    );
    world.look("12:00:10");
    let job = job_of("orders", world.of("backfill"));
    assert_eq!((world.whys(), world.jobs()), (vec![Why::Requested], vec![job.as_str()]));
    assert_eq!(said(&world.says("backfill")), (None, "Running", RECONCILING.into()));
    assert_eq!(world.status().active[0].requested_by.as_deref(), Some("backfill"));
    world.end("12:05:00", 0, good());
    world.look("12:05:01");
    let status = world.says("backfill");
    assert_eq!(said(&status), (Some(RunOutcome::Succeeded), "Succeeded", "Complete".into()));
    let times = [&status.start_time, &status.completion_time].map(|time| time.as_ref().unwrap().0);
    assert_eq!(
        (times, status.counts, status.job.as_deref()),
        ([at("12:00:10"), at("12:05:00")], good().counts, Some(job.as_str()))
    );
    assert_eq!(world.status().last_run.as_ref().unwrap().requested_by.as_deref(), Some("backfill"));
    // Whatever is forgotten of it elsewhere.
    world.seen.runs.clear();
    let sync = world.seen.sync.status.as_mut().unwrap();
    (sync.last_run, sync.history) = (None, vec![]);
    world.look("13:00:00");
    assert_eq!(world.whys(), [Why::Requested]);
}

/// Without a schedule a failed run is repeated; one that was asked for by name is not, and keeps no other from it.
#[test]
fn one_that_failed_has_ended() {
    let mut world = World::asked(vec![asks("backfill", "12:00:00", json!({}))]);
    world.seen.sync.spec.schedule = None;
    world.look("12:00:10");
    world.end("12:01:00", 4, RunReport::failed("BadData", "orders/1.csv, line 3: no number"));
    world.look("12:01:01");
    let status = world.says("backfill");
    assert_eq!(said(&status), (Some(RunOutcome::Failed), "BadData", "Failed Stalled".into()));
    assert_eq!(status.message.as_deref(), Some("orders/1.csv, line 3: no number"));
    // The change of what is synced had no run yet.
    assert_eq!(world.whys(), [Why::Requested, Why::Change]);
    world.end("12:02:00", 1, RunReport::failed("Failed", "no network"));
    world.look("12:02:01");
    world.seen.requested.as_mut().unwrap().push(asks("second", "12:02:30", json!({})));
    world.look("12:02:31");
    world.end("12:03:00", 4, RunReport::failed("BadData", "again"));
    world.look("12:03:01");
    world.look("13:30:00");
    assert_eq!(world.whys(), [Why::Requested, Why::Change, Why::Requested, Why::Retry]);
}

/// A controller that dies forgets what it has not written.
#[test]
fn one_starts_once_whoever_forgets() {
    let mut world = World::asked(vec![asks("backfill", "12:00:00", json!({}))]);
    world.look("12:00:10");
    // Before either status was written.
    world.seen.sync.status = None;
    world.seen.requested.as_mut().unwrap()[0].status = None;
    world.look("12:00:20");
    assert_eq!((world.started.len(), said(&world.says("backfill"))), (1, (None, "Running", RECONCILING.into())));
    // Its Job is removed under it, and the sync's status lost.
    world.seen.runs.clear();
    world.seen.sync.status = None;
    world.look("12:02:00");
    assert_eq!(world.started.len(), 1);
    assert_eq!(said(&world.says("backfill")), (Some(RunOutcome::Failed), "Interrupted", "Failed Stalled".into()));
}

#[test]
fn what_it_waits_for_is_said() {
    type Change = fn(&mut World);
    let nothing: Change = |_| {};
    for (change, reason, part) in [
        (
            (|world| world.seen.sync.spec.suspend = true) as Change,
            "Suspended",
            "waits for its sync: no run starts while spec.suspend is true",
        ),
        (
            |world| world.seen.sync.spec.schedule = Some("x".into()),
            "InvalidSpec",
            "waits for its sync: spec.schedule is",
        ),
        (|world| world.seen.capacity = false, "WaitingForCapacity", "fewer runs are in progress"),
        (
            |world| (world.seen.capacity, world.seen.refused) = (false, Some("quota".into())),
            "RunRefused",
            "the API server refuses what the next run needs: quota",
        ),
        (
            |world| world.seen.runs.push(run("202611210000", Repeat::First, "12:00:00")),
            "WaitingForTurn",
            "a sync has one run at a time",
        ),
        (
            |world| world.seen.requested.as_mut().unwrap().insert(0, asks("earlier", "11:00:00", json!({}))),
            "WaitingForTurn",
            "a sync has one run at a time",
        ),
        (nothing, "Running", "is in progress"),
    ] {
        let mut world = World::asked(vec![asks("backfill", "12:00:00", json!({}))]);
        change(&mut world);
        world.look("12:00:10");
        let status = world.says("backfill");
        assert_eq!(said(&status), (None, reason, RECONCILING.into()));
        assert!(status.message.as_ref().unwrap().contains(part), "{status:?}");
        let job = job_of("orders", world.of("backfill"));
        assert_eq!(world.jobs().contains(&job.as_str()), reason == "Running");
    }
}

#[test]
fn what_cannot_be_run_is_refused_before_there_is_a_job() {
    let replace =
        json!({"destination": {"bucket": "lake", "format": "csv", "writeMode": "Replace"}, "schedule": "@daily"});
    for (sync, spec, part) in [
        (
            replace.clone(),
            json!({"window": {"fromKey": "a"}}),
            "destination.writeMode Replace keeps what one run reads",
        ),
        (
            json!({}),
            json!({"window": {"fromKey": "b", "toKey": "a"}}),
            "the window is empty: fromKey \"b\" is not before",
        ),
        (
            json!({}),
            json!({"window": {"modifiedTo": "2026-01-01T00:00:00+99:00"}}),
            "spec.window.modifiedTo is \"2026-01-01",
        ),
    ] {
        let mut world = World::asked(vec![asks("backfill", "12:00:00", spec)]);
        world.seen.sync = sync_with(sync);
        world.look("12:00:10");
        let status = world.says("backfill");
        assert_eq!(said(&status), (Some(RunOutcome::Failed), "InvalidSpec", "Failed Stalled".into()));
        assert!(status.message.as_ref().unwrap().starts_with(part), "{status:?}");
        assert_eq!((status.job, status.completion_time), (None, Some(Time(at("12:00:10")))));
        assert!(!world.whys().contains(&Why::Requested));
    }
    let mut world = World::asked(vec![asks("backfill", "12:00:00", json!({"reread": true}))]);
    world.seen.sync = sync_with(replace);
    world.look("12:00:10");
    assert_eq!(world.whys(), [Why::Requested], "Replace writes everything anew");
    let mut world = World::asked(vec![asks("backfill", "12:00:00", json!({}))]);
    world.seen.taken.insert(job_of("orders", world.of("backfill")), "Job");
    world.look("12:00:10");
    assert_eq!(said(&world.says("backfill")), (Some(RunOutcome::Failed), "NameTaken", "Failed Stalled".into()));
}

/// Many of them hold up no schedule, and a schedule without a pause holds up none of them.
#[test]
fn they_take_turns_with_what_else_is_due() {
    let mut world = World::new(json!({"schedule": "* * * * *"}), "12:00:00");
    world.look("12:00:01");
    world.seen.requested = Some(vec![
        asks("b", "12:00:03", json!({})),
        asks("a", "12:00:02", json!({})),
        asks("c", "12:00:04", json!({})),
    ]);
    for minute in 1..7 {
        world.look(&format!("12:{minute:02}:05"));
        world.end(&format!("12:{minute:02}:59"), 0, good());
    }
    world.look("12:07:05");
    assert_eq!(
        world.whys(),
        [Why::Requested, Why::Slot, Why::Requested, Why::Slot, Why::Requested, Why::Slot, Why::Slot]
    );
    let ended = |name| world.says(name).completion_time.unwrap().0;
    assert!(ended("a") < ended("b") && ended("b") < ended("c"), "the oldest goes first");
}

/// Nor do many of them hold up the repetition of a run that failed, or let it be forgotten.
#[test]
fn they_take_turns_with_what_is_repeated() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:01");
    world.end("12:00:30", 1, RunReport::failed("Failed", "no network"));
    world.look("12:00:31");
    let names: Vec<String> = (0..14).map(|n| format!("run-{n:02}")).collect();
    world.seen.requested = Some(names.iter().map(|name| asks(name, "12:00:40", json!({}))).collect());
    // Within the minute after which it is repeated.
    for second in 0..12 {
        world.look(&format!("12:00:{:02}", 41 + second));
        world.end(&format!("12:00:{:02}", 41 + second), 0, good());
    }
    world.look("12:00:55");
    assert_eq!(world.whys(), [vec![Why::Change], vec![Why::Requested; 13]].concat());
    world.end("12:01:31", 0, good());
    world.look("12:01:32");
    world.end("12:01:40", 0, good());
    world.look("12:01:41");
    assert_eq!(world.whys()[14..], [Why::Retry, Why::Requested]);
    world.end("12:01:50", 0, good());
    world.look("13:01:51");
    assert_eq!(world.started.len(), 16, "it has succeeded");
    assert_eq!(world.status().history.len(), 10);
}

/// Jobs go by the history's limits, and not before what they did is told.
#[test]
fn what_it_did_outlasts_its_job() {
    for (code, report, said_so) in
        [(0, good(), "Succeeded"), (4, RunReport::failed("BadData", "orders/1.csv, line 3: no number"), "BadData")]
    {
        let mut world = World::asked(vec![asks("backfill", "12:00:00", json!({}))]);
        let spec = &mut world.seen.sync.spec;
        (spec.successful_runs_history_limit, spec.failed_runs_history_limit) = (0, 0);
        world.look("12:00:10");
        world.end("12:05:00", code, report);
        world.seen.now = at("12:05:01");
        let desired = decide(&world.seen);
        assert_eq!((desired.told.len(), desired.delete_jobs.len()), (1, 1), "told by the look that lets the Job go");
        world.look("12:05:01");
        assert!(world.seen.runs.is_empty());
        assert_eq!(said(&world.says("backfill")).1, said_so);
        world.look("13:00:00");
        assert_eq!((world.whys(), said(&world.says("backfill")).1), (vec![Why::Requested], said_so));
    }
}

/// A slot that passes during one is not made up for by it, and is counted once.
#[test]
fn one_makes_up_for_no_slot() {
    let mut world = World::new(json!({"schedule": "* * * * *"}), "12:00:00");
    world.look("12:00:01");
    world.seen.requested = Some(vec![asks("backfill", "12:00:02", json!({}))]);
    world.seen.now = at("12:03:10");
    let desired = decide(&world.seen);
    assert_eq!((desired.start.unwrap().why, desired.missed), (Why::Requested, 0));
    world.look("12:03:10");
    world.end("12:03:30", 0, good());
    world.seen.now = at("12:03:40");
    world.seen.sync.status = Some(decide(&world.seen).status);
    let desired = decide(&world.seen);
    assert_eq!((desired.start.unwrap().why, desired.missed), (Why::Slot, 2));
}

#[test]
fn deleting_it_calls_its_run_off() {
    let mut world = World::asked(vec![asks("backfill", "12:00:00", json!({}))]);
    world.look("12:00:10");
    let job = world.seen.runs[0].clone();
    // While they are not listed nobody knows that it is gone.
    let listed = world.seen.requested.take();
    assert_eq!(decide(&world.seen).cancel, []);
    world.seen.requested = listed;
    assert_eq!(decide(&world.seen).cancel, []);
    world.forget("backfill");
    // A namesake is another.
    let mut namesake = asks("backfill", "12:00:20", json!({}));
    namesake.metadata.uid = Some("another".into());
    world.seen.requested.as_mut().unwrap().push(namesake);
    assert_eq!(world.look("12:00:30").cancel, [Named { name: job.job.clone(), uid: job.uid }]);
    world.seen.runs.clear();
    world.forget("backfill");
    world.look("12:01:00");
    let last = world.status().last_run.clone().unwrap();
    assert_eq!((last.reason.as_deref(), world.status().consecutive_failures), (Some("Cancelled"), 0));
    assert!(last.message.unwrap().starts_with("its S3SyncRun backfill was deleted; what it published stays"));
    world.look("13:00:00");
    assert_eq!(world.whys(), [Why::Requested]);
}

/// The verb ends one like any other run.
#[test]
fn one_that_is_cancelled_says_so() {
    let mut world = World::asked(vec![asks("backfill", "12:00:00", json!({}))]);
    world.look("12:00:10");
    let job = world.seen.runs[0].job.clone();
    world.annotate("s3sync.dev/cancel", &job);
    world.seen.runs.clear();
    world.look("12:01:00");
    assert_eq!(said(&world.says("backfill")), (Some(RunOutcome::Failed), "Cancelled", "Failed Stalled".into()));
    world.look("13:00:00");
    assert_eq!(world.whys(), [Why::Requested]);
}

#[test]
fn without_its_sync() {
    let mut run = asks("backfill", "12:00:00", json!({}));
    let told = without_sync(&run, at("12:00:10")).unwrap();
    assert_eq!(said(&told.status), (None, "SyncNotFound", RECONCILING.into()));
    assert!(told.status.message.as_ref().unwrap().starts_with("there is no S3Sync orders in this namespace"));
    run.status = Some(told.status);
    assert_eq!(without_sync(&run, at("12:01:10")), None, "it is told once");
    // It comes later, and is deleted before the run has ended.
    let mut world = World::asked(vec![run]);
    world.seen.sync.spec.suspend = true;
    world.look("12:02:00");
    assert_eq!(said(&world.says("backfill")).1, "Suspended");
    let told = without_sync(world.of("backfill"), at("12:03:00")).unwrap();
    assert_eq!(said(&told.status), (Some(RunOutcome::Failed), "SyncDeleted", "Failed Stalled".into()));
    let ended = S3SyncRun { status: Some(told.status), ..world.of("backfill").clone() };
    assert_eq!(without_sync(&ended, at("12:04:00")), None);
}

#[test]
fn one_that_ended_goes_when_it_is_told_to() {
    let mut world = World::asked(vec![
        asks("kept", "11:00:00", json!({})),
        asks("goes", "12:00:00", json!({"ttlSecondsAfterFinished": 600})),
    ]);
    for minute in [0, 2] {
        world.look(&format!("12:{minute:02}:10"));
        world.end(&format!("12:{minute:02}:30"), 0, good());
    }
    assert_eq!(world.look("12:03:00").expired, []);
    assert_eq!(expires(world.of("goes")), Some(at("12:12:30")));
    let desired = world.look("12:12:00");
    assert_eq!((desired.expired, desired.requeue), (vec![], Duration::from_secs(30)));
    assert_eq!(world.look("12:12:30").expired, [Named { name: "goes".into(), uid: "0000-goes".into() }]);
}
