//! What is kept in memory of watched objects: what deciding reads, and nothing else. Hundreds of resources fit a small
//! container, also those that somebody has filled to the brim: an object may have 1.5 MiB, and whoever may write one
//! may write hundreds. PURE.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, ContainerStatus, Pod, PodCondition, PodSpec, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use serde_json::json;

use crate::api::run::WindowSpec;
use crate::api::spec::S3SyncSpec;
use crate::api::text;
use crate::api::{S3Sync, S3SyncRunStatus};
use crate::controller::decide::cursor::only_what_is_read;
use crate::controller::decide::size::too_large;
use crate::controller::names::{ACCEPT_SPEC_CHANGE, CANCEL, DOMAIN, OVERSIZED, POD_INDEX, POD_JOB, TRIGGER, labels};
use crate::controller::pod::{CONTAINER, DISRUPTION, SCHEDULED};
use crate::controller::reflectors::{GuardedConnection, GuardedRun};

/// Owners that are kept of an object: ours have one.
const OWNERS_MAX: usize = 8;

/// What is kept of an annotation, in bytes: those that are read are shorter.
const ANNOTATION_BYTES_MAX: usize = 512;

/// What is kept of a sentence of the API server's, the Job controller's or a decoder's, in bytes. Longer ones are cut
/// once more where they are shown.
const SENTENCE_BYTES_MAX: usize = 2048;

/// A quantity that is kept, in bytes of its text: the API server writes them short.
const QUANTITY_BYTES_MAX: usize = 64;

/// Keeps of a metadata what is read, and these annotations.
fn metadata(metadata: &mut ObjectMeta, annotations: impl Fn(&str) -> bool) {
    let ours = labels("", "");
    let kept = |key: &str| ours.contains_key(key) || [POD_JOB, POD_INDEX].contains(&key);
    let only = |map: Option<BTreeMap<String, String>>, kept: &dyn Fn(&str) -> bool| {
        let map: BTreeMap<_, _> = map?
            .into_iter()
            .filter(|(key, _)| kept(key))
            .map(|(key, value)| (key, text::cut(&value, ANNOTATION_BYTES_MAX)))
            .collect();
        Some(map).filter(|map| !map.is_empty())
    };
    let whole = std::mem::take(metadata);
    *metadata = ObjectMeta {
        annotations: only(whole.annotations, &annotations),
        labels: only(whole.labels, &kept),
        owner_references: whole.owner_references.map(|owners| owners.into_iter().take(OWNERS_MAX).collect()),
        name: whole.name,
        namespace: whole.namespace,
        uid: whole.uid,
        generation: whole.generation,
        resource_version: whole.resource_version,
        creation_timestamp: whole.creation_timestamp,
        deletion_timestamp: whole.deletion_timestamp,
        ..ObjectMeta::default()
    };
}

/// A resource. What is too large to be run is not kept; [`crate::controller::decide::size::oversized`] says so.
pub fn sync(sync: &mut DeserializeGuard<S3Sync>) {
    let read = |key: &str| [TRIGGER, CANCEL, ACCEPT_SPEC_CHANGE].contains(&key);
    match &mut sync.0 {
        Ok(sync) => {
            metadata(&mut sync.metadata, read);
            if let Some(why) = too_large(&sync.spec) {
                sync.spec = stub(&sync.spec);
                let why = if why.path == "spec" { format!("the {why}") } else { why.to_string() };
                sync.metadata.annotations.get_or_insert_default().insert(OVERSIZED.to_owned(), why);
            }
        }
        Err(invalid) => {
            metadata(&mut invalid.metadata, read);
            // The decoder quotes the value that it does not understand.
            invalid.error = text::cut(&invalid.error, SENTENCE_BYTES_MAX);
        }
    }
}

/// An S3Connection. Its definition bounds every field of its spec.
pub fn connection(connection: &mut GuardedConnection) {
    match &mut connection.0 {
        Ok(connection) => metadata(&mut connection.metadata, |_| false),
        Err(invalid) => {
            metadata(&mut invalid.metadata, |_| false);
            invalid.error = text::cut(&invalid.error, SENTENCE_BYTES_MAX);
        }
    }
}

