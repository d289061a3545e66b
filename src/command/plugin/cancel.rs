//! `s3sync cancel`: an annotation that names the run in progress ends it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;

use crate::cli::CancelArgs;
use crate::command::plugin::cluster::Cluster;
use crate::command::plugin::select;
use crate::command::{CommandError, note, runtime};
use crate::controller::names::CANCEL;

/// How often a waiting command looks: a person does not see a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A pod ends within its grace period of 30 s; when a run has not ended after so long, a person is told where to look.
const SILENT_AFTER: Duration = Duration::from_secs(60);

/// Cancels runs.
pub fn execute(args: &CancelArgs) -> Result<(), CommandError> {
    runtime()?.block_on(async {
        let cluster = Cluster::connect(&args.cluster).await?;
        cancel(&cluster, args).await
    })
}

/// All are cancelled before the first is waited for: a run whose pod does not end keeps no other going.
async fn cancel(cluster: &Cluster, args: &CancelArgs) -> Result<(), CommandError> {
    let awaited = Mutex::new(Vec::new());
    let cancelled = select::each(cluster, &args.select, select::AT_ONCE, |cluster, sync| {
        let awaited = &awaited;
        async move {
            let name = format!("{}/{}", cluster.namespace, sync.name_any());
            // The run's name, not a word: a run that has ended meanwhile is not followed by one that is cancelled in
            // its place.
            let Some(job) = sync.status.as_ref().and_then(|status| status.active.first()).map(|run| run.job.clone())
            else {
                return Ok(format!("{name} has no run in progress\n"));
            };
            cluster.patch(&sync, json!({"metadata": {"annotations": {CANCEL: job}}})).await?;
            if !args.wait {
                return Ok(format!("{name}: the run {job} is being cancelled\n"));
            }
            awaited.lock().unwrap_or_else(PoisonError::into_inner).push((cluster, sync.name_any(), job));
            Ok(String::new())
        }
    });
    let cancelled = cancelled.await;
    let awaited = awaited.into_inner().unwrap_or_else(PoisonError::into_inner);
    let waits = awaited.into_iter().map(|(cluster, name, job)| async move { ended(&cluster, &name, &job).await });
    select::both(cancelled, select::all(waits, select::AWAITED_AT_ONCE).await)
}

/// Waits until the run has ended.
async fn ended(cluster: &Cluster, sync: &str, job: &str) -> Result<String, CommandError> {
    let name = format!("{}/{sync}", cluster.namespace);
    let (mut waited, mut unseen) = (Duration::ZERO, 0);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
        let Some(now) = select::look(cluster, sync, &mut unseen).await? else { continue };
        let status = now.status.unwrap_or_default();
        if !status.active.iter().any(|run| run.job == job) {
            let of = |run: &&crate::api::status::RunResult| run.job == job;
            let said = status.last_run.iter().chain(&status.history).find(of).and_then(|run| run.message.clone());
            return Ok(format!(
                "{name}: the run {job} has ended: {}\n",
                crate::command::render::printable(&said.unwrap_or_default())
            ));
        }
        if waited == SILENT_AFTER {
            note(&format!(
                "{name}: the run has not ended yet; the operator is not there, or a pod does not end (its node says why)"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;
    use http::{Method, Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::Value;

    use super::*;
    use crate::cli::{Cli, Verb};

    /// Forty runs of which each ends when all have been cancelled, by an API server that fails now and then.
    #[tokio::test(start_paused = true)]
    async fn all_are_cancelled_before_one_is_waited_for() {
        const RUNS: usize = 40;
        let (service, mut server) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let answers = async move {
            let (mut patched, mut looked) = (0, BTreeSet::new());
            let sync = |name: &str, active: Value| {
                json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "metadata": {"name": name, "namespace": "data"},
                    "spec": {"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "parquet"}},
                    "status": {"active": active}})
            };
            let running = |name: &str| sync(name, json!([{"job": format!("{name}-0123456789")}]));
            while let Some((request, send)) = server.next_request().await {
                let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
                let (code, answer) = match (request.method(), name.as_str()) {
                    (&Method::GET, "s3syncs") => {
                        let items: Vec<Value> = (0..RUNS).map(|n| running(&format!("sync-{n}"))).collect();
                        (
                            200,
                            json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3SyncList", "metadata": {}, "items": items}),
                        )
                    }
                    (&Method::PATCH, name) => {
                        patched += 1;
                        (200, running(name))
                    }
                    (_, name) if looked.insert(name.to_owned()) => (
                        500,
                        json!({"kind": "Status", "status": "Failure", "message": "away", "reason": "InternalError", "code": 500}),
                    ),
                    (_, name) => {
                        assert_eq!(patched, RUNS, "{name} is waited for");
                        (200, sync(name, json!([])))
                    }
                };
                send.send_response(
                    Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap(),
                );
            }
        };
        let answers = tokio::spawn(answers);
        let cluster = Cluster { client: Client::new(service, "data"), namespace: "data".into() };
        let cli = Cli::parse_from(["s3sync", "cancel", "--all", "--wait"]);
        let Verb::Cancel(args) = cli.verb else { panic!("another verb") };
        cancel(&cluster, &args).await.unwrap();
        drop(cluster);
        answers.await.unwrap();
    }
}
