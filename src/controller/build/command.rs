//! The Job of a command: a verb of the binary beside the sync's runs, in a pod like a worker's, with a worker's secrets
//! and rights.

use k8s_openapi::api::batch::v1::{Job, JobSpec};

use super::PodDefaults;
use super::job::{pod, with_pods};
use crate::api::S3Sync;
use crate::controller::decide::check::Checked;
use crate::controller::names::COMMAND;

/// A Job that nobody deletes, because whoever made it was killed, goes so long after its end.
const TTL_SECONDS: i32 = 600;

/// The Job that runs the binary with `args`, once: whoever asked for it sees how it ended, and asks again.
pub fn command_job(sync: &S3Sync, checked: &Checked, name: &str, args: Vec<String>, defaults: &PodDefaults) -> Job {
    let spec = JobSpec {
        completions: Some(1),
        parallelism: Some(1),
        backoff_limit: Some(0),
        ttl_seconds_after_finished: Some(TTL_SECONDS),
        ..JobSpec::default()
    };
    with_pods(sync, name.to_owned(), COMMAND, pod(sync, checked, name, args, false, defaults), spec)
}