/// An S3SyncRun. Its definition bounds every field of its spec; of one that has ended, of which there may be many,
/// nothing is read but how and when.
pub fn run(run: &mut GuardedRun) {
    match &mut run.0 {
        Ok(run) => {
            metadata(&mut run.metadata, |_| false);
            let ended = run.has_ended();
            let Some(status) = &mut run.status else { return };
            if ended {
                run.spec.window = WindowSpec::default();
                *status = S3SyncRunStatus {
                    result: status.result,
                    completion_time: status.completion_time.take(),
                    ..S3SyncRunStatus::default()
                };
            }
        }
        Err(invalid) => {
            metadata(&mut invalid.metadata, |_| false);
            invalid.error = text::cut(&invalid.error, SENTENCE_BYTES_MAX);
        }
    }
}

/// A spec that says of the resource what is looked at while it cannot run.
fn stub(spec: &S3SyncSpec) -> S3SyncSpec {
    let empty = json!({"source": {"bucket": "-"}, "destination": {"bucket": "-", "format": "csv"}});
    let mut stub: S3SyncSpec = serde_json::from_value(empty).expect("a spec of ours");
    stub.suspend = spec.suspend;
    stub.successful_runs_history_limit = spec.successful_runs_history_limit;
    stub.failed_runs_history_limit = spec.failed_runs_history_limit;
    stub.state.on_delete = spec.state.on_delete;
    stub
}

/// A Job: without its pods' template, which holds the whole resource once more.
pub fn job(job: &mut Job) {
    metadata(&mut job.metadata, |key| key.starts_with(DOMAIN));
    job.spec = job.spec.take().map(|spec| JobSpec { suspend: spec.suspend, ..JobSpec::default() });
    job.status = job.status.take().map(|status| JobStatus {
        start_time: status.start_time,
        completion_time: status.completion_time,
        conditions: status.conditions.map(|mut conditions| {
            for condition in &mut conditions {
                condition.message = condition.message.as_deref().map(|message| text::cut(message, SENTENCE_BYTES_MAX));
            }
            conditions
        }),
        ..JobStatus::default()
    });
}

/// A pod: whose it is, and how its container fares.
pub fn pod(pod: &mut Pod) {
    metadata(&mut pod.metadata, |_| false);
    pod.spec = pod.spec.take().map(|spec| PodSpec { containers: memory_limit(spec.containers), ..PodSpec::default() });
    if let Some(status) = &mut pod.status {
        let short = |text: Option<String>| text.map(|text| text::cut(&text, SENTENCE_BYTES_MAX));
        let read = |one: &PodCondition| [SCHEDULED, DISRUPTION].contains(&one.type_.as_str());
        let conditions = status.conditions.take().map(|all| all.into_iter().filter(read).take(2));
        let conditions =
            conditions.map(|all| all.map(|one| PodCondition { message: short(one.message), ..one }).collect());
        let containers = status.container_statuses.take();
        let (phase, reason, message) = (status.phase.take(), status.reason.take(), short(status.message.take()));
        *status = Default::default();
        (status.phase, status.reason, status.message) = (phase, reason, message);
        status.conditions = conditions;
        status.container_statuses = containers.map(|all| all.into_iter().map(container).collect());
    }
}

/// Of the worker's container, what it may use of memory: a LimitRange may have said so, and then the resource does not.
fn memory_limit(containers: Vec<Container>) -> Vec<Container> {
    let limit = |container: Container| {
        let memory =
            container.resources?.limits?.remove("memory").filter(|memory| memory.0.len() <= QUANTITY_BYTES_MAX)?;
        let resources = ResourceRequirements {
            limits: Some([("memory".to_owned(), memory)].into()),
            ..ResourceRequirements::default()
        };
        Some(Container { name: container.name, resources: Some(resources), ..Container::default() })
    };
    containers.into_iter().find(|container| container.name == CONTAINER).and_then(limit).into_iter().collect()
}

fn container(status: ContainerStatus) -> ContainerStatus {
    ContainerStatus { name: status.name, state: status.state, ..ContainerStatus::default() }
}

/// A cursor: its tables and its workers' progress added up.
pub fn cursor(map: &mut ConfigMap) {
    metadata(&mut map.metadata, |_| false);
    only_what_is_read(map);
}

#[cfg(test)]
mod tests;
