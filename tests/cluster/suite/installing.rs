//! Installing, upgrading and removing the operator, and what it may and may not do.

use serde_json::{Value, json};

use crate::support::{Site, api, helm, kubectl, release, until};

#[test]
fn the_chart_runs_under_the_restricted_standard_with_two_replicas() {
    let _shared = release::shared();
    release::ready();
    let namespace = api::get(&format!("/api/v1/namespaces/{}", release::NAMESPACE));
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let pods = release::controllers();
    assert_eq!(pods.len(), 2);
    let leader = release::leader();
    assert!(pods.iter().any(|pod| pod["metadata"]["name"] == leader.as_str()));
    let metrics = release::metrics(&leader);
    for name in ["s3sync_reconciles_total", "s3sync_leader"] {
        assert!(metrics.contains(name), "{name} is not among the metrics:\n{metrics}");
    }
}

#[test]
fn every_metric_that_alerts_and_dashboard_ask_for_is_there() {
    let site = Site::new("metrics");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({"schedule": "0 0 1 1 *", "trigger": "now"}))).expect("accepted");
    site.trigger("orders", "now");
    site.succeeded("orders", 1);
    let asked = std::fs::read_to_string(format!("{}/files/dashboard.json", release::CHART)).expect("a dashboard")
        + &std::fs::read_to_string(format!("{}/templates/prometheusrule.yaml", release::CHART)).expect("alerts");
    let names =
        asked.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| word.starts_with("s3sync_"));
    let metrics = release::metrics(&release::leader());
    for name in names {
        // Counters of what has not happened yet have a type and no value.
        let family = name.trim_end_matches("_bucket");
        assert!(metrics.contains(&format!("# TYPE {family} ")), "{name} is not among the metrics:\n{metrics}");
    }
}

#[test]
fn rights_are_what_the_operator_needs_and_no_more() {
    let site = Site::new("rights");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    let namespace = site.namespace.as_str();
    let controller = format!("system:serviceaccount:{}:{}", release::NAMESPACE, release::RELEASE);
    let worker = format!("system:serviceaccount:{namespace}:orders-worker");
    let may = |who: &str, verb: &str, what: &str| {
        // kubectl reads what stands behind a slash as an object's name.
        let (what, part) = what.split_once(':').unwrap_or((what, ""));
        let printed =
            kubectl(&["auth", "can-i", verb, what, "--subresource", part, "--namespace", namespace, "--as", who]);
        assert!(["yes", "no"].contains(&printed.stdout.trim()), "{printed:?}");
        printed.stdout.trim() == "yes"
    };
    for (verb, what) in [
        ("list", "s3syncs.s3sync.dev"),
        ("watch", "s3connections.s3sync.dev"),
        ("watch", "s3syncruns.s3sync.dev"),
        ("delete", "s3syncruns.s3sync.dev"),
        ("create", "jobs.batch"),
        ("delete", "pods"),
        ("create", "configmaps"),
        ("create", "roles"),
        ("create", "secrets"),
        ("list", "events.events.k8s.io"),
    ] {
        assert!(may(&controller, verb, what), "the controller may not {verb} {what}");
    }
    for (verb, what) in [
        ("get", "secrets"),
        ("list", "secrets"),
        ("watch", "secrets"),
        ("patch", "secrets"),
        ("delete", "secrets"),
        ("create", "pods"),
        ("create", "pods:exec"),
        ("delete", "s3syncs.s3sync.dev"),
        ("update", "s3syncs.s3sync.dev"),
        ("create", "s3connections.s3sync.dev"),
        ("patch", "s3connections.s3sync.dev"),
        ("create", "s3syncruns.s3sync.dev"),
        ("patch", "s3syncruns.s3sync.dev"),
        ("escalate", "roles"),
        ("bind", "roles"),
        ("create", "clusterroles"),
        ("delete", "configmaps"),
        ("get", "nodes"),
        ("impersonate", "users"),
        ("create", "serviceaccounts:token"),
        ("patch", "jobs.batch"),
        ("get", "pods"),
        ("get", "s3syncs.s3sync.dev"),
        ("delete", "roles"),
        ("patch", "events.events.k8s.io"),
        ("watch", "events.events.k8s.io"),
        ("list", "events"),
    ] {
        assert!(!may(&controller, verb, what), "the controller may {verb} {what}");
    }
    for (verb, what) in [
        ("get", "configmaps/orders-cursor"),
        ("update", "configmaps/orders-cursor"),
        ("watch", "configmaps/orders-cursor"),
    ] {
        assert!(may(&worker, verb, what), "the worker may not {verb} {what}");
    }
    for (verb, what) in [
        ("get", "configmaps/other"),
        ("list", "configmaps"),
        ("create", "configmaps"),
        ("delete", "configmaps/orders-cursor"),
        ("get", "secrets"),
        ("get", "pods"),
        ("get", "s3syncs.s3sync.dev"),
        ("get", "s3connections.s3sync.dev"),
        ("patch", "s3syncs.s3sync.dev:status"),
        ("create", "jobs.batch"),
    ] {
        assert!(!may(&worker, verb, what), "the worker may {verb} {what}");
    }
    // The cluster's own role for people who edit a namespace covers the resource.
    let editor = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "editor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ada"}]});
    api::apply(&format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"), &editor)
        .expect("bound");
    let kinds = ["s3syncs.s3sync.dev", "s3connections.s3sync.dev", "s3syncruns.s3sync.dev"];
    let all = || kinds.iter().all(|what| may("ada", "create", what));
    until("the aggregated role", || if all() { Ok(()) } else { Err("no".to_owned()) });
}

