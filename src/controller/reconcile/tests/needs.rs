//! What pods need: their rights, and the key of the state.

use super::*;

/// The Secret with the key was deleted, say: it is made again, and the pod goes on.
#[tokio::test]
async fn a_pod_that_waits_for_a_secret_gets_the_key_again() {
    let mut scene = Scene::new(sync());
    let job = first_job("uid-1");
    let name = job["metadata"]["name"].clone();
    scene.sees_jobs(vec![serde_json::from_value(job).unwrap()]);
    let pod = json!({
        "metadata": {"name": "p", "namespace": "data", "uid": "p", "labels": {
            "app.kubernetes.io/instance": "orders", "batch.kubernetes.io/job-name": name, "batch.kubernetes.io/job-completion-index": "0"}},
        "status": {"containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"orders-state-key\" not found"}}}]},
    });
    scene.sees_pods(vec![serde_json::from_value(pod).unwrap()]);
    let status = status_patched().check(|body| {
        let message = body["status"]["conditions"][1]["message"].as_str().unwrap();
        assert!(message.contains("secret \"orders-state-key\" not found"), "{message}");
    });
    scene.look(vec![status, event("WorkerWaiting"), make_key()]).await.unwrap();
}

/// The three of an earlier resource of this name, or somebody else's.
fn rights_there(owner: Value) -> Vec<Exchange> {
    let conflict = |path| exchange(Method::POST, path, 409, refused(409, "AlreadyExists"));
    let mut there = right(json!([owner]));
    there["metadata"]["labels"] = first_job("uid-1")["metadata"]["labels"].clone();
    let get = |path| exchange(Method::GET, path, 200, there.clone());
    vec![conflict(ACCOUNTS), get(ACCOUNTS), conflict(ROLES), get(ROLES), conflict(BINDINGS), get(BINDINGS)]
}

#[tokio::test]
async fn rights_of_somebody_else_are_left_alone() {
    let mut scene = Scene::new(sync());
    let mut script =
        rights_there(json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders", "uid": "uid-9"}));
    // Nothing is bound to a Role that is not ours.
    script.truncate(4);
    script.extend([make_key(), make_cursor()]);
    scene.look(script).await.unwrap();
    let message = "the ServiceAccount orders-worker is there and not this sync's, and workers need one; remove it, or give the sync another \
                   name; it is tried again within ten minutes";
    let not_ready = status_patched().check(move |body| {
        let ready = &body["status"]["conditions"][0];
        assert_eq!((&ready["reason"], &ready["message"]), (&json!("NameTaken"), &json!(message)));
    });
    scene.look(vec![not_ready, event("NameTaken")]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}

/// Kubernetes removes them a moment after their owner; a resource that is made again at once takes them over.
#[tokio::test]
async fn rights_of_a_namesake_that_is_gone_are_taken_over() {
    let mut scene = Scene::new(sync());
    let mut script =
        rights_there(json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "name": "orders", "uid": "uid-0"}));
    for path in [ACCOUNTS, ROLES, BINDINGS] {
        script.push(exchange(Method::PATCH, path, 200, right(json!(null))).check(|body| {
            let metadata = &body["metadata"];
            assert_eq!((&metadata["uid"], &metadata["ownerReferences"][0]["uid"]), (&json!("there"), &json!("uid-1")));
        }));
    }
    script.extend([make_key(), make_cursor(), make_job(), event("RunStarted")]);
    scene.look(script).await.unwrap();
}

/// Also where each try is answered by what may pass, so that no look goes on to write the status.
#[tokio::test(start_paused = true)]
async fn a_start_that_fails_for_too_long_is_stalled() {
    for code in [404, 409, 429, 500] {
        let mut scene = Scene::new(sync());
        scene.sees_cursor(cursor_there());
        let broken = || exchange(Method::POST, JOBS, code, refused(code, "Away"));
        let script = [rights(), vec![make_key(), broken(), status_patched(), event("RunRefused")]];
        scene.look(script.into_iter().flatten().collect()).await.unwrap_err();
        scene.look(vec![key_is_there(), broken()]).await.unwrap_err();
        Arc::get_mut(&mut scene.context).expect("no look is under way").clock = || at("12:10:10");
        let stalled = status_patched().check(|body| {
            let conditions = &body["status"]["conditions"];
            let of = |index: usize| {
                (conditions[index]["type"].as_str().unwrap(), conditions[index]["reason"].as_str().unwrap())
            };
            assert_eq!((of(0), of(1)), (("Ready", "RunRefused"), ("Stalled", "RunRefused")), "{conditions}");
        });
        scene.look(vec![key_is_there(), broken(), stalled, event("RunRefused")]).await.unwrap_err();
    }
}
