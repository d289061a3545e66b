//! A document against the CRD's schema, as the API server does it: types, bounds, patterns, required fields, unknown
//! fields (which `kubectl` rejects too), nulls dropped, defaults filled in. Every error is found, not only the first.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;
use serde_json::{Map, Value as Json};

use super::document::{Node, Value};
use crate::api::error::{FieldError, shown};
use crate::api::scalar::{DURATION_PATTERN, SIZE_PATTERN};
use crate::api::spec::URL_PATTERN;

/// The value of a document of a kind, complete with defaults, and what is wrong with it. With errors the value lacks
/// what was wrong.
pub fn check(kind: &'static str, schema: &Json, node: &Node, path: &str) -> (Json, Vec<FieldError>) {
    let mut checker = Checker { kind, errors: Vec::new() };
    let value = checker.value(schema, node, path).unwrap_or(Json::Null);
    (value, checker.errors)
}

struct Checker {
    kind: &'static str,
    errors: Vec<FieldError>,
}

impl Checker {
    fn wrong(&mut self, path: &str, message: impl Into<String>) -> Option<Json> {
        self.errors.push(FieldError::new(path, message));
        None
    }

    fn value(&mut self, schema: &Json, node: &Node, path: &str) -> Option<Json> {
        if schema.get("x-kubernetes-int-or-string").is_some() {
            return match &node.value {
                Value::Number(number) if number.is_i64() => self.number(schema, &Json::Number(number.clone()), path),
                Value::Text(text) => self.text(schema, text, path),
                other => self.wrong(path, format!("must be a whole number or a text, not {}", kind(other))),
            };
        }
        match (schema.get("type").and_then(Json::as_str), &node.value) {
            (Some("object"), Value::Map(entries)) => self.object(schema, entries, node, path),
            (Some("array"), Value::List(items)) => self.array(schema, items, path),
            (Some("string"), Value::Text(text)) => self.text(schema, text, path),
            (Some("boolean"), Value::Bool(value)) => Some(Json::Bool(*value)),
            (Some("integer"), Value::Number(number)) if number.is_i64() => {
                self.number(schema, &Json::Number(number.clone()), path)
            }
            (Some("number"), Value::Number(number)) => self.number(schema, &Json::Number(number.clone()), path),
            (Some(wanted), other) => {
                let error = FieldError::new(path, format!("must be {}, not {}", article(wanted), kind(other)));
                self.errors.push(match (wanted, other) {
                    ("string", Value::Bool(_) | Value::Number(_)) => error.suggest("put quotes around it"),
                    ("boolean", Value::Text(_)) => error.suggest("write true or false"),
                    ("integer" | "number", Value::Text(_)) => {
                        error.suggest("take the quotes away, and write digits only")
                    }
                    ("array", Value::Map(_) | Value::Text(_)) => {
                        error.suggest("write each item on its own line after -, or all of them in [ ]")
                    }
                    _ => error,
                });
                None
            }
            // Only x-kubernetes-preserve-unknown-fields goes without a type.
            (None, _) => Some(json(node)),
        }
    }

