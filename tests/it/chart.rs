//! The chart: its copy of the definition, the plain manifests that are rendered from it, and what its values turn on
//! and off.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The chart rendered by the real helm; its error where it refuses.
pub fn render(args: &[&str]) -> Result<String, String> {
    let helm = std::env::var("S3SYNC_TEST_HELM")
        .expect("S3SYNC_TEST_HELM is not set: run tests/run, which prepares what the tests need");
    let output = Command::new(helm)
        .args(["template", "s3sync", "charts/s3sync", "--namespace", "s3sync-system"])
        .args(args)
        .current_dir(ROOT)
        .output()
        .expect("helm starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// The rendered objects.
#[track_caller]
pub fn objects(args: &[&str]) -> Vec<Value> {
    let text = render(args).expect("the chart renders");
    let documents = serde_yaml::Deserializer::from_str(&text);
    let values = documents.map(|document| serde::Deserialize::deserialize(document).expect("YAML"));
    values.filter(|value: &Value| !value.is_null()).collect()
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default()
}

/// Compares a generated file with what is checked in; with `UPDATE=1` it is written instead.
#[track_caller]
fn generated(file: &str, text: &str) {
    let path = PathBuf::from(ROOT).join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).expect("writable");
    }
    assert!(read(file) == text, "{file} is out of date: run UPDATE=1 tests/run chart");
}

/// What `s3sync doctor` asks whether the operator may do it is what the chart grants; `UPDATE=1` makes it all of that.
#[test]
fn the_doctor_knows_the_rights_of_the_chart() {
    let objects = objects(&[]);
    let role = objects
        .iter()
        .find(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == "s3sync")
        .expect("a ClusterRole");
    let file = "src/command/plugin/doctor/rights.json";
    if std::env::var_os("UPDATE").is_some() {
        generated(file, &format!("{}\n", serde_json::to_string_pretty(&role["rules"]).expect("JSON")));
    }
    let each = |rules: &Value| -> Vec<String> {
        let list = |rule: &Value, field: &str| rule[field].as_array().cloned().unwrap_or_default();
        let mut rights = Vec::new();
        for rule in rules.as_array().expect("rules") {
            for resource in list(rule, "resources") {
                rights.extend(
                    list(rule, "verbs").iter().map(|verb| format!("{verb} {resource} of {}", rule["apiGroups"])),
                );
            }
        }
        rights
    };
    let (asked, granted) = (each(&serde_json::from_str(&read(file)).expect("JSON")), each(&role["rules"]));
    let beyond = |these: &[String], those: &[String]| {
        these.iter().filter(|right| !those.contains(right)).cloned().collect::<Vec<_>>()
    };
    let (strange, missing) = (beyond(&asked, &granted), beyond(&granted, &asked));
    assert!(
        asked.len() > 20 && strange.is_empty() && missing.is_empty(),
        "{file} is out of date: run UPDATE=1 tests/run chart: {strange:?}, {missing:?}"
    );
}

#[test]
fn the_chart_has_the_definitions_that_the_types_make() {
    let files = |dir: &str| -> Vec<String> {
        let entries = std::fs::read_dir(Path::new(ROOT).join(dir)).expect("readable");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("readable").file_name().into_string().expect("text")).collect();
        names.retain(|name| name.ends_with(".s3sync.dev.yaml"));
        names.sort();
        names
    };
    let defined = files("crds");
    assert!(!defined.is_empty());
    for name in &defined {
        generated(&format!("charts/s3sync/files/{name}"), &read(&format!("crds/{name}")));
    }
    assert_eq!(files("charts/s3sync/files"), defined);
    // Each is installed, stays when the release goes, and is told to whoever looks for charts.
    let installed: Vec<Value> =
        objects(&[]).into_iter().filter(|object| object["kind"] == "CustomResourceDefinition").collect();
    let kept = |object: &&Value| object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
    assert_eq!((installed.len(), installed.iter().filter(kept).count()), (defined.len(), defined.len()));
    let chart: Value = serde_yaml::from_str(&read("charts/s3sync/Chart.yaml")).expect("YAML");
    let told: Value =
        serde_yaml::from_str(chart["annotations"]["artifacthub.io/crds"].as_str().expect("a text")).expect("YAML");
    let mut told: Vec<String> = told
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|crd| Some(format!("{}.yaml", crd["name"].as_str()?)))
        .collect();
    told.sort();
    assert_eq!(told, defined);
}

