//! `s3sync cancel`: an annotation that names the run in progress ends it.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;

use super::cluster::Cluster;
use super::{CommandError, note, runtime, select};
use crate::api::S3Sync;
use crate::cli::CancelArgs;
use crate::controller::names::CANCEL;

/// How often a waiting command looks: a person does not see a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A pod ends within its grace period of 30 s; when a run has not ended after so long, a person is told where to look.
const SILENT_AFTER: Duration = Duration::from_secs(60);

/// Cancels runs.
pub fn execute(args: &CancelArgs) -> Result<(), CommandError> {
    runtime()?.block_on(async {
        let cluster = Cluster::connect(&args.cluster).await?;
        select::each(&cluster, &args.select, select::AT_ONCE, |cluster, sync| cancel(cluster, sync, args.wait)).await
    })
}

async fn cancel(cluster: Cluster, sync: S3Sync, wait: bool) -> Result<String, CommandError> {
    let name = format!("{}/{}", cluster.namespace, sync.name_any());
    // The run's name, not a word: a run that has ended meanwhile is not followed by one that is cancelled in its place.
    let Some(job) = sync.status.as_ref().and_then(|status| status.active.first()).map(|run| run.job.clone()) else {
        return Ok(format!("{name} has no run in progress\n"));
    };
    cluster.patch(&sync, json!({"metadata": {"annotations": {CANCEL: job}}})).await?;
    if !wait {
        return Ok(format!("{name}: the run {job} is being cancelled\n"));
    }
    let mut waited = Duration::ZERO;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
        let now = cluster.sync(&sync.name_any()).await?;
        let status = now.status.unwrap_or_default();
        if !status.active.iter().any(|run| run.job == job) {
            let of = |run: &&crate::api::status::RunResult| run.job == job;
            let said = status.last_run.iter().chain(&status.history).find(of).and_then(|run| run.message.clone());
            return Ok(format!("{name}: the run {job} has ended: {}\n", super::render::printable(&said.unwrap_or_default())));
        }
        if waited == SILENT_AFTER {
            note(&format!("{name}: the run has not ended yet; the operator is not there, or a pod does not end (its node says why)"));
        }
    }
}
