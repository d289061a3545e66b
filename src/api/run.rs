//! `S3SyncRun`: one run of a sync, asked for by name. A field's documentation is what `kubectl explain` and
//! docs/reference.md show, so it speaks to users.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::FieldError;
use super::status::{RunCounts, RunOutcome};
use crate::model::request::{Asked, Window};

/// The kind.
pub const RUN_KIND: &str = "S3SyncRun";

/// Which run is asked for.
#[allow(clippy::duplicated_attributes, reason = "each column has a type")]
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "s3sync.dev",
    version = "v1alpha1",
    kind = "S3SyncRun",
    plural = "s3syncruns",
    shortname = "s3r",
    namespaced,
    status = "S3SyncRunStatus",
    derive = "PartialEq",
    doc = "An S3SyncRun asks for one run of an S3Sync: to wait for its end, to read a window of the source alone, or to read objects once more. Its result stays as long as it does.",
    printcolumn(name = "Sync", type_ = "string", json_path = ".spec.syncRef.name"),
    printcolumn(name = "Result", type_ = "string", json_path = ".status.result"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Rows", type_ = "integer", json_path = ".status.rows"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Job", type_ = "string", json_path = ".status.job", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("what a run is asked for cannot be changed: make another S3SyncRun"))]
#[serde(rename_all = "camelCase")]
pub struct S3SyncRunSpec {
    /// The S3Sync that runs, as it is when the run starts.
    pub sync_ref: SyncRef,
    /// Of all that the sync selects, what is read; the rest is left to other runs. An object must lie in both ranges.
    /// Not with writeMode Replace, which would drop what lies outside.
    #[serde(default)]
    pub window: WindowSpec,
    /// Reads objects that were read before once more. With Append their rows are written again, and those of before
    /// stay; with Replace everything is written anew. Workers that die and are started again write nothing twice.
    #[serde(default)]
    pub reread: bool,
    /// Deletes this S3SyncRun so many seconds after its run ended, as a Job's field of this name does. Absent: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// An S3Sync in the namespace of the S3SyncRun.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncRef {
    /// The S3Sync's name. One that is not there yet is waited for.
    #[schemars(length(min = 1, max = 52), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// Half-open ranges of objects, by key and by time of last modification.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowSpec {
    /// Only this key and later ones, byte by byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub from_key: Option<String>,
    /// Only keys before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub to_key: Option<String>,
    /// Only objects last modified at this time or later, such as 2026-01-31T10:00:00Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub modified_from: Option<String>,
    /// Only objects last modified before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub modified_to: Option<String>,
}

impl S3SyncRunSpec {
    /// What is asked for.
    ///
    /// # Errors
    /// A time that an API server takes and that is none, such as one in the zone +99:00.
    pub fn asked(&self) -> Result<Asked, FieldError> {
        let WindowSpec { from_key, to_key, modified_from, modified_to } = &self.window;
        let window = Window {
            from_key: from_key.clone(),
            to_key: to_key.clone(),
            modified_from: time("modifiedFrom", modified_from)?,
            modified_to: time("modifiedTo", modified_to)?,
        };
        Ok(Asked { window, reread: self.reread })
    }

    /// What is wrong whichever sync is meant. What its settings do not allow, [`Asked::check`] says.
    pub fn check(&self) -> Result<(), FieldError> {
        self.asked()?
            .window
            .check()
            .map_err(|reason| FieldError::new("spec.window", format!("cannot be run: {reason}")))
    }
}

fn time(field: &str, text: &Option<String>) -> Result<Option<Timestamp>, FieldError> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |_| {
        FieldError::new(format!("spec.window.{field}"), format!("is {text:?}, which is no time"))
            .suggest("write a time with its zone, such as 2026-01-31T10:00:00Z")
    };
    text.parse().map(Some).map_err(wrong)
}

/// What the operator says. Its words are those of `status.lastRun` of the sync.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3SyncRunStatus {
    /// The generation of the spec that this status is about.
    #[serde(default = "never")]
    pub observed_generation: i64,
    /// Once the run has ended, Complete or Failed is True, as of a Job, and Stalled beside Failed. Before, Reconciling
    /// is, and says what the run does or waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// The Job that runs it. It goes before the S3SyncRun does, by the sync's history limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Succeeded or Failed. Absent: it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RunOutcome>,
    /// One word of the condition that holds: what the run does or waits for, or how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// One sentence that says what happened and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// What it published.
    #[serde(flatten)]
    pub counts: RunCounts,
}

/// What `observedGeneration` is before the first look, so that tools wait for it (kstatus).
fn never() -> i64 {
    -1
}

impl Default for S3SyncRunStatus {
    fn default() -> Self {
        S3SyncRunStatus {
            observed_generation: never(),
            conditions: Vec::new(),
            job: None,
            start_time: None,
            completion_time: None,
            result: None,
            reason: None,
            message: None,
            counts: RunCounts::default(),
        }
    }
}

impl S3SyncRun {
    /// Whether its run has ended: it is never run again.
    pub fn has_ended(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.result.is_some())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_for_is_the_request_s_own() {
        let spec = |window: serde_json::Value| -> S3SyncRunSpec {
            serde_json::from_value(json!({"syncRef": {"name": "orders"}, "window": window, "reread": true})).unwrap()
        };
        let window = json!({"fromKey": "a", "toKey": "b", "modifiedFrom": "2026-01-01T02:00:00+02:00", "modifiedTo": "2026-01-02T00:00:00Z"});
        let asked = spec(window).asked().unwrap();
        let expected = r#"keys from "a" to "b", modified from 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z"#;
        assert_eq!((asked.window.to_string().as_str(), asked.reread), (expected, true));
        let plain: S3SyncRunSpec = serde_json::from_value(json!({"syncRef": {"name": "orders"}})).unwrap();
        assert!(plain.asked().unwrap().is_plain());
        let empty = spec(json!({"fromKey": "b", "toKey": "a"})).check().unwrap_err();
        assert!(
            empty
                .to_string()
                .starts_with("spec.window cannot be run: the window is empty: fromKey \"b\" is not before")
        );
        let wrong = spec(json!({"modifiedTo": "2026-01-02T00:00:00+99:00"})).check().unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "spec.window.modifiedTo is \"2026-01-02T00:00:00+99:00\", which is no time; write a time with its zone, such as \
             2026-01-31T10:00:00Z"
        );
    }
}
