use serde_json::Value;

use super::*;
use crate::controller::decide::check::check;
use crate::controller::decide::cursor::CursorView;
use crate::controller::decide::run::{Run, Worker};
use crate::controller::decide::size::json_bytes;
use crate::controller::fixtures::{sync as small, sync_with};

/// An object has at most 1.5 MiB in etcd.
const BRIM_BYTES: usize = 1 << 20;

fn bytes(object: &impl serde::Serialize) -> usize {
    json_bytes(object)
}

#[test]
fn what_deciding_reads_is_kept() {
    let mut whole: Job = serde_json::from_value(json!({
        "metadata": {"name": "orders-1", "uid": "j", "creationTimestamp": "2026-11-21T12:00:00Z", "annotations": {"s3sync.dev/slot": "1"},
            "ownerReferences": [{"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "name": "orders", "uid": "uid-1"}],
            "managedFields": [{"manager": "x"}]},
        "spec": {"suspend": true, "template": {"spec": {"containers": [{"name": "worker"}]}}},
        "status": {"startTime": "2026-11-21T12:00:01Z", "conditions": [
            {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "late", "lastTransitionTime": "2026-11-21T12:09:00Z"}]},
    }))
    .unwrap();
    let before = Run::of(&whole, "uid-1").unwrap();
    job(&mut whole);
    assert_eq!(Run::of(&whole, "uid-1").unwrap(), before);
    assert_eq!((whole.metadata.managed_fields, whole.spec.unwrap().template), (None, Default::default()));

    let mut whole: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "uid": "p", "labels": {"batch.kubernetes.io/job-name": "orders-1", "team": "data"}, "annotations": {"a": "b"}},
        "spec": {"containers": [{"name": "worker", "image": "i"}]},
        "status": {"phase": "Failed", "reason": "Evicted", "message": "the node is low on memory",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}, {"type": "Ready", "status": "False"},
                {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}],
            "podIP": "10.0.0.1", "containerStatuses": [{"name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 3}}}]},
    }))
    .unwrap();
    let before = Worker::of(&whole).unwrap();
    assert_eq!((before.waits.as_deref(), before.ended.as_ref().unwrap().exit_code), (Some("Unschedulable"), 3));
    assert_eq!(before.killed.as_deref(), Some("Evicted: the node is low on memory"));
    pod(&mut whole);
    assert_eq!(Worker::of(&whole).unwrap(), before);
    assert_eq!((whole.status.unwrap().pod_ip, whole.metadata.labels.unwrap().len()), (None, 1));

    let annotations = json!({"s3sync.dev/trigger": "now", "s3sync.dev/cancel": "orders-1", "s3sync.dev/accept-spec-change": "3", "s3sync.dev/oversized": "no", "other": "x"});
    let mut whole = small();
    whole.metadata.annotations = serde_json::from_value(annotations).unwrap();
    let mut guarded = DeserializeGuard(Ok(whole.clone()));
    sync(&mut guarded);
    let lean = guarded.0.unwrap();
    assert_eq!(lean.metadata.annotations.as_ref().unwrap().len(), 3, "nobody else may say that it is too large");
    assert_eq!(
        (lean.spec, lean.metadata.uid, lean.metadata.generation),
        (whole.spec, whole.metadata.uid, whole.metadata.generation)
    );
}

/// Of hundreds that have ended, little is kept; one that has not is kept as it is.
#[test]
fn runs_by_name_are_kept_until_they_end() {
    let long = "x".repeat(1024);
    let spec = json!({"syncRef": {"name": "orders"}, "window": {"fromKey": long, "toKey": long}, "ttlSecondsAfterFinished": 60});
    let conditions = json!([{"type": "Reconciling", "status": "True", "reason": "Running", "message": long, "lastTransitionTime": "2026-11-21T12:00:00Z"}]);
    let whole = |result: Value| -> GuardedRun {
        serde_json::from_value(json!({
            "metadata": {"name": "backfill", "namespace": "data", "uid": "r", "creationTimestamp": "2026-11-21T12:00:00Z",
                "annotations": {"note": "x".repeat(BRIM_BYTES)}, "managedFields": [{"manager": long}]},
            "spec": spec,
            "status": {"conditions": conditions, "message": long, "result": result, "completionTime": "2026-11-21T12:05:00Z", "job": "orders-1"},
        }))
        .unwrap()
    };
    let mut open = whole(Value::Null);
    let before = open.0.clone().unwrap();
    run(&mut open);
    let kept = open.0.unwrap();
    assert_eq!((&kept.spec, &kept.status, kept.metadata.annotations), (&before.spec, &before.status, None));
    let mut ended = whole(json!("Succeeded"));
    run(&mut ended);
    assert!(bytes(&ended.0.as_ref().unwrap()) < 700, "{}", bytes(&ended.0.as_ref().unwrap()));
    let ended = ended.0.unwrap();
    assert!(ended.has_ended());
    assert_eq!(crate::controller::decide::requested::expires(&ended), Some("2026-11-21T12:06:00Z".parse().unwrap()));
}

