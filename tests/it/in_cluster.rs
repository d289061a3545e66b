//! `kubectl s3sync state … --in-cluster`, against an API server and a kubelet that the test plays, where only pods
//! reach S3.

use std::time::{Duration, Instant};

use base64::Engine;
use s3sync::api::S3Sync;
use s3sync::controller::build::{PodDefaults, job};
use s3sync::controller::decide::check::check;
use s3sync::controller::decide::run::Marks;
use s3sync::controller::decide::{Start, Why};
use serde_json::{Value, json};

use crate::support::{Cluster, Gateway, Outcome, Running, Site};

/// A sync of the cluster, and what lies in its buckets.
pub struct World {
    cluster: Cluster,
    site: Site,
    sync: Value,
}

impl World {
    /// With two objects published by a run's pod.
    pub fn new() -> World {
        let site = Site::minio();
        let cluster = Cluster::new(Gateway::new(site.endpoint()));
        let end = |bucket: &str| json!({"bucket": bucket, "endpoint": cluster.gateway().endpoint, "secretRef": {"name": "s3"}});
        let (source, mut destination) = (end(site.raw()), end(site.lake()));
        destination["format"] = json!("jsonl");
        let sync = json!({
            "apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync",
            "metadata": {"name": "orders", "namespace": "data", "uid": "uid-1", "generation": 1},
            "spec": {"source": source, "destination": destination},
            "status": {"observedGeneration": 1},
        });
        let keys = ["S3SYNC_TEST_ACCESS_KEY", "S3SYNC_TEST_SECRET_KEY"]
            .map(|name| std::env::var(name).expect("set by tests/run"));
        let world = World { cluster, site, sync };
        world.secret(&keys[0], &keys[1]);
        world.cluster.put("secrets/orders-state-key", json!({"stringData": {"state-key": "5".repeat(64)}}));
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "orders-cursor", "namespace": "data", "uid": "map", "resourceVersion": "1"}});
        world.cluster.put("configmaps/orders-cursor", map);
        world.cluster.put("serviceaccounts/orders-worker", account("orders-worker"));
        world.site.put("t/a.csv", "id\n1\n2\n");
        world.site.put("t/b.csv", "id\n3\n");
        world.set(json!({}));
        let (code, log) = world.cluster.run(&world.run_job());
        assert_eq!(code, 0, "{log}");
        // What the operator keeps of the run.
        world.cluster.put("jobs/orders-202611211530", world.run_job());
        world.set(json!({"lastRun": {"job": "orders-202611211530", "result": "Succeeded"}}));
        world.cluster.gateway().set(false);
        world
    }

    fn secret(&self, key: &str, secret: &str) {
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": "data"},
            "data": {names[0]: base64(key), names[1]: base64(secret)}, "stringData": {names[0]: key, names[1]: secret},
        });
        self.cluster.put("secrets/s3", object);
    }

    /// As before the first run: what the operator makes with it is not there.
    pub fn never_ran(&self) {
        self.cluster.remove("serviceaccounts/orders-worker");
        self.set(json!({}));
    }

    /// Changes the status.
    pub fn set(&self, status: Value) {
        let mut sync = self.sync.clone();
        sync["status"].as_object_mut().expect("a map").extend(status.as_object().expect("a map").clone());
        self.cluster.put("s3syncs/orders", sync);
    }

    /// The Job of a run, as the operator makes it.
    fn run_job(&self) -> Value {
        let sync: S3Sync = serde_json::from_value(self.sync.clone()).expect("a sync");
        let start = Start { job: "orders-202611211530".into(), marks: Marks::default(), why: Why::Slot, request: None };
        let defaults = PodDefaults { image: "registry.example/s3sync:7".into(), ..PodDefaults::default() };
        let made = job(&sync, &check(&sync).expect("a sync that can run"), &start, false, &defaults);
        serde_json::to_value(made).expect("JSON")
    }

    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(self.cluster.dir(), args, &[("KUBECONFIG", self.cluster.kubeconfig())])
    }

    fn state(&self, args: &[&str]) -> Outcome {
        self.start(&[&["state"], args].concat()).wait()
    }

    /// Nothing here reaches S3 any more, until a Job's pod starts.
    pub fn close(&self) {
        self.cluster.gateway().set(false);
    }

    /// Jobs that the plugin made, each of which must be gone.
    pub fn jobs(&self) -> usize {
        let history = self.cluster.history();
        let (made, gone): (Vec<&str>, Vec<&str>) =
            history.iter().map(String::as_str).partition(|what| what.starts_with("POST"));
        assert_eq!(
            made.iter().map(|what| what.trim_start_matches("POST ")).collect::<Vec<_>>(),
            gone.iter().map(|what| what.trim_start_matches("DELETE ")).collect::<Vec<_>>()
        );
        made.len()
    }
}

fn account(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "data"}})
}

/// A pod would wait for its ServiceAccount for ever: that is said at once, with what to do, and no Job is made.
#[test]
fn before_the_first_run_it_is_said_at_once_that_no_pod_can_start() {
    let world = World::new();
    world.never_ran();
    let started = Instant::now();
    let said = world.state(&["export", "orders", "--in-cluster", "--image", "mine:1"]).expect(3);
    said.says(&[
        "data/orders: the ServiceAccount orders-worker is not there",
        "the operator makes it with the sync's first run; start one with `kubectl s3sync trigger orders --namespace data`",
    ]);
    assert!(started.elapsed() < Duration::from_secs(10), "after {:?}", started.elapsed());
    // The cursor comes with the first run too.
    world.cluster.put("serviceaccounts/orders-worker", account("orders-worker"));
    world.cluster.remove("configmaps/orders-cursor");
    world
        .state(&["show", "orders", "--in-cluster", "--image", "mine:1"])
        .expect(3)
        .says(&["the ConfigMap orders-cursor is not there"]);
    assert_eq!(world.jobs(), 0);
}

