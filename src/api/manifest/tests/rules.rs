//! Rules that stand twice: in CEL for the API server, which has nothing else, and in Rust, which says what would be
//! right and sees what the schema cannot; where there is no API server, Rust is alone. Here both look at the same specs.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::{Node, document, root_schema, structural};
use crate::api::connect::assumed;
use crate::api::crd;
use crate::api::crd::rules::broken;
use crate::api::spec::{CONNECTION_KIND, KIND, S3Connection, S3Sync};
use crate::api::validate;

/// Who knows a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The definition and validation.
    Both,
    /// The definition, and the schema by which documents are checked that no API server saw.
    Schema,
}

use By::{Both, Schema};

/// A rule, by where its definition has it and how its message begins; and a change of a good spec that breaks it.
type Row = (&'static str, &'static str, Value, By);

fn of_sync() -> Vec<Row> {
    let mut rows = vec![
        ("", "metadata.name must be at most 52 characters", json!({"metadata": {"name": "x".repeat(53)}}), Schema),
        ("spec", "timeZone needs schedule", json!({"timeZone": "Etc/UTC"}), Both),
        (
            "spec.source",
            "uri excludes prefix",
            json!({"source": {"bucket": null, "uri": "s3://raw/a/", "prefix": "b/"}}),
            Both,
        ),
        (
            "spec.source.csv",
            "delimiter and quote must differ",
            json!({"source": {"csv": {"delimiter": ";", "quote": ";"}}}),
            Both,
        ),
        ("spec.source.csv", "comment must differ", json!({"source": {"csv": {"comment": "\""}}}), Both),
        ("spec.source.tables", "name and from: Fixed", json!({"source": {"tables": {"from": "Fixed"}}}), Both),
        ("spec.source.tables", "pattern and from: Pattern", json!({"source": {"tables": {"from": "Pattern"}}}), Both),
        ("spec.schema", "mode Declared needs columns", json!({"schema": {"mode": "Declared"}}), Both),
        (
            "spec.schema",
            "mode Declared needs a type",
            json!({"schema": {"mode": "Declared", "columns": [{"name": "b"}]}}),
            Both,
        ),
        (
            "spec.destination",
            "uri excludes path",
            json!({"destination": {"bucket": null, "uri": "s3://lake/o.csv", "path": "x/", "writeMode": "Replace"}}),
            Both,
        ),
        ("spec.destination", "format is required", json!({"destination": {"format": null}}), Both),
        (
            "spec.destination",
            "compression snappy is for parquet only",
            json!({"destination": {"compression": "snappy"}}),
            Both,
        ),
        (
            "spec.destination",
            "two part",
            json!({"destination": {"partitionBy": [{"column": "a"}, {"column": "b", "name": "A"}]}}),
            Both,
        ),
        (
            "spec.destination.csv",
            "delimiter and quote must differ",
            json!({"destination": {"csv": {"delimiter": ";", "quote": ";"}}}),
            Both,
        ),
        ("spec.destination.object", "kmsKeyId needs sse", json!({"destination": {"object": {"kmsKeyId": "k"}}}), Both),
        ("spec.errors", "maxBadRecords above 0 needs deadLetterPath", json!({"errors": {"maxBadRecords": 5}}), Both),
        ("spec.worker.concurrency", "concurrency must be at least 1", json!({"worker": {"concurrency": 0}}), Both),
    ];
    for (path, side, uri) in
        [("spec.source", "source", "s3://raw/a/"), ("spec.destination", "destination", "s3://lake/o.csv")]
    {
        let with = |fields: Value| json!({side: fields});
        rows.extend([
            (path, "bucket or uri is required", with(json!({"bucket": null})), Both),
            (path, "uri excludes bucket", with(json!({"uri": uri})), Both),
            (
                path,
                "connectionRef excludes",
                with(json!({"connectionRef": {"name": "minio"}, "region": "eu-west-1"})),
                Both,
            ),
            (path, "secretRef excludes profile", with(json!({"secretRef": {"name": "s"}, "profile": "p"})), Both),
            (
                path,
                "anonymous excludes",
                with(json!({"anonymous": true, "roleArn": "arn:aws:iam::1:role/reader"})),
                Both,
            ),
            (path, "roleSessionName and externalId need roleArn", with(json!({"externalId": "abc"})), Both),
        ]);
    }
    rows
}

