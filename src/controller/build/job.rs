//! The Job of a run: one pod for each worker, by index. Worker 0's success is the run's, and any worker's final failure
//! is the run's too.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule, SuccessPolicy, SuccessPolicyRule,
};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, EmptyDirVolumeSource, LocalObjectReference, PodSecurityContext, PodSpec,
    PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::access::account;
use super::environment::{certificates, environment, requested};
use super::{PodDefaults, child};
use crate::api::S3Sync;
use crate::api::scalar::PodQuantity;
use crate::controller::decide::Start;
use crate::controller::decide::check::Checked;
use crate::controller::names::{KUEUE_QUEUE, WORKER};
use crate::controller::pod::{CONTAINER, DISRUPTION};
use crate::model::failure::FailureKind;

/// Where the scratch volume is mounted.
pub const SCRATCH: &str = "/scratch";

/// What a worker has to end in after SIGTERM: it needs a moment, and asks for no more than Kubernetes gives by default.
const GRACE_SECONDS: i64 = 30;

/// A Job that nobody deletes goes a week after its end: the controller keeps fewer, so this is for when there is no
/// controller.
const TTL_SECONDS: i32 = 7 * 24 * 3600;

/// Exit codes after which another attempt ends the same way: invalid spec, denied or missing, bad data, and what is
/// neither and lasts, such as another sync's claim.
pub const FINAL_EXIT_CODES: [i32; 4] = [
    FailureKind::Usage.exit_code() as i32,
    FailureKind::Access.exit_code() as i32,
    FailureKind::BadData.exit_code() as i32,
    FailureKind::Final.exit_code() as i32,
];

/// The user and group of the image; a number, so that the kubelet can see that it is not root.
const USER: i64 = 65532;

/// The Job of a run that starts now.
pub fn job(sync: &S3Sync, checked: &Checked, start: &Start, accepted: bool, defaults: &PodDefaults) -> Job {
    let worker = &sync.spec.worker;
    let spec = JobSpec {
        completions: Some(worker.replicas),
        parallelism: Some(worker.replicas),
        backoff_limit_per_index: Some(worker.backoff_limit),
        // A worker that is lost for good ends the run: the others would wait for its shards.
        max_failed_indexes: Some(0),
        // Two pods of one index at once would be safe, and a waste.
        pod_replacement_policy: Some("Failed".into()),
        pod_failure_policy: Some(failure_policy()),
        success_policy: Some(SuccessPolicy {
            rules: vec![SuccessPolicyRule { succeeded_indexes: Some("0".into()), succeeded_count: None }],
        }),
        ttl_seconds_after_finished: Some(TTL_SECONDS),
        ..JobSpec::default()
    };
    let mut pod = pod(sync, checked, &start.job, vec!["worker".into()], accepted, defaults);
    for container in &mut pod.containers {
        container.env.get_or_insert_default().extend(start.request.as_ref().map(requested));
    }
    let mut job = with_pods(sync, start.job.clone(), WORKER, pod, spec);
    job.metadata.annotations = Some(start.marks.annotations());
    job
}

/// A Job of the sync whose pods are as its workers are.
pub(super) fn with_pods(sync: &S3Sync, name: String, component: &str, pod: PodSpec, spec: JobSpec) -> Job {
    let worker = &sync.spec.worker;
    let mut metadata = child(sync, name, component);
    let queue = worker.queue_name.as_ref();
    if let (Some(queue), Some(labels)) = (queue, &mut metadata.labels) {
        labels.insert(KUEUE_QUEUE.to_owned(), queue.clone());
    }
    // Ours are stronger: the controller finds pods by them.
    let mut labels = worker.pod_labels.clone();
    labels.extend(super::labels(sync.metadata.name.as_deref().unwrap_or_default(), component));
    let spec = JobSpec {
        completion_mode: Some("Indexed".into()),
        active_deadline_seconds: worker.active_deadline_seconds,
        // Kueue admits a Job by taking this away.
        suspend: queue.map(|_| true),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(labels),
                annotations: Some(worker.pod_annotations.clone()).filter(|annotations| !annotations.is_empty()),
                ..ObjectMeta::default()
            }),
            spec: Some(pod),
        },
        ..spec
    };
    Job { metadata, spec: Some(spec), status: None }
}

