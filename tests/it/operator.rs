//! The controller as a process, against an API server that a test plays: what somebody fills to the brim must not end
//! it, and what comes late or not at all must not hold up the rest.

mod connections;
mod failover;
mod notices;
mod requested;
mod server;
mod webhook;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::server::{Answer, ApiServer, Asked, created, ok, refused};
use crate::support::Running;

/// The chart's memory limit of the controller.
const PEAK_BYTES_MAX: u64 = 256 << 20;

/// Resources that are filled to the brim, and cursors: as many as somebody can write in a minute.
const FULL: usize = 300;

/// What an object is filled with: etcd takes 1.5 MiB.
const BRIM_BYTES: usize = 1 << 20;

/// Namespaces and names of resources whose status was written, with the reason of Ready.
type Told = Arc<Mutex<BTreeSet<(String, String, String)>>>;

/// What every cluster answers; 404 to all else.
fn common(asked: &Asked, told: &Told) -> Answer {
    match (asked.method.as_str(), asked.kind()) {
        ("POST", "selfsubjectreviews") => created(json!({"status": {"userInfo": {"username": "admin"}}})),
        ("POST", "events") => created(json!({"metadata": {"name": "e"}, "eventTime": null})),
        ("PATCH", "status") => {
            let (namespace, name) = (asked.namespace(), asked.body["metadata"]["name"].as_str().expect("a name"));
            let reason = asked.body["status"]["conditions"][0]["reason"].as_str().expect("a reason").to_owned();
            let answer = resource(namespace, name, "2", json!({"suspend": true}), asked.body["status"].clone());
            told.lock().expect("no panic").insert((namespace.to_owned(), name.to_owned(), reason));
            ok(answer)
        }
        ("GET", "s3syncs" | "s3syncruns" | "configmaps" | "jobs" | "pods") => ok(asked.page(&|_| None)),
        _ => refused(404, "NotFound", "no such thing"),
    }
}

/// A controller of this cluster.
fn controller(server: &ApiServer, args: &[&str]) -> (tempfile::TempDir, Running) {
    let dir = tempfile::tempdir().expect("a directory");
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig().to_string()).expect("writable");
    let args = [&["controller", "--image", "s3sync:1"], args].concat();
    let running = Running::start(dir.path(), &args, &[("KUBECONFIG", kubeconfig.to_str().expect("text"))]);
    (dir, running)
}

/// Waits until something holds, or this long. When it was so, from the beginning.
fn within(patience: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let started = Instant::now();
    while started.elapsed() < patience {
        if holds() {
            return Some(started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

fn resource(namespace: &str, name: &str, version: &str, spec: Value, status: Value) -> Value {
    let mut whole = json!({"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "csv"}});
    whole.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    json!({
        "apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync",
        "metadata": {"name": name, "namespace": namespace, "uid": format!("{namespace}-{name}"), "generation": 1, "resourceVersion": version,
            "creationTimestamp": "2026-11-21T12:00:00Z"},
        "spec": whole,
        "status": status,
    })
}

/// One in three is small in its spec and full of annotations; one in three holds one long text, and the last a hundred
/// thousand short ones.
fn full_sync(n: usize) -> Option<Value> {
    if n == FULL {
        return None;
    }
    let (name, text) = (format!("sync-{n:03}"), "x".repeat(BRIM_BYTES / 4));
    let suspended = |worker: Value| resource("data", &name, "1", json!({"suspend": true, "worker": worker}), json!({}));
    let sync = match n % 3 {
        0 => {
            let mut sync = suspended(json!({}));
            sync["metadata"]["annotations"] = json!({"note": text});
            sync["metadata"]["managedFields"] = json!([{"manager": text}, {"manager": text}, {"manager": text}]);
            sync
        }
        1 => suspended(json!({"env": [{"name": "A", "value": text.repeat(4)}]})),
        _ => {
            let term =
                json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": vec![""; BRIM_BYTES / 8]}]});
            let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
            suspended(json!({"affinity": affinity}))
        }
    };
    Some(sync)
}

fn full_cursor(n: usize) -> Option<Value> {
    let labels = json!({"app.kubernetes.io/name": "s3sync", "app.kubernetes.io/instance": format!("sync-{n:03}"),
        "app.kubernetes.io/managed-by": "s3sync", "app.kubernetes.io/component": "cursor"});
    let metadata = json!({"name": format!("sync-{n:03}-cursor"), "namespace": "data", "uid": format!("cursor-{n}"), "labels": labels});
    (n < FULL).then(|| json!({"metadata": metadata, "data": {"other": "x".repeat(BRIM_BYTES)}}))
}

fn full_connection(n: usize) -> Option<Value> {
    let metadata = json!({"name": format!("s3-{n:03}"), "namespace": "data", "uid": format!("connection-{n}"),
        "annotations": {"note": "x".repeat(BRIM_BYTES / 4)}, "managedFields": [{"manager": "x".repeat(BRIM_BYTES / 2)}]});
    let connection = json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Connection", "metadata": metadata, "spec": {"region": "us-east-1"}});
    (n < FULL).then_some(connection)
}

/// One that ended, with all that its definition lets it hold and more.
fn full_run(n: usize) -> Option<Value> {
    let (text, sync) = ("x".repeat(1024), format!("sync-{:03}", n % 3));
    let metadata = json!({"name": format!("run-{n:03}"), "namespace": "data", "uid": format!("run-{n}"), "generation": 1, "resourceVersion": "1",
        "annotations": {"note": "x".repeat(BRIM_BYTES / 4)}, "managedFields": [{"manager": "x".repeat(BRIM_BYTES / 2)}]});
    let run = json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3SyncRun", "metadata": metadata,
        "spec": {"syncRef": {"name": sync}, "window": {"fromKey": text, "toKey": text}},
        "status": {"result": "Succeeded", "reason": "Succeeded", "message": text, "completionTime": "2026-11-21T12:00:00Z"}});
    (n < FULL).then_some(run)
}

#[test]
fn hundreds_of_resources_that_are_filled_to_the_brim_do_not_end_the_controller() {
    let told = Told::default();
    let tells = Arc::clone(&told);
    let server = ApiServer::start(move |asked| match (asked.method.as_str(), asked.kind()) {
        ("GET", "s3syncs") => ok(asked.page(&full_sync)),
        ("GET", "configmaps") => ok(asked.page(&full_cursor)),
        ("GET", "s3connections") => ok(asked.page(&full_connection)),
        ("GET", "s3syncruns") => ok(asked.page(&full_run)),
        _ => common(asked, &tells),
    });
    let (_dir, mut running) = controller(&server, &["--no-leader-election", "--listen", "127.0.0.1:0"]);
    let (started, mut peak_bytes) = (Instant::now(), 0);
    let told = || told.lock().expect("no panic").clone();
    while told().len() < FULL && running.is_running() && started.elapsed() < Duration::from_secs(300) {
        peak_bytes = running.peak_bytes().unwrap_or(0).max(peak_bytes);
        std::thread::sleep(Duration::from_millis(20));
    }
    running.signal("KILL");
    let outcome = running.wait();
    let told = told();
    assert_eq!(told.len(), FULL, "{}", outcome.stderr);
    let of = |reason: &str| told.iter().filter(|(_, _, found)| found == reason).count();
    assert_eq!((of("Suspended"), of("InvalidSpec")), (FULL / 3, FULL / 3 * 2), "{told:?}");
    println!("peak of {} MiB", peak_bytes >> 20);
    assert!(peak_bytes > 0 && peak_bytes < PEAK_BYTES_MAX, "peak of {} MiB", peak_bytes >> 20);
}
