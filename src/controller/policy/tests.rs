use serde_json::{Value, json};

use super::*;
use crate::controller::decide::{Observed, decide};
use crate::controller::fixtures::{cursor, observed, run, sync_with};
use crate::controller::names::Repeat;
use crate::model::cursor::Phase;

fn texts(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|text| (*text).to_owned()).collect())
}

fn policy(rules: Rules) -> Policy {
    Policy::new(rules, Some(("data".to_owned(), "s3sync".to_owned()))).unwrap()
}

fn lockdown() -> Policy {
    policy(Rules { lockdown: true, ..Rules::default() })
}

/// Some of everything that a rule is about.
fn wide() -> Policy {
    policy(Rules {
        service_accounts: texts(&["irsa-*", "team"]),
        endpoints: texts(&["aws", "http://minio.minio:9000/", "https://*.s3.example.com"]),
        worker_env: Some(WorkerEnv::Plain),
        pod_labels: texts(&["team", "example.com/*"]),
        pod_annotations: texts(&[]),
        priority_classes: texts(&["low"]),
        max_replicas: Some(4),
        ..Rules::default()
    })
}

/// What Ready says; empty where it is allowed.
fn said(policy: &Policy, spec: &Value) -> String {
    match policy.check(&sync_with(spec.clone())) {
        Ok(()) => String::new(),
        Err(refusal) => {
            assert_eq!(refusal.reason, "NotAllowed");
            refusal.message
        }
    }
}

fn source(endpoint: &str) -> Value {
    json!({"source": {"bucket": "raw", "endpoint": endpoint}})
}

fn env(name: &str, value: &str) -> Value {
    json!({"worker": {"env": [{"name": name, "value": value}]}})
}

fn worker(field: &str, value: Value) -> Value {
    json!({"worker": {field: value}})
}

#[test]
fn everything_is_allowed_but_the_controller_s_own_account() {
    let open = policy(Rules::default());
    for spec in [
        json!({}),
        source("http://evil:9000"),
        env("AWS_ENDPOINT_URL", "http://evil"),
        env("HTTPS_PROXY", "http://$(S3SYNC_SOURCE_AWS_SECRET_ACCESS_KEY)@evil"),
        worker("serviceAccountName", json!("admin")),
        worker("podAnnotations", json!({"vault.hashicorp.com/agent-inject": "true"})),
        worker("replicas", json!(1000)),
        worker("priorityClassName", json!("system-node-critical")),
    ] {
        assert_eq!(said(&open, &spec), "", "{spec}");
    }
    let own = worker("serviceAccountName", json!("s3sync"));
    let message = "spec.worker.serviceAccountName is \"s3sync\", the operator's own, which no worker gets; nothing runs until then";
    assert_eq!(said(&open, &own), message);
    assert_eq!(said(&policy(Rules { service_accounts: texts(&["*"]), ..Rules::default() }), &own), message);
    let elsewhere = Policy::new(Rules::default(), Some(("s3sync-system".to_owned(), "s3sync".to_owned()))).unwrap();
    assert_eq!(said(&elsewhere, &own), "", "a namesake in another namespace");
}

#[test]
fn each_rule_allows_what_its_flag_names() {
    let policy = wide();
    for spec in [
        json!({}),
        source("http://minio.minio:9000"),
        source("HTTP://MinIO.minio:9000/"),
        source("https://eu.s3.example.com"),
        worker("serviceAccountName", json!("team")),
        worker("serviceAccountName", json!("irsa-orders")),
        worker("priorityClassName", json!("low")),
        worker("podLabels", json!({"team": "data", "example.com/cost": "1"})),
        worker("replicas", json!(4)),
        env("TZ", "Europe/Berlin"),
        env("AWSOME", "costs $5"),
        env("MY_PROXY_SETTINGS", ""),
    ] {
        assert_eq!(said(&policy, &spec), "", "{spec}");
    }
}

