//! docs/reference.md: every field of the resources, from the schemas that the API server has.

use serde_json::{Map, Value};

use super::crd;
use super::spec::{GROUP, VERSION};

const HEAD: &str = "\
# The resource, field by field

<!-- Made from the types in src/api/spec by `UPDATE=1 cargo test --lib api::`; do not edit. -->

`apiVersion: s3sync.dev/v1alpha1`, `kind: S3Sync`, short name `s3s`. `kubectl explain s3sync.spec` shows the same texts.

Required are `source.bucket` or `source.uri`, `destination.bucket` or `destination.uri`, and `destination.format` unless the uri's
extension gives it; a `-` in the column *default* means absent. `null` means absent everywhere. A size is a number of bytes, or a number
with Ki, Mi, Gi, Ti (powers of 1,024), k, M, G or T (powers of 1,000). A duration is numbers with s, m or h, such as `1h30m`.
Durations, sizes and names are checked by the API server, by `s3sync validate`, and once more before a run.
";

/// Sections in the order in which a manifest is written; the schema knows the alphabet only.
const SECTIONS: [&str; 8] = ["source", "schema", "destination", "incremental", "errors", "limits", "state", "worker"];

/// The page: the first kind's fields by their paths in a manifest, those of the others with the kind before them.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for (i, definition) in crd::definitions().iter().enumerate() {
        let root = definition.schema();
        let kind = definition.kind();
        if i > 0 {
            page.push_str(&format!("\n## {kind}\n\n"));
            page.push_str(&format!("{}\n\n", escape(root["description"].as_str().unwrap_or_default())));
            page.push_str(&format!(
                "`apiVersion: {GROUP}/{VERSION}`, `kind: {kind}`, short name `{}`.\n",
                definition.short_name()
            ));
        }
        for part in ["spec", "status"] {
            let path = if i == 0 { part.to_owned() } else { format!("{kind}.{part}") };
            if let Some(schema) = root["properties"].get(part) {
                section(&path, schema, &mut page);
            }
        }
    }
    page
}

/// A section for an object, then sections for the objects in it.
fn section(path: &str, schema: &Value, page: &mut String) {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    page.push_str(&format!("\n## {path}\n\n"));
    if let Some(text) = schema["description"].as_str() {
        page.push_str(&format!("{}\n\n", escape(text)));
    }
    page.push_str("| field | type | default | description |\n| --- | --- | --- | --- |\n");
    for (name, property) in properties {
        let default = match property.get("default") {
            Some(default) if nested(property).is_none() => code(&default.to_string()),
            None if required.contains(&name.as_str()) => "required".to_owned(),
            _ => "-".to_owned(),
        };
        let name = match nested(property) {
            Some(_) => format!("[`{name}`](#{})", anchor(&format!("{path}.{name}"))),
            None => format!("`{name}`"),
        };
        let description = escape(property["description"].as_str().unwrap_or_default());
        page.push_str(&format!("| {name} | {} | {default} | {description} |\n", type_of(property)));
    }
    let rules: Vec<&str> = schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["message"].as_str())
        .collect();
    if !rules.is_empty() {
        page.push_str("\nRules:\n\n");
        rules.iter().for_each(|rule| page.push_str(&format!("- {}\n", escape(rule))));
    }
    let mut parts: Vec<(&String, &Value)> = properties.iter().collect();
    parts.sort_by_key(|(name, _)| SECTIONS.iter().position(|section| section == name));
    for (name, property) in parts {
        if let Some(child) = nested(property) {
            section(&format!("{path}.{name}"), child, page);
        }
    }
}

/// The object whose fields get a section of their own: a field's, or its items'. Types that are Kubernetes' own have
/// none.
fn nested(property: &Value) -> Option<&Value> {
    let own = |schema: &Value| {
        schema["properties"]
            .as_object()
            .is_some_and(|fields| fields.values().all(|field| field.get("description").is_some()))
    };
    [property, &property["items"]].into_iter().find(|schema| own(schema))
}

fn type_of(schema: &Value) -> String {
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return if schema["pattern"] == super::scalar::SIZE_PATTERN {
            "size".to_owned()
        } else {
            "quantity".to_owned()
        };
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| code(value.as_str().unwrap_or_default())).collect::<Vec<_>>().join(" ");
    }
    let range = match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        _ => String::new(),
    };
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", type_of(&schema["items"])),
        Some("object") if schema.get("additionalProperties").is_some() => {
            format!("map of {}", type_of(&schema["additionalProperties"]))
        }
        Some("string") if schema["pattern"] == super::scalar::DURATION_PATTERN => "duration".to_owned(),
        Some("string") if schema["format"] == "date-time" => "time".to_owned(),
        Some("string") => "text".to_owned(),
        Some(name) => format!("{name}{range}"),
        None => "any".to_owned(),
    }
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// Text for a cell: nothing in it may end the cell, be taken for emphasis or for a tag.
fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*").replace('<', "\\<").replace('_', "\\_").replace("\n\n", "<br>")
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    heading.to_ascii_lowercase().replace('.', "")
}
