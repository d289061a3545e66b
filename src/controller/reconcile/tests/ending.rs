//! Pods that are ended from outside, alone or with their namespace.

use super::*;

/// A pod of the first Job.
fn pod(metadata: Value, status: Value) -> Pod {
    let job = first_job("uid-1")["metadata"]["name"].clone();
    let mut pod = json!({"metadata": {"name": "p", "namespace": "data", "uid": "pod-1", "labels": {
        "app.kubernetes.io/instance": "orders", "batch.kubernetes.io/job-name": job, "batch.kubernetes.io/job-completion-index": "0"}}, "status": status});
    pod["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
    serde_json::from_value(pod).unwrap()
}

fn ended(exit_code: i32, reason: &str) -> Value {
    json!({"containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": exit_code, "reason": reason}}}]})
}

/// A run in progress, seen.
async fn at_work(pod: Pod) -> Scene {
    let mut scene = Scene::new(sync());
    scene.sees_jobs(vec![serde_json::from_value(first_job("uid-1")).unwrap()]);
    scene.sees_cursor(cursor_there());
    scene.sees_pods(vec![pod]);
    scene
}

/// What the API server says to whoever would make something where nothing can be made any more.
fn terminating() -> Value {
    let mut answer = refused(403, "Forbidden");
    answer["details"] = json!({"name": "orders-cursor", "kind": "configmaps", "causes": [
        {"reason": "NamespaceTerminating", "message": "namespace data is being terminated", "field": "metadata.namespace"}]});
    answer
}

fn asks(status: u16, answer: Value) -> Exchange {
    exchange(Method::POST, "/api/v1/namespaces/data/configmaps?&dryRun=All", status, answer)
}

#[tokio::test(start_paused = true)]
async fn jobs_are_deleted_with_their_namespace() {
    let mut scene =
        at_work(pod(json!({"deletionTimestamp": "2026-11-21T12:00:35Z"}), json!({"phase": "Running"}))).await;
    // A drain, as far as is known: the namespace is there.
    scene.look(vec![asks(409, refused(409, "AlreadyExists")), status_patched()]).await.unwrap();
    let again = scene.look(vec![]).await.unwrap();
    assert_eq!(again, Action::requeue(Duration::from_secs(10)));
    tokio::time::advance(Duration::from_secs(10)).await;
    let delete =
        exchange(Method::DELETE, JOBS, 200, json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
            .body(json!({"propagationPolicy": "Background", "preconditions": {"uid": "job-1"}}));
    scene.look(vec![asks(403, terminating()), delete]).await.unwrap();
    // The Job goes; no other takes its place.
    scene.sees_jobs(vec![]);
    scene.sees_pods(vec![]);
    let gone = exchange(Method::GET, JOBS, 404, refused(404, "NotFound"));
    scene.look(vec![gone, status_patched(), exchange(Method::POST, EVENTS, 403, terminating())]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}

/// A right that is missing is no end of a namespace.
#[tokio::test]
async fn another_refusal_deletes_nothing() {
    let mut scene =
        at_work(pod(json!({"deletionTimestamp": "2026-11-21T12:00:35Z"}), json!({"phase": "Running"}))).await;
    scene.look(vec![asks(403, refused(403, "Forbidden")), status_patched()]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}

#[tokio::test]
async fn nothing_is_started_where_the_namespace_ends() {
    let mut scene = Scene::new(sync());
    scene.look(vec![exchange(Method::POST, MAPS, 403, terminating())]).await.unwrap();
    scene.look(vec![status_patched()]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}

#[tokio::test]
async fn a_killed_pod_is_told_once() {
    let mut scene = at_work(pod(json!({}), ended(137, "OOMKilled"))).await;
    let told = |code: u16, answer: Value| {
        exchange(Method::POST, EVENTS, code, answer).check(|body| {
            let expected = ("WorkerKilled", "the pod p of worker 0 was killed: OOMKilled", "Warning", "orders.pod-1");
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let seen = [&body["reason"], &body["note"], &body["type"], &body["metadata"]["name"]].map(text);
            assert_eq!((seen[0].as_str(), seen[1].as_str(), seen[2].as_str(), seen[3].as_str()), expected);
        })
    };
    scene.look(vec![status_patched(), told(201, json!({"metadata": {"name": "e"}, "eventTime": null}))]).await.unwrap();
    scene.look(vec![]).await.unwrap();
    // Another leader's memory is empty, and the event is there.
    let mut scene = at_work(pod(json!({}), ended(137, "OOMKilled"))).await;
    scene.look(vec![status_patched(), told(409, refused(409, "AlreadyExists"))]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}
