//! Resources that name S3Connections.

use std::sync::Arc;

use super::*;
use crate::controller::fixtures::minio;
use crate::controller::reflectors::GuardedConnection;

fn named() -> S3Sync {
    let by = json!({"name": "minio"});
    sync_with(
        json!({"source": {"bucket": "raw", "connectionRef": by}, "destination": {"bucket": "lake", "format": "parquet", "connectionRef": by}}),
    )
}

fn says(endpoint: &str) -> GuardedConnection {
    Arc::unwrap_or_clone(minio(1, json!({"endpoint": endpoint, "secretRef": {"name": "s3"}})))
}

/// Applied before its connection, healed by it; and what workers get names no connection.
#[tokio::test]
async fn a_resource_waits_for_its_connection_and_runs_with_what_it_says() {
    let mut scene = Scene::new(named());
    let not_ready = status_patched().check(|body| {
        let ready = &body["status"]["conditions"][0];
        assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("ConnectionNotFound")));
    });
    scene.look(vec![not_ready, event("ConnectionNotFound")]).await.unwrap();
    scene.look(vec![]).await.unwrap();
    let names = scene.context.reflectors.naming.of(&("data".into(), "minio".into()));
    assert_eq!(names, [("data".to_owned(), "orders".to_owned())], "a change of the connection is a look at it");

    listed(&mut scene.writers.connections, vec![says("http://minio:9000")]);
    let make = exchange(Method::POST, JOBS, 201, first_job("uid-1")).check(|body| {
        let env = body["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
        let of =
            |name: &str| env.iter().find(|variable| variable["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        let manifest: Value = serde_json::from_str(of("S3SYNC_MANIFEST")["value"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&manifest["spec"]["source"]["endpoint"], &manifest["spec"]["destination"]["secretRef"]["name"]),
            (&json!("http://minio:9000"), &json!("s3"))
        );
        assert!(!manifest.to_string().contains("connectionRef"), "{manifest}");
        assert_eq!(of("S3SYNC_SOURCE_AWS_ACCESS_KEY_ID")["valueFrom"]["secretKeyRef"]["name"], "s3");
    });
    let script = [rights(), vec![make_key(), make_cursor(), make, event("RunStarted")]].into_iter().flatten().collect();
    scene.look(script).await.unwrap();
}

/// At the start of the controller: what is not listed yet may be there.
#[tokio::test]
async fn a_connection_is_not_missed_before_it_could_be_seen() {
    let mut scene = Scene::new(named());
    let (fresh, mut writers) = reflectors();
    Arc::get_mut(&mut scene.context).unwrap().reflectors.connections = fresh.connections;
    assert_eq!(scene.look(vec![]).await.unwrap(), Action::requeue(Duration::from_secs(1)));
    listed(&mut writers.connections, vec![]);
    scene.look(vec![status_patched(), event("ConnectionNotFound")]).await.unwrap();
}

/// A resource that names none needs neither the definition nor the right.
#[tokio::test]
async fn a_resource_without_connections_does_not_wait_for_any() {
    let mut scene = Scene::new(sync_with(json!({"suspend": true})));
    Arc::get_mut(&mut scene.context).unwrap().reflectors.connections = reflectors().0.connections;
    scene.look(vec![status_patched()]).await.unwrap();
}
