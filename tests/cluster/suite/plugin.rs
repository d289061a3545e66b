//! `kubectl s3sync`: the same binary, on resources of a cluster.

use serde_json::{Value, json};

use crate::support::{Site, endpoint_of_node, s3sync};

#[test]
fn the_plugin_shows_triggers_suspends_and_resumes() {
    let site = Site::new("plugin");
    let namespace = site.namespace.as_str();
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    s3sync(&["status", "orders", "--namespace", namespace]).expect().says(&["orders", "Armed", "Succeeded"]);
    site.put("orders/b.csv", "id\n1\n");
    s3sync(&["trigger", "orders", "--namespace", namespace, "--wait"]).expect();
    site.succeeded("orders", 2);
    site.has_each_row_once("orders/", 2);
    s3sync(&["logs", "orders", "--namespace", namespace]).expect();
    s3sync(&["suspend", "orders", "--namespace", namespace]).expect();
    assert_eq!(site.get("orders")["spec"]["suspend"], true);
    site.condition("orders", "Ready", "True", "Suspended");
    s3sync(&["resume", "orders", "--namespace", namespace]).expect();
    site.condition("orders", "Ready", "True", "Armed");
    let missing = s3sync(&["status", "nothing", "--namespace", namespace]);
    assert!(!missing.ok, "{missing:?}");
}

#[test]
fn the_cursor_of_a_cluster_is_shown_exported_and_reset_through_a_kubeconfig() {
    let site = Site::new("state");
    let namespace = site.namespace.as_str();
    site.put("orders/a.csv", "id\n0\n");
    // The plugin reads the destination itself, from outside of the cluster.
    let endpoint = endpoint_of_node();
    let spec = json!({"source": {"endpoint": endpoint}, "destination": {"endpoint": endpoint}});
    site.apply(&site.sync("orders", "orders/", spec)).expect("accepted");
    site.succeeded("orders", 1);
    let shown = s3sync(&["state", "show", "orders", "--namespace", namespace, "-o", "json"]).expect();
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert!(shown.to_string().contains("orders"), "{shown}");
    s3sync(&["state", "reset", "orders", "--namespace", namespace, "--yes"]).expect();
    site.trigger("orders", "after the reset");
    let sync = site.succeeded("orders", 2);
    assert_eq!(sync["status"]["lastRun"]["objects"], 1, "the reset sync reads everything again: {sync}");
}
