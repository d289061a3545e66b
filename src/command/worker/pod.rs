//! What the operator tells a worker's pod, by its environment.

use std::path::PathBuf;

use kube::core::TypeMeta;

use crate::api::S3Sync;
use crate::api::manifest::{self, CheckedSync, End, LoadedSync, ManifestErrorKind};
use crate::api::variables::{self, SIDES, of_side};
use crate::model::request::Request;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::seal::StateKey;

/// Looks a variable up.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Where the termination message goes: the kubelet reads it there unless the container names another file.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// One pod of a run.
#[derive(Debug)]
pub struct Pod {
    /// The Job's completion index.
    pub index: u32,
    /// The cursor's ConfigMap, in the sync's namespace.
    pub cursor: String,
    /// The key of the sync's state.
    pub state_key: StateKey,
    /// Whether a changed source or destination is accepted.
    pub accept_spec_change: bool,
    /// Whether only an epoch that is decided is finished: the operator starts a suspended sync for nothing else.
    pub finish_only: bool,
    /// What the run is asked for, by an S3SyncRun.
    pub request: Option<Request>,
    /// Where data spills; `None`: the system's temporary directory.
    pub scratch_dir: Option<PathBuf>,
    /// What is run, with its credentials.
    pub sync: LoadedSync,
}

impl Pod {
    /// Reads and checks everything. No request is made.
    pub fn new(env: &Environment<'_>) -> Result<Pod, RunError> {
        let required = |name: &str, what: &str| {
            let missing =
                || invalid(format!("the variable {name} ({what}) is not set; workers are started by the operator"));
            env(name).filter(|text| !text.is_empty()).ok_or_else(missing)
        };
        let text = required(variables::INDEX, "the pod's index")?;
        let index = text.parse().map_err(|_| {
            invalid(format!("the variable JOB_COMPLETION_INDEX is {text:?}, which is no index of a Job's pod"))
        })?;
        let cursor = required(variables::CURSOR, "the cursor's ConfigMap")?;
        let key = required(variables::STATE_KEY, "the key of the sync's state")?;
        let no_key = || {
            invalid(
                "the variable S3SYNC_STATE_KEY is not 64 hexadecimal digits; delete the Secret that it comes from"
                    .to_owned(),
            )
        };
        let state_key = StateKey::parse(&key).ok_or_else(no_key)?;
        let request = env(variables::REQUEST).filter(|text| !text.is_empty()).map(|text| request(&text)).transpose()?;
        let (sync, suspended) = sync(&required(variables::MANIFEST, "the sync that is run")?, env)?;
        Ok(Pod {
            index,
            cursor,
            state_key,
            accept_spec_change: env(variables::ACCEPT_SPEC_CHANGE).as_deref() == Some("true"),
            finish_only: suspended,
            request,
            scratch_dir: env(variables::SCRATCH_DIR).map(PathBuf::from),
            sync,
        })
    }
}

/// What the run is asked for.
fn request(text: &str) -> Result<Request, RunError> {
    let wrong = |error| {
        invalid(format!("the variable S3SYNC_REQUEST makes no sense: {error}; workers are started by the operator"))
    };
    serde_json::from_str(text).map_err(wrong)
}

/// Whether this pod leads the run, and so reports for it: also one that cannot tell does, rather than nobody.
pub fn leads(env: &Environment<'_>) -> bool {
    env(variables::INDEX).and_then(|index| index.parse::<u32>().ok()).unwrap_or(0) == 0
}

/// Where the termination message goes.
pub fn termination_log(env: &Environment<'_>) -> PathBuf {
    env(variables::TERMINATION_LOG).map_or_else(|| PathBuf::from(TERMINATION_LOG), PathBuf::from)
}

/// The sync, by the rules that hold for specs everywhere, with the credentials that the kubelet took from its Secrets;
/// and whether it is suspended. The API server and the operator have checked the resource before.
fn sync(text: &str, env: &Environment<'_>) -> Result<(LoadedSync, bool), RunError> {
    let no_sync = |why: String| {
        invalid(format!(
            "the variable {} holds no sync: {why}; workers are started by the operator",
            variables::MANIFEST
        ))
    };
    let kind: TypeMeta = serde_json::from_str(text).map_err(|error| no_sync(error.to_string()))?;
    manifest::must_be_a_sync(&kind.api_version, &kind.kind).map_err(invalid)?;
    let mut sync: S3Sync = serde_json::from_str(text).map_err(|error| no_sync(error.to_string()))?;
    let ends = [&mut sync.spec.source.connection, &mut sync.spec.destination.connection];
    for (side, connection) in SIDES.into_iter().zip(ends) {
        connection.via = env(&of_side(side, variables::CONNECTION)).filter(|name| !name.is_empty());
    }
    let suspended = sync.spec.suspend;
    let checked = CheckedSync::of_resource(sync).map_err(failed)?;
    let resolved = &checked.resolved;
    if let Some(field) = resolved.source.command_line_only().or_else(|| resolved.destination.command_line_only()) {
        let id = &resolved.settings.id;
        return Err(invalid(format!(
            "{id}: {field} is for the command line only: a pod has no directories or profiles of a user"
        )));
    }
    let secret = |end: &End<'_>, _: &str, key: &str| match key {
        "ca.crt" => certificates(env(&variable(end.path, variables::CA_FILE))),
        _ => Ok(env(&variable(end.path, key))),
    };
    Ok((checked.connect(&secret).map_err(failed)?, suspended))
}

