mod cancel;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::run::Worker;
use super::*;
use crate::api::S3Sync;
use crate::api::S3SyncRun;
use crate::api::report::RunReport;
use crate::controller::fixtures::{at, cursor, good, observed, reported, run, sync, sync_with};
use crate::controller::names::Repeat;
use crate::model::cursor::Phase;

mod ending;
mod found;
mod requested;
mod schedule;
mod waiting;

/// A world of one resource in which decisions are carried out: Jobs are made, statuses written, time goes on.
struct World {
    seen: Observed,
    /// Every Job that was started, with what for.
    started: Vec<(String, Why)>,
    /// Every event, by reason.
    told: Vec<String>,
}

impl World {
    fn new(spec: Value, now: &str) -> World {
        World { seen: observed(sync_with(spec), now), started: vec![], told: vec![] }
    }

    /// Looks as often as the controller would until nothing more is to do; the last decision.
    fn look(&mut self, now: &str) -> Desired {
        self.look_at(at(now))
    }

    fn look_at(&mut self, now: Timestamp) -> Desired {
        self.seen.now = now;
        for _ in 0..5 {
            let desired = decide(&self.seen);
            for told in &desired.told {
                let its = |run: &&mut S3SyncRun| run.metadata.uid.as_ref() == Some(&told.run.uid);
                let mut runs = self.seen.requested.iter_mut().flatten();
                runs.find(its).expect("it is told of one that is there").status = Some(told.status.clone());
            }
            if let Some(start) = &desired.start {
                self.started.push((start.job.clone(), start.why));
                let created = now;
                self.seen.runs.push(Run {
                    job: start.job.clone(),
                    uid: format!("uid-{}", start.job),
                    owned: true,
                    created,
                    started: Some(created),
                    deleting: false,
                    held: false,
                    ending: false,
                    end: None,
                    marks: start.marks.clone(),
                });
                continue;
            }
            let written = self.seen.sync.status.as_ref() != Some(&desired.status);
            self.seen.sync.status = Some(desired.status.clone());
            if !written {
                assert_eq!((&desired.notes, desired.missed), (&vec![], 0), "a look without news tells nothing");
                assert_eq!(desired.told, [], "nor of those who asked");
                return desired;
            }
            self.told.extend(desired.notes.iter().map(|note| note.reason.clone()));
            self.seen.runs.retain(|run| !desired.delete_jobs.iter().any(|doomed| doomed.name == run.job));
        }
        panic!("no rest at {now}: {:?}", self.started);
    }

    /// Ends the run in progress.
    fn end(&mut self, time: &str, exit_code: i32, report: RunReport) {
        let run = self.seen.runs.iter_mut().find(|run| run.active()).expect("a run is in progress");
        *run = run.clone().ended(time, exit_code == 0);
        self.seen.workers.push(reported(run, exit_code, report));
    }

    /// The same at a full time, for what goes past midnight.
    fn fail_at(&mut self, time: Timestamp) {
        let run = self.seen.runs.iter_mut().find(|run| run.active()).expect("a run is in progress");
        *run = run.clone().ended("12:00:00", false);
        run.end.as_mut().unwrap().at = time;
        self.seen.workers.push(reported(run, 1, RunReport::failed("Failed", "no network")));
    }

    fn edit(&mut self, edit: impl FnOnce(&mut S3Sync)) {
        edit(&mut self.seen.sync);
        *self.seen.sync.metadata.generation.as_mut().unwrap() += 1;
    }

    fn annotate(&mut self, key: &str, value: &str) {
        self.seen.sync.metadata.annotations.get_or_insert_default().insert(key.into(), value.into());
    }

    fn jobs(&self) -> Vec<&str> {
        self.started.iter().map(|(job, _)| job.as_str()).collect()
    }
    fn whys(&self) -> Vec<Why> {
        self.started.iter().map(|(_, why)| *why).collect()
    }

    fn status(&self) -> &S3SyncStatus {
        self.seen.sync.status.as_ref().unwrap()
    }

    fn condition(&self, kind: &str) -> Option<(&str, &str)> {
        let condition = self.status().conditions.iter().find(|condition| condition.type_ == kind)?;
        Some((&condition.status, &condition.reason))
    }
}

fn bad() -> RunReport {
    RunReport::failed("BadData", "a.csv: line 7 has 3 fields instead of 4")
}

