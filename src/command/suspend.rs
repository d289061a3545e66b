//! `s3sync suspend` and `s3sync resume`: `spec.suspend`, by one patch.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::cluster::Cluster;
use super::{CommandError, print, runtime};
use crate::api::S3Sync;
use crate::cli::SuspendArgs;

/// Suspends a sync, or resumes it.
pub fn execute(args: &SuspendArgs, suspend: bool) -> Result<(), CommandError> {
    let said = runtime()?.block_on(async {
        let cluster = Cluster::connect(&args.cluster).await?;
        let before = cluster.sync(&args.name).await?;
        let name = format!("{}/{}", cluster.namespace, args.name);
        if before.spec.suspend == suspend {
            let already = if suspend { "is suspended already" } else { "is not suspended" };
            return Ok(format!("{name} {already}\n"));
        }
        let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
        let patched = cluster.api::<S3Sync>().patch(&args.name, &PatchParams::default(), &patch).await;
        patched.map_err(|error| cluster.failed(&format!("S3Sync {name}"), error))?;
        let running = before.status.is_some_and(|status| !status.active.is_empty());
        Ok(match (suspend, running) {
            (true, true) => format!("{name} suspended; the run in progress goes on\n"),
            (true, false) => format!("{name} suspended\n"),
            (false, _) => format!("{name} resumed\n"),
        })
    });
    said.and_then(|text: String| print(&text))
}
