//! S3Connections: once a namespace how S3 is reached, for the syncs that name it.

use serde_json::{Value, json};

use crate::support::{ENDPOINT, Site, api, kubectl};

fn connections(site: &Site) -> String {
    format!("/apis/s3sync.dev/v1alpha1/namespaces/{}/s3connections", site.namespace)
}

fn connection(site: &Site, spec: &Value) {
    let connection = json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Connection", "metadata": {"name": "minio"}, "spec": spec});
    api::apply(&connections(site), &connection).expect("accepted");
}

/// A sync that says nothing of how S3 is reached.
fn named(site: &Site, name: &str) -> Value {
    let side = json!({"endpoint": null, "secretRef": null, "connectionRef": {"name": "minio"}});
    site.sync(name, "orders/", json!({"source": side, "destination": side}))
}

#[test]
fn syncs_follow_the_connection_that_they_name() {
    let site = Site::new("named");
    let rows = site.put_many("orders/", 2, 3);
    for name in ["one", "two"] {
        site.apply(&named(&site, name)).expect("accepted");
        let ready = site.condition(name, "Ready", "False", "ConnectionNotFound");
        assert!(
            ready["message"].as_str().is_some_and(|text| text.contains("names the S3Connection \"minio\"")),
            "{ready}"
        );
        assert!(site.jobs(name).is_empty());
    }
    // Both heal by themselves.
    connection(&site, &json!({"endpoint": ENDPOINT, "secretRef": {"name": "s3"}}));
    for name in ["one", "two"] {
        site.succeeded(name, 1);
        site.has_each_row_once(&format!("{name}/"), rows);
    }
    let listed = kubectl(&["--namespace", &site.namespace, "get", "s3c"]).stdout;
    assert!(listed.contains("ENDPOINT") && listed.contains(ENDPOINT) && listed.contains("s3 "), "{listed}");

    // Fields that move from the connection into a sync are the same fields: nothing runs.
    let runs = site.jobs("two").len();
    site.apply(&site.sync("two", "orders/", json!({}))).expect("accepted");
    site.condition("two", "Ready", "True", "Armed");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(site.jobs("two").len(), runs);

    // Another Secret with the same keys is a change of what names it, and of nothing else.
    let keys = ["ACCESS", "SECRET"].map(|key| crate::support::var(&format!("S3SYNC_TEST_{key}_KEY")));
    site.secret("rotated", &keys[0], &keys[1]);
    connection(&site, &json!({"endpoint": ENDPOINT, "secretRef": {"name": "rotated"}}));
    site.succeeded("one", 2);
    site.has_each_row_once("one/", rows);
    assert_eq!(site.jobs("two").len(), runs);
    let env =
        site.jobs("one").into_iter().max_by_key(|job| job["metadata"]["creationTimestamp"].to_string()).expect("a Job");
    assert!(env.to_string().contains("\"rotated\"") && !env.to_string().contains("connectionRef"), "{env}");

    // Another endpoint is another source and destination, and waits for somebody to accept it.
    connection(&site, &json!({"endpoint": "http://elsewhere.example:9000", "secretRef": {"name": "rotated"}}));
    site.condition("one", "Ready", "False", "SpecChanged");
    connection(&site, &json!({"endpoint": ENDPOINT, "secretRef": {"name": "rotated"}}));
    site.condition("one", "Ready", "True", "Armed");
    site.condition("two", "Ready", "True", "Armed");
}

#[test]
fn what_a_connection_may_not_say_is_refused() {
    let site = Site::new("refused");
    for (spec, part) in [
        (json!({"endpoint": "file:/data"}), "spec.endpoint"),
        (json!({"anonymous": true, "secretRef": {"name": "s3"}}), "anonymous excludes secretRef and roleArn"),
    ] {
        let object = json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Connection", "metadata": {"name": "minio"}, "spec": spec});
        let refusal = api::apply(&connections(&site), &object).expect_err("refused");
        assert!(refusal.contains(part), "{refusal}");
    }
    let both = site.sync("both", "orders/", json!({"source": {"connectionRef": {"name": "minio"}}}));
    let refusal = site.apply(&both).expect_err("refused");
    assert!(refusal.contains("connectionRef excludes endpoint"), "{refusal}");
}