#[test]
fn without_a_schedule_a_change_is_a_run() {
    let mut world = World::new(json!({"trigger": "first"}), "12:00:00");
    world.look("12:00:00");
    assert_eq!(world.whys(), [Why::Change], "the trigger that was there from the beginning adds no second run");
    world.look("12:00:10");
    world.end("12:01:00", 0, good());
    world.look("12:01:01");
    world.look("14:00:00");
    assert_eq!(world.whys(), [Why::Change]);
    assert_eq!(
        (world.status().last_trigger.as_deref(), world.told.as_slice()),
        (Some("first"), &["RunSucceeded".to_owned()][..])
    );
    // What pods look like, when to run, and suspending change nothing that is synced.
    world.edit(|sync| sync.spec.worker.replicas = 3);
    world.edit(|sync| sync.spec.suspend = true);
    world.look("14:01:00");
    world.edit(|sync| sync.spec.suspend = false);
    world.look("14:02:00");
    assert_eq!(world.whys(), [Why::Change]);
    world.edit(|sync| sync.spec.source.prefix = Some("new/".into()));
    world.look("14:03:00");
    assert_eq!(world.whys(), [Why::Change, Why::Change]);
}

#[test]
fn back_to_an_earlier_spec_is_a_change_too() {
    let mut world = World::new(json!({}), "12:00:00");
    for (minute, prefix) in [("01", None), ("02", Some("a/".to_owned())), ("03", None), ("04", Some("a/".to_owned()))] {
        world.edit(|sync| sync.spec.source.prefix = prefix);
        world.look(&format!("12:{minute}:00"));
        world.end(&format!("12:{minute}:30"), 0, good());
        world.look(&format!("12:{minute}:31"));
    }
    let jobs = world.jobs();
    let (first, second) = (jobs[0], jobs[1]);
    assert_eq!(jobs, [first, second, &format!("{first}-a2"), &format!("{second}-a2")]);
}

#[test]
fn triggers() {
    let mut world = World::new(json!({"schedule": "0 * * * *"}), "12:00:00");
    world.look("12:00:10");
    assert_eq!(world.jobs(), Vec::<&str>::new());
    world.edit(|sync| sync.spec.trigger = Some("backfill".into()));
    world.look("12:05:00");
    world.end("12:06:00", 0, good());
    world.annotate("s3sync.dev/trigger", "2026-11-21T12:07:00Z");
    world.look("12:07:00");
    assert_eq!(world.whys(), [Why::Trigger, Why::Trigger]);
    let status = world.status();
    assert_eq!(
        (status.last_trigger.as_deref(), status.last_trigger_annotation.as_deref()),
        (Some("backfill"), Some("2026-11-21T12:07:00Z"))
    );
    world.end("12:08:00", 0, good());
    // Neither the same value, nor its absence, nor a long wait is a new value.
    world.look("12:09:00");
    world.edit(|sync| sync.spec.trigger = None);
    world.look("12:10:00");
    // While suspended it waits.
    world.edit(|sync| sync.spec.suspend = true);
    world.annotate("s3sync.dev/trigger", "again");
    world.look("12:11:00");
    assert_eq!(world.started.len(), 2);
    world.edit(|sync| sync.spec.suspend = false);
    world.look("12:12:00");
    assert_eq!(world.whys()[2..], [Why::Trigger]);
}

#[test]
fn failures_without_a_schedule_are_repeated_ever_more_slowly() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    let mut now = at("12:00:00");
    let mut waits = Vec::new();
    for _ in 0..9 {
        world.fail_at(now);
        let ended = now;
        let before = world.started.len();
        while world.started.len() == before {
            let desired = world.look_at(now);
            now += SignedDuration::try_from(desired.requeue).unwrap();
        }
        now = world.seen.now;
        waits.push(now.duration_since(ended).as_mins());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    let first = world.started[0].0.clone();
    assert_eq!(world.started[9], (format!("{first}-a10"), Why::Retry));
    assert_eq!(
        (world.status().consecutive_failures, world.condition("LastRunSucceeded")),
        (9, Some(("False", "Failed")))
    );
    // Kept: the last three.
    assert_eq!(world.seen.runs.iter().filter(|run| !run.active()).count(), 3);
    let run = world.seen.runs.iter_mut().find(|run| run.active()).unwrap();
    *run = run.clone().ended("23:59:59", true);
    run.end.as_mut().unwrap().at = now + SignedDuration::from_mins(1);
    world.look_at(now + SignedDuration::from_mins(2));
    assert_eq!(
        (world.status().consecutive_failures, world.condition("LastRunSucceeded")),
        (0, Some(("True", "Succeeded")))
    );
    world.look_at(now + SignedDuration::from_hours(5));
    assert_eq!(world.started.len(), 10);
}

