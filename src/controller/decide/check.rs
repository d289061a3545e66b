//! Whether a resource can run in a cluster: the spec's own rules, and what only the controller knows. PURE.

use std::path::Path;

use serde_json::json;

use super::schedule::Schedule;
use super::size::{MANIFEST_BYTES_MAX, oversized, too_large, too_long};
use crate::api::S3Sync;
use crate::api::connect;
use crate::api::error::FieldError;
use crate::api::spec::{GROUP, KIND, OnNothingFound, VERSION};
use crate::api::validate::{self, Resolved};
use crate::controller::names::short_hash;
use crate::model::reason::Reason;
use crate::model::settings::Settings;
use crate::model::spec_hash::SpecHash;

/// Errors that a message names; the rest is counted.
const NAMED_MAX: usize = 5;

/// A resource that can run.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What a run works by.
    pub settings: Settings,
    /// When it runs; `None`: on change and on trigger.
    pub schedule: Option<Schedule>,
    /// Hash of what is synced: source, schema, destination, incremental and errors. Another one is a reason to run.
    pub synced: String,
    /// Identity of source and destination, as the cursor holds it.
    pub identity: SpecHash,
    /// The resource as workers get it.
    pub manifest: String,
}

/// Why a resource cannot run, in the words of the condition Ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The condition's reason.
    pub reason: Reason,
    /// One sentence.
    pub message: String,
}

impl Refusal {
    /// A spec that is wrong.
    pub fn invalid(message: impl Into<String>) -> Refusal {
        Refusal { reason: Reason::InvalidSpec, message: message.into() }
    }
}

/// Checks a resource.
pub fn check(sync: &S3Sync) -> Result<Checked, Refusal> {
    if let Some(why) = oversized(sync) {
        return Err(Refusal::invalid(why));
    }
    let resolved = resolved(sync).map_err(|(reason, errors)| Refusal { reason, message: sentence(&errors) })?;
    let manifest = manifest(sync);
    if manifest.len() > MANIFEST_BYTES_MAX {
        return Err(Refusal::invalid(format!("the {}", too_long(manifest.len()))));
    }
    Ok(Checked {
        schedule: Schedule::of(&sync.spec, &resolved.settings.id),
        synced: synced(sync),
        identity: SpecHash::of(&resolved.settings),
        settings: resolved.settings,
        manifest,
    })
}

/// The settings, or the reason of Ready with everything that is wrong.
fn resolved(sync: &S3Sync) -> Result<Resolved, (Reason, Vec<FieldError>)> {
    // Nothing relative is allowed, so the folder that relative paths begin at does not matter.
    let resolved = validate::settings(sync, Path::new("/")).map_err(|errors| (Reason::InvalidSpec, errors))?;
    let elsewhere =
        [&resolved.source, &resolved.destination].into_iter().filter_map(|access| access.command_line_only());
    let only = |field| {
        FieldError::new(field, "works on the command line only; pods have no profiles and no directories of yours")
    };
    let errors: Vec<FieldError> = elsewhere.map(only).collect();
    if errors.is_empty() { Ok(resolved) } else { Err((Reason::UnsupportedInCluster, errors)) }
}

/// Everything that [`check`] has against a resource, by field, for whoever may still change it. An S3Connection that it
/// names may be applied later, and is looked at then.
pub fn errors(sync: &S3Sync) -> Vec<FieldError> {
    if let Some(error) = too_large(&sync.spec) {
        return vec![error];
    }
    let assumed = match connect::assumed(sync) {
        Ok(assumed) => assumed,
        Err(unconnected) => return unconnected.errors,
    };
    match resolved(&assumed) {
        Err((_, errors)) => errors,
        Ok(_) => {
            Some(manifest(sync).len()).filter(|bytes| *bytes > MANIFEST_BYTES_MAX).map(too_long).into_iter().collect()
        }
    }
}

/// The first few errors, and how many more there are.
pub(in crate::controller) fn sentence(errors: &[FieldError]) -> String {
    let mut text = errors.iter().take(NAMED_MAX).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if errors.len() > NAMED_MAX {
        text.push_str(&format!("; and {} more", errors.len() - NAMED_MAX));
    }
    text
}

