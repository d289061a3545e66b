//! A definition that is older than the controller.

use super::*;
use crate::api::S3SyncStatus;

/// What was written last, as the definition keeps it.
fn shown(scene: &Scene) -> Option<S3SyncStatus> {
    let written = scene.context.expectations.status_over(&("data".into(), "orders".into()), Some("100"));
    Some(S3SyncStatus { message: None, next_run_time: None, ..written? })
}

/// What the API server refuses of a status is left out, so that the rest is written and a run goes on; it is asked
/// again after a while, when somebody may have updated the definition.
#[tokio::test(start_paused = true)]
async fn a_status_is_written_as_far_as_the_definition_knows_it() {
    let mut scene = Scene::new(sync_with(json!({"suspend": true})));
    let answer = "failed to create typed patch object (data/orders; s3sync.dev/v1alpha1, Kind=S3Sync): errors:\n  .status.message: field not declared in schema\n  .status.nextRunTime: field not declared in schema";
    let strict = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": answer, "reason": "InternalError", "code": 500});
    let whole = |body: Value| assert!(body["status"]["message"].is_string(), "{body}");
    let part = |body: Value| {
        assert_eq!(
            (&body["status"]["message"], &body["status"]["conditions"][0]["reason"]),
            (&Value::Null, &json!("Suspended"))
        );
    };
    let refused = || exchange(Method::PATCH, STATUS, 500, strict.clone()).check(whole);
    scene.look(vec![refused(), status_patched().check(part)]).await.unwrap();
    // The watch shows what was kept, and nothing is new.
    let mut kept = sync_with(json!({"suspend": true}));
    kept.metadata.resource_version = Some("101".into());
    kept.status = shown(&scene);
    listed(&mut scene.writers.syncs, vec![DeserializeGuard(Ok(kept.clone()))]);
    scene.look(vec![]).await.unwrap();
    // Known by now: no second request.
    kept.spec.suspend = false;
    kept.spec.schedule = Some("0 0 1 1 *".into());
    listed(&mut scene.writers.syncs, vec![DeserializeGuard(Ok(kept.clone()))]);
    let armed = |body: Value| assert_eq!(body["status"]["message"], Value::Null);
    scene.look(vec![status_patched().check(armed), event("Armed")]).await.unwrap();
    kept.status = shown(&scene);
    listed(&mut scene.writers.syncs, vec![DeserializeGuard(Ok(kept))]);
    scene.look(vec![]).await.unwrap();
    // Updated meanwhile.
    tokio::time::advance(Duration::from_secs(601)).await;
    scene.look(vec![status_patched().check(whole)]).await.unwrap();
}
