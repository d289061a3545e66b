//! A review: what the API server asks of a resource that is being applied, and what it is answered
//! (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>). PURE.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::measure::JsonBytes;
use crate::api::error::FieldError;
use crate::api::spec::{GROUP, KIND, S3SyncSpec};
use crate::api::{S3Sync, text};
use crate::controller::decide::check::errors;
use crate::controller::decide::size::{MANIFEST_BYTES_MAX, too_long};
use crate::controller::policy::Policy;

/// Errors that an answer names; the rest is counted. A person mends some, and looks again.
const CAUSES_MAX: usize = 100;

/// The largest spec that is read. What is kept of it may be a little shorter than what is asked about; more than twice
/// is not a little.
const SPEC_BYTES_MAX: usize = 2 * MANIFEST_BYTES_MAX;

/// What the API server shows of a warning, in bytes.
const WARNING_BYTES_MAX: usize = 256;

/// An answer to a review.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Whether the resource may be written.
    pub allowed: bool,
    /// The whole AdmissionReview.
    pub review: Value,
}

/// A body that is no review.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is no AdmissionReview of {VERSION}: {0}")]
pub struct NoReview(String);

const VERSION: &str = "admission.k8s.io/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: String,
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    operation: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    sub_resource: String,
    #[serde(default)]
    object: Option<Measured>,
    #[serde(default)]
    old_object: Option<Measured>,
}

/// An object before it is read.
#[derive(Deserialize)]
struct Measured {
    #[serde(default)]
    spec: JsonBytes,
}

/// One of the two objects, read by itself: metadata, status and the other one are never held.
#[derive(Deserialize)]
struct New {
    request: NewRequest,
}

#[derive(Deserialize)]
struct NewRequest {
    object: Object,
}

