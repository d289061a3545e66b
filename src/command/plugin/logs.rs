//! `s3sync logs`: what the pods of one run have logged, each line after its pod's index.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, LogParams};
use tokio::task::JoinSet;

use crate::cli::LogsArgs;
use crate::command::plugin::cluster::Cluster;
use crate::command::{CommandError, FailureKind, note, print, runtime};
use crate::controller::names::{POD_INDEX, POD_JOB};
use crate::controller::pod::{CONTAINER, not_started};
use crate::store::secrets;

/// The most of a line that is read: longer than any of ours, of which a message is the longest part. Another image may
/// log one without end.
pub(in crate::command) const LINE_BYTES_MAX: usize = 64 << 10;

/// How often a following command looks for pods that came meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Prints the logs.
pub fn execute(args: &LogsArgs) -> Result<(), CommandError> {
    runtime()?.block_on(async {
        let cluster = Arc::new(Cluster::connect(&args.cluster).await?);
        let job = job(&cluster, &args.name).await?;
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            follow: args.follow,
            tail_lines: args.tail.map(i64::from),
            ..LogParams::default()
        };
        if args.follow { follow(&cluster, &job, &params).await } else { once(&cluster, &job, &params).await }
    })
}

/// The Job of the run in progress, or of the last one.
async fn job(cluster: &Cluster, name: &str) -> Result<String, CommandError> {
    let status = cluster.sync(name).await?.status.unwrap_or_default();
    let last = status.last_run.map(|run| run.job);
    status.active.into_iter().next().map(|run| run.job).or(last).ok_or_else(|| {
        let message = format!(
            "{}/{name} has not run yet; `kubectl s3sync status {name}` says what it waits for",
            cluster.namespace
        );
        CommandError::new(FailureKind::Access, anyhow::anyhow!(message))
    })
}

/// The run's pods, by index and then by age: a later one of the same index took its place.
async fn pods(cluster: &Cluster, job: &str) -> Result<Vec<Pod>, CommandError> {
    let params = ListParams::default().labels(&format!("{POD_JOB}={job}"));
    let listed = cluster.api::<Pod>().list(&params).await;
    let mut pods =
        listed.map_err(|error| cluster.failed(&format!("pods of the run {}/{job}", cluster.namespace), error))?.items;
    pods.sort_by_cached_key(|pod| (index(pod), pod.creation_timestamp().map(|time| time.0), pod.name_any()));
    Ok(pods)
}

fn index(pod: &Pod) -> u32 {
    pod.labels().get(POD_INDEX).and_then(|index| index.parse().ok()).unwrap_or(0)
}

async fn once(cluster: &Cluster, job: &str, params: &LogParams) -> Result<(), CommandError> {
    let pods = pods(cluster, job).await?;
    if pods.is_empty() {
        let message = format!(
            "the pods of the run {}/{job} are not there any more; keep more of them with the history limits",
            cluster.namespace
        );
        return Err(CommandError::new(FailureKind::Access, anyhow::anyhow!(message)));
    }
    for pod in &pods {
        match not_started(pod) {
            Some(reason) => note(&format!("[{}] {} has not started: {reason}", index(pod), pod.name_any())),
            None => stream(cluster, pod, params).await?,
        }
    }
    Ok(())
}

/// Streams every pod as it comes, until the run has ended and its pods have said all.
async fn follow(cluster: &Arc<Cluster>, job: &str, params: &LogParams) -> Result<(), CommandError> {
    let mut begun = BTreeSet::new();
    let mut said = BTreeSet::new();
    let mut streams = JoinSet::new();
    loop {
        // Asked before the pods: what a run that has ended has started is all there.
        let ended = has_ended(cluster, job).await?;
        for pod in pods(cluster, job).await? {
            let name = pod.name_any();
            if let Some(reason) = not_started(&pod) {
                if said.insert((name.clone(), reason.clone())) {
                    note(&format!("[{}] {name} has not started: {reason}", index(&pod)));
                }
            } else if begun.insert(name) {
                let (cluster, params) = (Arc::clone(cluster), params.clone());
                streams.spawn(async move { stream(&cluster, &pod, &params).await });
            }
        }
        if ended {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        while let Some(Ok(result)) = streams.try_join_next() {
            result?;
        }
    }
    while let Some(result) = streams.join_next().await {
        result.unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// Whether the Job has ended; one that is not there any more has.
async fn has_ended(cluster: &Cluster, job: &str) -> Result<bool, CommandError> {
    let found = cluster.api::<Job>().get_opt(job).await;
    let found = found.map_err(|error| cluster.failed(&format!("the Job {}/{job}", cluster.namespace), error))?;
    let conditions = match found {
        None => return Ok(true),
        Some(job) => job.status.and_then(|status| status.conditions).unwrap_or_default(),
    };
    Ok(conditions
        .iter()
        .any(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"))
}

/// Prints a pod's log, line by line.
async fn stream(cluster: &Cluster, pod: &Pod, params: &LogParams) -> Result<(), CommandError> {
    let name = pod.name_any();
    let what = format!("the log of pod {}/{name}", cluster.namespace);
    let log = cluster.api::<Pod>().log_stream(&name, params).await;
    let mut log = std::pin::pin!(log.map_err(|error| cluster.failed(&what, error))?);
    loop {
        match line(&mut log).await {
            Ok(Some(line)) => print(&format!("[{}] {line}\n", index(pod)))?,
            Ok(None) => return Ok(()),
            // The pod went while it was read: what it said is printed.
            Err(error) => {
                note(&format!("{what} was cut off: {error}"));
                return Ok(());
            }
        }
    }
}

/// The next line, as it may be shown; `None` at the end.
async fn line(log: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let Some((bytes, whole)) = raw_line(log).await? else { return Ok(None) };
    let text = secrets::clean(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']), LINE_BYTES_MAX);
    let cut = if whole { "" } else { "…" };
    Ok(Some(format!("{text}{cut}")))
}

/// The bytes of the next line, at most [`LINE_BYTES_MAX`] of them, and whether that is all of it; `None` at the end.
pub(in crate::command) async fn raw_line(
    log: &mut (impl AsyncBufRead + Unpin),
) -> std::io::Result<Option<(Vec<u8>, bool)>> {
    let mut bytes = Vec::new();
    (&mut *log).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut bytes).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let whole = bytes.len() < LINE_BYTES_MAX || bytes.last() == Some(&b'\n');
    let (mut more, mut rest) = (!whole, Vec::new());
    while more {
        rest.clear();
        (&mut *log).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut rest).await?;
        more = !rest.is_empty() && rest.last() != Some(&b'\n');
    }
    Ok(Some((bytes, whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_fit_for_a_terminal() {
        let endless = "y".repeat(3 * LINE_BYTES_MAX);
        let log = format!("one\u{1b}[2J\r\n\n{endless}\nlast");
        let (mut reader, mut lines) = (futures::io::BufReader::new(log.as_bytes()), Vec::new());
        while let Some(line) = line(&mut reader).await.unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["one[2J", "", &format!("{}…", &endless[..LINE_BYTES_MAX]), "last"]);
    }
}
