//! The environment of a worker's pod: by these variables the operator tells it what to do.

/// What all of our own begin with. Users may set none of them in a pod.
pub const PREFIX: &str = "S3SYNC_";
/// The pod's index in its Job, from the Job controller.
pub const INDEX: &str = "JOB_COMPLETION_INDEX";
/// The pod's name.
pub const POD_NAME: &str = "POD_NAME";
/// The pod's namespace.
pub const POD_NAMESPACE: &str = "POD_NAMESPACE";
/// The Job's name.
pub const JOB: &str = "S3SYNC_JOB";
/// The sync, as JSON.
pub const MANIFEST: &str = "S3SYNC_MANIFEST";
/// The cursor's ConfigMap, by name.
pub const CURSOR: &str = "S3SYNC_CURSOR";
/// The key of the sync's state, from its Secret.
pub const STATE_KEY: &str = "S3SYNC_STATE_KEY";
/// What the run is asked for, as JSON.
pub const REQUEST: &str = "S3SYNC_REQUEST";
/// `true` where a changed source or destination is accepted.
pub const ACCEPT_SPEC_CHANGE: &str = "S3SYNC_ACCEPT_SPEC_CHANGE";
/// Where data spills.
pub const SCRATCH_DIR: &str = "S3SYNC_SCRATCH_DIR";
/// How logs are written.
pub const LOG_FORMAT: &str = "S3SYNC_LOG_FORMAT";
/// Where the kubelet looks for a termination message, if not where it does by default.
pub const TERMINATION_LOG: &str = "S3SYNC_TERMINATION_LOG";

/// Of a side: the file with its root certificates.
pub const CA_FILE: &str = "CA_FILE";
/// Of a side: the S3Connection that says how it is reached, for messages alone.
pub const CONNECTION: &str = "CONNECTION";

/// The sides' words in variables, for `spec.source` and `spec.destination`.
pub const SIDES: [&str; 2] = ["SOURCE", "DESTINATION"];

/// A side's variable. Both sides may name Secrets with the same keys.
pub fn of_side(side: &str, name: &str) -> String {
    format!("{PREFIX}{side}_{name}")
}
