//! Runs and workers as the cluster shows them: what deciding needs of Jobs and pods. PURE.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::core::Status;

use crate::api::report::RunReport;
use crate::api::text;
use crate::controller::names::{
    POD_INDEX, POD_JOB, REQUESTED_BY, RUN_TRIGGER, RUN_TRIGGER_ANNOTATION, SCHEDULED, SLOT, SYNCED,
};
use crate::controller::pod;

/// What a run was started for, written on its Job so that a lost status loses nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The slot in the Job's name.
    pub slot: String,
    /// The minute of a scheduled slot.
    pub scheduled: Option<Timestamp>,
    /// Hash of what was synced then.
    pub synced: Option<String>,
    /// `spec.trigger` as it was then.
    pub trigger: Option<String>,
    /// The annotation s3sync.dev/trigger as it was then.
    pub trigger_annotation: Option<String>,
    /// The S3SyncRun that asked for it.
    pub requested_by: Option<String>,
}

impl Marks {
    /// As annotations of the Job.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let optional = [
            (SCHEDULED, self.scheduled.map(|time| time.to_string())),
            (SYNCED, self.synced.clone()),
            (RUN_TRIGGER, self.trigger.clone()),
            (RUN_TRIGGER_ANNOTATION, self.trigger_annotation.clone()),
            (REQUESTED_BY, self.requested_by.clone()),
        ];
        let mut annotations: BTreeMap<String, String> =
            optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        annotations.insert(SLOT.to_owned(), self.slot.clone());
        annotations
    }

    fn read(annotations: Option<&BTreeMap<String, String>>) -> Marks {
        let text = |key: &str| annotations.and_then(|all| all.get(key)).cloned();
        Marks {
            slot: text(SLOT).unwrap_or_default(),
            scheduled: text(SCHEDULED).and_then(|time| time.parse().ok()),
            synced: text(SYNCED),
            trigger: text(RUN_TRIGGER),
            trigger_annotation: text(RUN_TRIGGER_ANNOTATION),
            requested_by: text(REQUESTED_BY),
        }
    }
}

/// A run, as its Job shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The Job's name.
    pub job: String,
    /// The Job's uid.
    pub uid: String,
    /// Whether the resource in question owns it.
    pub owned: bool,
    /// When the Job was made.
    pub created: Timestamp,
    /// When its pods were first allowed to start.
    pub started: Option<Timestamp>,
    /// Whether the Job is being deleted.
    pub deleting: bool,
    /// Whether something (Kueue) holds it back.
    pub held: bool,
    /// Whether the Job controller is about to end it, and ends its pods for that.
    pub ending: bool,
    /// How it ended.
    pub end: Option<End>,
    /// What it was started for.
    pub marks: Marks,
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Whether it completed.
    pub succeeded: bool,
    /// The Job controller's reason, such as `DeadlineExceeded` or `PodFailurePolicy`.
    pub reason: String,
    /// The Job controller's message.
    pub message: String,
}

impl Run {
    /// Reads a Job. `owner_uid` is the resource's; a Job that has no creation time has not been made yet, and is none.
    pub fn of(job: &Job, owner_uid: &str) -> Option<Run> {
        let metadata = &job.metadata;
        let status = job.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let is = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True");
        let created = metadata.creation_timestamp.as_ref()?.0;
        let end = |condition: &JobCondition, succeeded: bool| End {
            at: match status.and_then(|status| status.completion_time.as_ref()) {
                Some(time) => time.0,
                None => condition.last_transition_time.as_ref().map_or(created, |time| time.0),
            },
            succeeded,
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        };
        Some(Run {
            job: metadata.name.clone()?,
            uid: metadata.uid.clone().unwrap_or_default(),
            owned: metadata.owner_references.iter().flatten().any(|owner| owner.uid == owner_uid),
            created,
            started: status.and_then(|status| status.start_time.as_ref()).map(|time| time.0),
            deleting: metadata.deletion_timestamp.is_some(),
            held: is_held(job),
            ending: is("SuccessCriteriaMet").is_some() || is("FailureTarget").is_some(),
            end: is("Complete")
                .map(|condition| end(condition, true))
                .or_else(|| is("Failed").map(|condition| end(condition, false))),
            marks: Marks::read(metadata.annotations.as_ref()),
        })
    }

