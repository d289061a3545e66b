//! Looks against a mock API server, which checks every request and answers it. What is not asked for is not answered: a
//! look that asks for more fails.

use http::{Method, Request, Response};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::client::Body;
use kube::core::DeserializeGuard;
use kube::runtime::{reflector::store::Writer, watcher::Event as Watched};
use serde_json::{Value, json};
use tower_test::mock;

use super::*;
use crate::controller::fixtures::{at, good, sync, sync_with};
use crate::controller::reflectors::{Writers, reflectors};

mod connections;
mod definition;
mod ending;
mod explained;
mod needs;
mod ownership;
mod refused;
mod requested;

/// A controller's surroundings: the watches as the test fills them, and a server that follows a script.
struct Scene {
    context: Arc<Context>,
    writers: Writers,
    server: mock::Handle<Request<Body>, Response<Body>>,
}

/// One request, and its answer.
struct Exchange {
    method: Method,
    path: &'static str,
    check: Box<dyn FnOnce(Value) + Send>,
    status: u16,
    answer: Value,
}

fn exchange(method: Method, path: &'static str, status: u16, answer: Value) -> Exchange {
    Exchange { method, path, check: Box::new(|_| {}), status, answer }
}

impl Exchange {
    /// With this body, no more and no less.
    fn body(self, expected: Value) -> Exchange {
        self.check(move |body| assert_eq!(body, expected))
    }

    fn check(self, check: impl FnOnce(Value) + Send + 'static) -> Exchange {
        Exchange { check: Box::new(check), ..self }
    }
}

fn refused(code: u16, reason: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": format!("{reason}!"), "reason": reason, "code": code})
}

impl Scene {
    fn new(sync: S3Sync) -> Scene {
        let (service, server) = mock::pair::<Request<Body>, Response<Body>>();
        let client = Client::new(service, "data");
        let (reflectors, writers) = reflectors();
        let context = Arc::new(Context {
            instance: "one".into(),
            metrics: Arc::new(Metrics::new(reflectors.clone(), Arc::default())),
            health: Arc::default(),
            client,
            reflectors,
            expectations: Expectations::default(),
            notices: Notices::none(),
            defaults: PodDefaults { image: "s3sync:1".into(), ..PodDefaults::default() },
            policy: Arc::default(),
            undeclared: Default::default(),
            caps: Default::default(),
            clock: || at("12:00:10"),
        });
        let mut scene = Scene { context, writers, server };
        listed(&mut scene.writers.syncs, vec![DeserializeGuard(Ok(sync))]);
        listed(&mut scene.writers.jobs, vec![]);
        listed(&mut scene.writers.pods, vec![]);
        listed(&mut scene.writers.cursors, vec![]);
        listed(&mut scene.writers.connections, vec![]);
        listed(&mut scene.writers.runs, vec![]);
        scene
    }

    fn sees_jobs(&mut self, jobs: Vec<Job>) {
        listed(&mut self.writers.jobs, jobs);
    }

    fn sees_pods(&mut self, pods: Vec<Pod>) {
        listed(&mut self.writers.pods, pods);
    }

    fn sees_cursor(&mut self, cursor: ConfigMap) {
        listed(&mut self.writers.cursors, vec![cursor]);
    }

    /// One look, with all of its requests, in any order where they are made at once.
    async fn look(&mut self, script: Vec<Exchange>) -> Result<Action, LookError> {
        let guarded = self.context.reflectors.sync("data", "orders").expect("it is seen");
        let look = reconcile(guarded, Arc::clone(&self.context));
        self.serve(look, script).await
    }

    /// Answers whatever asks by the script.
    async fn serve<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = T> + Send + 'static,
        mut script: Vec<Exchange>,
    ) -> T {
        let look = tokio::spawn(work);
        while !script.is_empty() {
            // A look that asks for less than the script has would be waited for without end.
            let next = tokio::time::timeout(Duration::from_secs(20), self.server.next_request()).await;
            let (request, send) = next.expect("the look asks for more").expect("a request");
            let (parts, body) = request.into_parts();
            let target = parts.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
            let place = script.iter().position(|step| step.method == parts.method && target.starts_with(step.path));
            let Some(place) = place else { panic!("nobody expects {} {target}", parts.method) };
            let step = script.remove(place);
            let body = body.collect_bytes().await.expect("a body");
            (step.check)(serde_json::from_slice(&body).unwrap_or(Value::Null));
            let answer = serde_json::to_vec(&step.answer).unwrap();
            send.send_response(Response::builder().status(step.status).body(Body::from(answer)).unwrap());
        }
        tokio::select! {
            result = look => result.expect("no panic"),
            request = self.server.next_request() => {
                let (request, _) = request.expect("a request");
                panic!("nobody expects {} {}", request.method(), request.uri());
            }
        }
    }
}

