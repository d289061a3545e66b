//! `kubectl s3sync`: the same binary, on resources of a cluster.

use serde_json::{Value, json};

use crate::support::{Site, api, endpoint_of_node, history, kubectl, s3sync};

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

/// A kubeconfig of somebody who may do this in the site's namespace, and nothing else.
fn somebody(site: &Site, rules: &Value) -> tempfile::NamedTempFile {
    let (namespace, name) = (site.namespace.as_str(), "somebody");
    let group = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    api::apply(&api::core(namespace, "serviceaccounts"), &account).expect("a ServiceAccount");
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules});
    api::apply(&format!("{group}/roles"), &role).expect("a Role");
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]});
    api::apply(&format!("{group}/rolebindings"), &binding).expect("bound");
    let token = kubectl(&["create", "token", name, "--namespace", namespace]).expect().stdout.trim().to_owned();
    let config = kubectl(&["config", "view", "--raw", "--minify", "--output", "json"]).expect().stdout;
    let mut config: Value = serde_json::from_str(&config).expect("JSON");
    config["users"][0]["user"] = json!({"token": token});
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), config.to_string()).expect("writable");
    file
}

/// As docs/security.md lists them.
fn rights_for_a_job() -> Value {
    json!([
        {"apiGroups": ["s3sync.dev"], "resources": ["s3syncs", "s3connections"], "verbs": ["get"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
    ])
}

/// MinIO has no name outside of the cluster, and whoever asks may read neither Secrets nor the cursor.
#[test]
fn state_is_exported_and_reset_where_the_workers_are() {
    let site = Site::new("incluster");
    let namespace = site.namespace.as_str();
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    let outside = s3sync(&["state", "export", "orders", "--namespace", namespace])
        .says(&["cannot be reached from here", "--in-cluster orders"]);
    assert_eq!(outside.code, 1, "{outside:?}");
    let somebody = somebody(&site, &rights_for_a_job());
    let kubeconfig = somebody.path().to_str().expect("text");
    let state = |args: &[&str]| {
        s3sync(&[&["state"], args, &["--namespace", namespace, "--kubeconfig", kubeconfig, "--in-cluster"]].concat())
    };
    let exported = state(&["export", "orders", "-o", "json"]).expect();
    let files: Value = serde_json::from_str(&exported.stdout).unwrap_or_else(|error| panic!("{error}: {exported:?}"));
    assert_eq!((files.as_array().map(Vec::len), &files[0]["rows"]), (Some(1), &json!(1)), "{files}");
    state(&["reset", "orders", "--yes"]).expect().says(&["reset at epoch 1"]);
    let left: Vec<_> = site.jobs("orders").iter().map(|job| job["metadata"]["name"].clone()).collect();
    assert!(left.iter().all(|name| !name.to_string().contains("command")), "{left:?}");
    site.trigger("orders", "after the reset");
    let sync = site.succeeded("orders", 2);
    assert_eq!(sync["status"]["lastRun"]["objects"], 1, "the reset sync reads everything again: {sync}");
    assert_eq!(history(&sync).len(), 2, "a command is no run: {sync}");
}

/// A run that never starts is in progress too; the next one is somebody's wish.
#[test]
fn a_run_is_cancelled_and_the_next_one_is_asked_for() {
    let site = Site::new("cancel");
    let namespace = site.namespace.as_str();
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({"source": {"secretRef": {"name": "nowhere"}}})))
        .expect("accepted");
    site.condition("orders", "Reconciling", "True", "WorkerWaiting");
    let job = site.get("orders")["status"]["active"][0]["job"].as_str().expect("a run in progress").to_owned();
    let cancelled = s3sync(&["cancel", "orders", "--namespace", namespace, "--wait"]).expect();
    assert!(cancelled.stdout.contains(&job) && cancelled.stdout.contains("it was cancelled"), "{cancelled:?}");
    site.condition("orders", "LastRunSucceeded", "False", "Cancelled");
    s3sync(&["cancel", "orders", "--namespace", namespace]).expect().says(&["no run in progress"]);
    assert_eq!(site.jobs("orders").len(), 0, "its Job is gone, and no other was made");
    let managers = site.get("orders")["metadata"]["managedFields"].to_string();
    assert!(managers.contains("\"kubectl-s3sync\""), "{managers}");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    site.has_each_row_once("orders/", 1);
}

