use std::path::Path;

use super::*;
use crate::api::reference;
use crate::api::spec::KIND;

/// Compares a generated file with what is checked in; with `UPDATE=1` it is written instead.
fn generated(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == text, "{file} is not what the types in src/api say: run UPDATE=1 cargo test --lib api::");
}

#[test]
fn checked_in_files_are_in_sync() {
    let mut names: Vec<String> = definitions().iter().map(|definition| format!("{}.yaml", definition.name())).collect();
    for (definition, name) in definitions().iter().zip(&names) {
        generated(&format!("crds/{name}"), &definition.yaml());
    }
    generated("docs/reference.md", &reference::markdown());
    // Everything in crds/ is applied, so nothing else lies there.
    let there = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")).unwrap();
    let mut there: Vec<String> = there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    names.sort();
    assert_eq!(there, names);
}

/// `s3sync crd` prints documents that a YAML parser tells apart.
#[test]
fn the_definitions_are_printed_as_documents() {
    let text = yaml();
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect();
    assert_eq!(documents.iter().collect::<Vec<_>>(), definitions().iter().map(Definition::value).collect::<Vec<_>>());
}

/// `kubectl apply` without `--server-side` keeps the whole object in an annotation of at most 256 KiB; half of it
/// leaves room to grow.
#[test]
fn definitions_stay_small() {
    for definition in definitions() {
        let bytes = definition.value().to_string().len();
        assert!(bytes < 128 << 10, "{}: {bytes}", definition.name());
    }
}

#[test]
fn definitions_survive_their_typed_form() {
    for definition in definitions() {
        assert_eq!(definition.typed().metadata.name.as_deref(), Some(definition.name()));
    }
    let typed = definition(KIND).typed();
    assert_eq!(typed.metadata.name.as_deref(), Some("s3syncs.s3sync.dev"));
    let version = &typed.spec.versions[0];
    assert!(version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some()));
    let columns: Vec<&str> =
        version.additional_printer_columns.iter().flatten().map(|column| column.name.as_str()).collect();
    assert_eq!(
        columns,
        ["Schedule", "Suspend", "Ready", "Run", "Progress", "Objects", "Last-Success", "Next", "Age", "Message"]
    );
}

fn walk(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    for child in ["items", "additionalProperties"] {
        if schema[child].is_object() {
            walk(&format!("{path}[]"), &schema[child], visit);
        }
    }
}

fn is_pod_field(path: &str) -> bool {
    POD_FIELDS.iter().any(|field| path.starts_with(&format!("spec.worker.{field}")))
}

/// The API server estimates a rule's cost from the bounds of what it reads, and refuses a definition that could cost
/// too much.
#[test]
fn everything_that_users_write_is_bounded_and_described() {
    definitions().iter().for_each(is_bounded_and_described);
}

fn is_bounded_and_described(definition: &Definition) {
    let mut wrong = Vec::new();
    walk("spec", &definition.schema()["properties"]["spec"], &mut |path, schema| {
        if is_pod_field(path) && POD_FIELDS.iter().all(|field| path != format!("spec.worker.{field}")) {
            return;
        }
        let has = |key: &str| schema.get(key).is_some();
        if schema["type"] == "string" && !(has("enum") || has("maxLength")) {
            wrong.push(format!("{path} has no maxLength"));
        }
        if schema["type"] == "array" && !has("maxItems") {
            wrong.push(format!("{path} has no maxItems"));
        }
        if has("additionalProperties") && !has("maxProperties") {
            wrong.push(format!("{path} has no maxProperties"));
        }
        if !path.ends_with("[]") && !has("description") {
            wrong.push(format!("{path} has no description"));
        }
        for key in ["nullable", "anyOf", "oneOf", "$ref"] {
            if has(key) {
                wrong.push(format!("{path} has {key}"));
            }
        }
        // Where rules are, the API server wants the parts' defaults in the parent's: it evaluates the rules on the
        // default as it is written.
        let ruled = schema.get("x-kubernetes-validations").is_some();
        let parts = schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, part)| Some((name.clone(), part.get("default")?.clone())));
        let expected = if ruled { Value::Object(parts.collect()) } else { serde_json::json!({}) };
        if schema["type"] == "object" && schema.get("default").is_some_and(|default| *default != expected) {
            wrong.push(format!("{path} has the default {}, expected {expected}", schema["default"]));
        }
    });
    assert_eq!(wrong, Vec::<String>::new(), "{}", definition.name());
}

/// A rule's fieldPath must name a field that is there, or the API server refuses the definition.
#[test]
fn rules_point_at_fields_and_have_messages() {
    let mut rules = 0;
    let mut check = |path: &str, schema: &Value| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules += 1;
            assert!(rule["message"].is_string(), "{path}: {rule}");
            if let Some(field) = rule["fieldPath"].as_str() {
                assert!(schema["properties"].get(field.trim_start_matches('.')).is_some(), "{path}: {field}");
            }
        }
    };
    definitions().iter().for_each(|definition| walk("", definition.schema(), &mut check));
    assert!(rules > 20, "{rules}");
}

/// kubectl takes a word for a category before it takes it for a kind, so that `kubectl patch s3sync NAME` must mean one
/// kind.
#[test]
fn a_category_that_is_a_kinds_name_holds_that_kind_alone() {
    let names: Vec<&Value> = definitions().iter().map(|definition| &definition.value()["spec"]["names"]).collect();
    let words = |of: &Value| -> Vec<String> {
        let short = of["shortNames"].as_array().into_iter().flatten();
        [&of["singular"], &of["plural"]]
            .into_iter()
            .chain(short)
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    for holder in &names {
        for category in holder["categories"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let namesake = names.iter().find(|of| words(of).iter().any(|word| word == category));
            assert!(
                namesake.is_none_or(|namesake| namesake == holder),
                "{category} is the name of another kind than {}",
                holder["kind"]
            );
        }
    }
}
