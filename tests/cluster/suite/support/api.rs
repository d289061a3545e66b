//! The cluster's API as JSON: one client and one runtime for all tests.

use std::sync::LazyLock;

use http::{Method, Request};
use kube::Client;
use serde_json::Value;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    RUNTIME.block_on(async {
        Client::try_default().await.expect("no cluster: run tests/cluster/test, which sets KUBECONFIG")
    })
});

/// Where S3Syncs of a namespace are.
pub fn syncs(namespace: &str) -> String {
    format!("/apis/s3sync.dev/v1alpha1/namespaces/{namespace}/s3syncs")
}

/// Where Jobs of a namespace are.
pub fn jobs(namespace: &str) -> String {
    format!("/apis/batch/v1/namespaces/{namespace}/jobs")
}

/// Where a kind of the core group is: pods, configmaps, secrets.
pub fn core(namespace: &str, plural: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{plural}")
}

/// A request, and the answer's body; the server's own message when it refuses.
pub fn request(method: Method, path: &str, content_type: &str, body: Option<&Value>) -> Result<Value, String> {
    let body = body.map(|body| serde_json::to_vec(body).expect("JSON")).unwrap_or_default();
    let request =
        Request::builder().method(method).uri(path).header("content-type", content_type).body(body).expect("a request");
    RUNTIME.block_on(CLIENT.request::<Value>(request)).map_err(|error| match error {
        kube::Error::Api(status) => format!("{} {}: {}", status.code, status.reason, status.message),
        other => other.to_string(),
    })
}

/// An object, or `None`.
#[track_caller]
pub fn find(path: &str) -> Option<Value> {
    match request(Method::GET, path, "application/json", None) {
        Ok(object) => Some(object),
        Err(message) if message.starts_with("404 ") => None,
        Err(message) => panic!("GET {path}: {message}"),
    }
}

/// An object that is there.
#[track_caller]
pub fn get(path: &str) -> Value {
    find(path).unwrap_or_else(|| panic!("{path} is not there"))
}

/// The items of a list; `query` such as `labelSelector=a%3Db`, or empty.
#[track_caller]
pub fn list(path: &str, query: &str) -> Vec<Value> {
    let mut answer = get(&format!("{path}?{query}"));
    serde_json::from_value(answer["items"].take()).expect("a list")
}

/// Server-side apply, as a person's.
pub fn apply(path: &str, object: &Value) -> Result<Value, String> {
    let path = format!("{path}/{}?fieldManager=tests&force=true", object["metadata"]["name"].as_str().expect("a name"));
    request(Method::PATCH, &path, "application/apply-patch+yaml", Some(object))
}

/// Creates an object.
pub fn create(path: &str, object: &Value) -> Result<Value, String> {
    request(Method::POST, path, "application/json", Some(object))
}

/// A JSON merge patch.
#[track_caller]
pub fn patch(path: &str, change: &Value) -> Value {
    request(Method::PATCH, path, "application/merge-patch+json", Some(change))
        .unwrap_or_else(|message| panic!("PATCH {path}: {message}"))
}

/// Deletes an object, with this grace period where there is one. `false` when it was gone.
#[track_caller]
pub fn delete(path: &str, grace_seconds: Option<u32>) -> bool {
    let query = grace_seconds.map(|seconds| format!("?gracePeriodSeconds={seconds}")).unwrap_or_default();
    match request(Method::DELETE, &format!("{path}{query}"), "application/json", None) {
        Ok(_) => true,
        Err(message) if message.starts_with("404 ") => false,
        Err(message) => panic!("DELETE {path}: {message}"),
    }
}

/// What a pod's or a service's HTTP server says, through the API server's proxy.
#[track_caller]
pub fn text(path: &str) -> String {
    let request = Request::get(path).body(Vec::new()).expect("a request");
    RUNTIME.block_on(CLIENT.request_text(request)).unwrap_or_else(|error| panic!("GET {path}: {error}"))
}