    fn object(&mut self, schema: &Json, entries: &[(String, Node)], node: &Node, path: &str) -> Option<Json> {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&none);
        let additional = schema.get("additionalProperties");
        let keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields").is_some();
        self.bound(schema, ["minProperties", "maxProperties"], entries.len(), "entries", path);
        let mut object = Map::new();
        for (name, child) in entries {
            // Null is absent: the API server drops it from what is not nullable, before it fills in defaults.
            if child.value == Value::Null && (properties.contains_key(name) || additional.is_some() || keeps_unknown) {
                continue;
            }
            let child_path = join(path, name);
            let value = match (properties.get(name), additional) {
                (Some(schema), _) | (None, Some(schema @ Json::Object(_))) => self.value(schema, child, &child_path),
                _ if keeps_unknown || additional == Some(&Json::Bool(true)) => Some(json(child)),
                _ => {
                    let error = FieldError::new(&child_path, format!("is no field of {}", self.kind))
                        .nearest(name, properties.keys().map(String::as_str));
                    self.errors.push(match error.suggestion {
                        None => error.suggest(allowed(path, properties)),
                        Some(_) => error,
                    });
                    None
                }
            };
            object.extend(value.map(|value| (name.clone(), value)));
        }
        let given = |name: &str| entries.iter().any(|(entry, child)| entry == name && child.value != Value::Null);
        for name in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if !given(name) && properties.get(name).is_none_or(|property| property.get("default").is_none()) {
                self.wrong(&join(path, name), "is required");
            }
        }
        for (name, property) in properties {
            if let Some(default) = property.get("default")
                && !given(name)
            {
                let value = self.value(property, &from_json(default, node), &join(path, name));
                object.extend(value.map(|value| (name.clone(), value)));
            }
        }
        Some(Json::Object(object))
    }

    fn array(&mut self, schema: &Json, items: &[Node], path: &str) -> Option<Json> {
        self.bound(schema, ["minItems", "maxItems"], items.len(), "items", path);
        let item_schema = schema.get("items").unwrap_or(&Json::Null);
        let mut values = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            values.extend(self.value(item_schema, item, &format!("{path}[{i}]")));
        }
        if schema.get("x-kubernetes-list-type").and_then(Json::as_str) == Some("map") && values.len() == items.len() {
            let keys: Vec<&str> = schema
                .get("x-kubernetes-list-map-keys")
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .collect();
            let mut seen = HashMap::new();
            for (i, value) in values.iter().enumerate() {
                let key: Vec<String> =
                    keys.iter().map(|key| value.get(*key).map(Json::to_string).unwrap_or_default()).collect();
                if let Some(first) = seen.insert(key.clone(), i) {
                    let message =
                        format!("has the {} {}, which {path}[{first}] has", keys.join(" and "), key.join(" and "));
                    self.errors.push(FieldError::new(format!("{path}[{i}]"), message));
                }
            }
        }
        Some(Json::Array(values))
    }

    fn text(&mut self, schema: &Json, text: &str, path: &str) -> Option<Json> {
        let shown = shown(text);
        if let Some(values) = schema.get("enum").and_then(Json::as_array) {
            let allowed: Vec<&str> = values.iter().filter_map(Json::as_str).collect();
            if !allowed.contains(&text) {
                let error = FieldError::new(path, format!("is {shown}, which is none of {}", allowed.join(", ")));
                self.errors.push(error.nearest(text, allowed.iter().copied()));
                return None;
            }
        }
        if let Some(variable) = variable(text).filter(|_| names_a_place(path)) {
            let error = FieldError::new(
                path,
                format!("holds {variable}, and variables of the environment work in the stringData of a Secret only"),
            );
            self.errors.push(
                error.suggest("write the value, or fill the file in before: envsubst < sync.yaml | s3sync run -f -"),
            );
            return None;
        }
        let before = self.errors.len();
        self.bound(schema, ["minLength", "maxLength"], text.chars().count(), "characters", path);
        if let Some(pattern) = schema.get("pattern").and_then(Json::as_str)
            && self.errors.len() == before
            && !matches_pattern(pattern, text)
        {
            let message = match pattern {
                SIZE_PATTERN => format!(
                    "is {shown}, which is no size; write a number of bytes, or a number with Ki, Mi, Gi, Ti, k, M, G or T such as 128Mi"
                ),
                DURATION_PATTERN => {
                    format!("is {shown}, which is no duration; write numbers with s, m or h such as 90s or 1h30m")
                }
                URL_PATTERN if text.starts_with("file:") => {
                    format!(
                        "is {shown}, and a directory is an endpoint of a sync itself, on the command line only; write it there"
                    )
                }
                URL_PATTERN => format!("is {shown}, which is not like http://minio.minio:9000"),
                _ if path.ends_with(".uri") => format!("is {shown}, which is not like s3://bucket/key"),
                _ if path.ends_with(".endpoint") => {
                    format!("is {shown}, which is neither like http://minio.minio:9000 nor like file:DIR")
                }
                _ if path.contains(".csv.") => format!("is {shown}, which is not one ASCII character"),
                _ => format!("is {shown}, which does not match {pattern}"),
            };
            return self.wrong(path, message);
        }
        Some(Json::String(text.to_owned()))
    }

    fn number(&mut self, schema: &Json, number: &Json, path: &str) -> Option<Json> {
        let limit = |name: &str| schema.get(name).and_then(Json::as_f64);
        let value = number.as_f64().unwrap_or(f64::NAN);
        if limit("minimum").is_some_and(|minimum| value < minimum) {
            return self.wrong(path, format!("is {number}, less than {}", schema["minimum"]));
        }
        if limit("maximum").is_some_and(|maximum| value > maximum) {
            return self.wrong(path, format!("is {number}, more than {}", schema["maximum"]));
        }
        Some(number.clone())
    }

    fn bound(&mut self, schema: &Json, [least, most]: [&str; 2], count: usize, what: &str, path: &str) {
        let limit = |name: &str| schema.get(name).and_then(Json::as_u64).and_then(|limit| usize::try_from(limit).ok());
        if limit(least).is_some_and(|least| count < least) {
            let message = if count == 0 {
                "is empty".to_owned()
            } else {
                format!("has {count} {what}, fewer than {}", schema[least])
            };
            self.wrong(path, message);
        }
        if limit(most).is_some_and(|most| count > most) {
            self.wrong(path, format!("has {count} {what}, more than {}", schema[most]));
        }
    }
}

