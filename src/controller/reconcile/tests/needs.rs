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
    let mut script = rights_there(json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders", "uid": "uid-9"}));
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
    let mut script = rights_there(json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "name": "orders", "uid": "uid-0"}));
    for path in [ACCOUNTS, ROLES, BINDINGS] {
        script.push(exchange(Method::PATCH, path, 200, right(json!(null))).check(|body| {
            let metadata = &body["metadata"];
            assert_eq!((&metadata["uid"], &metadata["ownerReferences"][0]["uid"]), (&json!("there"), &json!("uid-1")));
        }));
    }
    script.extend([make_key(), make_cursor(), make_job(), event("RunStarted")]);
    scene.look(script).await.unwrap();
}
