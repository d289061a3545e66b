//! A review: what the API server asks of a resource that is being applied, and what it is answered
//! (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>). PURE.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::measure::JsonBytes;
use crate::api::error::FieldError;
use crate::api::run::{RUN_KIND, S3SyncRunSpec};
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
    #[serde(default)]
    kind: Kind,
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

/// Which kind it is; a sync where nothing is said.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Kind {
    kind: String,
}

impl Request {
    fn kind(&self) -> &str {
        if self.kind.kind == RUN_KIND { RUN_KIND } else { KIND }
    }
}

/// An object before it is read.
#[derive(Deserialize)]
struct Measured {
    #[serde(default)]
    spec: JsonBytes,
}

/// One of the two objects, read by itself: metadata, status and the other one are never held.
#[derive(Deserialize)]
struct New<S> {
    request: NewRequest<S>,
}

#[derive(Deserialize)]
struct NewRequest<S> {
    object: Object<S>,
}

#[derive(Deserialize)]
struct Old<S> {
    request: OldRequest<S>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldRequest<S> {
    old_object: Object<S>,
}

#[derive(Deserialize)]
struct Object<S> {
    #[serde(default)]
    metadata: Metadata,
    spec: S,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    generation: Option<i64>,
}

impl Object<S3SyncSpec> {
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
    let (now, before) = match request.kind() {
        RUN_KIND => both(body, object, &request, |run: Object<S3SyncRunSpec>| Wrong {
            // Its sync may be applied later, and is changed at any time: what that allows is said when it runs.
            errors: run.spec.check().err().into_iter().collect(),
            forbidden: false,
        }),
        _ => both(body, object, &request, |object: Object<S3SyncSpec>| {
            let sync = object.sync(&request);
            let mut errors = errors(&sync);
            let forbidden = errors.is_empty();
            errors.extend(policy.errors(&sync));
            Wrong { errors, forbidden }
        }),
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

/// What is wrong with the new object, and where that is anything, with the old one.
fn both<S: DeserializeOwned>(
    body: &[u8],
    object: &Measured,
    request: &Request,
    check: impl Fn(Object<S>) -> Wrong,
) -> (Wrong, Wrong) {
    let now = wrong(object, || serde_json::from_slice(body).map(|new: New<S>| new.request.object), &check);
    let before = match &request.old_object {
        Some(old) if !now.errors.is_empty() => {
            wrong(old, || serde_json::from_slice(body).map(|old: Old<S>| old.request.old_object), &check)
        }
        _ => Wrong::default(),
    };
    (now, before)
}

/// One that cannot be read was written by another version of the definition: Ready would say the same.
fn wrong<S>(
    object: &Measured,
    read: impl FnOnce() -> serde_json::Result<Object<S>>,
    check: impl Fn(Object<S>) -> Wrong,
) -> Wrong {
    let JsonBytes(bytes) = object.spec;
    if bytes > SPEC_BYTES_MAX {
        return Wrong { errors: vec![too_long(bytes)], forbidden: false };
    }
    match read() {
        Ok(object) => check(object),
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
    let details = json!({"group": GROUP, "kind": request.kind(), "name": request.name, "causes": causes});
    let status = json!({"status": "Failure", "code": code, "reason": reason, "message": message, "details": details});
    Answer::new(false, json!({"uid": request.uid, "allowed": false, "status": status}))
}

impl Answer {
    fn new(allowed: bool, response: Value) -> Answer {
        Answer { allowed, review: json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response}) }
    }
}

#[cfg(test)]
mod tests;