#[test]
fn a_change_does_not_wait_for_the_backoff() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    world.end("12:01:00", 4, bad());
    world.look("12:01:01");
    world.edit(|sync| sync.spec.errors.on_bad_object = crate::api::spec::OnBadObject::Quarantine);
    world.look("12:01:02");
    assert_eq!(world.whys(), [Why::Change, Why::Change]);
}

#[test]
fn what_is_half_done_is_finished_outside_the_schedule() {
    for (phase, garbage, suspended, recovers) in [
        (Phase::Idle, false, false, false),
        (Phase::Idle, true, false, true),
        (Phase::Running, false, false, true),
        (Phase::Committing, false, false, true),
        (Phase::Idle, true, true, false),
        (Phase::Running, false, true, false),
        (Phase::Committing, false, true, true),
    ] {
        let mut world = World::new(json!({"schedule": "0 * * * *"}), "12:00:00");
        world.look("12:00:01");
        world.look("13:00:00");
        world.end("13:01:00", 1, RunReport::failed("Failed", "no network"));
        world.seen.cursor = Some(cursor(phase, garbage));
        world.edit(|sync| sync.spec.suspend = suspended);
        world.look("13:01:59");
        assert_eq!(world.started.len(), 1, "the backoff is not over");
        world.look("13:02:00");
        let expected =
            if recovers { vec!["orders-202611211300", "orders-202611211300-r1"] } else { vec!["orders-202611211300"] };
        assert_eq!(world.jobs(), expected, "{phase:?} garbage {garbage} suspended {suspended}");
        if recovers {
            world.end("13:02:30", 1, RunReport::failed("Failed", "no network"));
            world.look("13:04:29");
            world.look("13:04:30");
            assert_eq!(world.jobs()[2..], ["orders-202611211300-r2"]);
        }
    }
}

/// The resource was deleted in the middle of a commit and comes back: its cursor was kept.
#[test]
fn a_cursor_that_was_kept_is_finished_at_once() {
    let mut world = World::new(json!({"schedule": "0 * * * *"}), "12:00:00");
    world.seen.cursor = Some(cursor(Phase::Committing, false));
    world.look("12:00:01");
    assert_eq!(world.whys(), [Why::Recovery]);
}

#[test]
fn a_deleted_job_is_run_again() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    world.seen.runs.clear();
    world.look("12:00:05");
    assert_eq!(world.condition("LastRunSucceeded"), Some(("False", "Interrupted")));
    world.look("12:01:05");
    assert_eq!(world.whys(), [Why::Change, Why::Retry]);
    assert_eq!(world.jobs()[1], format!("{}-a2", world.jobs()[0]));
}

#[test]
fn nonsense_runs_nothing_and_deletes_nothing() {
    let mut world = World::new(json!({}), "12:00:00");
    let nonsense = super::cursor::Position::Nonsense("expected value at line 1".into());
    world.seen.cursor = Some(CursorView { position: nonsense, ..CursorView::default() });
    world.look("12:00:00");
    world.look("14:00:00");
    assert_eq!(
        (world.jobs(), world.condition("Ready"), world.condition("Stalled")),
        (vec![], Some(("False", "CursorInvalid")), Some(("True", "CursorInvalid")))
    );
    assert_eq!(world.told, ["CursorInvalid"]);
    // Mended by hand.
    world.seen.cursor = Some(cursor(Phase::Idle, false));
    world.look("14:01:00");
    assert_eq!(
        (world.whys(), world.condition("Ready"), world.condition("Stalled")),
        (vec![Why::Change], Some(("True", "Armed")), None)
    );
}

#[test]
fn a_changed_identity_waits_to_be_accepted() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    world.end("12:01:00", 0, good());
    world.seen.cursor = Some(cursor(Phase::Idle, false));
    world.look("12:01:01");
    world.edit(|sync| sync.spec.destination.bucket = Some("elsewhere".into()));
    world.look("12:02:00");
    assert_eq!((world.started.len(), world.condition("Ready")), (1, Some(("False", "SpecChanged"))));
    // An earlier generation's acceptance is none.
    world.annotate("s3sync.dev/accept-spec-change", "3");
    world.look("12:03:00");
    assert_eq!(world.started.len(), 1);
    world.annotate("s3sync.dev/accept-spec-change", "4");
    world.look("12:04:00");
    assert_eq!((world.whys(), world.condition("Ready")), (vec![Why::Change, Why::Change], Some(("True", "Armed"))));
}