fn of_connection() -> Vec<Row> {
    vec![
        ("spec", "anonymous excludes", json!({"anonymous": true, "secretRef": {"name": "s"}}), Both),
        ("spec", "roleSessionName and externalId need roleArn", json!({"roleSessionName": "us"}), Both),
    ]
}

/// Puts `change` over `value`; null removes.
fn change(value: &mut Value, over: &Value) {
    match over {
        Value::Object(fields) => {
            for (name, over) in fields {
                if over.is_null() {
                    value.as_object_mut().unwrap().shift_remove(name);
                } else if over.is_object() && value[name].is_object() {
                    change(&mut value[name], over);
                } else {
                    value[name] = over.clone();
                }
            }
        }
        other => *value = other.clone(),
    }
}

/// Every rule of a schema, with its path.
fn rules(schema: &Value, path: &str, found: &mut BTreeSet<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.insert((path.to_owned(), rule["message"].as_str().unwrap().to_owned()));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        rules(property, format!("{path}.{name}").trim_start_matches('.'), found);
    }
    if schema["items"].is_object() {
        rules(&schema["items"], path, found);
    }
}

fn parsed(resource: &Value) -> Node {
    document::parse(&resource.to_string()).unwrap().remove(0)
}

fn check(
    kind: &'static str,
    good: &Value,
    rows: Vec<Row>,
    by_rust: impl Fn(&Value) -> Vec<String>,
    defaults: impl Fn(&Value) -> Value,
) {
    let by_cel = |resource: &Value| broken(kind, &defaults(resource));
    assert_eq!((by_cel(good), by_rust(good)), (vec![], vec![]));
    let mut all = BTreeSet::new();
    rules(crd::definition(kind).schema(), "", &mut all);
    for (path, begins, over, by) in rows {
        let whose = all.iter().find(|(at, message)| at == path && message.starts_with(begins)).cloned();
        let whose = whose.unwrap_or_else(|| panic!("no rule at {path} begins with {begins:?}, or a row before has it"));
        let mut resource = good.clone();
        if over["metadata"].is_object() {
            change(&mut resource, &over);
        } else {
            change(&mut resource["spec"], &over);
        }
        let said = by_cel(&resource);
        assert!(said.contains(&whose.1), "{over}: {said:?}");
        let said = by_rust(&resource);
        let schema = structural::check(kind, &root_schema(kind), &parsed(&resource), "").1;
        assert_eq!((!said.is_empty(), !schema.is_empty()), (by == Both, by == Schema), "{over}: {said:?} {schema:?}");
        all.remove(&whose);
    }
    assert_eq!(all, BTreeSet::new(), "rules without a row");
}

#[test]
fn what_the_api_server_refuses_validation_refuses_too() {
    let typed = |resource: &Value| serde_json::from_value::<S3Sync>(resource.clone()).unwrap();
    let by_rust = |resource: &Value| match assumed(&typed(resource)) {
        Ok(sync) => validate::settings(&sync, Path::new("/")).err().unwrap_or_default(),
        Err(unconnected) => unconnected.errors,
    };
    let good = json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": KIND, "metadata": {"name": "orders", "namespace": "data"},
        "spec": {"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "csv"}}});
    let texts = |resource: &Value| by_rust(resource).iter().map(ToString::to_string).collect();
    check(KIND, &good, of_sync(), texts, |resource| json!(typed(resource)));

    let typed = |resource: &Value| serde_json::from_value::<S3Connection>(resource.clone()).unwrap();
    let by_rust = |resource: &Value| {
        let errors = validate::connection(&typed(resource)).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    };
    let good = json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": CONNECTION_KIND, "metadata": {"name": "minio", "namespace": "data"}, "spec": {}});
    check(CONNECTION_KIND, &good, of_connection(), by_rust, |resource| json!(typed(resource)));
}
