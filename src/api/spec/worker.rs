//! `spec.worker`: the pods that do the work.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, EnvVar, LocalObjectReference, Toleration, TopologySpreadConstraint};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::api::scalar::{PodQuantity, Size};

/// The pods that do the work.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSpec {
    /// Pods of a run, side by side.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: i32,
    /// Objects that one pod reads at once. Absent: from its cores and memory; -1: no cap but memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 10_000))]
    #[x_kube(validation = Rule::new("self != 0").message("concurrency must be at least 1, or -1 for no cap"))]
    pub concurrency: Option<i32>,
    /// Rows of one Arrow record batch.
    #[serde(default = "rows_per_batch")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub rows_per_batch: i32,
    /// How often one pod's work is tried again before the run fails.
    #[serde(default = "backoff_limit")]
    #[schemars(range(min = 0, max = 100))]
    pub backoff_limit: i32,
    /// Ends a run that takes longer. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub active_deadline_seconds: Option<i64>,
    /// Size of each pod's scratch volume (an emptyDir), for what does not fit its memory.
    #[serde(default = "scratch")]
    pub scratch: Size,
    /// The pods' ServiceAccount, for IRSA or workload identity. Absent: one made by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// The pods' requests and limits.
    #[serde(default)]
    pub resources: PodResources,
    /// Labels of the nodes that pods may run on.
    #[serde(default)]
    #[schemars(schema_with = "labels")]
    pub node_selector: BTreeMap<String, String>,
    /// The pods' tolerations.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub tolerations: Vec<Toleration>,
    /// The pods' affinity.
    #[serde(default)]
    pub affinity: Affinity,
    /// How the pods spread over nodes and zones.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// The pods' priority class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Secrets for pulling the image.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Further environment variables of the pods.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub env: Vec<EnvVar>,
    /// Further labels of the pods.
    #[serde(default)]
    #[schemars(schema_with = "labels")]
    pub pod_labels: BTreeMap<String, String>,
    /// Further annotations of the pods.
    #[serde(default)]
    #[schemars(schema_with = "annotations")]
    pub pod_annotations: BTreeMap<String, String>,
    /// The Kueue LocalQueue that admits the run's Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub queue_name: Option<String>,
}

fn one() -> i32 {
    1
}

fn rows_per_batch() -> i32 {
    8192
}

fn backoff_limit() -> i32 {
    3
}

fn scratch() -> Size {
    Size::new("10Gi")
}

/// A label's value has at most 63 characters:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>.
fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "maxProperties": 64, "additionalProperties": { "type": "string", "maxLength": 63 } })
}

fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "maxProperties": 64, "additionalProperties": { "type": "string", "maxLength": 16384 } })
}

fn quantities(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "maxProperties": 32, "additionalProperties": PodQuantity::json_schema(generator) })
}

impl Default for WorkerSpec {
    fn default() -> Self {
        WorkerSpec {
            replicas: one(),
            concurrency: None,
            rows_per_batch: rows_per_batch(),
            backoff_limit: backoff_limit(),
            active_deadline_seconds: None,
            scratch: scratch(),
            service_account_name: None,
            resources: PodResources::default(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: Affinity::default(),
            topology_spread_constraints: Vec::new(),
            priority_class_name: None,
            image_pull_secrets: Vec::new(),
            env: Vec::new(),
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
            queue_name: None,
        }
    }
}

/// Requests and limits of a pod.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodResources {
    /// What the pod may use at most, such as cpu and memory. A worker's memory budget is half of its memory limit,
    /// between 128 and 256 MiB; a limit below 128Mi is refused.
    #[serde(default)]
    #[schemars(schema_with = "quantities")]
    pub limits: BTreeMap<String, PodQuantity>,
    /// What the pod is promised.
    #[serde(default)]
    #[schemars(schema_with = "quantities")]
    pub requests: BTreeMap<String, PodQuantity>,
}
