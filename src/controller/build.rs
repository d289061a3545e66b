//! The objects of a run. PURE: no client; the same input gives the same object.

mod access;
mod command;
mod cursor;
mod environment;
mod job;
mod state_key;
#[cfg(test)]
mod tests;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub use self::access::{account, role, role_binding, service_account};
pub use self::command::command_job;
pub use self::cursor::cursor_map;
pub use self::job::{FINAL_EXIT_CODES, job};
pub use self::state_key::state_key;

use crate::api::S3Sync;
use crate::api::spec::{GROUP, KIND, VERSION};
use crate::controller::names::labels;

/// What the controller adds to every worker's pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodDefaults {
    /// The workers' image.
    pub image: String,
    /// When it is pulled; `None`: Kubernetes' rule.
    pub image_pull_policy: Option<String>,
    /// Secrets for pulling it, by name, besides the resource's own.
    pub image_pull_secrets: Vec<String>,
}

/// The resource as the controller and owner of a child, which is deleted with it.
pub fn owner(sync: &S3Sync) -> OwnerReference {
    OwnerReference {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: KIND.to_owned(),
        name: sync.metadata.name.clone().unwrap_or_default(),
        uid: sync.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// Metadata of a child. Labels and annotations of the resource itself are not passed on: tools that prune by them would
/// take the child for one of their own.
fn child(sync: &S3Sync, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        labels: Some(labels(sync.metadata.name.as_deref().unwrap_or_default(), component)),
        owner_references: Some(vec![owner(sync)]),
        name: Some(name),
        namespace: sync.metadata.namespace.clone(),
        ..ObjectMeta::default()
    }
}
