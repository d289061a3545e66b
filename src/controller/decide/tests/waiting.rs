//! What a run waits for, for how long, and what an admin sees of it and of the next run.

use super::*;

/// RUN and MESSAGE.
fn shown(world: &World) -> (&str, &str) {
    (world.status().run.as_deref().unwrap_or("-"), world.status().message.as_deref().unwrap_or("-"))
}

/// A pod that has not begun.
fn pod(world: &World, index: u32, waits: Option<&str>) -> Worker {
    let run = world.seen.runs.iter().find(|run| run.active()).expect("a run is in progress");
    Worker { index, begun: false, ended: None, waits: waits.map(str::to_owned), ..reported(run, 0, good()) }
}

fn next(world: &World) -> Option<Timestamp> {
    world.status().next_run_time.as_ref().map(|time| time.0)
}

#[test]
fn what_a_pod_waits_for_is_seen_and_forgotten() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    let waits = Some("CreateContainerConfigError: secret \"raw-ro\" not found".to_owned());
    world.seen.workers = vec![Worker { begun: false, ended: None, waits, ..reported(&world.seen.runs[0], 0, good()) }];
    world.look("12:00:05");
    let sentence = "worker 0 does not start: CreateContainerConfigError: secret \"raw-ro\" not found";
    for kind in ["Ready", "Reconciling"] {
        let condition = world.status().conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        assert_eq!((condition.status.as_str(), condition.message.as_str()), ("True", sentence), "{kind}");
    }
    assert_eq!(world.told, ["WorkerWaiting"]);
    assert_eq!(shown(&world), ("Waiting (WorkerWaiting)", sentence));
    world.seen.workers[0] = Worker { waits: None, begun: true, ..world.seen.workers[0].clone() };
    world.look("12:00:30");
    assert_eq!(world.status().conditions[0].message, "runs when what is synced changes, and on trigger");
}

#[test]
fn what_waits_for_too_long_is_stalled_and_not_ready_until_it_goes_on() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    world.seen.workers = vec![pod(&world, 0, Some("Unschedulable: 0/3 nodes are available"))];
    world.look("12:00:05");
    assert_eq!((world.condition("Ready"), world.condition("Stalled")), (Some(("True", "Armed")), None));
    // The look that sees it comes by itself, whatever else happens meanwhile.
    let soon = world.look("12:09:50").requeue;
    assert_eq!((soon, world.condition("Stalled")), (Duration::from_secs(15), None));
    world.look("12:10:05");
    let waits = Some(("False", "WorkerWaiting"));
    assert_eq!(
        (world.condition("Ready"), world.condition("Stalled"), world.condition("Reconciling")),
        (waits, Some(("True", "WorkerWaiting")), None)
    );
    let sentence =
        "worker 0 does not start: Unschedulable: 0/3 nodes are available; it has waited since 2026-11-21T12:00:05Z";
    assert_eq!(shown(&world), ("Waiting (WorkerWaiting)", format!("WorkerWaiting: {sentence}").as_str()));
    assert_eq!(world.status().conditions.iter().find(|one| one.type_ == "Stalled").unwrap().message, sentence);
    world.look("15:00:00");
    assert_eq!(
        (world.told.as_slice(), world.started.len()),
        (&["WorkerWaiting", "WorkerWaiting"].map(str::to_owned)[..], 1)
    );
    // A node came: the same run goes on.
    world.seen.workers = vec![Worker { begun: true, ..pod(&world, 0, None) }];
    world.look("15:00:05");
    assert_eq!(
        (world.condition("Ready"), world.condition("Stalled"), world.condition("Reconciling")),
        (Some(("True", "Armed")), None, Some(("True", "Running")))
    );
    assert_eq!((world.status().waiting_since.clone(), world.told.last().map(String::as_str)), (None, Some("Armed")));
}

