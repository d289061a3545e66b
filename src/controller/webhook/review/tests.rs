use super::*;
use crate::controller::policy::{Rules, WorkerEnv};

fn resource(spec: &Value) -> Value {
    let mut whole = json!({"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "parquet"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({
        "apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "spec": whole,
        "metadata": {"name": "orders", "namespace": "data", "uid": "uid-1", "generation": 1, "annotations": {"s3sync.dev/oversized": "x"},
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]},
    })
}

/// The answer's part that matters to the API server.
fn ask(operation: &str, object: Value, old: Value, rules: Rules) -> Value {
    let request = json!({
        "uid": "review-1", "operation": operation, "name": "orders", "namespace": "data", "object": object, "oldObject": old,
        "kind": {"group": "s3sync.dev", "version": "v1alpha1", "kind": "S3Sync"}, "userInfo": {"username": "ada"}, "dryRun": true,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    });
    let body = json!({"kind": "AdmissionReview", "apiVersion": VERSION, "request": request}).to_string();
    let answer = review(body.as_bytes(), &Policy::new(rules, None).unwrap()).unwrap();
    let response = answer.review["response"].clone();
    assert_eq!((&answer.review["kind"], &answer.review["apiVersion"]), (&json!("AdmissionReview"), &json!(VERSION)));
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("review-1"), &json!(answer.allowed)));
    response
}

fn create(spec: Value) -> Value {
    ask("CREATE", resource(&spec), Value::Null, Rules::default())
}

fn update(old: Value, new: Value) -> Value {
    ask("UPDATE", resource(&new), resource(&old), Rules::default())
}

/// What `s3sync validate` says of the same resource, without the place.
fn validated(spec: &Value) -> Vec<String> {
    let errors = crate::api::manifest::check_text(&resource(spec).to_string()).unwrap_err();
    errors.into_iter().map(|error| error.message).collect()
}

#[test]
fn what_validate_says_is_said_in_the_same_words_by_field() {
    for (spec, fields) in [
        (json!({"schedule": "every hour"}), vec!["spec.schedule"]),
        (json!({"schedule": "0 0 30 2 *", "timeZone": "Mars/Base"}), vec!["spec.schedule", "spec.timeZone"]),
        (
            json!({"destination": {"bucket": "raw", "path": "{{TABLE}}/{{UUID}}.csv", "format": "csv"}}),
            vec!["spec.destination"],
        ),
        (json!({"worker": {"env": [{"name": "S3SYNC_JOB", "value": "x"}]}}), vec!["spec.worker.env[0].name"]),
    ] {
        let response = create(spec.clone());
        let status = &response["status"];
        assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")), "{spec}: {response}");
        let causes = status["details"]["causes"].as_array().unwrap();
        assert_eq!(causes.iter().map(|cause| cause["field"].as_str().unwrap()).collect::<Vec<_>>(), fields, "{spec}");
        let said = causes
            .iter()
            .map(|cause| format!("{} {}", cause["field"].as_str().unwrap(), cause["message"].as_str().unwrap()));
        let mut validated = validated(&spec);
        validated.sort();
        let mut said: Vec<String> = said.collect();
        assert_eq!(status["message"], said.join("; "), "{spec}");
        said.sort();
        assert_eq!(said, validated, "{spec}");
    }
    assert_eq!(
        create(json!({"schedule": "H/15 * * * *", "timeZone": "Europe/Berlin"})),
        json!({"uid": "review-1", "allowed": true})
    );
}

#[test]
fn what_only_a_cluster_refuses_is_refused_too() {
    for (spec, field) in [
        (json!({"source": {"bucket": "raw", "endpoint": "file:data"}}), "spec.source.endpoint"),
        (json!({"destination": {"bucket": "lake", "format": "csv", "profile": "dev"}}), "spec.destination.profile"),
        (json!({"source": {"bucket": "raw", "include": vec!["x".repeat(1000); 100]}}), "spec"),
        (json!({"source": {"bucket": "raw", "include": vec!["x".repeat(1000); 300]}}), "spec"),
        (json!({"source": {"bucket": "raw", "format": "of tomorrow"}}), "spec"),
    ] {
        let response = create(spec.clone());
        assert_eq!(
            (&response["allowed"], &response["status"]["details"]["causes"][0]["field"]),
            (&json!(false), &json!(field)),
            "{response}"
        );
    }
}