#[test]
fn each_refusal_names_the_field_and_the_flag() {
    let policy = wide();
    for (spec, field, flag) in [
        (source("http://evil:9000"), "spec.source.endpoint is \"http://evil:9000\", which", "--allowed-endpoint"),
        (source("http://minio.minio:9000.evil.com"), "spec.source.endpoint is", "--allowed-endpoint"),
        (source("https://evil.com/x.s3.example.com"), "spec.source.endpoint is", "--allowed-endpoint"),
        (source("https://evil.com/.s3.example.com"), "spec.source.endpoint is", "--allowed-endpoint"),
        (source("https://s3.example.com"), "spec.source.endpoint is", "--allowed-endpoint"),
        (
            json!({"destination": {"bucket": "lake", "format": "csv", "endpoint": "http://minio.minio:9001"}}),
            "spec.destination.endpoint is",
            "--allowed-endpoint",
        ),
        (
            worker("serviceAccountName", json!("teams")),
            "spec.worker.serviceAccountName is \"teams\"",
            "--allowed-service-account",
        ),
        (
            worker("priorityClassName", json!("high")),
            "spec.worker.priorityClassName is \"high\"",
            "--allowed-priority-class",
        ),
        (
            worker("podLabels", json!({"azure.workload.identity/use": "true"})),
            "spec.worker.podLabels has the key",
            "--allowed-pod-label",
        ),
        (
            worker("podLabels", json!({"example.com/a/b": "x"})),
            "spec.worker.podLabels has the key",
            "--allowed-pod-label",
        ),
        (
            worker("podAnnotations", json!({"any": "x"})),
            "spec.worker.podAnnotations has the key \"any\"",
            "--allowed-pod-annotation",
        ),
        (worker("replicas", json!(5)), "spec.worker.replicas is 5, more than", "--max-replicas=4"),
    ] {
        let message = said(&policy, &spec);
        assert!(message.starts_with(field) && message.contains(flag), "{spec}: {message}");
    }
    let both = json!({"source": {"bucket": "raw", "endpoint": "http://a"}, "worker": {"replicas": 9, "env": [{"name": "LD_PRELOAD"}]}});
    let message = said(&policy, &both);
    for part in ["spec.source.endpoint", "spec.worker.replicas", "spec.worker.env[0]"] {
        assert!(message.contains(part), "{message}");
    }
}

/// Names in any case, references and values from elsewhere: what sends a Secret or a token to somebody's endpoint.
#[test]
fn plain_variables_lead_nowhere() {
    for name in [
        "AWS_ENDPOINT_URL",
        "aws_endpoint_url_s3",
        "Aws_Container_Credentials_Full_Uri",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "LD_PRELOAD",
        "ld_audit",
        "SSL_CERT_FILE",
        "ssl_cert_dir",
        "HTTPS_PROXY",
        "https_proxy",
        "All_Proxy",
        "NO_PROXY",
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
        "HOME",
        "LOCALDOMAIN",
    ] {
        let message = said(&wide(), &env(name, "x"));
        assert!(
            message.contains(&format!("sets {name:?}")) && message.contains("--worker-env=plain"),
            "{name}: {message}"
        );
    }
    for value in ["$(S3SYNC_SOURCE_AWS_SECRET_ACCESS_KEY)", "x$(A)", "$$(A)", "$("] {
        assert!(said(&wide(), &env("NAME", value)).contains("a value with $("), "{value}");
    }
    for from in [
        json!({"secretKeyRef": {"name": "other", "key": "password"}}),
        json!({"configMapKeyRef": {"name": "other", "key": "k"}}),
        json!({"fieldRef": {"fieldPath": "metadata.name"}}),
    ] {
        let spec = json!({"worker": {"env": [{"name": "NAME", "valueFrom": from}]}});
        assert!(said(&wide(), &spec).contains("has valueFrom"), "{spec}");
    }
    let none = policy(Rules { worker_env: Some(WorkerEnv::None), ..Rules::default() });
    assert!(said(&none, &env("TZ", "UTC")).contains("--worker-env=none"));
}

#[test]
fn lockdown_is_strict_where_no_flag_says_otherwise() {
    for spec in [json!({}), env("TZ", "UTC"), worker("replicas", json!(10))] {
        assert_eq!(said(&lockdown(), &spec), "", "{spec}");
    }
    for spec in [
        source("http://minio:9000"),
        env("HTTPS_PROXY", "x"),
        worker("serviceAccountName", json!("any")),
        worker("priorityClassName", json!("any")),
        worker("podLabels", json!({"any": "x"})),
        worker("podAnnotations", json!({"any": "x"})),
        worker("replicas", json!(11)),
    ] {
        assert_ne!(said(&lockdown(), &spec), "", "{spec}");
    }
    let opened = policy(Rules {
        lockdown: true,
        service_accounts: texts(&["*"]),
        endpoints: texts(&["http://minio:9000"]),
        pod_labels: texts(&["any"]),
        max_replicas: Some(99),
        worker_env: Some(WorkerEnv::None),
        ..Rules::default()
    });
    let there = |mut spec: Value| {
        let endpoint = json!("http://minio:9000");
        spec["source"] = json!({"bucket": "raw", "endpoint": endpoint});
        spec["destination"] = json!({"bucket": "lake", "format": "csv", "endpoint": endpoint});
        spec
    };
    for spec in [
        json!({}),
        worker("serviceAccountName", json!("any")),
        worker("podLabels", json!({"any": "x"})),
        worker("replicas", json!(99)),
    ] {
        assert_eq!(said(&opened, &there(spec.clone())), "", "{spec}");
    }
    assert_ne!(said(&opened, &there(env("TZ", "UTC"))), "");
    let message = said(&opened, &json!({}));
    assert!(
        message.contains("spec.source.endpoint is not set and so aws, which the operator's --allowed-endpoint"),
        "{message}"
    );
}

