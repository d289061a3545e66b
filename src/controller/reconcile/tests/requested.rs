//! Runs that S3SyncRuns ask for.

use super::super::requested::orphans;
use super::*;
use crate::api::S3SyncRun;
use crate::controller::decide::requested::job_of;
use crate::controller::fixtures::asks;
use crate::controller::reflectors::GuardedRun;

const RUN: &str = "/apis/s3sync.dev/v1alpha1/namespaces/data/s3syncruns/backfill";

fn backfill() -> S3SyncRun {
    asks("backfill", "12:00:05", json!({"reread": true, "window": {"fromKey": "$(A)"}}))
}

/// One that runs by itself at midnight alone, and is asked.
fn asked() -> Scene {
    let mut scene = Scene::new(sync_with(json!({"schedule": "@daily"})));
    scene.sees_cursor(cursor_there());
    scene.sees_runs(vec![backfill()]);
    scene
}

/// What the S3SyncRun is told: result, reason, conditions.
fn told(result: Value, reason: &'static str, conditions: &'static [&'static str]) -> Exchange {
    let mut answer = serde_json::to_value(backfill()).unwrap();
    answer["metadata"]["resourceVersion"] = json!("102");
    exchange(Method::PATCH, RUN, 200, answer).check(move |body| {
        assert_eq!(body["metadata"], json!({"name": "backfill", "uid": "0000-backfill"}));
        let status = &body["status"];
        let kinds: Vec<&Value> = status["conditions"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
        assert_eq!((&status["result"], &status["reason"], json!(kinds)), (&result, &json!(reason), json!(conditions)));
    })
}

fn job() -> Value {
    let mut seen = crate::controller::fixtures::observed(sync_with(json!({"schedule": "@daily"})), "12:00:10");
    seen.requested = Some(vec![backfill()]);
    let start = decide(&seen).start.expect("it is asked for");
    let defaults = PodDefaults { image: "s3sync:1".into(), ..PodDefaults::default() };
    let job = crate::controller::build::job(&seen.sync, &seen.checked().unwrap(), &start, false, &defaults);
    made(&serde_json::to_value(job).unwrap(), "uid-1")
}

impl Scene {
    fn sees_runs(&mut self, runs: Vec<S3SyncRun>) {
        listed(
            &mut self.writers.runs,
            runs.into_iter().map(|run| DeserializeGuard(Ok(run))).collect::<Vec<GuardedRun>>(),
        );
    }

    /// Up to its Job, which is there already or not.
    async fn starts(&mut self, there: bool) {
        let post = exchange(
            Method::POST,
            JOBS,
            if there { 409 } else { 201 },
            if there { refused(409, "AlreadyExists") } else { job() },
        )
        .check(|body| {
            assert_eq!(body["metadata"]["name"], job_of("orders", &backfill()).as_str());
            assert_eq!(body["metadata"]["ownerReferences"].as_array().unwrap().len(), 1, "the S3Sync's alone");
            let env = body["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
            let asked = env.iter().find(|one| one["name"] == "S3SYNC_REQUEST").unwrap();
            assert_eq!(asked["value"], r#"{"id":"0000backfill","window":{"fromKey":"$$(A)"},"reread":true}"#);
        });
        let then = if there { exchange(Method::GET, JOBS, 200, job()) } else { event("RunStarted") };
        self.look([rights(), vec![make_key(), post, then]].into_iter().flatten().collect()).await.unwrap();
    }
}

#[tokio::test]
async fn one_gets_its_job_its_word_and_then_silence() {
    let mut scene = asked();
    scene.starts(false).await;
    scene.look(vec![told(Value::Null, "Running", &["Reconciling"]), status_patched()]).await.unwrap();
    // Its watch is behind: nothing is said twice.
    scene.look(vec![]).await.unwrap();
    let mut ended = job();
    ended["status"] =
        json!({"completionTime": "2026-11-21T12:00:09Z", "conditions": [{"type": "Complete", "status": "True"}]});
    scene.sees_jobs(vec![serde_json::from_value(ended).unwrap()]);
    let pod = json!({
        "metadata": {"name": "p", "namespace": "data", "uid": "p", "labels": {
            "app.kubernetes.io/instance": "orders", "batch.kubernetes.io/job-name": job()["metadata"]["name"], "batch.kubernetes.io/job-completion-index": "0"}},
        "status": {"containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "message": good().to_termination_message()}}}]},
    });
    scene.sees_pods(vec![serde_json::from_value(pod).unwrap()]);
    // What it is told is read from the Jobs, and once the sync's status is written from there: that comes second.
    let refuses = exchange(Method::PATCH, RUN, 500, refused(500, "InternalError"));
    scene.look(vec![refuses]).await.unwrap_err();
    let complete = told(json!("Succeeded"), "Succeeded", &["Complete"]);
    scene.look(vec![complete, status_patched(), event("RunSucceeded")]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}

/// Another controller, which knows of nothing that was not written.
#[tokio::test]
async fn a_job_that_was_made_for_it_is_adopted() {
    let mut scene = asked();
    scene.starts(true).await;
    scene.look(vec![told(Value::Null, "Running", &["Reconciling"]), status_patched()]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}

#[tokio::test]
async fn deleting_it_deletes_its_job_once_its_pods_have_ended() {
    let mut scene = asked();
    scene.sees_runs(vec![]);
    scene.sees_jobs(vec![serde_json::from_value(job()).unwrap()]);
    let delete =
        exchange(Method::DELETE, JOBS, 200, json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
            .body(json!({"propagationPolicy": "Foreground", "preconditions": {"uid": "job-1"}}));
    scene.look(vec![status_patched(), delete]).await.unwrap();
}

/// A Job that no watch shows is asked for, before anything is said of its end.
#[tokio::test]
async fn a_job_that_is_not_seen_is_asked_for() {
    let mut scene = asked();
    let mut run = backfill();
    run.status = Some(serde_json::from_value(json!({"job": job_of("orders", &run), "reason": "Running"})).unwrap());
    scene.sees_runs(vec![run]);
    let gone = exchange(Method::GET, JOBS, 404, refused(404, "NotFound"));
    scene
        .look(vec![gone, told(json!("Failed"), "Interrupted", &["Failed", "Stalled"]), status_patched()])
        .await
        .unwrap();
}

#[tokio::test]
async fn one_without_its_sync_waits_for_it_and_ends_with_it() {
    let mut scene = asked();
    listed(&mut scene.writers.syncs, vec![]);
    let context = Arc::clone(&scene.context);
    let look = || {
        let context = Arc::clone(&context);
        async move { orphans(&context).await.expect("it is said") }
    };
    scene.serve(look(), vec![told(Value::Null, "SyncNotFound", &["Reconciling"])]).await;
    scene.serve(look(), vec![]).await;
    listed(&mut scene.writers.syncs, vec![DeserializeGuard(Ok(sync_with(json!({"schedule": "@daily"}))))]);
    scene.serve(look(), vec![]).await;
    scene.starts(false).await;
    scene.look(vec![told(Value::Null, "Running", &["Reconciling"]), status_patched()]).await.unwrap();
    listed(&mut scene.writers.syncs, vec![]);
    scene.serve(look(), vec![told(json!("Failed"), "SyncDeleted", &["Failed", "Stalled"])]).await;
    scene.serve(look(), vec![]).await;
}

#[tokio::test]
async fn one_that_ended_is_deleted_when_its_time_is_over() {
    let mut scene = asked();
    let mut run = asks("backfill", "11:00:00", json!({"ttlSecondsAfterFinished": 60}));
    run.status =
        Some(serde_json::from_value(json!({"result": "Failed", "completionTime": "2026-11-21T11:01:00Z"})).unwrap());
    scene.sees_runs(vec![run]);
    let delete = || {
        exchange(Method::DELETE, RUN, 200, json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
            .body(json!({"preconditions": {"uid": "0000-backfill"}}))
    };
    scene.look(vec![status_patched(), delete()]).await.unwrap();
    listed(&mut scene.writers.syncs, vec![]);
    let context = Arc::clone(&scene.context);
    scene.serve(async move { orphans(&context).await.expect("it goes") }, vec![delete()]).await;
}
