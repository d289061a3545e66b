//! The schema of a whole document.

use serde_json::json;

use crate::api::crd;
use crate::api::run::RUN_KIND;
use crate::api::spec::KIND;

/// The CRD's schema with what Kubernetes itself knows of every resource. `status` is left alone: it is not the user's.
pub(super) fn root_schema(kind: &str) -> serde_json::Value {
    // The operator names Jobs after a sync, and a Job's name is cut at 63 characters. Anything else may have the
    // longest name there is.
    let (longest, part) = if kind == KIND { (52, "[-a-z0-9]") } else { (253, "[-a-z0-9.]") };
    // kubectl creates a run by a name that the API server makes.
    let named: &[&str] = if kind == RUN_KIND { &[] } else { &["name"] };
    let name = |max: u64, part: &str| json!({ "type": "string", "minLength": 1, "maxLength": max, "pattern": format!("^[a-z0-9]({part}*[a-z0-9])?$") });
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let anything = json!({});
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": {
                "type": "object",
                "required": named,
                "properties": {
                    "name": name(longest, part), "namespace": name(63, "[-a-z0-9]"), "labels": texts, "annotations": texts, "uid": anything, "generation": anything,
                    "resourceVersion": anything, "creationTimestamp": anything, "managedFields": anything, "ownerReferences": anything,
                    "finalizers": anything, "generateName": anything, "selfLink": anything, "deletionTimestamp": anything,
                    "deletionGracePeriodSeconds": anything,
                },
            },
            "spec": crd::definition(kind).schema()["properties"]["spec"],
            "status": anything,
        },
    })
}
