//! The definitions' CEL rules, evaluated as an API server would: for tests, which compare them with validation.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;

use super::definitions;

/// What the rules of a kind say about a resource when it is created: their messages.
pub fn broken(kind: &str, resource: &Value) -> Vec<String> {
    static ALL: LazyLock<BTreeMap<&str, CompiledSchema>> =
        LazyLock::new(|| definitions().iter().map(|of| (of.kind(), compile_schema(of.schema()))).collect());
    let valid = Validator::new().validate_compiled(&ALL[kind], resource, None);
    valid.err().into_iter().flatten().map(|error| error.message).collect()
}