/// What a watch has listed.
fn listed<K>(writer: &mut Writer<K>, objects: Vec<K>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    writer.apply_watcher_event(&Watched::Init);
    for object in objects {
        writer.apply_watcher_event(&Watched::InitApply(object));
    }
    writer.apply_watcher_event(&Watched::InitDone);
}

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/data/events";
const JOBS: &str = "/apis/batch/v1/namespaces/data/jobs";
const MAPS: &str = "/api/v1/namespaces/data/configmaps";
const STATUS: &str =
    "/apis/s3sync.dev/v1alpha1/namespaces/data/s3syncs/orders/status?&force=true&fieldManager=s3sync-controller";

fn event(reason: &'static str) -> Exchange {
    exchange(Method::POST, EVENTS, 201, json!({"metadata": {"name": "e"}, "eventTime": null})).check(move |body| {
        assert_eq!((&body["reason"], &body["regarding"]["name"]), (&json!(reason), &json!("orders")))
    })
}

const ACCOUNTS: &str = "/api/v1/namespaces/data/serviceaccounts";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/data/roles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/data/rolebindings";

/// One of the workers' three, with its owner.
fn right(owner: Value) -> Value {
    json!({"metadata": {"name": "orders-worker", "uid": "there", "ownerReferences": owner}, "roleRef": {"apiGroup": "", "kind": "", "name": ""}})
}

fn rights() -> Vec<Exchange> {
    let named = |path, kind: &'static str| {
        exchange(Method::POST, path, 201, right(json!(null))).check(move |body| {
            assert_eq!((&body["kind"], &body["metadata"]["ownerReferences"][0]["uid"]), (&json!(kind), &json!("uid-1")))
        })
    };
    vec![named(ACCOUNTS, "ServiceAccount"), named(ROLES, "Role"), named(BINDINGS, "RoleBinding")]
}

const SECRETS: &str = "/api/v1/namespaces/data/secrets";

/// The key of the state, with each run: whether it is there cannot be seen.
fn make_key() -> Exchange {
    exchange(Method::POST, SECRETS, 201, json!({"metadata": {"name": "orders-state-key"}})).check(|body| {
        let key = body["stringData"]["state-key"].as_str().expect("a text");
        assert_eq!(
            (&body["metadata"]["name"], &body["immutable"], key.len()),
            (&json!("orders-state-key"), &json!(true), 64)
        );
    })
}

fn key_is_there() -> Exchange {
    exchange(Method::POST, SECRETS, 409, refused(409, "AlreadyExists"))
}

fn make_cursor() -> Exchange {
    exchange(Method::POST, MAPS, 201, json!({"metadata": {"name": "orders-cursor"}})).check(|body| {
        assert_eq!(
            (&body["metadata"]["name"], &body["data"], &body["metadata"]["ownerReferences"]),
            (&json!("orders-cursor"), &json!(null), &json!(null))
        );
    })
}

/// The cursor as the controller makes it.
fn cursor_there() -> ConfigMap {
    crate::controller::build::cursor_map(&sync())
}

fn made(body: &Value, owner: &str) -> Value {
    let mut job = body.clone();
    job["metadata"]["uid"] = json!("job-1");
    job["metadata"]["creationTimestamp"] = json!("2026-11-21T12:00:10Z");
    job["metadata"]["ownerReferences"][0]["uid"] = json!(owner);
    job
}

/// The Job that the fixture's resource gets.
fn first_job(owner: &str) -> Value {
    let checked = crate::controller::decide::check::check(&sync()).unwrap();
    let seen = crate::controller::fixtures::observed(sync(), "12:00:10");
    let start = decide(&seen).start.expect("a change is a run");
    let job = crate::controller::build::job(
        &sync(),
        &checked,
        &start,
        false,
        &PodDefaults { image: "s3sync:1".into(), ..PodDefaults::default() },
    );
    made(&serde_json::to_value(job).unwrap(), owner)
}

fn make_job() -> Exchange {
    let expected = first_job("uid-1");
    exchange(Method::POST, JOBS, 201, expected.clone()).check(move |mut body| {
        body["metadata"]["uid"] = expected["metadata"]["uid"].clone();
        body["metadata"]["creationTimestamp"] = expected["metadata"]["creationTimestamp"].clone();
        assert_eq!(body, expected);
    })
}

fn status_patched() -> Exchange {
    let mut sync = sync();
    sync.metadata.resource_version = Some("101".into());
    exchange(Method::PATCH, STATUS, 200, serde_json::to_value(sync).unwrap())
}

