//! An operator beside a definition of an earlier release: Helm updates none.

use serde_json::{Value, json};

use crate::support::{Site, api, release, run, s3sync};

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/s3syncs.s3sync.dev";

/// What this release has, whatever a test did.
struct Restored;

impl Restored {
    fn definitions() {
        let printed = s3sync(&["crd"]).expect();
        run("kubectl", &["apply", "--server-side", "--force-conflicts", "-f", "-"], Some(&printed.stdout)).expect();
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        Restored::definitions();
    }
}

#[test]
fn an_older_definition_stops_no_run_and_is_told() {
    let _alone = release::alone();
    let site = Site::within_alone("older");
    let restored = Restored;
    let mut older = api::get(DEFINITION);
    older["metadata"] =
        json!({"name": older["metadata"]["name"], "resourceVersion": older["metadata"]["resourceVersion"]});
    let status = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        .as_object_mut()
        .expect("fields");
    for field in ["run", "message", "nextRunTime"] {
        status.shift_remove(field).expect("a field of this release");
    }
    status["lastRun"]["properties"].as_object_mut().expect("fields").shift_remove("passedOver").expect("a field");
    api::request(http::Method::PUT, DEFINITION, "application/json", Some(&older)).expect("replaced");

    site.put("orders/a.csv", "id\n0\n");
    site.put("orders/README.md", "not read");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    let sync = site.succeeded("orders", 1);
    assert_eq!((&sync["status"]["message"], &sync["status"]["lastRun"]["passedOver"]), (&Value::Null, &Value::Null));
    site.has_each_row_once("", 1);
    let log = run("kubectl", &["--namespace", release::NAMESPACE, "logs", &release::leader()], None).expect().stdout;
    let told: Vec<&str> = log.lines().filter(|line| line.contains("is older than this controller")).collect();
    for field in ["status.run", "status.message", "status.lastRun.passedOver"] {
        assert_eq!(told.iter().filter(|line| line.contains(field)).count(), 1, "{field}: {told:#?}");
    }
    s3sync(&["doctor", "orders", "--local", "--namespace", &site.namespace])
        .says(&["s3syncs.s3sync.dev is older than the operator", "s3sync crd | kubectl apply --server-side -f -"]);
    drop(restored);
    s3sync(&["doctor", "--namespace", &site.namespace]).says(&["s3syncs.s3sync.dev is that of this release"]);
}
