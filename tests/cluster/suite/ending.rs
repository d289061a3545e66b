//! A namespace that is deleted during a run ends, with the controller and without it.

use std::time::Instant;

use serde_json::json;

use crate::support::{Site, api, kubectl, release, until};
use crate::surviving::long_run;

/// A run that has begun to work.
fn at_work(site: &Site) {
    let (sync, _) = long_run(site);
    site.apply(&sync).expect("accepted");
    until("a run at work", || if site.phase("orders") == "Running" { Ok(()) } else { Err(site.story()) });
}

fn delete(site: &Site) {
    assert!(api::delete(&format!("/api/v1/namespaces/{}", site.namespace), None));
}

#[track_caller]
fn gone(site: &Site) {
    let path = format!("/api/v1/namespaces/{}", site.namespace);
    until("the end of the namespace", || match api::find(&path) {
        None => Ok(()),
        Some(namespace) => Err(format!("{}\n{}", namespace["status"], site.story())),
    });
}

#[test]
fn a_namespace_that_is_deleted_during_a_run_ends() {
    let site = Site::new("ending");
    at_work(&site);
    let since = Instant::now();
    delete(&site);
    gone(&site);
    println!("the namespace was gone after {} s", since.elapsed().as_secs());
}

/// What is as it was when the test ends, however it ends: other tests need it.
struct Restored {
    deployment: String,
    minio: String,
}

impl Restored {
    fn controllers(&self, replicas: u32) {
        api::patch(&self.deployment, &json!({"spec": {"replicas": replicas}}));
    }

    /// Whether MinIO's service leads to it.
    fn minio(&self, there: bool) {
        api::patch(&self.minio, &json!({"spec": {"selector": {"app": if there { "minio" } else { "nobody" }}}}));
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        self.minio(true);
        self.controllers(2);
    }
}

/// What the documentation says to do then; where Kubernetes ends it by itself, it does no harm.
#[test]
fn without_a_controller_deleting_the_jobs_ends_it() {
    let _alone = release::alone();
    let site = Site::within_alone("uncontrolled");
    let restored = Restored {
        deployment: format!("/apis/apps/v1/namespaces/{}/deployments/{}", release::NAMESPACE, release::RELEASE),
        minio: format!("{}/minio", api::core("minio", "services")),
    };
    at_work(&site);
    // The run lasts until then.
    restored.minio(false);
    restored.controllers(0);
    until("no controller", || if release::controllers().is_empty() { Ok(()) } else { Err("it is there".to_owned()) });
    delete(&site);
    let selector = "app.kubernetes.io/managed-by=s3sync,app.kubernetes.io/component=worker";
    kubectl(&["--namespace", &site.namespace, "delete", "jobs", "--selector", selector]).expect();
    gone(&site);
    drop(restored);
    release::ready();
}
