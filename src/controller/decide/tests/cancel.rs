//! Runs that somebody cancels.

use super::*;

impl World {
    /// Cancels the run in progress, and ends its Job as the cluster does.
    fn cancel(&mut self, time: &str) -> String {
        let run = self.seen.runs.iter().find(|run| run.active()).expect("a run is in progress").clone();
        self.annotate("s3sync.dev/cancel", &run.job);
        let named = Named { name: run.job.clone(), uid: run.uid.clone() };
        assert_eq!(self.look(time).cancel, [named]);
        let index = self.seen.runs.iter().position(|other| other.job == run.job).unwrap();
        self.seen.runs[index].deleting = true;
        assert_eq!(self.look(time).cancel, [], "it is deleted once");
        assert_eq!(self.status().active.len(), 1, "its pods may still be at work");
        self.seen.runs.remove(index);
        self.look(time);
        run.job
    }
}

#[test]
fn a_cancelled_run_is_not_repeated_until_somebody_asks() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    world.seen.cursor = Some(cursor(Phase::Running, false));
    world.cancel("12:01:00");
    assert_eq!(world.condition("LastRunSucceeded"), Some(("False", "Cancelled")));
    assert_eq!((world.status().consecutive_failures, world.condition("Ready")), (0, Some(("True", "Armed"))));
    world.look("13:30:00");
    assert_eq!(world.whys(), [Why::Change]);
    // The annotation names the run that has ended, and none that follows.
    world.annotate("s3sync.dev/trigger", "again");
    assert_eq!(world.look("13:31:00").cancel, []);
    assert_eq!(world.whys(), [Why::Change, Why::Trigger]);
}

#[test]
fn what_is_half_visible_is_ended_all_the_same() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    world.seen.cursor = Some(cursor(Phase::Committing, false));
    world.cancel("12:01:00");
    world.look("12:05:00");
    assert_eq!(world.whys(), [Why::Change, Why::Recovery]);
}

/// Failures before it make the end of what is half visible no later.
#[test]
fn recovery_after_a_cancelled_run_comes_in_a_minute() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    for minute in [0, 2, 10, 20] {
        world.look(&format!("12:{minute:02}:00"));
        world.end(&format!("12:{minute:02}:30"), 1, RunReport::failed("Failed", "no network"));
        world.look(&format!("12:{minute:02}:31"));
    }
    world.look("12:40:00");
    world.seen.cursor = Some(cursor(Phase::Committing, false));
    world.cancel("12:41:00");
    assert_eq!(world.status().consecutive_failures, 4);
    world.look("12:41:59");
    assert_eq!(world.whys().last(), Some(&Why::Retry));
    world.look("12:42:00");
    assert_eq!(world.whys().last(), Some(&Why::Recovery));
}

/// A name is made of what is synced, so that it comes back with it, after the status has forgotten the run.
#[test]
fn a_name_that_was_cancelled_is_not_given_again() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    let job = world.cancel("12:01:00");
    let status = world.seen.sync.status.as_mut().unwrap();
    (status.last_run, status.last_spec_hash) = (None, None);
    let ended = world.look("12:02:00").cancel;
    assert_eq!((world.jobs()[1], ended), (format!("{job}-a2").as_str(), vec![]));
}

#[test]
fn a_schedule_goes_on_with_its_next_slot() {
    let mut world = World::new(json!({"schedule": "*/10 * * * *"}), "12:00:01");
    world.look("12:10:00");
    world.seen.cursor = Some(cursor(Phase::Running, false));
    world.cancel("12:11:00");
    world.look("12:19:59");
    assert_eq!(world.whys(), [Why::Slot]);
    world.look("12:20:00");
    assert_eq!(world.whys(), [Why::Slot, Why::Slot]);
}

/// Kubernetes may end the Job before it is gone; and one that has ended in time is not called cancelled.
#[test]
fn the_word_is_that_of_the_end() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    let job = world.jobs()[0].to_owned();
    world.annotate("s3sync.dev/cancel", &job);
    world.end("12:01:00", 5, RunReport::failed("Interrupted", "stopped"));
    world.look("12:01:01");
    assert_eq!(world.condition("LastRunSucceeded"), Some(("False", "Cancelled")));
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    world.annotate("s3sync.dev/cancel", &job);
    world.end("12:01:00", 0, good());
    world.look("12:01:01");
    assert_eq!(world.condition("LastRunSucceeded"), Some(("True", "Succeeded")));
}
