//! What ends from outside: pods that are killed, and namespaces.

use super::*;

fn killed(world: &World) -> Vec<(String, String)> {
    let desired = decide(&world.seen);
    desired.killed.into_iter().map(|(pod, note)| (pod, format!("{} {}", note.reason, note.message))).collect()
}

fn dying(world: &World) -> Worker {
    Worker {
        ended: None,
        deleted: Some(at("12:01:30")),
        ..reported(&world.seen.runs[0], 5, RunReport::failed("Interrupted", "stopped"))
    }
}

/// One event a pod, whether the run goes on or ends with it.
#[test]
fn a_pod_that_is_killed_is_told() {
    let mut world = World::new(json!({}), "12:00:00");
    world.look("12:00:00");
    let run = world.seen.runs[0].clone();
    let pod = format!("{}-0-abcde", run.job);
    let ended = reported(&run, 137, RunReport::failed("Failed", "killed"));
    for (worker, sentence) in [
        (ended.clone(), None),
        (Worker { killed: Some("OOMKilled".into()), ..ended.clone() }, Some("was killed: OOMKilled")),
        (
            Worker { killed: Some("EvictionByEvictionAPI: evicting".into()), ..dying(&world) },
            Some("was killed: EvictionByEvictionAPI: evicting"),
        ),
        // Not yet ended: the Job controller's reason to delete it may be on its way.
        (dying(&world), None),
        (Worker { deleted: Some(at("12:01:30")), ..ended.clone() }, Some("was deleted")),
        (Worker { job: "orders-another".into(), killed: Some("OOMKilled".into()), ..ended.clone() }, None),
    ] {
        world.seen.workers = vec![worker.clone()];
        let expected =
            sentence.map(|sentence| (worker.uid.clone(), format!("WorkerKilled the pod {pod} of worker 0 {sentence}")));
        assert_eq!(killed(&world), expected.into_iter().collect::<Vec<_>>(), "{worker:?}");
    }
    // The Job's own deed.
    world.seen.workers = vec![Worker { deleted: Some(at("12:01:30")), ..ended.clone() }];
    for change in
        [|run: &mut Run| run.ending = true, |run: &mut Run| run.held = true, |run: &mut Run| run.deleting = true]
    {
        world.seen.runs = vec![run.clone()];
        change(&mut world.seen.runs[0]);
        assert_eq!(killed(&world), []);
    }
    // A run that ended with its pod, at the look that sees it; later looks tell of no old Job's pods.
    world.seen.runs = vec![run];
    world.seen.workers = vec![];
    world.look("12:00:10");
    world.end("12:01:00", 137, RunReport::failed("Failed", "killed"));
    world.seen.workers[0].killed = Some("OOMKilled".into());
    assert_eq!(killed(&world).len(), 1);
    world.look("12:01:20");
    assert_eq!(killed(&world), []);
}

/// Its pods are deleted first, and a Job that waits to replace them keeps the namespace.
#[test]
fn jobs_go_with_their_namespace() {
    let mut world = World::new(json!({"schedule": "* * * * *"}), "12:00:00");
    world.look("12:00:01");
    world.look("12:01:00");
    world.seen.workers = vec![dying(&world)];
    assert_eq!(world.look("12:01:01").delete_jobs, []);
    world.seen.namespace_ends = true;
    let run = &world.seen.runs[0];
    let expected = Named { name: run.job.clone(), uid: run.uid.clone() };
    assert_eq!(decide(&world.seen).delete_jobs, [expected]);
    assert_eq!(killed(&world), []);
    // Nothing starts there any more, whatever is due.
    let started = world.started.len();
    world.seen.workers.clear();
    world.look("12:02:00");
    world.look("12:10:00");
    assert_eq!(world.started.len(), started);
}
