//! The chart's ValidatingAdmissionPolicy and the controller's own rules, made from the same values, say the same of the
//! same resources.

use clap::Parser;
use kube_cel::{AdmissionRequest, VapEvaluator, VapExpression};
use s3sync::api::connect::connect;
use s3sync::api::{S3Connection, S3Sync};
use s3sync::cli::{Cli, Verb};
use s3sync::command::controller::policy;
use s3sync::controller::policy::Policy;
use serde_json::{Value, json};

use crate::chart::{objects, render};

/// What a set of values makes: the flags' rules, and the admission policy's.
struct Rules {
    policy: Policy,
    validations: Vec<VapExpression>,
    /// Of S3Connections; none where every endpoint is allowed.
    of_connections: Vec<VapExpression>,
}

/// Maps whose keys are looked at.
const KEYED: [&str; 2] = ["podLabels", "podAnnotations"];

fn rules(values: &Value) -> Rules {
    let mut values = values.clone();
    values["admissionPolicy"] = json!({"enabled": true});
    let objects = objects(&["--set-json", &format!("tenancy={values}")]);
    let of = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    let args = &of("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"];
    let args = args.as_array().expect("args").iter().map(|arg| arg.as_str().expect("a text"));
    let parsed = Cli::parse_from(["s3sync"].into_iter().chain(args).chain(["--image", "s3sync:1"]));
    let Verb::Controller(args) = parsed.verb else { panic!("another verb") };
    let own = ("s3sync-system".to_owned(), "s3sync".to_owned());
    let of_kind = |plural: &str| -> Vec<&Value> {
        let policies = objects.iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy");
        let policies = policies
            .filter(|policy| policy["spec"]["matchConstraints"]["resourceRules"][0]["resources"] == json!([plural]));
        policies.flat_map(|policy| policy["spec"]["validations"].as_array().expect("validations")).collect()
    };
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let listed = |text: String| {
        KEYED.iter().fold(text, |text, map| text.replace(&format!("{map}.all("), &format!("{map}Keys.all(")))
    };
    let expressions = |plural: &str| -> Vec<VapExpression> {
        let expression = |rule: &Value| VapExpression {
            expression: listed(text(&rule["expression"])),
            message: Some(text(&rule["message"])),
            message_expression: None,
        };
        of_kind(plural).into_iter().map(expression).collect()
    };
    let validations = expressions("s3syncs");
    assert!(!validations.is_empty());
    Rules {
        policy: policy(args.tenancy, Some(own)).expect("rules"),
        validations,
        of_connections: expressions("s3connections"),
    }
}

/// Messages of the rules that a resource breaks, by the admission policy for its kind.
fn broken(rules: &[VapExpression], resource: &Value) -> Vec<String> {
    let namespace = resource["metadata"]["namespace"].as_str().expect("a namespace").to_owned();
    let request = AdmissionRequest { operation: "CREATE".into(), namespace, ..AdmissionRequest::default() };
    // Without a schema this evaluator takes keys of maps for names of fields, and escapes them. An API server does not;
    // so they are a list here.
    let mut object = resource.clone();
    for map in KEYED {
        let keys = resource["spec"]["worker"][map].as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
        if let Some(keys) = keys {
            object["spec"]["worker"][format!("{map}Keys")] = json!(keys);
        }
    }
    let evaluator = VapEvaluator::builder().object(object).request(request).build();
    let results = evaluator.evaluate(rules);
    results.into_iter().filter(|result| !result.passed).map(|result| result.message.expect("a message")).collect()
}

fn resource(namespace: &str, spec: &Value) -> Value {
    let mut whole = json!({"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "csv"}});
    whole.as_object_mut().expect("a map").extend(spec.as_object().expect("a map").clone());
    json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "metadata": {"name": "orders", "namespace": namespace}, "spec": whole})
}

const ENDPOINTS: [&str; 17] = [
    "http://minio.minio:9000",
    "http://minio.minio:9000/",
    "HTTP://MINIO.minio:9000//",
    "http://minio.minio:9000.evil.com",
    "http://minio.minio:90001",
    "http://minioXminio:9000",
    "http://evil.com/http://minio.minio:9000",
    "https://eu.s3.example.com",
    "https://.s3.example.com",
    "https://s3.example.com",
    "https://evil.com/.s3.example.com",
    "https://evil.com\n.s3.example.com",
    "http://[::1]:9000",
    "https://host1/path",
    "https://host1/path/more",
    "https://host12",
    "https://s3.amazonaws.com",
];

