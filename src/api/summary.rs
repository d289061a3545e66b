//! What a status comes to in a word and a sentence: one rule for the columns of `kubectl get` and for `s3sync status`.
//! PURE.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::status::{ConditionType, RunOutcome, RunResult, S3SyncStatus};
use super::text::cut;
use crate::model::reason::Reason;

/// What is shown of a run's reason, in bytes; those of ours have 21 at most.
const REASON_BYTES_MAX: usize = 64;

/// A condition's word, where this release knows it.
pub fn reason(condition: &Condition) -> Option<Reason> {
    condition.reason.parse().ok()
}

impl S3SyncStatus {
    /// A condition, whatever it says.
    pub fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == kind.name())
    }

    /// What a run waits for, or a worker of it, where one does.
    pub fn waiting(&self) -> Option<&Condition> {
        let waits = |condition: &&Condition| condition.status == "True" && reason(condition).is_some_and(Reason::waits);
        [ConditionType::Reconciling, ConditionType::Stalled]
            .into_iter()
            .filter_map(|kind| self.condition(kind))
            .find(waits)
    }

    /// `Running`, `Waiting (Queued)`, `Succeeded`, `Failed (BadData)`: the run in progress, else the last one.
    pub fn run_in_words(&self) -> Option<String> {
        // Without the time, worker 0 is at work, and another one waits.
        if let Some(waiting) = self.waiting().filter(|_| self.waiting_since.is_some()) {
            return Some(format!("Waiting ({})", waiting.reason));
        }
        if !self.active.is_empty() {
            return Some("Running".to_owned());
        }
        let run = self.last_run.as_ref()?;
        Some(match (run.result, run.known_reason()) {
            (RunOutcome::Succeeded, Some(reason @ Reason::NothingFound)) => format!("Succeeded ({reason})"),
            (RunOutcome::Succeeded, _) => "Succeeded".to_owned(),
            // A worker's word may be long, and the API server takes a status with all its fields or not at all.
            (RunOutcome::Failed, _) => {
                let reason = run.reason.as_deref().unwrap_or(Reason::Failed.as_str());
                format!("Failed ({})", cut(reason, REASON_BYTES_MAX))
            }
        })
    }

    /// The sentence that matters most now: why the sync is not ready, else what is stuck or waits, else what became of
    /// the last run, else what Ready says.
    pub fn sentence(&self) -> Option<String> {
        let ready = self.condition(ConditionType::Ready);
        if let Some(ready) = ready.filter(|ready| ready.status == "False") {
            return Some(format!("{}: {}", ready.reason, ready.message));
        }
        let stalled = self.condition(ConditionType::Stalled).filter(|stalled| stalled.status == "True");
        if let Some(stuck) = stalled.or_else(|| self.waiting()) {
            return Some(stuck.message.clone());
        }
        let told = |run: &RunResult| run.message.clone().filter(|message| !message.is_empty());
        let failed = self.last_run.as_ref().filter(|run| run.result == RunOutcome::Failed);
        // Of a suspended sync, that it is suspended explains more than a run that went well.
        let suspended = ready.filter(|ready| ready.reason == Reason::Suspended);
        failed
            .and_then(told)
            .or_else(|| suspended.map(|ready| ready.message.clone()))
            .or_else(|| self.last_run.as_ref().and_then(told))
            .or_else(|| ready.map(|ready| ready.message.clone()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(conditions: &[(&str, &str, &str)], active: bool, last: Option<(&str, &str)>) -> S3SyncStatus {
        let conditions: Vec<Value> = (conditions.iter())
            .map(|(kind, status, reason)| {
                json!({"type": kind, "status": status, "reason": reason, "message": format!("{kind} says {reason}"), "lastTransitionTime": "2026-11-21T00:00:00Z"})
            })
            .collect();
        let last =
            last.map(|(result, reason)| json!({"job": "orders-1", "result": result, "reason": reason, "message": format!("it {result}")}));
        let active = if active { json!([{"job": "orders-2"}]) } else { json!([]) };
        let since = "2026-11-21T00:00:00Z";
        serde_json::from_value(
            json!({"conditions": conditions, "active": active, "lastRun": last, "waitingSince": since}),
        )
        .unwrap()
    }

    /// Each row is what an admin sees in RUN and MESSAGE.
    #[test]
    fn a_word_and_a_sentence() {
        const ARMED: (&str, &str, &str) = ("Ready", "True", "Armed");
        const BAD: Option<(&str, &str)> = Some(("Failed", "BadData"));
        const GOOD: Option<(&str, &str)> = Some(("Succeeded", "Succeeded"));
        let reconciling = |reason| ("Reconciling", "True", reason);
        for (conditions, active, last, run, message) in [
            (vec![], false, None, None, None),
            (vec![ARMED], false, None, None, Some("Ready says Armed")),
            (vec![ARMED], false, GOOD, Some("Succeeded"), Some("it Succeeded")),
            (
                vec![ARMED],
                false,
                Some(("Succeeded", "NothingFound")),
                Some("Succeeded (NothingFound)"),
                Some("it Succeeded"),
            ),
            (vec![ARMED], false, BAD, Some("Failed (BadData)"), Some("it Failed")),
            (vec![ARMED, reconciling("Running")], true, BAD, Some("Running"), Some("it Failed")),
            (
                vec![ARMED, reconciling("WorkerWaiting")],
                true,
                BAD,
                Some("Waiting (WorkerWaiting)"),
                Some("Reconciling says WorkerWaiting"),
            ),
            (vec![ARMED, reconciling("Queued")], true, GOOD, Some("Waiting (Queued)"), Some("Reconciling says Queued")),
            (
                vec![ARMED, reconciling("WaitingForCapacity")],
                false,
                GOOD,
                Some("Waiting (WaitingForCapacity)"),
                Some("Reconciling says WaitingForCapacity"),
            ),
            (
                vec![("Ready", "False", "WorkerWaiting"), ("Stalled", "True", "WorkerWaiting")],
                true,
                GOOD,
                Some("Waiting (WorkerWaiting)"),
                Some("WorkerWaiting: Ready says WorkerWaiting"),
            ),
            (
                vec![ARMED, ("Stalled", "True", "DecisionUnpublishable")],
                false,
                Some(("Failed", "DecisionUnpublishable")),
                Some("Failed (DecisionUnpublishable)"),
                Some("Stalled says DecisionUnpublishable"),
            ),
            (
                vec![("Ready", "False", "InvalidSpec")],
                false,
                BAD,
                Some("Failed (BadData)"),
                Some("InvalidSpec: Ready says InvalidSpec"),
            ),
            (vec![("Ready", "True", "Suspended")], false, GOOD, Some("Succeeded"), Some("Ready says Suspended")),
            (vec![("Ready", "True", "Suspended")], false, BAD, Some("Failed (BadData)"), Some("it Failed")),
        ] {
            let status = status(&conditions, active, last);
            let seen = (status.run_in_words(), status.sentence());
            assert_eq!((seen.0.as_deref(), seen.1.as_deref()), (run, message), "{conditions:?}");
        }
        let mut working = status(&[ARMED, reconciling("WorkerWaiting")], true, BAD);
        working.waiting_since = None;
        assert_eq!(working.run_in_words().as_deref(), Some("Running"), "worker 0 is at work");
    }
}