#[derive(Deserialize)]
struct Old {
    request: OldRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldRequest {
    old_object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    spec: S3SyncSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    generation: Option<i64>,
}

impl Object {
    fn sync(self, request: &Request) -> S3Sync {
        let given = |text: Option<String>, other: &str| {
            text.or_else(|| Some(other.to_owned()).filter(|other| !other.is_empty()))
        };
        let mut sync = S3Sync::new("", self.spec);
        sync.metadata.name = given(self.metadata.name, &request.name);
        sync.metadata.namespace = given(self.metadata.namespace, &request.namespace);
        sync.metadata.uid = self.metadata.uid;
        sync.metadata.generation = self.metadata.generation;
        sync
    }
}

/// Answers a review. What was wrong before the change is a warning, so that labels, finalizers, `suspend` and a first
/// mended field of a resource that is invalid already can be written; what the change makes wrong is refused, together
/// with all else that is wrong.
pub fn review(body: &[u8], policy: &Policy) -> Result<Answer, NoReview> {
    let no_review = |error: serde_json::Error| NoReview(text::message(&error.to_string()));
    let Head { api_version, request } = serde_json::from_slice(body).map_err(no_review)?;
    if api_version != VERSION {
        return Err(NoReview(text::message(&format!("its apiVersion is {api_version:?}"))));
    }
    let object = match (&request.object, request.operation.as_str()) {
        (Some(object), "CREATE" | "UPDATE") if request.sub_resource.is_empty() => object,
        _ => return Ok(allowed(&request, vec![])),
    };
    let now = wrong(object, || serde_json::from_slice(body).map(|new: New| new.request.object), &request, policy);
    let before = match &request.old_object {
        Some(old) if !now.errors.is_empty() => {
            wrong(old, || serde_json::from_slice(body).map(|old: Old| old.request.old_object), &request, policy)
        }
        _ => Wrong::default(),
    };
    if now.errors.iter().all(|error| before.errors.iter().any(|before| kind(before) == kind(error))) {
        return Ok(allowed(
            &request,
            now.errors.iter().map(|error| format!("{error}; it was so before, and nothing runs")).collect(),
        ));
    }
    Ok(denied(&request, &now))
}

/// What makes two errors the same: a size is another with each change, and is too large all the same.
fn kind(error: &FieldError) -> (&str, &str, Option<&str>) {
    let without_size =
        error.message.strip_prefix("has ").and_then(|rest| rest.split_once(" bytes ")).map(|(_, rest)| rest);
    (&error.path, without_size.unwrap_or(&error.message), error.suggestion.as_deref())
}

/// What is wrong with an object.
#[derive(Default)]
struct Wrong {
    errors: Vec<FieldError>,
    /// Only the admin's rules say so.
    forbidden: bool,
}

/// One that cannot be read was written by another version of the definition: Ready would say the same.
fn wrong(
    object: &Measured,
    read: impl FnOnce() -> serde_json::Result<Object>,
    request: &Request,
    policy: &Policy,
) -> Wrong {
    let JsonBytes(bytes) = object.spec;
    if bytes > SPEC_BYTES_MAX {
        return Wrong { errors: vec![too_long(bytes)], forbidden: false };
    }
    match read() {
        Ok(object) => {
            let sync = object.sync(request);
            let mut errors = errors(&sync);
            let forbidden = errors.is_empty();
            errors.extend(policy.errors(&sync));
            Wrong { errors, forbidden }
        }
        // Without the place: it is one in the request, which nobody sees.
        Err(error) => {
            let error = error.to_string();
            let what = error.rsplit_once(" at line ").map_or(error.as_str(), |(what, _)| what);
            let error = FieldError::new(
                "spec",
                format!("cannot be read: {what}; it was written for another version of s3sync"),
            );
            Wrong { errors: vec![error], forbidden: false }
        }
    }
}

fn allowed(request: &Request, warnings: Vec<String>) -> Answer {
    let warnings: Vec<String> =
        warnings.iter().take(CAUSES_MAX).map(|warning| text::cut(&text::message(warning), WARNING_BYTES_MAX)).collect();
    let mut response = json!({"uid": request.uid, "allowed": true});
    if !warnings.is_empty() {
        response["warnings"] = json!(warnings);
    }
    Answer::new(true, response)
}

/// The cause of a refusal, as Kubernetes' own validation gives them.
#[derive(Serialize)]
struct Cause {
    reason: &'static str,
    field: String,
    message: String,
}

fn denied(request: &Request, wrong: &Wrong) -> Answer {
    let errors = &wrong.errors;
    // As the chart's admission policy calls what only the admin's rules refuse; all else is the spec's own fault.
    let (code, reason, cause) =
        if wrong.forbidden { (403, "Forbidden", "FieldValueForbidden") } else { (422, "Invalid", "FieldValueInvalid") };
    let shown = &errors[..errors.len().min(CAUSES_MAX)];
    let mut message = shown.iter().map(|error| text::message(&error.to_string())).collect::<Vec<_>>().join("; ");
    if errors.len() > shown.len() {
        message.push_str(&format!("; and {} more", errors.len() - shown.len()));
    }
    let causes: Vec<Cause> = shown
        .iter()
        .map(|error| Cause { reason: cause, field: error.path.clone(), message: text::message(&error.predicate()) })
        .collect();
    let details = json!({"group": GROUP, "kind": KIND, "name": request.name, "causes": causes});
    let status = json!({"status": "Failure", "code": code, "reason": reason, "message": message, "details": details});
    Answer::new(false, json!({"uid": request.uid, "allowed": false, "status": status}))
}

impl Answer {
    fn new(allowed: bool, response: Value) -> Answer {
        Answer { allowed, review: json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response}) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::policy::{Rules, WorkerEnv};

    fn resource(spec: &Value) -> Value {
        let mut whole = json!({"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "parquet"}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        json!({
            "apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "spec": whole,
            "metadata": {"name": "orders", "namespace": "data", "uid": "uid-1", "generation": 1, "annotations": {"s3sync.dev/oversized": "x"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]},
        })
    }

    /// The answer's part that matters to the API server.
    fn ask(operation: &str, object: Value, old: Value, rules: Rules) -> Value {
        let request = json!({
            "uid": "review-1", "operation": operation, "name": "orders", "namespace": "data", "object": object, "oldObject": old,
            "kind": {"group": "s3sync.dev", "version": "v1alpha1", "kind": "S3Sync"}, "userInfo": {"username": "ada"}, "dryRun": true,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        });
        let body = json!({"kind": "AdmissionReview", "apiVersion": VERSION, "request": request}).to_string();
        let answer = review(body.as_bytes(), &Policy::new(rules, None).unwrap()).unwrap();
        let response = answer.review["response"].clone();
        assert_eq!(
            (&answer.review["kind"], &answer.review["apiVersion"]),
            (&json!("AdmissionReview"), &json!(VERSION))
        );
        assert_eq!((&response["uid"], &response["allowed"]), (&json!("review-1"), &json!(answer.allowed)));
        response
    }

    fn create(spec: Value) -> Value {
        ask("CREATE", resource(&spec), Value::Null, Rules::default())
    }

    fn update(old: Value, new: Value) -> Value {
        ask("UPDATE", resource(&new), resource(&old), Rules::default())
    }

