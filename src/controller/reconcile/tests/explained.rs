//! Why no pod of a run is made, or begins, as events say it.

use super::*;

/// A quota, Pod Security, a LimitRange: the Job's last warning has the API server's own sentence, plain and bounded.
#[tokio::test]
async fn what_keeps_pods_from_being_made_is_told_in_the_api_servers_words() {
    let mut scene = Scene::new(sync());
    let mut job = first_job("uid-1");
    job["status"] = json!({"startTime": "2026-11-21T11:59:55Z"});
    scene.sees_jobs(vec![serde_json::from_value(job).unwrap()]);
    scene.sees_cursor(cursor_there());
    let warning = |note: String, time: &str| json!({"metadata": {"name": "e"}, "eventTime": null, "note": note, "reason": "FailedCreate", "type": "Warning", "deprecatedLastTimestamp": time});
    let quota = "Error creating: pods \"orders-1-0-\" is forbidden: exceeded quota: few,\u{1b}[31m requested: pods=1, used: pods=0, limited: pods=0";
    let list = json!({"metadata": {}, "items": [
        warning(format!("{quota}{}", "!".repeat(2000)), "2026-11-21T12:00:09Z"),
        warning("an earlier sentence".into(), "2026-11-21T12:00:05Z"),
    ]});
    let asked =
        "/apis/events.k8s.io/v1/namespaces/data/events?&fieldSelector=regarding.uid%3Djob-1%2Ctype%3DWarning&limit=100";
    let status = status_patched().check(|body| {
        let message = body["status"]["message"].as_str().unwrap();
        let said = "no pod could be made for the run orders-20a7f4634f: Error creating: pods \"orders-1-0-\" is forbidden: exceeded quota: few,[31m \
                    requested: pods=1, used: pods=0, limited: pods=0!!!";
        assert!(message.starts_with(said) && message.len() <= 1024, "{message}");
        assert_eq!((&body["status"]["run"], &body["status"]["conditions"][0]["message"]), (&json!("Waiting (WorkerWaiting)"), &json!(message)));
    });
    let script = [vec![exchange(Method::GET, asked, 200, list), status, event("WorkerWaiting")], rights()];
    scene.look(script.into_iter().flatten().collect()).await.unwrap();
    // Not asked for again at every look.
    scene.look(vec![]).await.unwrap();
}

/// A volume that cannot be mounted is no reason of the container's: the pod's events have it.
#[tokio::test]
async fn a_pod_that_says_nothing_is_explained_by_its_events() {
    let mut scene = Scene::new(sync());
    let mut job = first_job("uid-1");
    let name = job["metadata"]["name"].as_str().unwrap().to_owned();
    job["status"] = json!({"startTime": "2026-11-21T11:55:00Z"});
    scene.sees_jobs(vec![serde_json::from_value(job).unwrap()]);
    scene.sees_cursor(cursor_there());
    let pod = json!({
        "metadata": {"name": "p", "namespace": "data", "uid": "pod-1", "creationTimestamp": "2026-11-21T11:58:00Z", "labels": {
            "app.kubernetes.io/instance": "orders", "batch.kubernetes.io/job-name": name, "batch.kubernetes.io/job-completion-index": "0"}},
        "status": {"containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}}}]},
    });
    scene.sees_pods(vec![serde_json::from_value(pod).unwrap()]);
    let list = json!({"metadata": {}, "items": [
        {"metadata": {"name": "e"}, "eventTime": null, "note": "MountVolume.SetUp failed for volume \"ca\"", "reason": "FailedMount"}]});
    let asked = "/apis/events.k8s.io/v1/namespaces/data/events?&fieldSelector=regarding.uid%3Dpod-1%2C";
    let status = status_patched().check(|body| {
        assert_eq!(body["status"]["message"], "worker 0 does not start: MountVolume.SetUp failed for volume \"ca\"")
    });
    scene.look(vec![exchange(Method::GET, asked, 200, list), status, event("WorkerWaiting")]).await.unwrap();
}
