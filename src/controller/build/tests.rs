use serde_json::json;

use super::*;
use crate::controller::decide::check::check;
use crate::controller::decide::run::Marks;
use crate::controller::decide::{Start, Why};
use crate::controller::fixtures::{sync, sync_with};
use crate::controller::names::{KUEUE_QUEUE, WORKER_SELECTOR};

fn start() -> Start {
    Start {
        job: "orders-202611211530".into(),
        marks: Marks {
            slot: "202611211530".into(),
            scheduled: Some("2026-11-21T15:30:00Z".parse().unwrap()),
            synced: Some("0123456789".into()),
            ..Marks::default()
        },
        why: Why::Slot,
        request: None,
    }
}

fn defaults() -> PodDefaults {
    PodDefaults { image: "ghcr.io/s3sync-dev/s3sync:0.1.0".into(), ..PodDefaults::default() }
}

/// What every worker needs, and nothing more.
#[test]
fn the_smallest_job() {
    let sync = sync();
    insta::assert_yaml_snapshot!(job(&sync, &check(&sync).unwrap(), &start(), false, &defaults()));
}

/// Every field of spec.worker, credentials on both sides, and a queue.
fn full_sync() -> crate::api::S3Sync {
    sync_with(json!({
        "source": {"bucket": "raw", "secretRef": {"name": "raw-ro"}, "caSecretRef": {"name": "raw-ca"}, "endpoint": "http://minio:9000"},
        "destination": {"bucket": "lake", "format": "csv", "path": "$(HOME)/{{TABLE}}/{{UUID}}.csv", "secretRef": {"name": "lake-rw"}},
        "worker": {
            "replicas": 3, "backoffLimit": 5, "activeDeadlineSeconds": 3600, "scratch": "1Gi", "serviceAccountName": "irsa",
            "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": 2, "memory": "512Mi"}},
            "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "batch", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
            "priorityClassName": "low", "imagePullSecrets": [{"name": "mine"}],
            "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            "podLabels": {"team": "data", "app.kubernetes.io/name": "spoofed"}, "podAnnotations": {"note": "x"}, "queueName": "batch",
        },
    }))
}

#[test]
fn the_fullest_job() {
    let sync = full_sync();
    let defaults = PodDefaults {
        image_pull_policy: Some("Always".into()),
        image_pull_secrets: vec!["registry".into()],
        ..defaults()
    };
    insta::assert_yaml_snapshot!(job(&sync, &check(&sync).unwrap(), &start(), true, &defaults));
}

/// A command's pod differs from a worker's in its arguments alone, and the controller takes neither its Job nor its pod
/// for a run's.
#[test]
fn a_command_runs_as_a_worker_does_and_is_none() {
    let sync = full_sync();
    let checked = check(&sync).unwrap();
    let args = vec!["state".to_owned(), "export".to_owned(), "--in-pod".to_owned()];
    let run = job(&sync, &checked, &start(), false, &defaults());
    let command = command_job(&sync, &checked, &start().job, args.clone(), &defaults());
    let pod = |job: &k8s_openapi::api::batch::v1::Job| job.spec.clone().unwrap().template.spec.unwrap();
    let (mut worker, of_command) = (pod(&run), pod(&command));
    worker.containers[0].args = Some(args);
    assert_eq!(of_command, worker);
    let labels = command.metadata.labels.clone().unwrap();
    let of_pods = command.spec.clone().unwrap().template.metadata.unwrap().labels.unwrap();
    for labels in [&labels, &of_pods] {
        let wanted = |pair: &str| {
            pair.split_once('=').is_some_and(|(key, value)| labels.get(key).is_some_and(|found| found == value))
        };
        assert!(!WORKER_SELECTOR.split(',').all(wanted), "{labels:?}");
    }
    assert_eq!(labels.get(KUEUE_QUEUE).map(String::as_str), Some("batch"), "its queue counts it too");
    let spec = command.spec.unwrap();
    assert_eq!(
        (spec.completions, spec.parallelism, spec.backoff_limit, spec.suspend),
        (Some(1), Some(1), Some(0), Some(true))
    );
    assert_eq!((spec.active_deadline_seconds, spec.ttl_seconds_after_finished), (Some(3600), Some(600)));
    assert_eq!(command.metadata.owner_references, run.metadata.owner_references);
}

#[test]
fn rights() {
    let sync = sync();
    insta::assert_yaml_snapshot!((service_account(&sync), role(&sync), role_binding(&sync)));
    let named = sync_with(json!({"worker": {"serviceAccountName": "irsa"}}));
    assert_eq!(service_account(&named), None);
    assert_eq!(role_binding(&named).subjects.unwrap()[0].name, "irsa");
}

#[test]
fn cursors() {
    insta::assert_yaml_snapshot!(cursor_map(&sync()));
    let dying = cursor_map(&sync_with(json!({"state": {"onDelete": "Delete"}})));
    assert_eq!(dying.metadata.owner_references, Some(vec![owner(&sync())]));
}

#[test]
fn state_keys() {
    insta::assert_yaml_snapshot!(state_key(&sync(), "00ff"));
    let dying = state_key(&sync_with(json!({"state": {"onDelete": "Delete"}})), "00ff");
    assert_eq!(dying.metadata.owner_references, Some(vec![owner(&sync())]));
}

/// Labels of the resource, such as a GitOps tool's, stay where they are.
#[test]
fn nothing_of_the_resource_s_metadata_is_passed_on() {
    let mut sync = sync();
    sync.metadata.labels = Some([("argocd.argoproj.io/instance".to_owned(), "data".to_owned())].into());
    sync.metadata.annotations = Some([("argocd.argoproj.io/tracking-id".to_owned(), "data:x".to_owned())].into());
    let checked = check(&sync).unwrap();
    let texts = [
        serde_json::to_string(&job(&sync, &checked, &start(), false, &defaults())).unwrap(),
        serde_json::to_string(&(
            role(&sync),
            role_binding(&sync),
            service_account(&sync),
            cursor_map(&sync),
            state_key(&sync, "00ff"),
        ))
        .unwrap(),
    ];
    assert!(texts.iter().all(|text| !text.contains("argoproj")), "{texts:?}");
}