    /// Whether its pods may still be at work.
    pub fn active(&self) -> bool {
        self.end.is_none()
    }
}

/// Whether something (Kueue) holds a Job back.
pub fn is_held(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false)
}

/// A pod of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// Its Job.
    pub job: String,
    /// Its index in the Job.
    pub index: u32,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When its grace period ends or ended, where it is being deleted.
    pub deleted: Option<Timestamp>,
    /// Whether its container has begun its work, or has ended already.
    pub begun: bool,
    /// What its container may use of memory, in bytes, where that is bounded.
    pub memory_limit: Option<u64>,
    /// How its container ended.
    pub ended: Option<Ended>,
    /// Why it does not start, as a sentence.
    pub waits: Option<String>,
    /// Whether what it does not start for is a Secret or ConfigMap that is not there.
    pub lacks_config: bool,
    /// Who ended it from outside: the word of Kubernetes, and its sentence where there is one.
    pub killed: Option<String>,
}

/// How a worker's container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The process's exit code.
    pub exit_code: i32,
    /// The kubelet's word for it, such as `OOMKilled`.
    pub reason: String,
    /// What worker 0 says about the run.
    pub report: Option<RunReport>,
}

impl Worker {
    /// Reads a pod; `None` for one that is no Job's.
    pub fn of(pod: &Pod) -> Option<Worker> {
        let metadata = &pod.metadata;
        let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key));
        let container = pod::container(pod);
        Some(Worker {
            pod: metadata.name.clone()?,
            uid: metadata.uid.clone().unwrap_or_default(),
            job: label(POD_JOB)?.clone(),
            index: label(POD_INDEX).and_then(|index| index.parse().ok()).unwrap_or(0),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            deleted: metadata.deletion_timestamp.as_ref().map(|time| time.0),
            begun: pod::begun(pod),
            memory_limit: pod::memory_limit(pod),
            ended: container.and_then(ended),
            waits: pod::not_started(pod).filter(|why| !why.is_usual()).map(|why| why.to_string()),
            lacks_config: pod::not_started(pod).is_some_and(|why| why.is_for_config()),
            killed: pod::killed(pod),
        })
    }
}

fn ended(container: &ContainerStatus) -> Option<Ended> {
    let end = container.state.as_ref()?.terminated.as_ref()?;
    Some(Ended {
        exit_code: end.exit_code,
        reason: end.reason.clone().unwrap_or_default(),
        report: end.message.as_deref().and_then(RunReport::from_termination_message),
    })
}

/// What the API server says of a run that it does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its sentence.
    pub answer: String,
    /// Whether another try would be answered the same for a while.
    pub lasting: bool,
}