fn failure_policy() -> PodFailurePolicy {
    let fail = PodFailurePolicyRule {
        action: "FailJob".into(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(CONTAINER.into()),
            operator: "In".into(),
            values: FINAL_EXIT_CODES.into(),
        }),
        on_pod_conditions: None,
    };
    // A drained node is nobody's failure, and uses up no attempt.
    let ignore = PodFailurePolicyRule {
        action: "Ignore".into(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: DISRUPTION.into(),
            status: "True".into(),
        }]),
    };
    PodFailurePolicy { rules: vec![fail, ignore] }
}

/// The pod of a worker, or of whatever else runs the binary with a worker's settings: `args` say what it does.
pub(super) fn pod(
    sync: &S3Sync,
    checked: &Checked,
    job: &str,
    args: Vec<String>,
    accepted: bool,
    defaults: &PodDefaults,
) -> PodSpec {
    let worker = &sync.spec.worker;
    let pull_secrets: Vec<LocalObjectReference> = (defaults.image_pull_secrets.iter())
        .map(|name| LocalObjectReference { name: name.clone() })
        .chain(worker.image_pull_secrets.iter().cloned())
        .collect();
    let scratch = Volume {
        name: "scratch".into(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(checked.settings.worker.scratch_bytes.to_string())),
            medium: None,
        }),
        ..Volume::default()
    };
    let (mut volumes, mut mounts) = (
        vec![scratch],
        vec![VolumeMount { name: "scratch".into(), mount_path: SCRATCH.into(), ..VolumeMount::default() }],
    );
    for (volume, mount) in certificates(sync) {
        volumes.push(volume);
        mounts.push(mount);
    }
    PodSpec {
        restart_policy: Some("Never".into()),
        service_account_name: Some(account(sync)),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        // Variables of every service of the namespace would add to the environment's size, and mean nothing here.
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        containers: vec![Container {
            name: CONTAINER.into(),
            image: Some(defaults.image.clone()),
            image_pull_policy: defaults.image_pull_policy.clone(),
            args: Some(args),
            env: Some(environment(sync, checked, job, accepted)),
            resources: resources(sync),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                read_only_root_filesystem: Some(true),
                capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
                ..SecurityContext::default()
            }),
            volume_mounts: Some(mounts),
            ..Container::default()
        }],
        volumes: Some(volumes),
        node_selector: Some(worker.node_selector.clone()).filter(|labels| !labels.is_empty()),
        tolerations: Some(worker.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
        affinity: Some(worker.affinity.clone()).filter(|affinity| *affinity != Affinity::default()),
        topology_spread_constraints: Some(worker.topology_spread_constraints.clone())
            .filter(|constraints| !constraints.is_empty()),
        priority_class_name: worker.priority_class_name.clone(),
        image_pull_secrets: Some(pull_secrets).filter(|secrets| !secrets.is_empty()),
        ..PodSpec::default()
    }
}

fn resources(sync: &S3Sync) -> Option<ResourceRequirements> {
    let quantities = |named: &BTreeMap<String, PodQuantity>| {
        let quantities: BTreeMap<String, Quantity> =
            named.iter().map(|(name, value)| (name.clone(), Quantity(value.0.to_string()))).collect();
        Some(quantities).filter(|quantities| !quantities.is_empty())
    };
    let resources = &sync.spec.worker.resources;
    let (limits, requests) = (quantities(&resources.limits), quantities(&resources.requests));
    (limits.is_some() || requests.is_some()).then_some(ResourceRequirements { limits, requests, claims: None })
}
