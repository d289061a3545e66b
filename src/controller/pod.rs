//! What a pod's status says of its worker: why it does not start, whether it has begun, and who ended it. One reading
//! for the controller and for whoever follows a pod by hand. PURE.

use std::fmt;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use crate::api::scalar::{IntOrText, PodQuantity};
use crate::model::reason::Reason;

/// The condition of a pod that is ended to make room, with its node, or by an eviction
/// (<https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>).
pub const DISRUPTION: &str = "DisruptionTarget";

/// The condition of a pod that has a node, or has none.
pub const SCHEDULED: &str = "PodScheduled";

/// The worker's container: others in its pod are not ours.
pub const CONTAINER: &str = "worker";

/// The kubelet's reasons of a container's waiting that pass by themselves.
const USUAL: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// The kubelet's reasons for not starting a container that somebody has to do something about.
const STUCK: [&str; 6] =
    ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", NO_CONFIG, "CreateContainerError"];

/// The kubelet's reason where a Secret or ConfigMap that the container takes variables from is not there.
const NO_CONFIG: &str = "CreateContainerConfigError";

/// Why a pod's container has not started, in the words of the scheduler or the kubelet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotStarted {
    /// Their one word; empty where they have none.
    pub reason: String,
    /// Their sentence; empty where they have none.
    pub message: String,
}

impl NotStarted {
    /// Whether it is the way of every pod.
    pub fn is_usual(&self) -> bool {
        USUAL.contains(&self.reason.as_str()) || (self.reason.is_empty() && self.message.is_empty())
    }

    /// Whether it lasts until somebody does something.
    pub fn is_stuck(&self) -> bool {
        STUCK.contains(&self.reason.as_str())
    }

    /// Whether a Secret or ConfigMap is missing.
    pub fn is_for_config(&self) -> bool {
        self.reason == NO_CONFIG
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason.as_str(), self.message.as_str()) {
            ("", "") => f.write_str("it waits for a node"),
            (one, "") | ("", one) => f.write_str(one),
            (reason, message) => write!(f, "{reason}: {message}"),
        }
    }
}

/// What is known of the worker's container, once the kubelet has the pod.
pub fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let all = pod.status.as_ref()?.container_statuses.as_deref()?;
    all.iter().find(|container| container.name == CONTAINER)
}

/// Why the pod's container has not started; `None` when it has, and so has a log.
pub fn not_started(pod: &Pod) -> Option<NotStarted> {
    let why = |reason: &Option<String>, message: &Option<String>| NotStarted {
        reason: reason.clone().unwrap_or_default(),
        message: message.clone().unwrap_or_default(),
    };
    let container = container(pod);
    if let Some(waiting) = container.and_then(|container| container.state.as_ref()?.waiting.as_ref()) {
        // A container that waits to be started again has a log of its life before.
        let ran = container.and_then(|container| container.last_state.as_ref()?.terminated.as_ref());
        return ran.is_none().then(|| why(&waiting.reason, &waiting.message));
    }
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    match conditions.find(|one| one.type_ == SCHEDULED && one.status == "False") {
        Some(unscheduled) => Some(why(&unscheduled.reason, &unscheduled.message)),
        None => container.is_none().then(|| why(&None, &None)),
    }
}

/// Whether its container has begun its work, or has ended already.
pub fn begun(pod: &Pod) -> bool {
    let state = container(pod).and_then(|container| container.state.as_ref());
    let by_state = state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    // A pod that its node never took up ends without a container: an eviction, say.
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    by_state || matches!(phase, Some("Succeeded" | "Failed"))
}

/// How its container ended.
pub fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    container(pod)?.state.as_ref()?.terminated.as_ref()
}

/// What its container may use of memory, in bytes, where that is bounded.
pub fn memory_limit(pod: &Pod) -> Option<u64> {
    let container = pod.spec.as_ref()?.containers.iter().find(|container| container.name == CONTAINER)?;
    let memory = container.resources.as_ref()?.limits.as_ref()?.get("memory")?;
    PodQuantity(IntOrText::Text(memory.0.clone())).amount()
}

/// Who ended a pod that did not end by itself: the kernel, the kubelet, or whoever evicted it.
pub fn killed(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let end = terminated(pod);
    if end.is_some_and(|end| end.exit_code == 0) {
        return None;
    }
    if let Some(end) = end.filter(|end| end.reason.as_deref() == Some(Reason::OomKilled.as_str())) {
        return end.reason.clone();
    }
    // The kubelet's own word, of a pod that it evicted or did not take, says more than the condition beside it.
    if let Some(reason) = status.reason.as_deref().filter(|reason| !reason.is_empty()) {
        return Some(with_message(reason, status.message.as_deref()));
    }
    let mut conditions = status.conditions.iter().flatten();
    let disruption = conditions.find(|one| one.type_ == DISRUPTION && one.status == "True")?;
    Some(with_message(disruption.reason.as_deref().unwrap_or(DISRUPTION), disruption.message.as_deref()))
}

fn with_message(reason: &str, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() => format!("{reason}: {message}"),
        _ => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(status: Value, expected: Option<&str>) -> Option<NotStarted> {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "orders-1-0-x"}, "status": status})).unwrap();
        let why = not_started(&pod);
        assert_eq!(why.as_ref().map(ToString::to_string).as_deref(), expected, "{status}");
        why
    }

    #[test]
    fn a_pod_that_has_no_log_says_why() {
        let container = |state: Value| json!({"containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]});
        check(json!({}), Some("it waits for a node"));
        check(
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]}),
            Some("0/3 nodes are available"),
        );
        check(container(json!({"waiting": {"reason": "ContainerCreating"}})), Some("ContainerCreating"));
        check(
            container(
                json!({"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"ro\" not found"}}),
            ),
            Some("CreateContainerConfigError: secret \"ro\" not found"),
        );
        check(container(json!({"running": {}})), None);
        check(container(json!({"terminated": {"exitCode": 0}})), None);
    }

    /// What is worth a person's look, what only somebody can mend, and what lacks a Secret.
    #[test]
    fn not_every_wait_is_somebodys_business() {
        let waiting = |reason: &str| {
            json!({"containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason}}}]})
        };
        for (status, usual, stuck, config) in [
            (json!({}), true, false, false),
            (waiting("ContainerCreating"), true, false, false),
            (waiting("PodInitializing"), true, false, false),
            (waiting("ImagePullBackOff"), false, true, false),
            (waiting("CreateContainerConfigError"), false, true, true),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}),
                false,
                false,
                false,
            ),
            (
                json!({"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}),
                true,
                false,
                false,
            ),
        ] {
            let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap();
            let why = not_started(&pod).unwrap();
            assert_eq!((why.is_usual(), why.is_stuck(), why.is_for_config()), (usual, stuck, config), "{status}");
        }
    }
}