/// The variable that holds a Secret's key for one end.
fn variable(path: &str, key: &str) -> String {
    of_side(if path == "spec.source" { SIDES[0] } else { SIDES[1] }, key)
}

/// The text of a Secret's key that is mounted as a file, which is not there when the Secret or its key is not.
fn certificates(file: Option<String>) -> Result<Option<String>, (String, bool)> {
    let Some(file) = file else { return Ok(None) };
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err((format!("whose ca.crt cannot be read at {file}: {error}"), false)),
    }
}

fn invalid(message: String) -> RunError {
    RunError::new(RunErrorKind::InvalidSpec, message)
}

/// All errors of the manifest as one sentence: a termination message has room for the first few.
fn failed(errors: Vec<manifest::ManifestError>) -> RunError {
    let kind = match errors.first().map(|error| error.kind) {
        Some(ManifestErrorKind::Secret) => RunErrorKind::Denied,
        _ => RunErrorKind::InvalidSpec,
    };
    let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
    RunError::new(kind, messages.join("; "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::model::connection::Credentials;

    fn manifest() -> Value {
        json!({
            "apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync",
            "metadata": {"name": "orders", "namespace": "data", "uid": "u", "generation": 3},
            "spec": {
                "source": {"bucket": "raw", "endpoint": "http://minio:9000", "secretRef": {"name": "ro"}, "caSecretRef": {"name": "ca"}},
                "destination": {"bucket": "lake", "format": "parquet"},
                "worker": {"replicas": 3},
            },
        })
    }

    /// A mounted Secret.
    fn ca_file(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.crt");
        std::fs::write(&file, text).unwrap();
        (dir, file.to_str().unwrap().to_owned())
    }

    fn variables(manifest: &Value) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("S3SYNC_MANIFEST", manifest.to_string()),
            ("S3SYNC_CURSOR", "orders-cursor".to_owned()),
            ("S3SYNC_STATE_KEY", "5".repeat(64)),
            ("JOB_COMPLETION_INDEX", "2".to_owned()),
            ("S3SYNC_SOURCE_AWS_ACCESS_KEY_ID", "AKIA".to_owned()),
            ("S3SYNC_SOURCE_AWS_SECRET_ACCESS_KEY", "hidden".to_owned()),
            // The process's own credentials are the default chain's, not the Secret's.
            ("AWS_ACCESS_KEY_ID", "other".to_owned()),
        ])
    }

    fn pod(variables: &BTreeMap<&'static str, String>) -> Result<Pod, RunError> {
        Pod::new(&|name| variables.get(name).cloned())
    }

    #[test]
    fn a_pod_is_what_its_environment_says() {
        let mut variables = variables(&manifest());
        // Larger than any variable may be.
        let bundle = "PEM\n".repeat(100_000);
        let (_dir, file) = ca_file(&bundle);
        variables.insert("S3SYNC_SOURCE_CA_FILE", file);
        let of = pod(&variables).unwrap();
        assert_eq!(
            (of.index, of.cursor.as_str(), of.accept_spec_change, of.scratch_dir),
            (2, "orders-cursor", false, None)
        );
        assert!(!of.finish_only);
        assert_eq!(of.state_key, StateKey::parse(&"5".repeat(64)).unwrap());
        assert_eq!((of.sync.id.to_string(), of.sync.settings.worker.replicas), ("data/orders".to_owned(), 3));
        let Credentials::Static { access_key_id, secret_access_key, session_token } = of.sync.source.credentials else {
            panic!()
        };
        assert_eq!((access_key_id.as_str(), secret_access_key.as_str(), session_token), ("AKIA", "hidden", None));
        assert_eq!(of.sync.source.ca_pem.as_deref(), Some(bundle.as_bytes()));
        assert!(matches!(of.sync.destination.credentials, Credentials::Default));

        variables.extend([
            ("S3SYNC_ACCEPT_SPEC_CHANGE", "true".to_owned()),
            ("S3SYNC_SCRATCH_DIR", "/scratch".to_owned()),
            ("S3SYNC_REQUEST", r#"{"id":"1f","window":{"fromKey":"a"},"reread":true}"#.to_owned()),
            ("S3SYNC_SOURCE_AWS_SESSION_TOKEN", "token".to_owned()),
        ]);
        let of = pod(&variables).unwrap();
        assert_eq!((of.accept_spec_change, of.scratch_dir), (true, Some(PathBuf::from("/scratch"))));
        let request = of.request.expect("it was asked for");
        assert_eq!(
            (request.id.as_str(), request.asked.reread, request.asked.window.from_key.as_deref()),
            ("1f", true, Some("a"))
        );
        let Credentials::Static { session_token, .. } = of.sync.source.credentials else { panic!() };
        assert_eq!(session_token.as_deref(), Some("token"));
    }

    /// The operator sends what its types make of the resource, with every default written out.
    #[test]
    fn a_resource_of_the_cluster_is_a_manifest() {
        let mut manifest = manifest();
        manifest["spec"]["source"]["caSecretRef"] = Value::Null;
        let resource: crate::api::S3Sync = serde_json::from_value(manifest.clone()).unwrap();
        let of = pod(&variables(&serde_json::to_value(resource).unwrap())).unwrap();
        assert_eq!(of.sync.settings, pod(&variables(&manifest)).unwrap().sync.settings);
    }

    #[test]
    fn what_is_wrong_is_said_in_one_sentence() {
        let with = |name: &'static str, text: &str| {
            let mut variables = variables(&manifest());
            variables.insert(name, text.to_owned());
            variables
        };
        let spec = |pointer: &str, value: Value| {
            let mut manifest = manifest();
            *manifest.pointer_mut(pointer).unwrap() = value;
            variables(&manifest)
        };
        for (variables, kind, expected) in [
            (
                with("JOB_COMPLETION_INDEX", ""),
                RunErrorKind::InvalidSpec,
                "the variable JOB_COMPLETION_INDEX (the pod's index) is not set; workers are started by the operator",
            ),
            (
                with("JOB_COMPLETION_INDEX", "-1"),
                RunErrorKind::InvalidSpec,
                "the variable JOB_COMPLETION_INDEX is \"-1\", which is no index of a Job's pod",
            ),
            (
                with("S3SYNC_STATE_KEY", ""),
                RunErrorKind::InvalidSpec,
                "the variable S3SYNC_STATE_KEY (the key of the sync's state) is not set; workers are started by the operator",
            ),
            (
                with("S3SYNC_STATE_KEY", "secret"),
                RunErrorKind::InvalidSpec,
                "the variable S3SYNC_STATE_KEY is not 64 hexadecimal digits; delete the Secret that it comes from",
            ),
            (
                with("S3SYNC_SOURCE_AWS_SECRET_ACCESS_KEY", ""),
                RunErrorKind::Denied,
                "data/orders: spec.source.secretRef names the Secret \"ro\", which has no value for AWS_SECRET_ACCESS_KEY; add it to the Secret",
            ),
            (
                with("S3SYNC_SOURCE_CA_FILE", "/nowhere/ca.crt"),
                RunErrorKind::Denied,
                "data/orders: spec.source.caSecretRef names the Secret \"ca\", which has no value for ca.crt; add it to the Secret",
            ),
            (
                spec("/spec/source/endpoint", json!("file:/data")),
                RunErrorKind::InvalidSpec,
                "data/orders: spec.source.endpoint is for the command line only: a pod has no directories or profiles of a user",
            ),
            (
                spec("/kind", json!("ConfigMap")),
                RunErrorKind::InvalidSpec,
                "kind is \"ConfigMap\", which is no kind of s3sync.dev; write S3Sync",
            ),
            (
                spec("/spec/worker", json!({"resources": {"limits": {"memory": "64Mi"}}})),
                RunErrorKind::InvalidSpec,
                "data/orders: spec.worker.resources.limits.memory is 64Mi",
            ),
            (
                spec("/spec/worker/replicas", json!("three")),
                RunErrorKind::InvalidSpec,
                "the variable S3SYNC_MANIFEST holds no sync: ",
            ),
            // The field stands in the S3Connection, and there it is mended.
            (
                [
                    with("S3SYNC_SOURCE_AWS_SECRET_ACCESS_KEY", ""),
                    BTreeMap::from([("S3SYNC_SOURCE_CONNECTION", "minio".to_owned())]),
                ]
                .into_iter()
                .flatten()
                .collect(),
                RunErrorKind::Denied,
                "data/orders: spec.source.connectionRef names the S3Connection \"minio\", whose secretRef names the Secret \"ro\", which has no value for AWS_SECRET_ACCESS_KEY; add it to the Secret",
            ),
            (
                with("S3SYNC_REQUEST", "{"),
                RunErrorKind::InvalidSpec,
                "the variable S3SYNC_REQUEST makes no sense: EOF while parsing an object",
            ),
            (with("S3SYNC_MANIFEST", "{"), RunErrorKind::InvalidSpec, ""),
        ] {
            let error = pod(&variables).unwrap_err();
            assert!(error.message.starts_with(expected), "{error}");
            assert_eq!(error.kind, kind, "{error}");
        }
    }

    #[test]
    fn one_that_cannot_tell_reports() {
        for (index, expected) in [(None, true), (Some("0"), true), (Some("x"), true), (Some("1"), false)] {
            assert_eq!(leads(&|_| index.map(str::to_owned)), expected, "{index:?}");
        }
    }
}
