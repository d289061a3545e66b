//! What is kept in memory of watched objects: what deciding reads, and nothing else. Hundreds of resources fit a small container. PURE.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;

use super::cursor::without_tables;
use crate::api::S3Sync;

/// The copy of the whole object that `kubectl apply` leaves.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// A resource: everything but who wrote which field.
pub fn sync(sync: &mut DeserializeGuard<S3Sync>) {
    match &mut sync.0 {
        Ok(sync) => metadata(&mut sync.metadata),
        Err(invalid) => metadata(&mut invalid.metadata),
    }
}

/// A Job: without its pods' template, which holds the whole resource once more.
pub fn job(job: &mut Job) {
    metadata(&mut job.metadata);
    if let Some(spec) = &mut job.spec {
        spec.template = Default::default();
    }
}

/// A pod: whose it is, and how its container fares.
pub fn pod(pod: &mut Pod) {
    metadata(&mut pod.metadata);
    pod.metadata.annotations = None;
    pod.spec = pod.spec.take().map(|_| PodSpec::default());
    if let Some(status) = &mut pod.status {
        let conditions = status.conditions.take().map(|all| all.into_iter().filter(|one| one.type_ == "PodScheduled").collect());
        let containers = status.container_statuses.take();
        let phase = status.phase.take();
        *status = Default::default();
        status.phase = phase;
        status.conditions = conditions;
        status.container_statuses = containers.map(|all| all.into_iter().map(container).collect());
    }
}

fn container(status: ContainerStatus) -> ContainerStatus {
    ContainerStatus { name: status.name, state: status.state, ..ContainerStatus::default() }
}

/// A cursor: its tables added up.
pub fn cursor(map: &mut ConfigMap) {
    metadata(&mut map.metadata);
    without_tables(map);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::run::{Run, Worker};

    #[test]
    fn what_deciding_reads_is_kept() {
        let mut whole: Job = serde_json::from_value(json!({
            "metadata": {"name": "orders-1", "uid": "j", "creationTimestamp": "2026-11-21T12:00:00Z", "annotations": {"s3sync.dev/slot": "1"},
                "ownerReferences": [{"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "name": "orders", "uid": "uid-1"}],
                "managedFields": [{"manager": "x"}]},
            "spec": {"suspend": true, "template": {"spec": {"containers": [{"name": "worker"}]}}},
            "status": {"startTime": "2026-11-21T12:00:01Z"},
        }))
        .unwrap();
        let before = Run::of(&whole, "uid-1").unwrap();
        job(&mut whole);
        assert_eq!(Run::of(&whole, "uid-1").unwrap(), before);
        assert_eq!((whole.metadata.managed_fields, whole.spec.unwrap().template), (None, Default::default()));

        let mut whole: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "p", "labels": {"batch.kubernetes.io/job-name": "orders-1"}, "annotations": {"a": "b"}},
            "spec": {"containers": [{"name": "worker", "image": "i"}]},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}, {"type": "Ready", "status": "False"}],
                "podIP": "10.0.0.1", "containerStatuses": [{"name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": 3}}}]},
        }))
        .unwrap();
        let before = Worker::of(&whole).unwrap();
        assert_eq!((before.waits.as_deref(), before.ended.as_ref().unwrap().exit_code), (Some("Unschedulable"), 3));
        pod(&mut whole);
        assert_eq!(Worker::of(&whole).unwrap(), before);
        assert_eq!(whole.status.unwrap().pod_ip, None);
    }
}