/// Whatever somebody fills: little of it is kept, and a spec that cannot be run says so.
#[test]
fn an_object_filled_to_the_brim_takes_little_memory() {
    let text = "x".repeat(BRIM_BYTES);
    let many = |n: usize| -> Value {
        (0..n).map(|i| (format!("team.example.com/{i}"), json!("x"))).collect::<serde_json::Map<_, _>>().into()
    };
    let filled_metadata = json!({
        "name": "orders", "namespace": "data", "uid": "u", "labels": many(20_000), "annotations": {"note": text, "s3sync.dev/trigger": text},
        "managedFields": [{"manager": text}], "finalizers": [text],
        "ownerReferences": (0..5_000).map(|i| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": format!("o{i}"), "uid": "u"})).collect::<Vec<_>>(),
    });
    let mut full = DeserializeGuard(Ok(small()));
    full.0.as_mut().unwrap().metadata = serde_json::from_value(filled_metadata.clone()).unwrap();
    sync(&mut full);
    let kept = full.0.unwrap();
    assert!(bytes(&kept) < 4 << 10, "{}", bytes(&kept));
    assert!(check(&kept).is_ok());

    let texts = vec![""; 300_000];
    let term = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": vec![""; 20_000]}]});
    let affinity =
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
    for (spec, says) in [
        (
            json!({"worker": {"env": [{"name": "A", "value": text}]}, "state": {"onDelete": "Delete"}}),
            "bytes as JSON, and workers take 100000",
        ),
        (
            json!({"source": {"bucket": "raw", "include": texts}, "state": {"onDelete": "Delete"}}),
            "bytes as JSON, and workers take 100000",
        ),
        (
            json!({"worker": {"affinity": affinity}, "state": {"onDelete": "Delete"}, "suspend": true}),
            "spec.worker holds 200",
        ),
    ] {
        let whole = sync_with(spec);
        let mut full = DeserializeGuard(Ok(whole.clone()));
        sync(&mut full);
        let kept = full.0.unwrap();
        assert!(bytes(&kept) < 4 << 10, "{}", bytes(&kept));
        let refusal = check(&kept).unwrap_err();
        assert_eq!(refusal.reason, "InvalidSpec");
        assert!(refusal.message.contains(says), "{}", refusal.message);
        // A cursor that is to die with the resource still does, and a suspended resource still is.
        assert_eq!((kept.spec.state, kept.spec.suspend), (whole.spec.state, whole.spec.suspend));
    }

    let mut full: Job = serde_json::from_value(json!({
        "metadata": filled_metadata, "spec": {"template": {"metadata": {"annotations": {"note": text}}}, "selector": {"matchLabels": {"a": text}}},
        "status": {"completedIndexes": text, "conditions": [{"type": "Failed", "status": "True", "message": text}]},
    }))
    .unwrap();
    job(&mut full);
    assert!(bytes(&full) < 8 << 10, "{}", bytes(&full));

    let containers = json!([{"name": "sidecar", "image": text}, {"name": "worker", "image": text, "args": [text],
        "resources": {"limits": {"memory": "64Mi", "cpu": text}, "requests": {"memory": text}}}]);
    let full = json!({"metadata": filled_metadata, "spec": {"containers": containers}, "status": {"message": text}});
    let mut full: Pod = serde_json::from_value(full).unwrap();
    pod(&mut full);
    assert!(bytes(&full) < 4 << 10, "{}", bytes(&full));

    let progress: serde_json::Map<String, Value> =
        (0..1000).map(|i| (format!("progress.{i}"), json!(&text[..1000]))).collect();
    let sums = (0..1000)
        .map(|i| (format!("progress.{i}"), json!(r#"{"epoch":4,"objectsDone":2,"bytesDone":9,"objectsTotal":3000}"#)));
    let sums = Value::Object(sums.collect());
    for data in
        [json!({"cursor": text}), json!({"table.a": text}), json!({"other": text}), Value::Object(progress), sums]
    {
        let mut full: ConfigMap = serde_json::from_value(json!({"metadata": filled_metadata, "data": data})).unwrap();
        let before = CursorView::of(&full);
        cursor(&mut full);
        assert!(bytes(&full) < 4 << 10, "{}", bytes(&full));
        let after = CursorView::of(&full);
        assert_eq!((after.summary, after.progress), (before.summary, before.progress));
        assert_eq!(std::mem::discriminant(&after.position), std::mem::discriminant(&before.position));
    }
}
