//! What workers may do: read and move their one cursor.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::child;
use crate::api::S3Sync;
use crate::controller::names::{WORKER, cursor_name, worker_name};

fn name(sync: &S3Sync) -> String {
    worker_name(sync.metadata.name.as_deref().unwrap_or_default())
}

/// The ServiceAccount that workers run as.
pub fn account(sync: &S3Sync) -> String {
    sync.spec.worker.service_account_name.clone().unwrap_or_else(|| name(sync))
}

/// The ServiceAccount; `None` where the user names one.
pub fn service_account(sync: &S3Sync) -> Option<ServiceAccount> {
    let own = sync.spec.worker.service_account_name.is_none();
    own.then(|| ServiceAccount { metadata: child(sync, name(sync), WORKER), ..ServiceAccount::default() })
}

/// The Role. `list` and `watch` are granted by name too: they need the field selector `metadata.name`.
pub fn role(sync: &S3Sync) -> Role {
    let rule = PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["configmaps".into()]),
        resource_names: Some(vec![cursor_name(sync.metadata.name.as_deref().unwrap_or_default())]),
        verbs: ["get", "list", "watch", "update"].map(str::to_owned).into(),
        ..PolicyRule::default()
    };
    Role { metadata: child(sync, name(sync), WORKER), rules: Some(vec![rule]) }
}

/// The RoleBinding.
pub fn role_binding(sync: &S3Sync) -> RoleBinding {
    RoleBinding {
        metadata: child(sync, name(sync), WORKER),
        role_ref: RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: "Role".into(), name: name(sync) },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name: account(sync),
            namespace: sync.metadata.namespace.clone(),
            ..Subject::default()
        }]),
    }
}
