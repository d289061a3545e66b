//! A worker's environment: the resource, who it is, and credentials and root certificates by reference. Values of
//! Secrets are never seen here.

use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, KeyToPath, ObjectFieldSelector, SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
};

use super::job::SCRATCH;
use super::state_key::STATE_KEY_KEY;
use crate::api::S3Sync;
use crate::api::spec::ConnectionSpec;
use crate::api::variables::{self as names, SIDES, of_side};
use crate::controller::decide::check::Checked;
use crate::controller::names::{cursor_name, state_key_name};
use crate::model::request::Request;

/// The variables, the user's own last.
pub fn environment(sync: &S3Sync, checked: &Checked, job: &str, accepted: bool) -> Vec<EnvVar> {
    let name = sync.metadata.name.as_deref().unwrap_or_default();
    let mut variables = vec![
        of_pod(names::POD_NAME, "metadata.name"),
        of_pod(names::POD_NAMESPACE, "metadata.namespace"),
        plain(names::JOB, job),
        plain(names::CURSOR, &cursor_name(name)),
        // Not optional: the kubelet says what is missing, in the pod's status.
        of_secret(names::STATE_KEY.to_owned(), &state_key_name(name), STATE_KEY_KEY, false),
        plain(names::SCRATCH_DIR, SCRATCH),
        plain(names::LOG_FORMAT, "json"),
        plain(names::MANIFEST, &escaped(&checked.manifest)),
    ];
    if accepted {
        variables.push(plain(names::ACCEPT_SPEC_CHANGE, "true"));
    }
    for (side, connection) in sides(sync) {
        variables.extend(credentials(side, connection));
    }
    variables.extend(sync.spec.worker.env.iter().cloned());
    variables
}

/// What a run is asked for beside its spec.
pub fn requested(request: &Request) -> EnvVar {
    plain(names::REQUEST, &escaped(&serde_json::to_string(request).expect("plain values serialise")))
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
        for (key, optional) in
            [("AWS_ACCESS_KEY_ID", false), ("AWS_SECRET_ACCESS_KEY", false), ("AWS_SESSION_TOKEN", true)]
        {
            variables.push(of_secret(of_side(side, key), &secret.name, key, optional));
        }
    }
    if connection.ca_secret_ref.is_some() {
        variables.push(plain(&of_side(side, names::CA_FILE), &format!("{}/{CA_KEY}", ca_dir(side))));
    }
    if let Some(via) = &connection.via {
        // The manifest has the fields as if they stood there.
        variables.push(plain(&of_side(side, names::CONNECTION), via));
    }
    variables
}

/// Both ends, by their word in variables.
fn sides(sync: &S3Sync) -> [(&'static str, &ConnectionSpec); 2] {
    [(SIDES[0], &sync.spec.source.connection), (SIDES[1], &sync.spec.destination.connection)]
}

/// The key of a Secret that holds root certificates, and the file.
const CA_KEY: &str = "ca.crt";

/// Where the root certificates of an end are mounted.
fn ca_dir(side: &str) -> String {
    format!("/etc/s3sync/{}", ca_volume(side))
}

fn ca_volume(side: &str) -> String {
    format!("{}-ca", side.to_ascii_lowercase())
}

/// Root certificates as files: Linux starts no process with a variable of 128 KiB, and a bundle may be larger.
pub fn certificates(sync: &S3Sync) -> Vec<(Volume, VolumeMount)> {
    let secrets =
        sides(sync).into_iter().filter_map(|(side, connection)| Some((side, connection.ca_secret_ref.as_ref()?)));
    let mounted = secrets.map(|(side, secret)| {
        let key = KeyToPath { key: CA_KEY.to_owned(), path: CA_KEY.to_owned(), mode: None };
        let secret = SecretVolumeSource {
            secret_name: Some(secret.name.clone()),
            items: Some(vec![key]),
            // The kubelet would wait for it without a word in the pod's status; the worker says what is missing.
            optional: Some(true),
            default_mode: None,
        };
        let volume = Volume { name: ca_volume(side), secret: Some(secret), ..Volume::default() };
        let mount = VolumeMount {
            name: ca_volume(side),
            mount_path: ca_dir(side),
            read_only: Some(true),
            ..VolumeMount::default()
        };
        (volume, mount)
    });
    mounted.collect()
}

fn of_secret(name: String, secret: &str, key: &str, optional: bool) -> EnvVar {
    let key = SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: optional.then_some(true) };
    let value_from = EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() };
    EnvVar { name, value: None, value_from: Some(value_from) }
}
