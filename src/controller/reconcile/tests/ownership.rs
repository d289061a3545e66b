//! Whose an object is that has a name of ours.

use super::*;

/// A ConfigMap of the cursor's name is there, and found to be another's.
fn taken(there: Value) -> Vec<Exchange> {
    vec![
        exchange(Method::POST, MAPS, 409, refused(409, "AlreadyExists")),
        exchange(Method::GET, MAPS, 200, there),
        event("NameTaken"),
    ]
}

/// The cursor that a worker wrote.
fn cursor_text() -> Value {
    json!({"cursor": json!({"version": 1, "stateId": "abc", "epoch": 3, "phase": "Idle", "run": null, "plan": null, "decision": null,
        "ledger": null, "manifest": null, "garbage": null, "listedTo": null, "specHash": "aa-bb"}).to_string()})
}

/// Whoever names a resource names a ConfigMap, too: its workers get no right to one that somebody else has a hand in.
#[tokio::test]
async fn no_worker_may_touch_what_only_has_a_cursor_s_name() {
    let deployment = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "uid-9"}]);
    let ours = json!({"app.kubernetes.io/name": "s3sync", "app.kubernetes.io/instance": "orders", "app.kubernetes.io/managed-by": "s3sync",
        "app.kubernetes.io/component": "cursor"});
    for (metadata, data) in [
        (json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), json!(null)),
        (json!({"labels": {"app.kubernetes.io/instance": "another"}}), cursor_text()),
        (json!({"ownerReferences": deployment}), cursor_text()),
        (json!({"ownerReferences": deployment, "labels": ours}), cursor_text()),
        (json!({"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}), json!(null)),
    ] {
        let mut scene = Scene::new(sync());
        let mut there = json!({"metadata": metadata, "data": data});
        there["metadata"]["name"] = json!("orders-cursor");
        there["metadata"]["namespace"] = json!("data");
        // Also where it bears labels of ours, so that the watch shows it.
        scene.sees_cursor(serde_json::from_value(there.clone()).unwrap());
        scene.look(taken(there)).await.unwrap();
    }
}

/// Restored from a copy, without its labels.
#[tokio::test]
async fn a_cursor_that_lost_its_labels_gets_them_again() {
    for (metadata, data) in [
        (json!({}), json!(null)),
        (json!({"annotations": {"s3sync.dev/about": "x"}}), json!(null)),
        (json!({"labels": {"backup": "velero"}, "annotations": {"backup": "x"}}), cursor_text()),
    ] {
        let mut scene = Scene::new(sync());
        let mut there = json!({"metadata": metadata, "data": data});
        there["metadata"]["name"] = json!("orders-cursor");
        let label = exchange(Method::PATCH, MAPS, 200, there.clone())
            .check(|body| assert_eq!(body["metadata"]["labels"]["app.kubernetes.io/instance"], "orders"));
        let mut script = taken(there);
        script.pop();
        script.extend([label, make_key(), make_job(), event("RunStarted")]);
        script.extend(rights());
        scene.look(script).await.unwrap();
    }
}

#[tokio::test]
async fn a_configmap_of_somebody_else_is_no_cursor() {
    let mut scene = Scene::new(sync());
    // No right is given to what has the cursor's name.
    scene.look(taken(json!({"metadata": {"name": "orders-cursor"}, "data": {"theme": "dark"}}))).await.unwrap();
    let not_ready =
        status_patched().check(|body| assert_eq!(body["status"]["conditions"][0]["reason"], "CursorInvalid"));
    scene.look(vec![not_ready, event("CursorInvalid")]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}