#[test]
fn a_worker_that_says_nothing_of_a_resource_gets_the_default() {
    let policy = policy(Rules {
        default_requests: texts(&["cpu=500m", "memory=1Gi"]),
        default_limits: texts(&["memory=2Gi"]),
        default_deadline_seconds: Some(600),
        ..Rules::default()
    });
    for (spec, resources, deadline) in [
        (json!({}), json!({"limits": {"memory": "2Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}), 600),
        // A default beside what the spec says of the same resource could contradict it.
        (
            json!({"resources": {"requests": {"memory": "4Gi"}}, "activeDeadlineSeconds": 7}),
            json!({"limits": {}, "requests": {"memory": "4Gi", "cpu": "500m"}}),
            7,
        ),
        (
            json!({"resources": {"limits": {"memory": "64Mi", "cpu": 1}}}),
            json!({"limits": {"memory": "64Mi", "cpu": 1}, "requests": {}}),
            600,
        ),
    ] {
        let sync = sync_with(json!({"worker": spec}));
        let worker = policy.completed(&sync).spec.worker.clone();
        assert_eq!(serde_json::to_value(&worker.resources).unwrap(), resources, "{spec}");
        assert_eq!(worker.active_deadline_seconds, Some(deadline), "{spec}");
    }
    assert!(matches!(Policy::default().completed(&sync_with(json!({}))), Cow::Borrowed(_)));
    let locked = lockdown().completed(&sync_with(json!({}))).spec.worker.clone();
    assert_eq!(
        (locked.active_deadline_seconds, locked.resources.limits.len(), locked.resources.requests.len()),
        (Some(86_400), 1, 2)
    );
}

#[test]
fn rules_that_cannot_be_are_refused_at_the_start() {
    let refused = |rules: Rules| Policy::new(rules, None).unwrap_err().to_string();
    for (rules, message) in [
        (
            Rules { endpoints: texts(&["https://[a-z]{3}"]), ..Rules::default() },
            "--allowed-endpoint has \"https://[a-z]{3}\": a pattern is",
        ),
        (Rules { service_accounts: texts(&["a b"]), ..Rules::default() }, "--allowed-service-account has \"a b\""),
        (
            Rules { default_limits: texts(&["memory=64Mi"]), ..Rules::default() },
            "--default-limit has \"memory=64Mi\", and a worker needs at least memory=128Mi",
        ),
        (
            Rules { default_limits: texts(&["memory"]), ..Rules::default() },
            "--default-limit has \"memory\", which is not like memory=1Gi",
        ),
        (Rules { default_requests: texts(&["cpu=lots"]), ..Rules::default() }, "--default-request has \"cpu=lots\""),
        (
            Rules { endpoints: texts(&["aws"]), ..Rules::default() },
            "--allowed-endpoint needs --worker-env=plain or none",
        ),
        (
            Rules { lockdown: true, worker_env: Some(WorkerEnv::All), ..Rules::default() },
            "--allowed-endpoint needs --worker-env",
        ),
    ] {
        let text = refused(rules);
        assert!(text.starts_with(message), "{text}");
    }
}

#[test]
fn what_is_not_allowed_starts_nothing_and_ends_nothing() {
    let spec = json!({"worker": {"serviceAccountName": "admin"}});
    let refused = Observed { policy: lockdown().into(), ..observed(sync_with(spec), "12:00:10") };
    let desired = decide(&refused);
    assert_eq!((desired.start, desired.delete_jobs.len()), (None, 0));
    let ready = desired.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "NotAllowed"));
    assert!(
        ready.message.contains("spec.worker.serviceAccountName is \"admin\"")
            && ready.message.contains("--allowed-service-account")
    );
    assert!(
        desired
            .status
            .conditions
            .iter()
            .any(|condition| (condition.type_.as_str(), condition.reason.as_str()) == ("Stalled", "NotAllowed"))
    );
    assert!(desired.notes.iter().any(|note| note.reason == "NotAllowed" && note.warning), "{:?}", desired.notes);

    // Half an epoch is visible, and still: a Job would do what is not allowed.
    let half = Observed { cursor: Some(cursor(Phase::Committing, false)), ..refused.clone() };
    assert_eq!(decide(&half).start, None);

    let running = run("x", Repeat::First, "12:00:00");
    let busy = decide(&Observed { runs: vec![running.clone()], ..refused.clone() });
    assert_eq!((busy.delete_jobs.len(), busy.status.active[0].job.as_str()), (0, running.job.as_str()));
    assert!(decide(&Observed { policy: Default::default(), ..refused }).start.is_some());
}