/// The first `${NAME}` of a text.
fn variable(text: &str) -> Option<&str> {
    let start = text.find("${")?;
    let name = text[start + 2..].split('}').next().filter(|name| start + 2 + name.len() < text.len())?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    is_name.then(|| &text[start..start + name.len() + 3])
}

/// Whether a field says where something is, so that `${NAME}` in it is a variable that nobody puts in. Other texts
/// (expressions, what stands for null, metadata) may hold one for its own sake.
fn names_a_place(path: &str) -> bool {
    const FIELDS: [&str; 10] =
        ["uri", "bucket", "endpoint", "region", "prefix", "path", "profile", "roleArn", "deadLetterPath", "externalId"];
    let field = path.rsplit('.').next().unwrap_or_default();
    let field = field.split('[').next().unwrap_or_default();
    path.starts_with("spec.") && (FIELDS.contains(&field) || matches!(field, "include" | "exclude"))
}

fn allowed(path: &str, properties: &Map<String, Json>) -> String {
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    let place = if path.is_empty() { "a document" } else { path };
    format!("the fields of {place} are {}", names.join(", "))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    thread_local! {
        static COMPILED: RefCell<HashMap<String, Option<Regex>>> = RefCell::new(HashMap::new());
    }
    // As many as the schema has patterns. One that Rust does not read is left to the API server.
    COMPILED.with_borrow_mut(|compiled| {
        let regex = compiled.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
        regex.as_ref().is_none_or(|regex| regex.is_match(text))
    })
}

fn article(wanted: &str) -> &str {
    match wanted {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a number",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    }
}

/// A document as JSON, as it is.
pub fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(value) => Json::Number(value.clone()),
        Value::Text(value) => Json::String(value.clone()),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(name, node)| (name.clone(), json(node))).collect(),
    }
}

/// A default as a node at its parent's place.
fn from_json(json: &Json, parent: &Node) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(value) => Value::Number(value.clone()),
        Json::String(value) => Value::Text(value.clone()),
        Json::Array(items) => Value::List(items.iter().map(|item| from_json(item, parent)).collect()),
        Json::Object(entries) => {
            Value::Map(entries.iter().map(|(name, value)| (name.clone(), from_json(value, parent))).collect())
        }
    };
    Node { at: parent.at, value }
}