#[test]
fn worker_pods_carry_names_of_secrets_and_no_values() {
    let site = Site::new("values");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    let sync = site.succeeded("orders", 1);
    let secret = crate::support::var("S3SYNC_TEST_SECRET_KEY");
    let mut written = vec![sync.to_string(), site.cursor("orders").expect("a cursor").to_string()];
    written.extend(site.jobs("orders").iter().map(Value::to_string));
    written.extend(api::list(&api::core(&site.namespace, "pods"), "").iter().map(Value::to_string));
    written.extend(api::list(&api::core(&site.namespace, "events"), "").iter().map(Value::to_string));
    assert!(written.iter().all(|text| !text.contains(&secret)), "the secret's value is written down");
    assert!(written.iter().any(|text| text.contains("secretKeyRef")), "{written:?}");
}

#[test]
fn an_upgrade_leaves_a_run_in_progress_alone() {
    let _alone = release::alone();
    let site = Site::within_alone("upgrade");
    let rows = site.put_many("orders/", 90, 20);
    let spec = json!({"limits": {"objectsPerCommit": 10}});
    site.apply(&site.sync("orders", "orders/", spec)).expect("accepted");
    until("a run in progress", || if site.phase("orders").is_empty() { Err(site.story()) } else { Ok(()) });
    let (_, tag) = release::image();
    release::install(&[&format!("image.tag={tag}-next"), "log.verbosity=1"]);
    let sync = site.succeeded("orders", 1);
    assert_eq!(site.jobs("orders").len(), 1, "the upgrade made another run: {sync}");
    site.has_each_row_once("orders/", rows);
    release::install(&[]);
}

#[test]
fn uninstalling_keeps_resources_cursors_and_data() {
    let _alone = release::alone();
    let site = Site::within_alone("uninstall");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    let before = site.get("orders")["metadata"]["uid"].clone();
    helm(&["uninstall", release::RELEASE, "--namespace", release::NAMESPACE, "--wait"]).expect().says(&["uninstalled"]);
    assert_eq!(site.get("orders")["metadata"]["uid"], before, "the definition went, and the resource with it");
    assert!(site.cursor("orders").is_some());
    site.has_each_row_once("orders/", 1);
    site.put("orders/b.csv", "id\n1\n");
    release::install(&[]);
    site.trigger("orders", "installed again");
    let sync = site.succeeded("orders", 2);
    assert_eq!(sync["status"]["lastRun"]["objects"], 1, "{sync}");
    site.has_each_row_once("orders/", 2);
}

#[test]
fn an_operator_of_one_namespace_leaves_the_others_alone() {
    let _alone = release::alone();
    let (ours, theirs) = (Site::within_alone("ours"), Site::within_alone("theirs"));
    release::install(&["replicas=1", &format!("watchNamespace={}", ours.namespace)]);
    for site in [&ours, &theirs] {
        site.put("orders/a.csv", "id\n0\n");
        site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    }
    ours.succeeded("orders", 1);
    ours.has_each_row_once("orders/", 1);
    assert!(
        theirs.jobs("orders").is_empty()
            && theirs.get("orders")["status"]["observedGeneration"].as_i64().is_none_or(|g| g < 1)
    );
    let controller = format!("system:serviceaccount:{}:{}", release::NAMESPACE, release::RELEASE);
    let denied = kubectl(&[
        "auth",
        "can-i",
        "list",
        "s3syncs.s3sync.dev",
        "--namespace",
        &theirs.namespace,
        "--as",
        &controller,
    ]);
    assert_eq!(denied.stdout.trim(), "no");
    release::install(&[]);
    theirs.succeeded("orders", 1);
}
