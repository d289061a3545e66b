//! What is told of a change: a small JSON, made from the status before and after. PURE.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use crate::api::status::{ConditionType, RunCounts, RunOutcome};
use crate::api::{S3SyncStatus, text};
use crate::controller::reflectors::expectations::Key;

/// The version of the JSON: another one where a field goes or means something else. Fields may be added without.
const VERSION: u32 = 1;

/// Conditions that are told of.
const TOLD: [ConditionType; 2] = [ConditionType::Ready, ConditionType::LastRunSucceeded];

/// A change of a condition's status.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    version: u32,
    /// The resource's.
    pub namespace: String,
    /// The resource's.
    pub name: String,
    /// Ready or LastRunSucceeded.
    pub condition: &'static str,
    /// True or False.
    pub status: String,
    /// The condition's one word.
    pub reason: String,
    /// The condition's one sentence.
    pub message: String,
    /// The generation of the spec that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// When the condition's status changed.
    pub time: Time,
    /// The run that ended, with LastRunSucceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunTold>,
}

/// A run that ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunTold {
    job: String,
    result: RunOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_time: Option<Time>,
    #[serde(flatten)]
    counts: RunCounts,
}

/// What is told when `after` takes the place of `before`: what turned False, and what is True again. What is fine from
/// its beginning is not told, nor another reason for the same status.
pub fn notices(key: &Key, before: &S3SyncStatus, after: &S3SyncStatus) -> Vec<Notice> {
    let told = |kind: ConditionType| {
        let (was, is) = (before.condition(kind), after.condition(kind)?);
        let turned = match (was, is.status.as_str()) {
            (Some(was), now) => was.status != now,
            (None, now) => now == "False",
        };
        let run = after.last_run.as_ref().filter(|_| kind == ConditionType::LastRunSucceeded).map(|run| RunTold {
            job: run.job.clone(),
            result: run.result,
            start_time: run.start_time.clone(),
            completion_time: run.completion_time.clone(),
            counts: run.counts,
        });
        turned.then(|| Notice {
            version: VERSION,
            namespace: key.0.clone(),
            name: key.1.clone(),
            condition: kind.name(),
            status: is.status.clone(),
            reason: text::message(&is.reason),
            message: text::message(&is.message),
            generation: is.observed_generation,
            time: is.last_transition_time.clone(),
            run,
        })
    };
    TOLD.into_iter().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(ready: Option<&str>, last: Option<&str>) -> S3SyncStatus {
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": "Why", "message": "a \u{1b}[31msentence\nof two lines", "observedGeneration": 3,
                "lastTransitionTime": "2026-11-21T12:00:10Z"})
        };
        let conditions: Vec<Value> = [("Ready", ready), ("LastRunSucceeded", last)]
            .iter()
            .filter_map(|(kind, is)| Some(condition(kind, (*is)?)))
            .collect();
        let run = json!({"job": "orders-1", "result": "Failed", "rows": 12, "message": "x", "completionTime": "2026-11-21T12:00:00Z"});
        serde_json::from_value(json!({"conditions": conditions, "lastRun": run})).unwrap()
    }

    fn told(before: &S3SyncStatus, after: &S3SyncStatus) -> Vec<(&'static str, String)> {
        let key = ("data".to_owned(), "orders".to_owned());
        notices(&key, before, after).into_iter().map(|notice| (notice.condition, notice.status)).collect()
    }

    #[test]
    fn what_turns_is_told_and_what_stays_is_not() {
        for (before, after, expected) in [
            (None, Some("True"), None),
            (None, Some("False"), Some("False")),
            (Some("True"), Some("True"), None),
            (Some("True"), Some("False"), Some("False")),
            (Some("False"), Some("False"), None),
            (Some("False"), Some("True"), Some("True")),
            (Some("False"), None, None),
        ] {
            let is = |kind| expected.map(|status: &str| (kind, status.to_owned())).into_iter().collect::<Vec<_>>();
            assert_eq!(told(&status(before, None), &status(after, None)), is("Ready"), "{before:?} to {after:?}");
            assert_eq!(
                told(&status(None, before), &status(None, after)),
                is("LastRunSucceeded"),
                "{before:?} to {after:?}"
            );
        }
        assert_eq!(told(&status(Some("True"), Some("True")), &status(Some("False"), Some("False"))).len(), 2);
    }

    #[test]
    fn the_json_is_small_plain_and_has_a_version() {
        let key = ("data".to_owned(), "orders".to_owned());
        let notices = notices(&key, &status(Some("True"), Some("True")), &status(Some("False"), Some("False")));
        let told: Value = serde_json::to_value(&notices).unwrap();
        let of = |condition: &str| {
            json!({"version": 1, "namespace": "data", "name": "orders", "condition": condition, "status": "False", "reason": "Why",
                "message": "a [31msentence of two lines", "generation": 3, "time": "2026-11-21T12:00:10Z"})
        };
        let mut last = of("LastRunSucceeded");
        last["run"] = json!({"job": "orders-1", "result": "Failed", "completionTime": "2026-11-21T12:00:00Z", "tables": 0, "objects": 0,
            "rows": 12, "bytes": 0, "files": 0, "badRecords": 0, "quarantined": 0});
        assert_eq!(told, json!([of("Ready"), last]));
    }
}