fn status_written(status: Value) -> Exchange {
    status_patched().body(json!({
        "apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "metadata": {"name": "orders", "uid": "uid-1"}, "status": status,
    }))
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 3, "lastTransitionTime": "2026-11-21T12:00:10Z"})
}

fn in_progress(job: &str, synced: &str) -> Value {
    json!({
        "observedGeneration": 3,
        "conditions": [
            condition("Ready", "True", "Armed", "runs when what is synced changes, and on trigger"),
            condition("Reconciling", "True", "Running", &format!("the run {job} is in progress")),
        ],
        "run": "Running",
        "message": "runs when what is synced changes, and on trigger",
        "lastSpecHash": synced,
        "consecutiveFailures": 0,
        "active": [{"job": job}],
    })
}

/// From an applied resource to its Job and its status; then nothing, however often it is looked at.
#[tokio::test]
async fn a_new_resource_gets_its_run_and_then_silence() {
    let mut scene = Scene::new(sync());
    let script =
        [rights(), vec![make_key(), make_cursor(), make_job(), event("RunStarted")]].into_iter().flatten().collect();
    assert_eq!(scene.look(script).await.unwrap(), Action::requeue(Duration::ZERO));
    // The watch has not shown the Job yet.
    let job = first_job("uid-1");
    let (name, synced) = (
        job["metadata"]["name"].as_str().unwrap(),
        job["metadata"]["annotations"]["s3sync.dev/spec"].as_str().unwrap(),
    );
    scene.look(vec![status_written(in_progress(name, synced))]).await.unwrap();
    scene.look(vec![]).await.unwrap();
    // Now it shows the Job, and the status as it was written.
    scene.sees_jobs(vec![serde_json::from_value(job.clone()).unwrap()]);
    scene.look(vec![]).await.unwrap();
    let mut written = sync();
    written.metadata.resource_version = Some("101".into());
    written.status = Some(serde_json::from_value(in_progress(name, synced)).unwrap());
    listed(&mut scene.writers.syncs, vec![DeserializeGuard(Ok(written))]);
    assert_eq!(scene.look(vec![]).await.unwrap(), Action::requeue(Duration::from_secs(60)));
}

/// Its ServiceAccount was deleted, say: that is told, and what is ours is made again.
#[tokio::test]
async fn a_run_without_a_pod_says_so_and_gets_its_rights_again() {
    let mut scene = Scene::new(sync());
    let mut job = first_job("uid-1");
    job["status"] = json!({"startTime": "2026-11-21T11:59:55Z"});
    scene.sees_jobs(vec![serde_json::from_value(job).unwrap()]);
    scene.sees_cursor(cursor_there());
    let status = status_patched().check(|body| {
        let condition = &body["status"]["conditions"][1];
        assert_eq!((&condition["type"], &condition["reason"]), (&json!("Reconciling"), &json!("WorkerWaiting")));
        assert!(condition["message"].as_str().unwrap().contains("kubectl describe job orders-"), "{condition}");
    });
    // An earlier release's rights do not show events: what is told is a guess.
    let denied = exchange(Method::GET, EVENTS, 403, refused(403, "Forbidden"));
    let script = [vec![denied, status, event("WorkerWaiting")], rights()];
    scene.look(script.into_iter().flatten().collect()).await.unwrap();
    scene.look(vec![]).await.unwrap();
}