    /// What `s3sync validate` says of the same resource, without the place.
    fn validated(spec: &Value) -> Vec<String> {
        let errors = crate::api::manifest::check_text(&resource(spec).to_string()).unwrap_err();
        errors.into_iter().map(|error| error.message).collect()
    }

    #[test]
    fn what_validate_says_is_said_in_the_same_words_by_field() {
        for (spec, fields) in [
            (json!({"schedule": "every hour"}), vec!["spec.schedule"]),
            (json!({"schedule": "0 0 30 2 *", "timeZone": "Mars/Base"}), vec!["spec.schedule", "spec.timeZone"]),
            (
                json!({"destination": {"bucket": "raw", "path": "{{TABLE}}/{{UUID}}.csv", "format": "csv"}}),
                vec!["spec.destination"],
            ),
            (json!({"worker": {"env": [{"name": "S3SYNC_JOB", "value": "x"}]}}), vec!["spec.worker.env[0].name"]),
        ] {
            let response = create(spec.clone());
            let status = &response["status"];
            assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")), "{spec}: {response}");
            let causes = status["details"]["causes"].as_array().unwrap();
            assert_eq!(
                causes.iter().map(|cause| cause["field"].as_str().unwrap()).collect::<Vec<_>>(),
                fields,
                "{spec}"
            );
            let said = causes
                .iter()
                .map(|cause| format!("{} {}", cause["field"].as_str().unwrap(), cause["message"].as_str().unwrap()));
            let mut validated = validated(&spec);
            validated.sort();
            let mut said: Vec<String> = said.collect();
            assert_eq!(status["message"], said.join("; "), "{spec}");
            said.sort();
            assert_eq!(said, validated, "{spec}");
        }
        assert_eq!(
            create(json!({"schedule": "H/15 * * * *", "timeZone": "Europe/Berlin"})),
            json!({"uid": "review-1", "allowed": true})
        );
    }

    #[test]
    fn what_only_a_cluster_refuses_is_refused_too() {
        for (spec, field) in [
            (json!({"source": {"bucket": "raw", "endpoint": "file:data"}}), "spec.source.endpoint"),
            (json!({"destination": {"bucket": "lake", "format": "csv", "profile": "dev"}}), "spec.destination.profile"),
            (json!({"source": {"bucket": "raw", "include": vec!["x".repeat(1000); 100]}}), "spec"),
            (json!({"source": {"bucket": "raw", "include": vec!["x".repeat(1000); 300]}}), "spec"),
            (json!({"source": {"bucket": "raw", "format": "of tomorrow"}}), "spec"),
        ] {
            let response = create(spec.clone());
            assert_eq!(
                (&response["allowed"], &response["status"]["details"]["causes"][0]["field"]),
                (&json!(false), &json!(field)),
                "{response}"
            );
        }
    }

    #[test]
    fn what_the_admin_does_not_allow_is_forbidden() {
        let rules = || Rules { max_replicas: Some(2), worker_env: Some(WorkerEnv::None), ..Rules::default() };
        let pods = json!({"replicas": 3, "env": [{"name": "A", "value": "b"}]});
        let response = ask("CREATE", resource(&json!({"worker": pods})), Value::Null, rules());
        assert_eq!((&response["status"]["code"], &response["status"]["reason"]), (&json!(403), &json!("Forbidden")));
        assert_eq!(response["status"]["details"]["causes"].as_array().unwrap().len(), 2, "{response}");
        // All at once.
        let response = ask("CREATE", resource(&json!({"worker": pods, "schedule": "x"})), Value::Null, rules());
        assert_eq!(
            (&response["status"]["code"], response["status"]["details"]["causes"].as_array().unwrap().len()),
            (&json!(422), 3)
        );
    }

    #[test]
    fn what_was_wrong_before_holds_nothing_up() {
        let (bad, worse) = (json!({"schedule": "x"}), json!({"schedule": "x", "timeZone": "Mars/Base"}));
        for (old, new, allowed, warnings) in [
            (bad.clone(), bad.clone(), true, 1),
            (bad.clone(), json!({"schedule": "x", "suspend": true}), true, 1),
            (worse.clone(), bad.clone(), true, 1),
            (worse.clone(), json!({}), true, 0),
            (bad.clone(), worse, false, 0),
            (bad.clone(), json!({"schedule": "y"}), false, 0),
            (json!({}), bad, false, 0),
        ] {
            let response = update(old.clone(), new.clone());
            assert_eq!(response["allowed"], allowed, "{old} to {new}: {response}");
            assert_eq!(response["warnings"].as_array().map_or(0, Vec::len), warnings, "{old} to {new}: {response}");
        }
        // A spec that is too large may be changed in what is not its size, and made smaller: its bytes are others with
        // each change.
        let large = |keys: usize| json!({"source": {"bucket": "raw", "include": vec!["a/long/key.csv"; keys]}});
        let (more, fewer) = (update(large(9_000), large(8_000)), update(large(100), large(8_000)));
        assert_eq!((&more["allowed"], &fewer["allowed"]), (&json!(true), &json!(false)), "{more} {fewer}");
        let response = update(json!({"schedule": "x"}), json!({"schedule": "x"}));
        let warning = response["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("spec.schedule is \"x\"") && warning.len() <= WARNING_BYTES_MAX, "{warning}");
    }

