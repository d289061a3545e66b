//! A worker's environment: the resource, who it is, and credentials by reference. Values of Secrets are never seen here.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, SecretKeySelector};

use super::job::SCRATCH;
use crate::api::S3Sync;
use crate::api::spec::ConnectionSpec;
use crate::controller::check::Checked;
use crate::controller::names::cursor_name;

/// The variables, the user's own last.
pub fn environment(sync: &S3Sync, checked: &Checked, job: &str, accepted: bool) -> Vec<EnvVar> {
    let name = sync.metadata.name.as_deref().unwrap_or_default();
    let mut variables = vec![
        of_pod("POD_NAME", "metadata.name"),
        of_pod("POD_NAMESPACE", "metadata.namespace"),
        plain("S3SYNC_JOB", job),
        plain("S3SYNC_CURSOR", &cursor_name(name)),
        plain("S3SYNC_SCRATCH_DIR", SCRATCH),
        plain("S3SYNC_LOG_FORMAT", "json"),
        plain("S3SYNC_MANIFEST", &escaped(&checked.manifest)),
    ];
    if accepted {
        variables.push(plain("S3SYNC_ACCEPT_SPEC_CHANGE", "true"));
    }
    variables.extend(credentials("SOURCE", &sync.spec.source.connection));
    variables.extend(credentials("DESTINATION", &sync.spec.destination.connection));
    variables.extend(sync.spec.worker.env.iter().cloned());
    variables
}

fn plain(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

/// The kubelet replaces `$(NAME)` in values by variables that it knows, and `$$` stands for `$`
/// (<https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>).
fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

fn of_pod(name: &str, field: &str) -> EnvVar {
    let field = ObjectFieldSelector { api_version: None, field_path: field.to_owned() };
    let value_from = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(value_from) }
}

fn credentials(side: &str, connection: &ConnectionSpec) -> Vec<EnvVar> {
    let mut variables = Vec::new();
    if let Some(secret) = &connection.secret_ref {
        for (key, optional) in [("AWS_ACCESS_KEY_ID", false), ("AWS_SECRET_ACCESS_KEY", false), ("AWS_SESSION_TOKEN", true)] {
            variables.push(of_secret(format!("S3SYNC_{side}_{key}"), &secret.name, key, optional));
        }
    }
    if let Some(secret) = &connection.ca_secret_ref {
        variables.push(of_secret(format!("S3SYNC_{side}_CA_CRT"), &secret.name, "ca.crt", false));
    }
    variables
}

fn of_secret(name: String, secret: &str, key: &str, optional: bool) -> EnvVar {
    let key = SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: optional.then_some(true) };
    let value_from = EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() };
    EnvVar { name, value: None, value_from: Some(value_from) }
}