#[tokio::test]
async fn a_run_that_ended_is_recorded_and_told() {
    let mut scene = Scene::new(sync());
    let mut job = first_job("uid-1");
    let name = job["metadata"]["name"].as_str().unwrap().to_owned();
    let synced = job["metadata"]["annotations"]["s3sync.dev/spec"].as_str().unwrap().to_owned();
    job["status"] = json!({"startTime": "2026-11-21T12:00:01Z", "completionTime": "2026-11-21T12:00:09Z", "conditions": [{"type": "Complete", "status": "True"}]});
    scene.sees_jobs(vec![serde_json::from_value(job).unwrap()]);
    let pod = json!({
        "metadata": {"name": "p", "namespace": "data", "uid": "p", "labels": {
            "app.kubernetes.io/instance": "orders", "batch.kubernetes.io/job-name": name, "batch.kubernetes.io/job-completion-index": "0"}},
        "status": {"containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "message": good().to_termination_message()}}}]},
    });
    scene.sees_pods(vec![serde_json::from_value(pod).unwrap()]);
    let status = json!({
        "observedGeneration": 3,
        "conditions": [
            condition("Ready", "True", "Armed", "runs when what is synced changes, and on trigger"),
            condition("LastRunSucceeded", "True", "Succeeded", "2 objects, 10 rows"),
        ],
        "run": "Succeeded",
        "message": "2 objects, 10 rows",
        "lastSuccessfulTime": "2026-11-21T12:00:09Z",
        "lastSpecHash": synced,
        "consecutiveFailures": 0,
        "lastRun": {
            "job": name, "startTime": "2026-11-21T12:00:01Z", "completionTime": "2026-11-21T12:00:09Z", "result": "Succeeded",
            "reason": "Succeeded", "message": "2 objects, 10 rows", "tables": 1, "objects": 2, "rows": 10, "bytes": 100, "files": 1,
            "badRecords": 0, "quarantined": 0,
        },
    });
    scene.look(vec![status_written(status), event("RunSucceeded")]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}

/// `kubectl events` shows each run's own sentence.
#[tokio::test]
async fn each_event_is_an_event_of_its_own() {
    let mut scene = Scene::new(sync());
    for sentence in ["orders-1: no access", "orders-2: no bucket"] {
        let written = event("RunFailed").check(move |body| {
            let expected = [
                ("note", sentence),
                ("type", "Warning"),
                ("reportingInstance", "one"),
                ("eventTime", "2026-11-21T12:00:10.000000Z"),
            ];
            for (field, value) in expected {
                assert_eq!(body[field], value, "{body}");
            }
        });
        let context = Arc::clone(&scene.context);
        scene
            .serve(async move { tell(&sync(), &Note::warning("RunFailed", sentence), &context).await }, vec![written])
            .await;
    }
}

#[tokio::test]
async fn a_job_that_is_there_is_adopted_by_its_owner() {
    let mut scene = Scene::new(sync());
    let conflict = exchange(Method::POST, JOBS, 409, refused(409, "AlreadyExists"));
    let there = exchange(Method::GET, JOBS, 200, first_job("uid-1"));
    let script = [rights(), vec![make_key(), make_cursor(), conflict, there]].into_iter().flatten().collect();
    scene.look(script).await.unwrap();
    let job = first_job("uid-1");
    let (name, synced) = (
        job["metadata"]["name"].as_str().unwrap(),
        job["metadata"]["annotations"]["s3sync.dev/spec"].as_str().unwrap(),
    );
    scene.look(vec![status_written(in_progress(name, synced))]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}

#[tokio::test]
async fn the_cursor_dies_with_the_resource_when_it_is_told_to() {
    let mut scene = Scene::new(sync_with(json!({"schedule": "@daily", "state": {"onDelete": "Delete"}})));
    let map = serde_json::to_value(cursor_there()).unwrap();
    scene.sees_cursor(cursor_there());
    let owned =
        exchange(Method::PATCH, "/api/v1/namespaces/data/configmaps/orders-cursor?&fieldManager=s3sync-controller", 200, map.clone())
            .body(json!({"metadata": {"ownerReferences": [
            {"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "name": "orders", "uid": "uid-1", "controller": true}]}}));
    let status = status_patched();
    scene.look(vec![status, owned]).await.unwrap();
}

#[tokio::test]
async fn history_is_deleted_by_name_and_uid() {
    let mut scene = Scene::new(sync_with(json!({"successfulRunsHistoryLimit": 0})));
    let mut job = first_job("uid-1");
    job["status"] =
        json!({"completionTime": "2026-11-21T11:59:00Z", "conditions": [{"type": "Complete", "status": "True"}]});
    scene.sees_jobs(vec![serde_json::from_value(job).unwrap()]);
    let status = status_patched();
    let delete =
        exchange(Method::DELETE, JOBS, 200, json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
            .body(json!({"propagationPolicy": "Background", "preconditions": {"uid": "job-1"}}));
    scene.look(vec![status, event("RunSucceeded"), delete]).await.unwrap();
}

/// A resource that a newer version of the definition allowed: it says so, and the others live.
#[tokio::test]
async fn what_cannot_be_read_says_so_once() {
    let mut scene = Scene::new(sync());
    let mut strange = serde_json::to_value(sync()).unwrap();
    strange["spec"]["source"]["format"] = json!("orc");
    listed(&mut scene.writers.syncs, vec![serde_json::from_value(strange.clone()).unwrap()]);
    let path = "/apis/s3sync.dev/v1alpha1/namespaces/data/s3syncs/orders/status";
    // Not said, so said again.
    scene.look(vec![exchange(Method::PATCH, path, 500, refused(500, "InternalError"))]).await.unwrap_err();
    let written = exchange(Method::PATCH, path, 200, strange)
        .check(|body| assert_eq!(body["status"]["conditions"][0]["reason"], "InvalidSpec"));
    assert_eq!(scene.look(vec![written]).await.unwrap(), Action::await_change());
    scene.look(vec![]).await.unwrap();
}
