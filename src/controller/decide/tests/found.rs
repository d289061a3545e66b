//! What a run finds out about the spec: Ready says it until a run gets further, and so that an alert that waits a while
//! fires.

use super::*;

const FOUND: [&str; 4] = ["InvalidSpec", "SpecChanged", "Claimed", "CursorInvalid"];

impl World {
    /// The run in progress fails with this word.
    fn fail(&mut self, time: &str, reason: &str) {
        let exit_code = if reason == "Interrupted" { 5 } else { 1 };
        self.end(time, exit_code, RunReport::failed(reason, format!("it says {reason}")));
    }

    /// Whether it is ready, why, and the sentence.
    fn ready(&self) -> (&str, &str, &str) {
        let ready = self.status().conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        (&ready.status, &ready.reason, &ready.message)
    }
}

#[test]
fn what_a_worker_finds_out_about_the_spec_is_not_ready_and_tried_again() {
    for reason in FOUND {
        let mut world = World::new(json!({}), "12:00:00");
        world.look("12:00:00");
        world.fail("12:01:00", reason);
        world.look("12:01:01");
        assert_eq!(
            (world.condition("Ready"), world.condition("Stalled")),
            (Some(("False", reason)), Some(("True", reason)))
        );
        assert_eq!(world.condition("LastRunSucceeded"), Some(("False", "Failed")));
        world.look("12:02:00");
        assert_eq!(world.whys(), [Why::Change, Why::Retry]);
        // While that is under way, too.
        assert_eq!(world.condition("Ready"), Some(("False", reason)));
        world.end("12:02:30", 0, good());
        world.look("12:02:31");
        assert_eq!((world.condition("Ready"), world.condition("Stalled")), (Some(("True", "Armed")), None));
    }
}

/// Runs that end before they can look: the network, a node, credentials.
#[test]
fn a_run_that_comes_less_far_takes_nothing_back() {
    for found in FOUND {
        for silent in ["Failed", "Interrupted", "Denied", "NotFound", "DeadlineExceeded"] {
            let mut world = World::new(json!({"schedule": "* * * * *"}), "12:00:00");
            world.look("12:00:01");
            world.look("12:01:00");
            world.fail("12:01:10", found);
            for (minute, reason) in [(2, silent), (3, silent), (4, found), (5, silent)] {
                let time = |second: u32| format!("12:0{minute}:{second:02}");
                world.look(&time(0));
                assert_eq!(world.ready().1, found, "during the run at {}", time(0));
                world.fail(&time(10), reason);
                world.look(&time(11));
                assert_eq!(world.ready(), ("False", found, format!("it says {found}").as_str()), "after {reason}");
            }
            let changes = world.told.iter().filter(|told| [found, "Armed"].contains(&told.as_str())).count();
            assert_eq!(changes, 1, "told once: {:?}", world.told);
            // One that came further: the spec is as it should be, and the data is not.
            world.look("12:06:00");
            world.fail("12:06:10", "BadData");
            world.look("12:06:11");
            assert_eq!(world.ready().1, "Armed");
        }
    }
}

/// With a schedule the mended spec waits for its slot: what was found about the other one does not come back meanwhile,
/// or when its run begins.
#[test]
fn a_mended_spec_is_ready_until_something_is_found_about_it() {
    let mut world = World::new(json!({"schedule": "* * * * *"}), "12:00:00");
    world.look("12:00:01");
    world.look("12:01:00");
    world.fail("12:01:10", "Claimed");
    world.look("12:01:11");
    assert_eq!(world.ready().1, "Claimed");
    // What is suspended and resumed is as it was.
    world.edit(|sync| sync.spec.suspend = true);
    world.look("12:01:12");
    assert_eq!(world.ready().1, "Suspended");
    world.edit(|sync| sync.spec.suspend = false);
    world.look("12:01:13");
    assert_eq!(world.ready().1, "Claimed");
    world.edit(|sync| sync.spec.destination.path = Some("mine/{{TABLE}}/{{UUID}}.parquet".into()));
    for time in ["12:01:20", "12:02:00", "12:02:05"] {
        world.look(time);
        assert_eq!(world.ready().1, "Armed", "{time}");
    }
    // Nor when that run waits until Ready says so.
    let begun = world.seen.workers.clone();
    let run = world.seen.runs.iter().find(|run| run.active()).unwrap();
    world.seen.workers.push(Worker {
        begun: false,
        ended: None,
        waits: Some("Unschedulable".into()),
        ..reported(run, 0, good())
    });
    world.look("12:02:06");
    for time in ["12:12:06", "12:12:07", "12:12:08"] {
        world.look(time);
        assert_eq!(world.ready().1, "WorkerWaiting", "{time}");
    }
    world.seen.workers = begun;
    world.fail("12:12:10", "Interrupted");
    world.look("12:12:11");
    assert_eq!(world.ready().1, "Armed");
    world.look("12:13:00");
    world.fail("12:13:10", "Claimed");
    world.look("12:13:11");
    assert_eq!(world.ready().1, "Claimed");
}

/// More failures than a status keeps: a night without the network takes nothing back.
#[test]
fn what_was_found_outlives_the_history() {
    let mut world = World::new(json!({"schedule": "* * * * *"}), "12:00:00");
    world.look("12:00:01");
    world.look("12:01:00");
    world.fail("12:01:10", "Claimed");
    world.look("12:01:11");
    for minute in 2..16 {
        let time = |second: u32| format!("12:{minute:02}:{second:02}");
        world.look(&time(0));
        assert_eq!(world.ready().1, "Claimed", "{}", time(0));
        world.fail(&time(10), "Failed");
        world.look(&time(11));
        assert_eq!(world.ready(), ("False", "Claimed", "it says Claimed"), "{}", time(11));
    }
    assert!(world.status().history.iter().all(|run| run.reason.as_deref() == Some("Failed")));
    // Another spec is not what it was found about.
    world.edit(|sync| sync.spec.destination.path = Some("mine/{{TABLE}}/{{UUID}}.parquet".into()));
    world.look("12:15:20");
    assert_eq!(world.ready().1, "Armed");
    world.look("12:16:00");
    world.fail("12:16:10", "Failed");
    world.look("12:16:11");
    assert_eq!(world.ready().1, "Armed");
}