/// Everything that a run may wait for, with what it comes to after ten minutes.
#[test]
fn each_wait_has_its_bound_or_its_owner() {
    type Wait = fn(&mut World);
    let none: Wait = |_| {};
    let refused: Wait = |world| {
        world.seen.runs.clear();
        world.seen.sync.status = None;
        world.seen.refused = Some("exceeded quota: few-jobs".into());
        world.seen.capacity = false;
    };
    let capacity: Wait = |world| {
        world.seen.runs.clear();
        world.seen.sync.status = None;
        world.seen.capacity = false;
    };
    let waits: Wait = |world| world.seen.workers = vec![pod(world, 0, Some("ImagePullBackOff"))];
    let silent: Wait = |world| world.seen.workers = vec![pod(world, 0, None)];
    let queued: Wait = |world| world.seen.runs[0].held = true;
    let follower: Wait = |world| {
        world.seen.workers = vec![Worker { begun: true, ..pod(world, 0, None) }, pod(world, 1, Some("Unschedulable"))]
    };
    for (wait, reason, run, stalled) in [
        (none, "WorkerWaiting", "Waiting (WorkerWaiting)", true),
        (waits, "WorkerWaiting", "Waiting (WorkerWaiting)", true),
        (silent, "WorkerWaiting", "Waiting (WorkerWaiting)", true),
        (refused, "RunRefused", "Waiting (RunRefused)", true),
        (queued, "Queued", "Waiting (Queued)", false),
        (capacity, "WaitingForCapacity", "Waiting (WaitingForCapacity)", false),
        (follower, "WorkerWaiting", "Running", false),
    ] {
        let mut world = World::new(json!({}), "12:00:00");
        world.look("12:00:00");
        wait(&mut world);
        // Looks as often as the controller asks for.
        let mut now = at("12:00:01");
        while now < at("12:30:00") {
            now += SignedDuration::try_from(world.look_at(now).requeue).unwrap();
        }
        let ready = if stalled { ("False", reason) } else { ("True", "Armed") };
        assert_eq!((world.condition("Ready"), shown(&world).0), (Some(ready), run), "{reason}");
        let (there, gone) = if stalled { ("Stalled", "Reconciling") } else { ("Reconciling", "Stalled") };
        assert_eq!((world.condition(there), world.condition(gone)), (Some(("True", reason)), None), "{reason}");
    }
}

/// A retry that cannot start waits as any run does, and its wait does not begin anew with each ten minutes.
#[test]
fn a_wait_goes_on_beside_what_else_is_not_ready() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    world.end("12:01:00", 1, RunReport::failed("Claimed", "another sync's"));
    world.look("12:01:01");
    world.look("12:02:01");
    world.seen.workers = vec![pod(&world, 0, Some("Unschedulable"))];
    let mut now = at("12:02:05");
    let since = Some(Time(now));
    let told = world.told.len();
    while now < at("13:00:00") {
        now += SignedDuration::try_from(world.look_at(now).requeue).unwrap();
        let stalled = if now < at("12:12:05") { "Claimed" } else { "WorkerWaiting" };
        world.look_at(now);
        assert_eq!(
            (world.status().waiting_since.clone(), world.condition("Ready")),
            (since.clone(), Some(("False", "Claimed"))),
            "{now}"
        );
        assert_eq!(world.condition("Stalled"), Some(("True", stalled)), "{now}");
    }
    assert!(world.told.len() <= told + 2, "{:?}", world.told);
}

/// The pod of worker 0 was lost with its node, and no other gets one.
#[test]
fn a_replacement_that_does_not_start_is_a_wait() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    let lost = Worker {
        begun: true,
        ended: None,
        created: Some(at("12:00:00")),
        deleted: Some(at("12:20:00")),
        ..pod(&world, 0, None)
    };
    let next = Worker { created: Some(at("12:25:00")), ..pod(&world, 0, Some("Unschedulable")) };
    world.seen.workers = vec![next, lost];
    world.look("12:25:05");
    assert_eq!(shown(&world).0, "Waiting (WorkerWaiting)");
    world.look("12:35:05");
    assert_eq!(world.condition("Stalled"), Some(("True", "WorkerWaiting")));
}