fn specs() -> Vec<Value> {
    let source = |endpoint: &str| json!({"source": {"bucket": "raw", "endpoint": endpoint}});
    let destination =
        |endpoint: &str| json!({"destination": {"bucket": "lake", "format": "csv", "endpoint": endpoint}});
    let worker = |field: &str, value: Value| json!({"worker": {field: value}});
    let variable = |name: &str, value: &str| json!({"worker": {"env": [{"name": "TZ", "value": "UTC"}, {"name": name, "value": value}]}});
    let mut specs = vec![
        json!({}),
        json!({"worker": {}}),
        worker("env", json!([])),
        worker("podLabels", json!({})),
        worker("replicas", json!(1)),
    ];
    for endpoint in ENDPOINTS {
        specs.extend([source(endpoint), destination(endpoint)]);
    }
    for name in ["s3sync", "irsa-orders", "IRSA-x", "irsa", "default", "team"] {
        specs.extend([worker("serviceAccountName", json!(name)), worker("priorityClassName", json!(name))]);
    }
    for key in [
        "team",
        "teams",
        "example.com/cost",
        "example.com/a/b",
        "vault.hashicorp.com/agent-inject",
        "azure.workload.identity/use",
    ] {
        specs.extend([
            worker("podLabels", json!({"team": "x", key: "true"})),
            worker("podAnnotations", json!({key: "true"})),
        ]);
    }
    for replicas in [2, 4, 5, 10, 11, 1000] {
        specs.push(worker("replicas", json!(replicas)));
    }
    for name in [
        "PATH_STYLE",
        "AWS_ENDPOINT_URL",
        "aws_web_identity_token_file",
        "MY_AWS_KEY",
        "LD_PRELOAD",
        "ssl_cert_file",
        "HTTPS_PROXY",
        "all_proxy",
        "PROXY",
        "PROXY_HOST",
        "KUBECONFIG",
        "kubernetes_service_host",
        "home",
        "HOMES",
        "LOCALDOMAIN",
        "RES_OPTIONS",
        "HOSTALIASES",
    ] {
        specs.push(variable(name, "x"));
    }
    for value in ["$(POD_NAME)", "a$(", "$POD", "$$(POD_NAME)", "", "%24%28"] {
        specs.push(variable("PLAIN", value));
    }
    specs.push(worker("env", json!([{"name": "PLAIN"}])));
    specs.push(worker(
        "env",
        json!([{"name": "PLAIN", "valueFrom": {"secretKeyRef": {"name": "other", "key": "password"}}}]),
    ));
    specs
}

/// Sets of values.
fn tenancies() -> [Value; 5] {
    let some = json!({
        "allowedServiceAccounts": ["irsa-*", "team"], "allowedEndpoints": ["aws", "http://minio.minio:9000/", "https://*.s3.example.com",
            "http://[::1]:9000", "https://host?/path"],
        "workerEnv": "Plain", "allowedPodLabels": ["team", "example.com/*"], "allowedPodAnnotations": ["*.hashicorp.com/*"],
        "allowedPriorityClasses": ["team"], "maxReplicas": 4,
    });
    let none = json!({
        "lockdown": true, "allowedEndpoints": [], "workerEnv": "None", "allowedPodLabels": [], "allowedPodAnnotations": [],
        "allowedServiceAccounts": [], "allowedPriorityClasses": [], "maxReplicas": 1,
    });
    let loose = json!({"lockdown": true, "allowedServiceAccounts": ["*"], "allowedPodLabels": ["*", "*/*"], "maxReplicas": 1000});
    [json!({}), json!({"lockdown": true}), some, none, loose]
}

#[test]
fn the_admission_policy_and_the_controller_agree() {
    let (mut allowed, mut refused) = (0, 0);
    for values in tenancies() {
        let rules = rules(&values);
        for spec in specs() {
            for namespace in ["data", "s3sync-system"] {
                let resource = resource(namespace, &spec);
                let sync: S3Sync = serde_json::from_value(resource.clone()).expect("a resource");
                let (admission, controller) = (broken(&rules.validations, &resource), rules.policy.check(&sync));
                assert_eq!(
                    admission.is_empty(),
                    controller.is_ok(),
                    "{values} on {spec}: {admission:?}, {controller:?}"
                );
                match controller {
                    Ok(()) => allowed += 1,
                    Err(refusal) => {
                        refused += 1;
                        // Both name the same flags. The controller says no more of an account than that it is its own.
                        let own = refusal.message.contains("own,");
                        for message in admission {
                            let words = message.split_whitespace().map(|word| word.trim_end_matches(';'));
                            let mut flags = words.filter(|word| word.starts_with("--") || *word == "own,");
                            let said = |flag: &str| {
                                refusal.message.contains(flag) || own && flag == "--allowed-service-account"
                            };
                            assert!(flags.all(said), "{spec}: {message} and {}", refusal.message);
                        }
                    }
                }
            }
        }
    }
    assert!(allowed > 100 && refused > 300, "{allowed} allowed, {refused} refused");
}