#[test]
fn what_the_admin_does_not_allow_is_forbidden() {
    let rules = || Rules { max_replicas: Some(2), worker_env: Some(WorkerEnv::None), ..Rules::default() };
    let pods = json!({"replicas": 3, "env": [{"name": "A", "value": "b"}]});
    let response = ask("CREATE", resource(&json!({"worker": pods})), Value::Null, rules());
    assert_eq!((&response["status"]["code"], &response["status"]["reason"]), (&json!(403), &json!("Forbidden")));
    assert_eq!(response["status"]["details"]["causes"].as_array().unwrap().len(), 2, "{response}");
    // All at once.
    let response = ask("CREATE", resource(&json!({"worker": pods, "schedule": "x"})), Value::Null, rules());
    assert_eq!(
        (&response["status"]["code"], response["status"]["details"]["causes"].as_array().unwrap().len()),
        (&json!(422), 3)
    );
}

#[test]
fn what_was_wrong_before_holds_nothing_up() {
    let (bad, worse) = (json!({"schedule": "x"}), json!({"schedule": "x", "timeZone": "Mars/Base"}));
    for (old, new, allowed, warnings) in [
        (bad.clone(), bad.clone(), true, 1),
        (bad.clone(), json!({"schedule": "x", "suspend": true}), true, 1),
        (worse.clone(), bad.clone(), true, 1),
        (worse.clone(), json!({}), true, 0),
        (bad.clone(), worse, false, 0),
        (bad.clone(), json!({"schedule": "y"}), false, 0),
        (json!({}), bad, false, 0),
    ] {
        let response = update(old.clone(), new.clone());
        assert_eq!(response["allowed"], allowed, "{old} to {new}: {response}");
        assert_eq!(response["warnings"].as_array().map_or(0, Vec::len), warnings, "{old} to {new}: {response}");
    }
    // A spec that is too large may be changed in what is not its size, and made smaller: its bytes are others with
    // each change.
    let large = |keys: usize| json!({"source": {"bucket": "raw", "include": vec!["a/long/key.csv"; keys]}});
    let (more, fewer) = (update(large(9_000), large(8_000)), update(large(100), large(8_000)));
    assert_eq!((&more["allowed"], &fewer["allowed"]), (&json!(true), &json!(false)), "{more} {fewer}");
    let response = update(json!({"schedule": "x"}), json!({"schedule": "x"}));
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("spec.schedule is \"x\"") && warning.len() <= WARNING_BYTES_MAX, "{warning}");
}

#[test]
fn nothing_else_is_looked_at() {
    for (operation, object) in [("DELETE", Value::Null), ("CONNECT", resource(&json!({"schedule": "x"})))] {
        assert_eq!(ask(operation, object, Value::Null, Rules::default())["allowed"], true, "{operation}");
    }
    let body = json!({"apiVersion": VERSION, "request": {"uid": "u", "operation": "UPDATE", "subResource": "status",
        "object": resource(&json!({"schedule": "x"})), "oldObject": null}});
    assert!(review(body.to_string().as_bytes(), &Policy::default()).unwrap().allowed);
}

#[test]
fn a_body_that_is_no_review_is_an_error() {
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"apiVersion": "admission.k8s.io/v1"}"#,
        r#"{"apiVersion": "admission.k8s.io/v1beta1", "request": {"uid": "u", "operation": "CREATE"}}"#,
    ] {
        let error = review(body.as_bytes(), &Policy::default()).unwrap_err().to_string();
        assert!(error.starts_with("the body is no AdmissionReview of admission.k8s.io/v1: "), "{error}");
    }
}