    #[test]
    fn nothing_else_is_looked_at() {
        for (operation, object) in [("DELETE", Value::Null), ("CONNECT", resource(&json!({"schedule": "x"})))] {
            assert_eq!(ask(operation, object, Value::Null, Rules::default())["allowed"], true, "{operation}");
        }
        let body = json!({"apiVersion": VERSION, "request": {"uid": "u", "operation": "UPDATE", "subResource": "status",
            "object": resource(&json!({"schedule": "x"})), "oldObject": null}});
        assert!(review(body.to_string().as_bytes(), &Policy::default()).unwrap().allowed);
    }

    #[test]
    fn a_body_that_is_no_review_is_an_error() {
        for body in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"apiVersion": "admission.k8s.io/v1"}"#,
            r#"{"apiVersion": "admission.k8s.io/v1beta1", "request": {"uid": "u", "operation": "CREATE"}}"#,
        ] {
            let error = review(body.as_bytes(), &Policy::default()).unwrap_err().to_string();
            assert!(error.starts_with("the body is no AdmissionReview of admission.k8s.io/v1: "), "{error}");
        }
    }

    #[test]
    fn an_answer_is_bounded() {
        let env: Vec<Value> = (0..400).map(|n| json!({"name": format!("S3SYNC_{n}"), "value": "x"})).collect();
        let response = create(json!({"worker": {"env": env}}));
        assert_eq!(response["status"]["details"]["causes"].as_array().unwrap().len(), CAUSES_MAX);
        assert!(response["status"]["message"].as_str().unwrap().ends_with("; and 300 more"), "{response}");
        let response = create(json!({"schedule": format!("a\u{1b}[31m\n{}", "x".repeat(90_000))}));
        assert!(
            response.to_string().len() < 4096 && !response["status"]["message"].as_str().unwrap().contains('\u{1b}'),
            "{response}"
        );
    }

    /// It may be applied later, and says only then what it says.
    #[test]
    fn an_s3connection_that_is_named_is_looked_at_later() {
        let by = json!({"name": "minio"});
        let named = json!({"source": {"bucket": "raw", "connectionRef": by}, "destination": {"bucket": "lake", "format": "csv", "connectionRef": by}});
        let endpoints = Some(vec!["http://minio:9000".to_owned()]);
        let rules =
            Rules { endpoints, worker_env: Some(crate::controller::policy::WorkerEnv::Plain), ..Rules::default() };
        assert_eq!(ask("CREATE", resource(&named), Value::Null, rules)["allowed"], true);
        let mut both = named.clone();
        both["source"]["region"] = json!("eu-west-1");
        let message = create(both)["status"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("spec.source.connectionRef excludes region: "), "{message}");
        let mut itself = named;
        itself["destination"]["bucket"] = json!("raw");
        assert_eq!(create(itself)["allowed"], false, "both sides are one place");
    }

    /// The rule of both: whatever the controller would not run is refused, and nothing else.
    #[test]
    fn a_review_refuses_what_the_controller_would_not_run() {
        for spec in [
            json!({}),
            json!({"schedule": "x"}),
            json!({"jitter": "a day"}),
            json!({"source": {"bucket": "raw", "endpoint": "file:x"}}),
            json!({"worker": {"replicas": 5}}),
            json!({"worker": {"replicas": 1}}),
            json!({"destination": {"bucket": "raw", "format": "csv", "path": "{{TABLE}}/{{UUID}}.csv"}}),
        ] {
            let rules = Rules { max_replicas: Some(2), ..Rules::default() };
            let mut sync: S3Sync = serde_json::from_value(resource(&spec)).unwrap();
            sync.metadata.annotations = None;
            let runs = crate::controller::decide::check::check(&sync).is_ok()
                && Policy::new(rules.clone(), None).unwrap().check(&sync).is_ok();
            assert_eq!(ask("CREATE", resource(&spec), Value::Null, rules)["allowed"], runs, "{spec}");
        }
    }
}
