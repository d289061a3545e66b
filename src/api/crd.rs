//! The CustomResourceDefinitions: the derived schemas, made fit for an API server and for people.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Number, Value};

use super::spec::URL_PATTERN;
use super::{S3Connection, S3Sync, S3SyncRun};

/// Pod fields of `spec.worker` whose types are Kubernetes' own. Their documentation is Kubernetes' too, and would be
/// most of the CRD's size.
const POD_FIELDS: [&str; 5] = ["affinity", "tolerations", "topologySpreadConstraints", "imagePullSecrets", "env"];

/// One kind of resource as an API server knows it.
#[derive(Debug)]
pub struct Definition {
    value: Value,
}

/// Every kind of this build, the one that people write first, first. What is made of the definitions (`crds/`, the
/// chart, `docs/reference.md`) goes by this list.
pub fn definitions() -> &'static [Definition] {
    static ALL: LazyLock<Vec<Definition>> =
        LazyLock::new(|| [sync(), connection(), run()].into_iter().map(Definition::new).collect());
    &ALL
}

/// The definition of a kind of this build.
pub fn definition(kind: &str) -> &'static Definition {
    definitions().iter().find(|definition| definition.kind() == kind).expect("a kind of this build")
}

/// The definitions as YAML: what `s3sync crd` prints.
pub fn yaml() -> String {
    definitions().iter().map(Definition::yaml).collect::<Vec<_>>().join("---\n")
}

impl Definition {
    fn new(mut value: Value) -> Definition {
        let root = value.pointer_mut(SCHEMA).expect("a derived definition has a schema");
        tidy(root);
        // Before the controller has seen a resource, kstatus must not take an absent generation for "all is well" (as
        // Flux does it).
        if let Some(status) = root.pointer_mut("/properties/status").and_then(Value::as_object_mut) {
            status.insert("default".to_owned(), Value::Object(Map::new()));
        }
        Definition { value }
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        self.value["spec"]["names"]["kind"].as_str().unwrap_or_default()
    }

    /// The definition's own name, `s3syncs.s3sync.dev`: also that of its file in `crds/`.
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// What `kubectl` takes for the kind in short.
    pub fn short_name(&self) -> &str {
        self.value["spec"]["names"]["shortNames"][0].as_str().unwrap_or_default()
    }

    /// The definition as JSON, in the order in which it is printed.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The definition as a typed object, to apply it.
    pub fn typed(&self) -> CustomResourceDefinition {
        serde_json::from_value(self.value.clone()).expect("the definition was made from the same type")
    }

    /// The schema of the whole resource: what the API server validates by.
    pub fn schema(&self) -> &Value {
        self.value.pointer(SCHEMA).expect("a derived definition has a schema")
    }

    /// The definition as YAML: what its file in `crds/` holds.
    pub fn yaml(&self) -> String {
        let text = serde_yaml::to_string(&self.value).expect("JSON is YAML");
        format!("# Made by `s3sync crd` from the types in src/api; do not edit.\n{text}")
    }
}

/// Where the schema stands in a definition.
const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

fn sync() -> Value {
    let mut definition = serde_json::to_value(S3Sync::crd()).expect("a definition serialises");
    let root = definition.pointer_mut(SCHEMA).expect("a derived definition has a schema");
    let spec = root.pointer_mut("/properties/spec").expect("the resource has a spec");
    for field in POD_FIELDS {
        let field = spec.pointer_mut(&format!("/properties/worker/properties/{field}")).expect("a field of the worker");
        for child in ["properties", "items"] {
            if let Some(child) = field.get_mut(child) {
                without_descriptions(child);
            }
        }
    }
    definition
}

/// The fields of a sync's own connection, but those that only a sync has: another connection, and what is for the
/// command line.
fn connection() -> Value {
    let mut definition = serde_json::to_value(S3Connection::crd()).expect("a definition serialises");
    let spec = definition
        .pointer_mut(&format!("{SCHEMA}/properties/spec/properties"))
        .and_then(Value::as_object_mut)
        .expect("fields");
    for field in ["connectionRef", "profile"] {
        spec.shift_remove(field).expect("a field of a connection");
    }
    let endpoint = spec.get_mut("endpoint").and_then(Value::as_object_mut).expect("a field of a connection");
    endpoint.insert("pattern".to_owned(), Value::from(URL_PATTERN));
    endpoint.insert(
        "description".to_owned(),
        Value::from("URL of an S3 compatible service such as http://minio.minio:9000. Absent: AWS."),
    );
    definition
}

fn run() -> Value {
    serde_json::to_value(S3SyncRun::crd()).expect("a definition serialises")
}

/// Makes one schema and everything below it what a structural schema should be.
fn tidy(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    // A null of a field that is not nullable is dropped by the API server before defaults are filled in: that is our
    // rule "null is absent".
    schema.remove("nullable");
    // Known to schemars, unknown to Kubernetes, which would warn about each at every apply.
    if schema
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(|format| !matches!(format, "int32" | "int64" | "double" | "date-time"))
    {
        schema.remove("format");
    }
    // The parts carry their own defaults, so the parent's is only that it is there. Not where rules look at the parts:
    // an API server evaluates them on the default as it stands here, before the parts' defaults are filled in, and
    // refuses the definition.
    let ruled = schema.contains_key("x-kubernetes-validations");
    if !ruled && schema.contains_key("properties") && schema.get("default").is_some_and(Value::is_object) {
        schema.insert("default".to_owned(), Value::Object(Map::new()));
    }
    // The derive lists null among an optional enum's values.
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    // The typed definition holds every bound as a float; the bounds of integers read better as integers.
    for bound in ["minimum", "maximum"] {
        if let Some(whole) = schema.get(bound).and_then(Value::as_f64).filter(|bound| bound.fract() == 0.0) {
            schema.insert(bound.to_owned(), Value::Number(Number::from(whole as i64)));
        }
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
    }
    for child in ["items", "additionalProperties"] {
        if let Some(child) = schema.get_mut(child) {
            tidy(child);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(tidy);
    }
}

fn without_descriptions(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // A property may itself be called so: then it is a schema, not a text.
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.values_mut().for_each(without_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_descriptions),
        _ => {}
    }
}

#[cfg(test)]
pub mod rules;
#[cfg(test)]
mod tests;
