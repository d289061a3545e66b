//! What is wrong outside shows as a condition with reason and sentence, makes no storm of Jobs, and heals without a
//! restart.

use serde_json::{Value, json};

use crate::support::{ENDPOINT, Site, api, call, condition, python, var};

/// A sentence that a person can act on.
fn message(condition: &Value) -> String {
    condition["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_missing_secret_is_named_and_its_arrival_is_enough() {
    let site = Site::new("nosecret");
    site.put("orders/a.csv", "id\n0\n");
    let spec = json!({"source": {"secretRef": {"name": "later"}}});
    site.apply(&site.sync("orders", "orders/", spec)).expect("accepted");
    let sync = site.wait("orders", "a sentence about the Secret", |sync| {
        sync["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|condition| message(condition).contains("later"))
    });
    assert_eq!(site.jobs("orders").len(), 1, "{sync}");
    site.secret("later", &var("S3SYNC_TEST_ACCESS_KEY"), &var("S3SYNC_TEST_SECRET_KEY"));
    site.succeeded("orders", 1);
    site.has_each_row_once("orders/", 1);
}

#[test]
fn a_missing_bucket_is_named_and_its_arrival_is_enough() {
    let site = Site::new("nobucket");
    let later = format!("{}-later", site.namespace);
    site.apply(&site.sync("orders", "orders/", json!({"source": {"bucket": later}}))).expect("accepted");
    let failed = site.condition("orders", "LastRunSucceeded", "False", "NotFound");
    assert!(message(&failed).contains(&later), "{failed}");
    assert!(site.jobs("orders").len() <= 2, "a storm of Jobs");
    call("make_bucket", json!({"bucket": later}));
    python("client().put_object(Bucket=bucket, Key='orders/a.csv', Body=b'id\\n0\\n')", json!({"bucket": later}));
    // The next try comes by itself, a minute after the first failure.
    site.succeeded("orders", 1);
    site.has_each_row_once("orders/", 1);
}

#[test]
fn a_rotated_secret_is_used_by_the_next_run() {
    let site = Site::new("rotate");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    site.put("orders/b.csv", "id\n1\n");
    site.secret("s3", "revoked", "revoked-secret");
    site.trigger("orders", "with the old key");
    let failed = site.condition("orders", "LastRunSucceeded", "False", "Denied");
    assert!(!message(&failed).contains("revoked-secret"), "a secret in a message: {failed}");
    assert!(site.jobs("orders").len() <= 3, "a storm of Jobs");
    site.secret("s3", &var("S3SYNC_TEST_ACCESS_KEY"), &var("S3SYNC_TEST_SECRET_KEY"));
    site.trigger("orders", "with the new key");
    site.succeeded("orders", 2);
    site.has_each_row_once("orders/", 2);
}

#[test]
fn a_schedule_that_no_clock_knows_is_a_condition_until_it_is_mended() {
    let site = Site::new("badcron");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({"schedule": "61 * * * *"}))).expect("CEL cannot see it");
    let ready = site.condition("orders", "Ready", "False", "InvalidSpec");
    assert!(message(&ready).contains("schedule"), "{ready}");
    assert!(site.jobs("orders").is_empty());
    site.change("orders", json!({"schedule": null}));
    site.condition("orders", "Ready", "True", "Armed");
    site.succeeded("orders", 1);
    site.has_each_row_once("orders/", 1);
}

#[test]
fn what_only_a_terminal_has_is_refused_in_a_cluster() {
    let site = Site::new("terminal");
    site.apply(&site.sync("profile", "orders/", json!({"source": {"profile": "dev", "secretRef": null}})))
        .expect("CEL cannot see it");
    site.apply(&site.sync("file", "orders/", json!({"source": {"endpoint": "file:./data", "secretRef": null}})))
        .expect("CEL cannot see it");
    for name in ["profile", "file"] {
        site.condition(name, "Ready", "False", "UnsupportedInCluster");
        assert!(site.jobs(name).is_empty());
    }
}

#[test]
fn bad_data_names_the_object_and_a_mended_object_is_enough() {
    let site = Site::new("baddata");
    site.put("orders/a.csv", "id,name\n0,ada\n");
    site.put("orders/b.csv", "id,name\n1,bob,too,many\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    let failed = site.condition("orders", "LastRunSucceeded", "False", "BadData");
    assert!(message(&failed).contains("orders/b.csv"), "{failed}");
    assert_eq!(
        site.sql("orders/", "select count(*) from read_parquet(FILES)"),
        json!([]),
        "something bad became visible"
    );
    site.put("orders/b.csv", "id,name\n1,bob\n");
    site.trigger("orders", "mended");
    site.succeeded("orders", 1);
    site.has_each_row_once("orders/", 2);
}

#[test]
fn a_second_sync_of_the_same_source_and_path_is_refused_as_claimed() {
    let site = Site::new("claimed");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    let mut twin = site.sync("twin", "orders/", json!({}));
    twin["spec"]["destination"]["path"] =
        site.sync("orders", "orders/", json!({}))["spec"]["destination"]["path"].clone();
    site.apply(&twin).expect("accepted");
    site.condition("twin", "Ready", "False", "Claimed");
    site.has_each_row_once("orders/", 1);
}

#[test]
fn a_cursor_edited_into_nonsense_stops_the_sync_and_deletes_nothing() {
    let site = Site::new("nonsense");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    let path = format!("{}/orders-cursor", api::core(&site.namespace, "configmaps"));
    let good = api::get(&path)["data"]["cursor"].clone();
    api::patch(&path, &json!({"data": {"cursor": "{\"version\": 1, \"epoch\": \"many\"}"}}));
    site.put("orders/b.csv", "id\n1\n");
    site.trigger("orders", "after the edit");
    site.condition("orders", "Ready", "False", "CursorInvalid");
    site.has_each_row_once("orders/", 1);
    assert!(
        api::get(&path)["data"]["cursor"].as_str().is_some_and(|text| text.contains("many")),
        "the cursor was replaced"
    );
    api::patch(&path, &json!({"data": {"cursor": good}}));
    site.condition("orders", "Ready", "True", "Armed");
    site.trigger("orders", "after the mending");
    site.succeeded("orders", 2);
    site.has_each_row_once("orders/", 2);
}

#[test]
fn denied_access_is_told_and_heals_when_it_is_granted() {
    let site = Site::new("denied");
    site.put("orders/a.csv", "id\n0\n");
    let nobody = json!({"source": {"secretRef": null, "anonymous": true, "endpoint": ENDPOINT}});
    site.apply(&site.sync("orders", "orders/", nobody)).expect("accepted");
    let failed = site.condition("orders", "LastRunSucceeded", "False", "Denied");
    assert!(message(&failed).contains(&site.raw()), "{failed}");
    let grant = "
import json
actions = [('s3:ListBucket', f'arn:aws:s3:::{bucket}'), ('s3:GetObject', f'arn:aws:s3:::{bucket}/*')]
policy = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'AWS': ['*']}, 'Action': [a], 'Resource': [r]} for a, r in actions]}
client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
";
    python(grant, json!({"bucket": site.raw()}));
    site.trigger("orders", "granted");
    let sync = site.succeeded("orders", 1);
    assert!(condition(&sync, "Stalled").is_none(), "{sync}");
    site.has_each_row_once("orders/", 1);
}