#[test]
fn deploy_is_the_chart_rendered_with_its_defaults() {
    // What says that Helm manages it is not true of the plain manifests.
    let plain = |text: &str| -> String {
        let text = text.replace("  annotations:\n    helm.sh/resource-policy: keep\n", "");
        text.lines()
            .filter(|line| !line.contains("helm.sh/chart:") && !line.contains("app.kubernetes.io/managed-by: Helm"))
            .filter(|line| !line.starts_with("# Source:") && *line != "---" && !line.is_empty())
            .fold(String::new(), |all, line| all + line + "\n")
    };
    let rendered = render(&[]).expect("the chart renders");
    let (definition, others): (Vec<&str>, Vec<&str>) = rendered
        .split("\n---\n")
        .map(|document| document.trim_start_matches("---\n"))
        .partition(|d| d.contains("kind: CustomResourceDefinition"));
    let head = "# The chart rendered with its defaults; do not edit.\n";
    let join =
        |documents: Vec<&str>| head.to_owned() + &documents.into_iter().map(plain).collect::<Vec<_>>().join("---\n");
    generated("deploy/crd.yaml", &join(definition));
    generated("deploy/controller.yaml", &join(others));
}

#[test]
fn what_is_off_by_default_can_be_turned_on() {
    let default = objects(&[]);
    assert_eq!(
        kinds(&default),
        [
            "ClusterRole",
            "ClusterRole",
            "ClusterRole",
            "ClusterRoleBinding",
            "CustomResourceDefinition",
            "CustomResourceDefinition",
            "CustomResourceDefinition",
            "Deployment",
            "Role",
            "RoleBinding",
            "Service",
            "ServiceAccount"
        ]
    );
    let switches = "podDisruptionBudget.enabled=true,networkPolicy.enabled=true,serviceMonitor.enabled=true,prometheusRule.enabled=true,\
                    grafanaDashboard.enabled=true";
    let all = objects(&["--set", switches]);
    for kind in ["ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "PrometheusRule", "ServiceMonitor"] {
        assert!(kinds(&all).contains(&kind) && !kinds(&default).contains(&kind), "{kind}");
    }
    let dashboard = all.iter().find(|object| object["kind"] == "ConfigMap").expect("a dashboard");
    let _: Value = serde_json::from_str(dashboard["data"]["s3sync.json"].as_str().expect("a text"))
        .expect("the dashboard is JSON");
}

#[test]
fn one_namespace_needs_no_right_in_another() {
    let objects = objects(&["--set", "watchNamespace=data,crds.enabled=false"]);
    assert_eq!(
        kinds(&objects),
        ["Deployment", "Role", "Role", "RoleBinding", "RoleBinding", "Service", "ServiceAccount"]
    );
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").expect("a Deployment");
    let args = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(args.as_array().expect("args").iter().any(|arg| arg == "--namespace=data"), "{args}");
    let places: Vec<&Value> =
        objects.iter().filter(|o| o["kind"] == "Role").map(|role| &role["metadata"]["namespace"]).collect();
    assert_eq!(places, ["data", "s3sync-system"]);
}

#[test]
fn several_namespaces_have_a_role_each() {
    let objects = objects(&[
        "--set",
        "watchNamespaces={shop,data},watchNamespace=data,crds.enabled=false,maxConcurrentRunsPerNamespace=3",
    ]);
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").expect("a Deployment");
    let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().expect("args");
    let args: Vec<&str> = args.iter().filter_map(Value::as_str).filter(|arg| arg.contains("namespace")).collect();
    assert_eq!(args, ["--namespace=data", "--namespace=shop", "--max-concurrent-runs-per-namespace=3"]);
    for kind in ["Role", "RoleBinding"] {
        let places: Vec<&Value> = objects
            .iter()
            .filter(|object| object["kind"] == kind)
            .map(|object| &object["metadata"]["namespace"])
            .collect();
        assert_eq!(places, ["data", "shop", "s3sync-system"], "{kind}");
    }
    assert!(!kinds(&objects).iter().any(|kind| kind.starts_with("Cluster")));
}

