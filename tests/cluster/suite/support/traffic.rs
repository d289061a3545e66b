//! What the controller asks of the API server, counted by the API server: one FlowSchema for each sort of request,
//! whose names its metrics carry (<https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>).

use serde_json::{Value, json};

use super::{api, release};

/// Requests of the controller so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Lists, gets and watches.
    pub reads: u64,
    /// Everything that changes something, but for the lease.
    pub writes: u64,
}

/// Requests so far, of those since the first call.
#[track_caller]
pub fn traffic() -> Traffic {
    let sorts: [(&str, u32, Value, Value); 3] = [
        ("s3sync-tests-lease", 600, json!(["*"]), json!(["leases"])),
        ("s3sync-tests-writes", 601, json!(["create", "update", "patch", "delete", "deletecollection"]), json!(["*"])),
        ("s3sync-tests-reads", 602, json!(["*"]), json!(["*"])),
    ];
    for (name, precedence, verbs, resources) in sorts {
        let account = json!({"kind": "ServiceAccount", "serviceAccount": {"name": release::RELEASE, "namespace": release::NAMESPACE}});
        let requests = json!({"verbs": verbs, "apiGroups": ["*"], "resources": resources, "namespaces": ["*"], "clusterScope": true});
        let schema = json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name}, "spec": {
            "matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": "workload-low"}, "distinguisherMethod": {"type": "ByUser"},
            "rules": [{"subjects": [account], "resourceRules": [requests]}]}});
        api::apply("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", &schema).expect("a FlowSchema");
    }
    let metrics = api::text("/metrics");
    let count = |schema: &str| {
        let ours =
            |line: &&str| line.starts_with("apiserver_flowcontrol_dispatched_requests_total") && line.contains(schema);
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        metrics.lines().filter(ours).filter_map(value).map(|value| value as u64).sum()
    };
    Traffic { reads: count("\"s3sync-tests-reads\""), writes: count("\"s3sync-tests-writes\"") }
}

/// Working set of the leader's pod in bytes, as its kubelet sees it.
#[track_caller]
pub fn memory_bytes() -> u64 {
    let leader = release::leader();
    let pod = api::get(&format!("{}/{leader}", api::core(release::NAMESPACE, "pods")));
    let node = pod["spec"]["nodeName"].as_str().expect("a node");
    let summary = api::get(&format!("/api/v1/nodes/{node}/proxy/stats/summary"));
    let pods = summary["pods"].as_array().expect("pods");
    let stats = pods.iter().find(|pod| pod["podRef"]["name"] == leader.as_str()).expect("the leader");
    stats["memory"]["workingSetBytes"].as_u64().expect("a number")
}