/// Times come from whoever may write a status, a Job or a pod.
#[test]
fn a_time_at_the_end_of_all_times_harms_nobody() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    for (created, started) in [(Timestamp::MAX, None), (at("12:00:00"), Some(Timestamp::MAX))] {
        (world.seen.runs[0].created, world.seen.runs[0].started, world.seen.workers) = (created, started, vec![]);
        world.look("12:00:05");
    }
    world.seen.workers = vec![Worker { created: Some(Timestamp::MAX), ..pod(&world, 0, Some("Unschedulable")) }];
    world.look("12:00:10");
    world.seen.sync.status.as_mut().unwrap().waiting_since = Some(Time(Timestamp::MAX));
    world.look("12:00:15");
    assert_eq!(shown(&world).0, "Waiting (WorkerWaiting)");
}

/// Hours in a queue are not hours without a node.
#[test]
fn another_wait_begins_anew() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    world.seen.runs[0].held = true;
    world.look("12:00:01");
    world.seen.runs[0].held = false;
    world.seen.workers = vec![pod(&world, 0, Some("Unschedulable"))];
    world.look("15:00:00");
    assert_eq!(
        (world.condition("Ready"), world.status().waiting_since.clone()),
        (Some(("True", "Armed")), Some(Time(at("15:00:00"))))
    );
}

#[test]
fn a_failing_sync_is_seen_beside_ready() {
    let mut world = World::new(json!({"schedule": "0 * * * *"}), "12:00:00");
    world.look("12:00:01");
    assert_eq!(shown(&world), ("-", "runs by the schedule 0 * * * *, Etc/UTC"));
    world.look("13:00:00");
    assert_eq!(shown(&world).0, "Running");
    world.end("13:01:00", 4, bad());
    world.look("13:01:01");
    assert_eq!(
        (world.condition("Ready"), shown(&world)),
        (Some(("True", "Armed")), ("Failed (BadData)", bad().message.as_str()))
    );
    world.look("14:00:00");
    assert_eq!(shown(&world), ("Running", bad().message.as_str()));
    world.end("14:01:00", 0, good());
    world.look("14:01:01");
    assert_eq!(shown(&world), ("Succeeded", good().message.as_str()));
    world.edit(|sync| sync.spec.suspend = true);
    world.look("14:02:00");
    assert_eq!(shown(&world), ("Succeeded", "no run starts while spec.suspend is true"));
    world.edit(|sync| sync.spec.schedule = Some("every hour".into()));
    world.look("14:03:00");
    assert!(shown(&world).1.starts_with("InvalidSpec: spec.schedule is"), "{:?}", shown(&world));
}

#[test]
fn the_next_run_is_the_schedules_or_the_next_try() {
    let mut scheduled = World::new(json!({"schedule": "0 * * * *"}), "12:00:00");
    scheduled.look("12:00:01");
    assert_eq!(next(&scheduled), Some(at("13:00:00")));
    scheduled.look("13:00:00");
    assert_eq!(next(&scheduled), Some(at("14:00:00")));
    scheduled.end("13:01:00", 4, bad());
    scheduled.look("13:01:01");
    assert_eq!(next(&scheduled), Some(at("14:00:00")));
    // Half done, it is finished before the next slot.
    scheduled.seen.cursor = Some(cursor(Phase::Committing, false));
    scheduled.look("13:01:02");
    assert_eq!(next(&scheduled), Some(at("13:02:00")));
    scheduled.edit(|sync| sync.spec.suspend = true);
    scheduled.seen.cursor = None;
    scheduled.look("13:01:03");
    assert_eq!(next(&scheduled), None);

    let mut once = World::new(json!({}), "12:00:00");
    once.look("12:00:00");
    assert_eq!(next(&once), None);
    once.end("12:01:00", 4, bad());
    once.look("12:01:01");
    assert_eq!(next(&once), Some(at("12:02:00")));
    once.look("12:02:00");
    assert_eq!(next(&once), None, "the next try is in progress");
    once.end("12:02:30", 0, good());
    once.look("12:02:31");
    assert_eq!(next(&once), None);
}
