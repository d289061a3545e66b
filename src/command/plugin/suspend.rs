//! `s3sync suspend` and `s3sync resume`: `spec.suspend`, by one patch.

use kube::ResourceExt;
use serde_json::json;

use crate::api::S3Sync;
use crate::cli::SuspendArgs;
use crate::command::plugin::cluster::Cluster;
use crate::command::plugin::select;
use crate::command::{CommandError, runtime};

/// Suspends syncs, or resumes them.
pub fn execute(args: &SuspendArgs, suspend: bool) -> Result<(), CommandError> {
    runtime()?.block_on(async {
        let cluster = Cluster::connect(&args.cluster).await?;
        select::each(&cluster, &args.select, select::AT_ONCE, |cluster, sync| set(cluster, sync, suspend)).await
    })
}

async fn set(cluster: Cluster, sync: S3Sync, suspend: bool) -> Result<String, CommandError> {
    let name = format!("{}/{}", cluster.namespace, sync.name_any());
    if sync.spec.suspend == suspend {
        let already = if suspend { "is suspended already" } else { "is not suspended" };
        return Ok(format!("{name} {already}\n"));
    }
    cluster.patch(&sync, json!({"spec": {"suspend": suspend}})).await?;
    let running = sync.status.is_some_and(|status| !status.active.is_empty());
    Ok(match (suspend, running) {
        (true, true) => format!("{name} suspended; the run in progress goes on\n"),
        (true, false) => format!("{name} suspended\n"),
        (false, _) => format!("{name} resumed\n"),
    })
}