/// Where S3 does not answer, that is said in seconds, and the way out that it names works: the same comes as where S3
/// is near, byte by byte, also when connections to the log break.
#[test]
fn where_s3_is_out_of_reach_the_advice_leads_into_the_cluster() {
    let world = World::new();
    let started = Instant::now();
    let said =
        world.state(&["export", "orders"]).expect(1).says(&["data/orders: S3 cannot be reached from here"]).stderr;
    assert!(started.elapsed() < Duration::from_secs(60), "after {:?}", started.elapsed());
    let advice =
        said.split('`').nth(1).expect("a command").strip_prefix("kubectl s3sync ").expect("of the plugin").to_owned();
    let advice: Vec<&str> = advice.split(' ').collect();
    for output in ["table", "json", "yaml"] {
        world.cluster.gateway().set(true);
        let near = world.state(&["export", "orders", "-o", output]).expect(0);
        world.cluster.gateway().set(false);
        world.cluster.cut(&[0, 30, 31, 300]);
        let far = world.start(&[advice.as_slice(), &["-o", output]].concat()).wait().expect(0);
        assert_eq!(far.stdout, near.stdout, "{}", far.stderr);
        assert!(
            near.stdout.contains("t/") && far.stderr.contains("with the image registry.example/s3sync:7"),
            "{}",
            far.stderr
        );
    }
    assert_eq!(world.jobs(), 3);
}

#[test]
fn every_verb_works_in_a_job() {
    let world = World::new();
    let epoch = || world.state(&["show", "orders", "-o", "json"]).expect(0).json()["syncs"][0]["epoch"].take();
    world.state(&["show", "orders", "--in-cluster"]).expect(0).says(&[
        "data/orders",
        "Idle",
        "ConfigMap data/orders-cursor",
    ]);
    world
        .state(&["adopt", "orders", "--in-cluster"])
        .expect(0)
        .says(&["data/orders: this cursor holds the sync already"]);
    world
        .state(&["abandon", "orders", "--in-cluster"])
        .expect(0)
        .says(&["data/orders: no epoch is decided and unpublished"]);
    assert_eq!(epoch(), 1);
    world.state(&["reset", "orders", "--in-cluster"]).expect(2).says(&["say that you mean it with --yes"]);
    world.state(&["reset", "orders", "--in-cluster", "--yes"]).expect(0).says(&["data/orders: reset at epoch 1"]);
    let shown = world.state(&["show", "orders", "-o", "json"]).expect(0).json();
    assert_eq!(shown["syncs"][0]["tables"], json!([]));
    assert_eq!(world.jobs(), 4);
}

#[test]
fn a_job_takes_the_precautions_that_a_terminal_takes() {
    let world = World::new();
    world.set(json!({"active": [{"job": "orders-202611211600"}]}));
    for verb in ["adopt", "abandon", "reset"] {
        let yes: &[&str] = if verb == "reset" { &["--yes"] } else { &[] };
        world
            .state(&[&[verb, "orders", "--in-cluster"], yes].concat())
            .expect(5)
            .says(&["the run orders-202611211600 is in progress"]);
    }
    let refused = json!({"type": "Ready", "status": "False", "reason": "NotAllowed", "message": "spec.worker.replicas is 9", "observedGeneration": 1, "lastTransitionTime": "2026-11-21T12:00:10Z"});
    world.set(json!({"conditions": [refused]}));
    world
        .state(&["export", "orders", "--in-cluster"])
        .expect(2)
        .says(&["data/orders: NotAllowed: spec.worker.replicas is 9"]);
    world.set(json!({}));
    world
        .state(&["export", "orders", "--in-cluster"])
        .expect(2)
        .says(&["the image is not known: name it with --image"]);
    assert_eq!(world.jobs(), 0, "nothing was made");
    world.state(&["export", "orders", "--in-cluster", "--image", "mine:1"]).expect(0).says(&["with the image mine:1"]);
    // What fails in the pod is said once, and ends as it does there.
    world.secret("nobody", "knows-this-secret");
    let denied = world.state(&["export", "orders", "--in-cluster", "--image", "mine:1"]).expect(3);
    assert_eq!(denied.stderr.matches("error: data/orders: ").count(), 1, "{}", denied.stderr);
    assert!(!denied.stderr.contains("knows-this-secret"), "{}", denied.stderr);
    assert_eq!(world.jobs(), 2);
}

#[test]
fn whoever_stops_waiting_leaves_no_job_behind() {
    let world = World::new();
    // The pod waits for S3 for ever.
    world.cluster.put("secrets/s3", json!({"stringData": {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}}));
    world.cluster.hold();
    let running = world.start(&["state", "export", "orders", "--in-cluster", "--image", "mine:1"]);
    let started = Instant::now();
    while world.cluster.history().is_empty() && started.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_secs(2));
    running.signal("INT");
    running.wait().expect(5).says(&["stopped, and the Job data/orders-command-"]);
    assert_eq!(world.jobs(), 1);
}