/// What an S3Connection says is judged where it is written, and by the controller once more in each sync that names it.
#[test]
fn a_connection_is_judged_as_the_fields_that_it_stands_for() {
    let (mut allowed, mut refused) = (0, 0);
    for values in tenancies() {
        let rules = rules(&values);
        for endpoint in ENDPOINTS.map(Some).into_iter().chain([None]) {
            let metadata = json!({"name": "s3", "namespace": "data"});
            let connection = json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Connection", "metadata": metadata, "spec": {"endpoint": endpoint}});
            let connection: S3Connection = serde_json::from_value(connection).expect("a connection");
            let admission = broken(&rules.of_connections, &serde_json::to_value(&connection).expect("JSON"));
            let by = json!({"name": "s3"});
            let named = json!({"source": {"bucket": "raw", "connectionRef": by}, "destination": {"bucket": "lake", "format": "csv", "connectionRef": by}});
            let named = resource("data", &named);
            assert_eq!(
                broken(&rules.validations, &named),
                Vec::<String>::new(),
                "the name alone says nothing of an endpoint"
            );
            let mut sync: S3Sync = serde_json::from_value(named).expect("a resource");
            connect(&mut sync, &|_| Ok(connection.spec.connection.clone())).expect("connected");
            let controller = rules.policy.check(&sync);
            assert_eq!(
                admission.is_empty(),
                controller.is_ok(),
                "{values} on {endpoint:?}: {admission:?}, {controller:?}"
            );
            *if controller.is_ok() { &mut allowed } else { &mut refused } += 1;
        }
    }
    assert!(allowed > 20 && refused > 30, "{allowed} allowed, {refused} refused");
}

#[test]
fn what_would_only_seem_to_be_limited_is_refused() {
    for values in ["tenancy.allowedEndpoints={aws}", "tenancy.lockdown=true,tenancy.workerEnv=All"] {
        let refusal = render(&["--set", values]).expect_err(values);
        assert!(
            refusal.contains("tenancy.allowedEndpoints needs tenancy.workerEnv Plain or None"),
            "{values}: {refusal}"
        );
    }
    for values in [
        r#"tenancy.allowedEndpoints=["a'b"]"#,
        r#"tenancy.allowedPodLabels=["{a}"]"#,
        r#"tenancy.workerEnv="plain""#,
        "tenancy.locked=true",
    ] {
        let refusal = render(&["--set-json", values]).expect_err(values);
        assert!(refusal.contains("don't meet the specifications of the schema"), "{values}: {refusal}");
    }
}

#[test]
fn the_admission_policy_is_opted_into_and_follows_the_watched_namespaces() {
    let kinds = |args: &[&str]| -> Vec<String> {
        objects(args)
            .iter()
            .filter_map(|object| object["kind"].as_str())
            .filter(|kind| kind.contains("Admission"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(kinds(&["--set", "tenancy.lockdown=true"]), Vec::<String>::new());
    let on = ["--set", "tenancy.admissionPolicy.enabled=true,tenancy.admissionPolicy.validationActions={Warn,Audit}"];
    assert_eq!(kinds(&on), ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]);
    // Endpoints are limited where S3Connections are written, too.
    let limited = kinds(&[on[0], on[1], "--set", "tenancy.lockdown=true"]);
    let of = |kind: &str| limited.iter().filter(|found| *found == kind).count();
    assert_eq!((of("ValidatingAdmissionPolicy"), of("ValidatingAdmissionPolicyBinding")), (2, 2));
    let narrow = objects(&[on[0], on[1], "--set", "watchNamespaces={b,a}"]);
    let binding = narrow.iter().find(|object| object["kind"] == "ValidatingAdmissionPolicyBinding").expect("a binding");
    assert_eq!(binding["spec"]["validationActions"], json!(["Warn", "Audit"]));
    let names = &binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(names, &json!(["a", "b"]));
}