#[test]
fn no_right_goes_beyond_what_the_operator_does() {
    let mut rights = Vec::new();
    for object in
        objects(&[]).iter().filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role")))
    {
        for rule in object["rules"].as_array().expect("rules") {
            rights.push(rule.to_string());
        }
    }
    // What the code asks for, and update of cursors, which it grants.
    let controller = [
        r#"{"apiGroups":["s3sync.dev"],"resources":["s3syncs","s3connections","s3syncruns"],"verbs":["list","watch"]}"#,
        r#"{"apiGroups":["s3sync.dev"],"resources":["s3syncs/status","s3syncruns/status"],"verbs":["patch"]}"#,
        r#"{"apiGroups":["s3sync.dev"],"resources":["s3syncruns"],"verbs":["delete"]}"#,
        r#"{"apiGroups":["batch"],"resources":["jobs"],"verbs":["get","list","watch","create","delete"]}"#,
        r#"{"apiGroups":[""],"resources":["configmaps"],"verbs":["get","list","watch","create","patch","update"]}"#,
        r#"{"apiGroups":[""],"resources":["secrets"],"verbs":["create"]}"#,
        r#"{"apiGroups":[""],"resources":["pods"],"verbs":["list","watch","delete"]}"#,
        r#"{"apiGroups":[""],"resources":["serviceaccounts"],"verbs":["get","create","patch"]}"#,
        r#"{"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles","rolebindings"],"verbs":["get","create","patch"]}"#,
        r#"{"apiGroups":["events.k8s.io"],"resources":["events"],"verbs":["create","list"]}"#,
    ];
    assert_eq!(rights[..controller.len()], controller);
    // A Secret is made, and none is ever read: what was made is the kubelet's to give to pods.
    for right in
        rights.iter().filter(|right| **right != r#"{"apiGroups":[""],"resources":["secrets"],"verbs":["create"]}"#)
    {
        for word in ["\"secrets\"", "\"*\"", "\"escalate\"", "\"bind\"", "\"impersonate\"", "pods/exec", "nodes"] {
            assert!(!right.contains(word), "{right}");
        }
    }
}

/// The rendered object of a kind and name.
#[track_caller]
fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn the_webhook_has_a_right_to_its_own_secret_and_configuration_alone() {
    let all = objects(&["--set", "webhook.enabled=true,networkPolicy.enabled=true,watchNamespaces={b,a}"]);
    let name = "s3sync-webhook";
    let rules = |kind: &str| object(&all, kind, name)["rules"].to_string();
    assert_eq!(
        rules("Role"),
        r#"[{"apiGroups":[""],"resources":["secrets"],"resourceNames":["s3sync-webhook"],"verbs":["get","patch"]}]"#
    );
    let configurations =
        r#""resources":["validatingwebhookconfigurations"],"resourceNames":["s3sync-webhook"],"verbs":["get","patch"]"#;
    assert_eq!(rules("ClusterRole"), format!(r#"[{{"apiGroups":["admissionregistration.k8s.io"],{configurations}}}]"#));
    assert_eq!(
        object(&all, "Secret", name)["data"],
        Value::Null,
        "it is filled by the controller, and an upgrade leaves it alone"
    );
    let webhook = &object(&all, "ValidatingWebhookConfiguration", name)["webhooks"][0];
    let of = |field: &str| webhook[field].clone();
    assert_eq!(
        (of("failurePolicy"), of("sideEffects"), of("matchPolicy"), of("timeoutSeconds")),
        ("Ignore".into(), "None".into(), "Equivalent".into(), 5.into())
    );
    assert_eq!(webhook["rules"][0]["resources"], serde_json::json!(["s3syncs", "s3syncruns"]), "not the status");
    assert_eq!(webhook["namespaceSelector"]["matchExpressions"][0]["values"], serde_json::json!(["a", "b"]));
    assert_eq!(webhook["clientConfig"]["service"]["name"], object(&all, "Service", name)["metadata"]["name"]);
    assert_eq!(object(&all, "NetworkPolicy", "s3sync")["spec"]["ingress"][1]["ports"][0]["port"], "webhook");
    let container = &object(&all, "Deployment", "s3sync")["spec"]["template"]["spec"]["containers"][0];
    let args: Vec<&str> = container["args"].as_array().expect("args").iter().filter_map(Value::as_str).collect();
    assert!(
        args.contains(&"--webhook-listen=0.0.0.0:9443") && args.contains(&"--webhook-name=s3sync-webhook"),
        "{args:?}"
    );
    assert_eq!(container["ports"][1], serde_json::json!({"name": "webhook", "containerPort": 9443}));
}

#[test]
fn with_cert_manager_the_controller_needs_no_further_right() {
    let on = "webhook.enabled=true,webhook.certManager.enabled=true,watchNamespace=data";
    let all = objects(&["--set", on]);
    assert!(!kinds(&all).iter().any(|kind| ["Secret", "ClusterRole"].contains(kind)), "{:?}", kinds(&all));
    let name = "s3sync-webhook";
    let configuration = object(&all, "ValidatingWebhookConfiguration", name);
    assert_eq!(
        configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"],
        "s3sync-system/s3sync-webhook"
    );
    let certificate = &object(&all, "Certificate", name)["spec"];
    assert_eq!(certificate["dnsNames"][0], "s3sync-webhook.s3sync-system.svc");
    assert_eq!(certificate["issuerRef"]["name"], object(&all, "Issuer", name)["metadata"]["name"]);
    let pod = &object(&all, "Deployment", "s3sync")["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["secret"]["secretName"], certificate["secretName"]);
    let directory = pod["containers"][0]["volumeMounts"][0]["mountPath"].as_str().expect("a directory");
    let flag = format!("--webhook-cert-dir={directory}");
    assert!(pod["containers"][0]["args"].as_array().expect("args").iter().any(|arg| *arg == flag.as_str()));
    let theirs = objects(&[
        "--set",
        &format!("{on},webhook.certManager.issuerRef.name=ours,webhook.certManager.issuerRef.kind=ClusterIssuer"),
    ]);
    assert_eq!(
        object(&theirs, "Certificate", name)["spec"]["issuerRef"],
        serde_json::json!({"kind": "ClusterIssuer", "name": "ours"})
    );
    assert!(!kinds(&theirs).contains(&"Issuer"));
}

#[test]
fn the_url_that_is_told_stands_in_a_file_and_nowhere_else() {
    let all = objects(&["--set", "notify.urlSecretRef.name=chat,notify.urlSecretRef.key=address"]);
    let pod = &object(&all, "Deployment", "s3sync")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert!(
        container["args"].as_array().expect("args").iter().any(|arg| arg == "--notify-url-file=/etc/s3sync/notify/url")
    );
    assert_eq!(
        container["volumeMounts"],
        serde_json::json!([{"name": "notify", "mountPath": "/etc/s3sync/notify", "readOnly": true}])
    );
    let secret = serde_json::json!({"secretName": "chat", "items": [{"key": "address", "path": "url"}]});
    assert_eq!(pod["volumes"], serde_json::json!([{"name": "notify", "secret": secret}]));
    assert!(!render(&[]).expect("renders").contains("volumes:"));
}

#[test]
fn an_image_from_elsewhere_is_the_workers_image_too() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let cases = [
        ("image.registry=registry.example,image.tag=v9", "registry.example/s3sync-dev/s3sync:v9".to_owned()),
        (
            "image.registry=,image.repository=localhost/s3sync",
            format!("localhost/s3sync:{}", env!("CARGO_PKG_VERSION")),
        ),
        (&format!("image.digest={digest}"), format!("ghcr.io/s3sync-dev/s3sync@{digest}")),
    ];
    for (values, image) in cases {
        let objects = objects(&["--set", values, "--set", "image.pullSecrets={pull}"]);
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").expect("a Deployment");
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(container["image"], image);
        let workers = container["env"]
            .as_array()
            .expect("env")
            .iter()
            .find(|variable| variable["name"] == "S3SYNC_IMAGE")
            .expect("S3SYNC_IMAGE");
        assert_eq!(workers["value"], image);
        assert_eq!(pod["imagePullSecrets"][0]["name"], "pull");
        assert!(container["args"].as_array().expect("args").iter().any(|arg| arg == "--image-pull-secret=pull"));
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    for values in [
        "replica=3",
        "image.pullPolicy=Sometimes",
        "image.digest=sha256:short",
        "maxConcurrentRuns=0",
        "log.verbosity=9",
        "crds.enable=true",
        "watchNamespaces={Data}",
        "maxConcurrentRunsPerNamespace=0",
        "webhook.failurePolicy=ignore",
        "webhook.timeoutSeconds=31",
        "webhook.certManager.issuer=x",
    ] {
        let refusal = render(&["--set", values]).expect_err(values);
        assert!(refusal.contains("don't meet the specifications of the schema"), "{values}: {refusal}");
    }
}