impl Refused {
    /// Reads an answer.
    pub fn of(answer: &Status) -> Refused {
        // Quota, policy, a webhook, a field that only it understands. What is gone, in conflict or too much may pass at
        // the next try.
        let lasting = (400..500).contains(&answer.code) && ![404, 409, 429].contains(&answer.code);
        Refused { answer: text::message(&answer.message), lasting }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::status::RunCounts;

    fn worker(status: serde_json::Value) -> Worker {
        let pod = json!({
            "metadata": {"name": "orders-1-0-abcde", "uid": "p", "labels": {
                "batch.kubernetes.io/job-name": "orders-1", "batch.kubernetes.io/job-completion-index": "2"}},
            "status": status,
        });
        Worker::of(&serde_json::from_value(pod).unwrap()).unwrap()
    }

    #[test]
    fn what_a_pod_waits_for() {
        let waiting = |reason: &str, message: serde_json::Value| {
            json!({"containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                   "state": {"waiting": {"reason": reason, "message": message}}}]})
        };
        for (status, expected) in [
            (json!({}), None),
            (waiting("ContainerCreating", json!(null)), None),
            (
                waiting("CreateContainerConfigError", json!("secret \"raw-ro\" not found")),
                Some("CreateContainerConfigError: secret \"raw-ro\" not found"),
            ),
            (waiting("ImagePullBackOff", json!(null)), Some("ImagePullBackOff")),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]}),
                Some("Unschedulable: 0/3 nodes are available"),
            ),
            (json!({"conditions": [{"type": "PodScheduled", "status": "True"}]}), None),
        ] {
            assert_eq!(worker(status.clone()).waits.as_deref(), expected, "{status}");
        }
    }

    #[test]
    fn who_ended_a_pod() {
        let ended = |exit_code: i32, reason: &str| {
            json!([{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": exit_code, "reason": reason}}}])
        };
        let target = |reason: &str, message: &str| json!([{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]);
        for (status, expected) in [
            (json!({}), None),
            (json!({"containerStatuses": ended(1, "Error")}), None),
            (json!({"containerStatuses": ended(137, "OOMKilled")}), Some("OOMKilled")),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. ",
                    "conditions": target("TerminationByKubelet", "The node")}),
                Some("Evicted: The node was low on resource: memory. "),
            ),
            (
                json!({"conditions": target("EvictionByEvictionAPI", "Eviction API: evicting")}),
                Some("EvictionByEvictionAPI: Eviction API: evicting"),
            ),
            (
                json!({"containerStatuses": ended(5, "Error"), "conditions": target("DeletionByTaintManager", "")}),
                Some("DeletionByTaintManager"),
            ),
            // It had done its part before its node was drained.
            (
                json!({"containerStatuses": ended(0, "Completed"), "conditions": target("EvictionByEvictionAPI", "")}),
                None,
            ),
        ] {
            assert_eq!(worker(status.clone()).killed.as_deref(), expected, "{status}");
        }
    }

    #[test]
    fn how_a_worker_ended() {
        let report = RunReport {
            counts: RunCounts { rows: 7, ..RunCounts::default() },
            ..RunReport::failed("Denied", "no access")
        };
        let status = json!({"containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 3, "reason": "Error", "message": report.to_termination_message()}}}]});
        let worker = worker(status);
        assert_eq!(worker.ended, Some(Ended { exit_code: 3, reason: "Error".into(), report: Some(report) }));
        assert_eq!((worker.index, worker.waits), (2, None));
    }

    #[test]
    fn marks_survive_the_job() {
        let marks = Marks {
            slot: "202611211530".into(),
            scheduled: Some("2026-11-21T15:30:00Z".parse().unwrap()),
            synced: Some("0123456789".into()),
            trigger: Some("backfill".into()),
            trigger_annotation: None,
            requested_by: Some("backfill".into()),
        };
        assert_eq!(Marks::read(Some(&marks.annotations())), marks);
        assert_eq!(Marks::read(None), Marks::default());
    }

    #[test]
    fn how_a_job_ended() {
        let job = |status: serde_json::Value| {
            let job = json!({"metadata": {"name": "orders-1", "creationTimestamp": "2026-11-21T12:00:00Z"}, "status": status});
            Run::of(&serde_json::from_value(job).unwrap(), "uid-1").unwrap()
        };
        assert_eq!(job(json!({})).end, None);
        let complete = json!({"completionTime": "2026-11-21T12:05:00Z", "conditions": [
            {"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True", "reason": "SuccessPolicy"}]});
        let end = job(complete).end.unwrap();
        assert_eq!(
            (end.succeeded, end.at.to_string(), end.reason),
            (true, "2026-11-21T12:05:00Z".into(), "SuccessPolicy".into())
        );
        let failed = json!({"conditions": [
            {"type": "FailureTarget", "status": "True"},
            {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": "2026-11-21T12:07:00Z"}]});
        let end = job(failed).end.unwrap();
        assert_eq!(
            (end.succeeded, end.at.to_string(), end.reason),
            (false, "2026-11-21T12:07:00Z".into(), "PodFailurePolicy".into())
        );
        // About to end: its other pods are still at work.
        let ending = job(json!({"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}));
        assert!(ending.active() && ending.ending);
    }
}