#[test]
fn an_answer_is_bounded() {
    let env: Vec<Value> = (0..400).map(|n| json!({"name": format!("S3SYNC_{n}"), "value": "x"})).collect();
    let response = create(json!({"worker": {"env": env}}));
    assert_eq!(response["status"]["details"]["causes"].as_array().unwrap().len(), CAUSES_MAX);
    assert!(response["status"]["message"].as_str().unwrap().ends_with("; and 300 more"), "{response}");
    let response = create(json!({"schedule": format!("a\u{1b}[31m\n{}", "x".repeat(90_000))}));
    assert!(
        response.to_string().len() < 4096 && !response["status"]["message"].as_str().unwrap().contains('\u{1b}'),
        "{response}"
    );
}

/// It may be applied later, and says only then what it says.
#[test]
fn an_s3connection_that_is_named_is_looked_at_later() {
    let by = json!({"name": "minio"});
    let named = json!({"source": {"bucket": "raw", "connectionRef": by}, "destination": {"bucket": "lake", "format": "csv", "connectionRef": by}});
    let endpoints = Some(vec!["http://minio:9000".to_owned()]);
    let rules = Rules { endpoints, worker_env: Some(crate::controller::policy::WorkerEnv::Plain), ..Rules::default() };
    assert_eq!(ask("CREATE", resource(&named), Value::Null, rules)["allowed"], true);
    let mut both = named.clone();
    both["source"]["region"] = json!("eu-west-1");
    let message = create(both)["status"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("spec.source.connectionRef excludes region: "), "{message}");
    let mut itself = named;
    itself["destination"]["bucket"] = json!("raw");
    assert_eq!(create(itself)["allowed"], false, "both sides are one place");
}

#[test]
fn a_run_by_name_is_refused_for_what_no_sync_allows() {
    let review = |operation: &str, window: Value, old: Value| {
        let run = |window: &Value| json!({"metadata": {"name": "backfill"}, "spec": {"syncRef": {"name": "orders"}, "window": window}});
        let old = if old.is_null() { old } else { run(&old) };
        let request = json!({"uid": "u", "operation": operation, "name": "backfill", "object": run(&window), "oldObject": old,
            "kind": {"group": "s3sync.dev", "version": "v1alpha1", "kind": "S3SyncRun"}});
        let body = json!({"apiVersion": VERSION, "request": request}).to_string();
        super::review(body.as_bytes(), &Policy::default()).unwrap().review["response"].clone()
    };
    assert_eq!(review("CREATE", json!({"fromKey": "a", "toKey": "b"}), Value::Null)["allowed"], true);
    let empty = json!({"fromKey": "b", "toKey": "a"});
    let status = review("CREATE", empty.clone(), Value::Null)["status"].clone();
    assert_eq!(
        (&status["details"]["kind"], &status["details"]["causes"][0]["field"]),
        (&json!("S3SyncRun"), &json!("spec.window"))
    );
    assert!(status["message"].as_str().unwrap().contains("the window is empty"), "{status}");
    let zone = review("CREATE", json!({"modifiedTo": "2026-01-01T00:00:00+99:00"}), Value::Null);
    assert_eq!(zone["status"]["details"]["causes"][0]["field"], "spec.window.modifiedTo");
    assert_eq!(review("UPDATE", empty.clone(), empty)["allowed"], true, "it was so before");
}

/// The rule of both: whatever the controller would not run is refused, and nothing else.
#[test]
fn a_review_refuses_what_the_controller_would_not_run() {
    for spec in [
        json!({}),
        json!({"schedule": "x"}),
        json!({"jitter": "a day"}),
        json!({"source": {"bucket": "raw", "endpoint": "file:x"}}),
        json!({"worker": {"replicas": 5}}),
        json!({"worker": {"replicas": 1}}),
        json!({"destination": {"bucket": "raw", "format": "csv", "path": "{{TABLE}}/{{UUID}}.csv"}}),
    ] {
        let rules = Rules { max_replicas: Some(2), ..Rules::default() };
        let mut sync: S3Sync = serde_json::from_value(resource(&spec)).unwrap();
        sync.metadata.annotations = None;
        let runs = crate::controller::decide::check::check(&sync).is_ok()
            && Policy::new(rules.clone(), None).unwrap().check(&sync).is_ok();
        assert_eq!(ask("CREATE", resource(&spec), Value::Null, rules)["allowed"], runs, "{spec}");
    }
}