/// What a change of makes a run worth while. When to run, pods and history are none of it.
fn synced(sync: &S3Sync) -> String {
    let spec = &sync.spec;
    let mut errors = json!(spec.errors);
    // A field that came later counts where it says something else than what was done before: an upgrade is no change.
    if let Some(errors) = errors.as_object_mut()
        && spec.errors.on_nothing_found == OnNothingFound::Succeed
    {
        errors.remove("onNothingFound");
    }
    short_hash(&[&json!([spec.source, spec.schema, spec.destination, spec.incremental, errors]).to_string()])
}

/// The resource as one line of JSON: spec and identity; no status, no annotations.
fn manifest(sync: &S3Sync) -> String {
    let metadata = &sync.metadata;
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid, "generation": metadata.generation},
        "spec": sync.spec,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::fixtures::{sync, sync_with};

    fn refused(spec: serde_json::Value) -> (&'static str, String) {
        let refusal = check(&sync_with(spec)).unwrap_err();
        (refusal.reason.as_str(), refusal.message)
    }

    #[test]
    fn refusals() {
        for (spec, reason, message) in [
            (
                json!({"schedule": "every hour"}),
                "InvalidSpec",
                "spec.schedule is \"every hour\", which is no cron expression: ",
            ),
            (
                json!({"timeZone": "Mars/Base"}),
                "InvalidSpec",
                "spec.timeZone needs schedule; spec.timeZone is \"Mars/Base\", which is no IANA",
            ),
            (
                json!({"source": {"bucket": "raw", "endpoint": "file:data"}}),
                "UnsupportedInCluster",
                "spec.source.endpoint works on the command line only",
            ),
            (
                json!({"destination": {"bucket": "lake", "format": "csv", "profile": "dev"}}),
                "UnsupportedInCluster",
                "spec.destination.profile works on the command line only",
            ),
            (
                json!({"worker": {"env": [{"name": "S3SYNC_JOB", "value": "x"}]}}),
                "InvalidSpec",
                "spec.worker.env[0].name is \"S3SYNC_JOB\"",
            ),
            (
                json!({"worker": {"resources": {"limits": {"memory": "64Mi"}}}}),
                "InvalidSpec",
                "spec.worker.resources.limits.memory is 64Mi, and a worker needs at least 128Mi; write 512Mi",
            ),
            (
                json!({"source": {"bucket": "raw", "include": vec!["x".repeat(1000); 200]}}),
                "InvalidSpec",
                "the spec has ",
            ),
        ] {
            let (seen, text) = refused(spec.clone());
            assert_eq!((seen, text.starts_with(message)), (reason, true), "{spec}: {text}");
        }
    }

    /// Frozen: another hash would run every sync without a schedule once more when the controller is upgraded.
    #[test]
    fn what_is_synced_is_source_to_errors() {
        let base = check(&sync()).unwrap().synced;
        assert_eq!(base, "37ba7a0f3a");
        for (spec, same) in [
            (json!({}), true),
            (json!({"suspend": true}), true),
            (json!({"worker": {"replicas": 3}}), true),
            (json!({"schedule": "@daily"}), true),
            (json!({"limits": {"objectsPerCommit": 5}}), true),
            (json!({"source": {"bucket": "other"}}), false),
            (json!({"destination": {"bucket": "lake", "format": "csv"}}), false),
            (json!({"schema": {"mode": "Strings"}}), false),
            (json!({"incremental": {"enabled": false}}), false),
            (json!({"errors": {"onBadObject": "Quarantine"}}), false),
            (json!({"errors": {"onNothingFound": "Succeed"}}), true),
            (json!({"errors": {"onNothingFound": "Fail"}}), false),
        ] {
            assert_eq!(check(&sync_with(spec.clone())).unwrap().synced == base, same, "{spec}");
        }
    }

    #[test]
    fn workers_get_spec_and_identity() {
        let mut sync = sync();
        sync.metadata.annotations = Some([("secret".to_owned(), "x".to_owned())].into());
        sync.status = Some(Default::default());
        let manifest: serde_json::Value = serde_json::from_str(&check(&sync).unwrap().manifest).unwrap();
        assert_eq!(
            manifest["metadata"],
            json!({"name": "orders", "namespace": "data", "uid": "uid-1", "generation": 3})
        );
        assert_eq!(
            manifest.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["apiVersion", "kind", "metadata", "spec"]
        );
        let again: S3Sync = serde_json::from_value(manifest).unwrap();
        assert_eq!(again.spec, sync.spec);
    }
}