#[test]
fn verbs_take_many_syncs_by_name_label_and_namespace() {
    let site = Site::new("selected");
    let namespace = site.namespace.as_str();
    for (name, team) in [("one", "sales"), ("two", "sales"), ("three", "ops")] {
        site.put(&format!("{name}/a.csv"), "id\n0\n");
        let mut sync = site.sync(name, &format!("{name}/"), json!({}));
        sync["metadata"]["labels"] = json!({"team": team});
        site.apply(&sync).expect("accepted");
        site.succeeded(name, 1);
    }
    let suspended = |name: &str| site.get(name)["spec"]["suspend"] == true;
    s3sync(&["suspend", "-l", "team=sales", "--namespace", namespace])
        .expect()
        .says(&["/one suspended", "/two suspended"]);
    assert_eq!(["one", "two", "three"].map(suspended), [true, true, false]);
    let listed = s3sync(&["status", "-l", "team=sales", "-A"]).expect().stdout;
    assert!(
        listed.contains(&format!("{namespace}/one")) && !listed.contains(&format!("{namespace}/three")),
        "{listed}"
    );
    s3sync(&["resume", "--all", "--namespace", namespace]).expect().says(&["/three is not suspended", "/one resumed"]);
    s3sync(&["trigger", "one", "three", "--namespace", namespace, "--wait"]).expect();
    // One that is not there keeps none of the others from it.
    let some = s3sync(&["suspend", "two", "nothing", "--namespace", namespace]);
    assert!(!some.ok && suspended("two"), "{some:?}");
    let none = s3sync(&["suspend", "--namespace", namespace]);
    assert!(!none.ok && none.stderr.contains("--all") && none.stderr.contains("-l"), "{none:?}");
}

/// All is well, as whoever may make Jobs and whoever runs the cluster see it; then what the namespace does not take is
/// told, and nothing waits for it.
#[test]
fn the_doctor_finds_a_sync_well_and_what_keeps_it_from_running() {
    let site = Site::new("doctor");
    let namespace = site.namespace.as_str();
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    let doctor = |args: &[&str]| {
        let printed = s3sync(&[&["doctor"], args, &["--namespace", namespace, "-o", "json"]].concat());
        let report: Value =
            serde_json::from_str(&printed.stdout).unwrap_or_else(|error| panic!("{error}: {printed:?}"));
        (printed.code, report)
    };
    let check = |report: &Value, name: &str| {
        let found = report["checks"].as_array().expect("checks").iter().find(|check| check["check"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {report:#}")).clone()
    };
    let (code, report) = doctor(&["orders"]);
    assert_eq!((code, &report["result"]), (0, &json!("Ok")), "{report:#}");
    for name in [
        "Leader",
        "OperatorRights",
        "WorkerRights",
        "Admission",
        "Pod",
        "SourceRead",
        "DestinationPath",
        "State",
        "Claim",
    ] {
        assert_eq!(check(&report, name)["result"], "Ok", "{report:#}");
    }
    let somebody = somebody(&site, &rights_for_a_job());
    let (code, report) = doctor(&["orders", "--kubeconfig", somebody.path().to_str().expect("text")]);
    assert_eq!((code, &check(&report, "SourceRead")["result"]), (0, &json!("Ok")), "{report:#}");
    let (code, report) = doctor(&[]);
    assert_eq!((code, &check(&report, "Sync")["result"]), (0, &json!("Ok")), "{report:#}");
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    api::apply(&api::core(namespace, "resourcequotas"), &quota).expect("a quota");
    crate::support::until("the quota", || {
        let (code, report) = doctor(&["orders"]);
        let found = check(&report, "Admission");
        let told = code == 3 && found["why"].as_str().is_some_and(|why| why.contains("exceeded quota"));
        if told { Ok(()) } else { Err(format!("{report:#}")) }
    });
}