#[test]
fn a_changed_identity_does_not_keep_a_commit_from_its_end() {
    let mut world = World::new(json!({}), "12:00:00");
    world.seen.cursor = Some(cursor(Phase::Committing, false));
    world.edit(|sync| sync.spec.source.bucket = Some("elsewhere".into()));
    world.look("12:00:00");
    assert_eq!((world.whys(), world.condition("Ready")), (vec![Why::Recovery], Some(("False", "SpecChanged"))));
}

#[test]
fn the_cap_makes_runs_wait() {
    let mut world = World::new(json!({}), "12:00:00");
    world.seen.capacity = false;
    let desired = world.look("12:00:00");
    assert_eq!((world.jobs(), world.condition("Reconciling")), (vec![], Some(("True", "WaitingForCapacity"))));
    assert_eq!(desired.requeue, LOOK_SOON);
    world.seen.capacity = true;
    world.look("12:00:02");
    assert_eq!((world.whys(), world.condition("Reconciling")), (vec![Why::Change], Some(("True", "Running"))));
}

#[test]
fn pods_on_lost_nodes_are_let_go() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    world.seen.workers = vec![Worker {
        begun: false,
        ended: None,
        deleted: Some(at("12:10:00")),
        ..reported(&world.seen.runs[0], 0, good())
    }];
    assert_eq!(world.look("12:14:59").force_delete, []);
    let expected = Named { name: world.seen.workers[0].pod.clone(), uid: world.seen.workers[0].uid.clone() };
    assert_eq!(world.look("12:15:00").force_delete, [expected]);
}

#[test]
fn history_limits() {
    let mut world = World::new(
        json!({"schedule": "* * * * *", "successfulRunsHistoryLimit": 2, "failedRunsHistoryLimit": 0}),
        "12:00:00",
    );
    world.look("12:00:01");
    for minute in 1..8 {
        world.look(&format!("12:0{minute}:00"));
        world.end(
            &format!("12:0{minute}:30"),
            if minute % 2 == 0 { 1 } else { 0 },
            if minute % 2 == 0 { bad() } else { good() },
        );
        world.look(&format!("12:0{minute}:31"));
    }
    let kept: Vec<&str> = world.seen.runs.iter().map(|run| run.job.as_str()).collect();
    assert_eq!(kept, ["orders-202611211205", "orders-202611211207"]);
    assert_eq!(world.status().history.len(), 6);
}

#[test]
fn what_is_deleted_is_left_alone() {
    let mut world = World::new(json!({}), "12:00:00");
    world.seen.sync.metadata.deletion_timestamp = Some(Time(at("12:00:00")));
    let desired = decide(&world.seen);
    assert_eq!((desired.start, desired.status), (None, S3SyncStatus::default()));
}

#[test]
fn a_wrong_spec_runs_nothing_and_heals() {
    let mut world = World::new(json!({"schedule": "every hour"}), "12:00:00");
    world.look("12:00:00");
    assert_eq!(
        (world.jobs(), world.condition("Ready"), world.told.as_slice()),
        (vec![], Some(("False", "InvalidSpec")), &["InvalidSpec".to_owned()][..])
    );
    world.edit(|sync| sync.spec.schedule = Some("0 * * * *".into()));
    world.look("14:30:00");
    assert_eq!((world.jobs(), world.status().next_schedule_time.clone()), (vec![], Some(Time(at("15:00:00")))));
    assert_eq!(world.condition("Stalled"), None);
}

/// The status of a run in progress and of one that failed, whole.
#[test]
fn whole_statuses() {
    let mut world = World::new(json!({"schedule": "0 * * * *", "timeZone": "Europe/Berlin"}), "12:00:00");
    world.look("12:00:01");
    world.look("13:00:00");
    let mut seen = cursor(Phase::Running, false);
    seen.summary.tables = 2;
    seen.summary.watermark = Some("2026-11-21T12:59:59.123Z".parse().unwrap());
    seen.summary.size_bytes = 4321;
    seen.progress = Some(
        serde_json::from_value(json!({"epoch": 4, "objectsDone": 3, "objectsTotal": 9, "summary": "3/9"})).unwrap(),
    );
    world.seen.cursor = Some(seen);
    world.look("13:00:05");
    insta::assert_yaml_snapshot!("in_progress", world.status());
    world.end("13:01:00", 4, bad());
    world.look("13:01:01");
    insta::assert_yaml_snapshot!("failed", world.status());
    assert_eq!(sync().metadata.name.as_deref(), Some("orders"));
}
