//! The operator, installed as a user installs it: by the chart, into a namespace that enforces Pod Security
//! `restricted`.

use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Value, json};

use super::{api, helm, until};

/// The operator's namespace.
pub const NAMESPACE: &str = "s3sync-system";
/// The release, and so the Deployment, the lease and the ClusterRole.
pub const RELEASE: &str = "s3sync";
/// The chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/s3sync");

static USE: RwLock<()> = RwLock::new(());

/// For tests that need the operator as it is: many at once.
pub fn shared() -> RwLockReadGuard<'static, ()> {
    let guard = USE.read().unwrap_or_else(PoisonError::into_inner);
    installed();
    guard
}

/// For tests that stop, replace or remove the operator, or the API server: one, and no other beside it.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    let guard = USE.write().unwrap_or_else(PoisonError::into_inner);
    installed();
    guard
}

fn installed() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        namespace(NAMESPACE);
        install(&[]);
    });
}

/// The image under test: repository and tag.
pub fn image() -> (String, String) {
    let image = std::env::var("S3SYNC_TEST_IMAGE").expect("S3SYNC_TEST_IMAGE is not set: run tests/cluster/test");
    let (repository, tag) = image.rsplit_once(':').expect("repository:tag");
    (repository.to_owned(), tag.to_owned())
}

/// Installs or upgrades the release, with further `--set` values, and waits for its pods.
#[track_caller]
pub fn install(values: &[&str]) {
    let (repository, tag) = image();
    let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
    let mut args =
        vec!["upgrade", "--install", RELEASE, CHART, "--namespace", NAMESPACE, "--wait", "--timeout", "120s"];
    // Tests scale the Deployment by hand, and what was set by hand is theirs until it is taken back.
    args.push("--force-conflicts");
    let ours = [repository.as_str(), tag.as_str(), "image.registry=", "image.pullPolicy=Never"];
    for value in ours.iter().chain(values) {
        args.extend(["--set", value]);
    }
    helm(&args).expect();
}

/// Makes a namespace that enforces Pod Security `restricted`, and warns of nothing less.
#[track_caller]
pub fn namespace(name: &str) {
    let labels =
        json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"});
    api::apply(
        "/api/v1/namespaces",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
    )
    .expect("a namespace");
}

/// The controller's pods that are not on their way out.
pub fn controllers() -> Vec<Value> {
    let mut pods = api::list(&api::core(NAMESPACE, "pods"), "labelSelector=app.kubernetes.io%2Fcomponent%3Dcontroller");
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    pods
}

/// The name of the pod that holds the lease.
#[track_caller]
pub fn leader() -> String {
    until("a leader", || {
        let lease = api::find(&format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{RELEASE}"));
        let holder =
            lease.as_ref().and_then(|lease| lease["spec"]["holderIdentity"].as_str()).unwrap_or_default().to_owned();
        let pods = controllers();
        let name = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).find(|name| holder.contains(name));
        name.map(str::to_owned).ok_or_else(|| format!("{lease:?}"))
    })
}

/// Waits until the Deployment has all its replicas ready.
#[track_caller]
pub fn ready() {
    until("the controller's replicas", || {
        let deployment = api::get(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}"));
        let all = deployment["spec"]["replicas"] == deployment["status"]["readyReplicas"];
        let current = deployment["metadata"]["generation"] == deployment["status"]["observedGeneration"];
        if all && current { Ok(()) } else { Err(deployment["status"].to_string()) }
    });
}

/// A controller pod's metrics.
#[track_caller]
pub fn metrics(pod: &str) -> String {
    api::text(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics"))
}
