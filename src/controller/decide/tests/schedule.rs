//! Slots of a schedule: each runs once, late ones are told, and missed ones become one.

use super::*;

#[test]
fn slots_run_once_whatever_is_lost() {
    let mut world = World::new(json!({"schedule": "*/15 * * * *"}), "12:00:00");
    world.look("12:00:01");
    assert_eq!(world.status().next_schedule_time, Some(Time(at("12:15:00"))));
    let before = world.status().clone();
    world.look("12:15:00");
    assert_eq!(world.jobs(), ["orders-202611211215"]);
    assert_eq!(world.status().next_schedule_time, Some(Time(at("12:30:00"))));
    assert_eq!(world.status().last_schedule_time, Some(Time(at("12:15:00"))));
    // The status was never written: the Job says that the slot has its run.
    world.seen.sync.status = Some(before.clone());
    world.look("12:15:02");
    world.end("12:16:00", 0, good());
    world.seen.sync.status = Some(before);
    world.look("12:16:10");
    world.look("12:29:59");
    assert_eq!(world.jobs(), ["orders-202611211215"]);
    world.look("12:30:00");
    assert_eq!(world.jobs(), ["orders-202611211215", "orders-202611211230"]);
}

#[test]
fn a_run_in_progress_forbids_another_and_missed_slots_become_one() {
    let mut world = World::new(json!({"schedule": "*/15 * * * *"}), "12:00:00");
    world.look("12:00:01");
    world.look("12:15:00");
    world.look("12:30:00");
    world.look("12:46:00");
    assert_eq!(world.jobs(), ["orders-202611211215"]);
    world.end("13:02:00", 0, good());
    world.look("13:02:01");
    assert_eq!(world.jobs(), ["orders-202611211215", "orders-202611211300"]);
    assert_eq!(world.status().next_schedule_time, Some(Time(at("13:15:00"))));
}

#[test]
fn a_slot_too_late_is_told_and_skipped() {
    let mut world = World::new(json!({"schedule": "*/15 * * * *", "startingDeadlineSeconds": 60}), "12:00:00");
    world.look("12:00:01");
    world.look("12:50:00");
    assert_eq!((world.jobs(), world.status().next_schedule_time.clone()), (vec![], Some(Time(at("13:00:00")))));
    let mut late = World::new(json!({"schedule": "*/15 * * * *", "startingDeadlineSeconds": 60}), "12:00:00");
    late.look("12:00:01");
    late.seen.now = at("12:50:00");
    assert_eq!(decide(&late.seen).missed, 3);
}

#[test]
fn unpausing_starts_from_now() {
    let mut world = World::new(json!({"schedule": "*/15 * * * *", "suspend": true}), "12:00:00");
    world.look("12:00:01");
    assert_eq!(
        (world.condition("Ready"), world.status().next_schedule_time.clone()),
        (Some(("True", "Suspended")), None)
    );
    world.look("13:20:00");
    world.edit(|sync| sync.spec.suspend = false);
    world.look("13:20:01");
    assert_eq!((world.jobs(), world.status().next_schedule_time.clone()), (vec![], Some(Time(at("13:30:00")))));
    assert_eq!(world.told, ["Armed"]);
}

#[test]
fn a_slot_whose_name_is_taken_is_skipped() {
    let mut world = World::new(json!({"schedule": "*/15 * * * *"}), "12:00:00");
    world.look("12:00:01");
    world.seen.taken.insert("orders-202611211215".into(), "Job");
    world.look("12:15:00");
    assert_eq!((world.jobs(), world.status().next_schedule_time.clone()), (vec![], Some(Time(at("12:30:00")))));
    // The same where the Job bears our labels and has another owner.
    world.seen.runs.push(Run { owned: false, ..run("202611211230", Repeat::First, "12:29:00") });
    world.look("12:30:00");
    world.look("12:45:00");
    assert_eq!(world.jobs(), ["orders-202611211245"]);
}
