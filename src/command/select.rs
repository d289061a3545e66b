//! Which syncs of a cluster a verb is about, and what became of each.

use futures::stream::{self, StreamExt};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::cluster::Cluster;
use super::{CommandError, Kind, note, print};
use crate::api::S3Sync;
use crate::cli::SelectArgs;

/// Syncs that one request lists: what kubectl asks for at once.
const PAGE: u32 = 500;

/// Syncs that are asked for at once: an API server answers a person's commands beside its work.
pub const AT_ONCE: usize = 8;

/// The selected syncs; where nothing selects, those of the namespace. A name that is not there is an error.
pub async fn syncs(cluster: &Cluster, args: &SelectArgs) -> Result<Vec<S3Sync>, CommandError> {
    if args.names.is_empty() {
        return list(cluster, args).await;
    }
    let mut syncs = Vec::with_capacity(args.names.len());
    for name in &args.names {
        syncs.push(cluster.sync(name).await?);
    }
    Ok(syncs)
}

/// Does something to each selected sync, `at_once` of them at a time, in no order. It gets a cluster whose namespace is the sync's, and
/// gives the sentence that is printed. One that fails keeps none of the others from it; the first failure's kind is that of all.
pub async fn each<F>(cluster: &Cluster, args: &SelectArgs, at_once: usize, act: impl Fn(Cluster, S3Sync) -> F) -> Result<(), CommandError>
where
    F: Future<Output = Result<String, CommandError>>,
{
    if args.names.is_empty() && !args.all && args.selector.is_none() {
        let message = "no sync is named; name some, select them with -l, or all of them with --all";
        return Err(CommandError::new(Kind::Usage, anyhow::anyhow!(message)));
    }
    let mut failed: Option<CommandError> = None;
    let mut fail = |error: CommandError| match &mut failed {
        Some(failed) => failed.errors.extend(error.errors),
        None => failed = Some(error),
    };
    let mut selected = Vec::new();
    if args.names.is_empty() {
        selected = list(cluster, args).await?;
        if selected.is_empty() {
            note("no S3Sync is selected; look at the namespace (-n), the labels (-l), or at all namespaces (-A)");
        }
    }
    for name in &args.names {
        match cluster.sync(name).await {
            Ok(sync) => selected.push(sync),
            Err(error) => fail(error),
        }
    }
    let acts = selected.into_iter().map(|sync| {
        let namespace = sync.namespace().unwrap_or_default();
        act(Cluster { client: cluster.client.clone(), namespace }, sync)
    });
    let mut ends = stream::iter(acts).buffer_unordered(at_once);
    while let Some(end) = ends.next().await {
        match end {
            Ok(said) => print(&said)?,
            Err(error) => fail(error),
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn list(cluster: &Cluster, args: &SelectArgs) -> Result<Vec<S3Sync>, CommandError> {
    let all = args.all_namespaces;
    let api: Api<S3Sync> = if all { Api::all(cluster.client.clone()) } else { cluster.api() };
    let what = if all { "S3Syncs of all namespaces".to_owned() } else { format!("S3Syncs of the namespace {}", cluster.namespace) };
    let mut syncs = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    if let Some(labels) = &args.selector {
        params = params.labels(labels);
    }
    loop {
        let page = api.list(&params).await.map_err(|error| cluster.failed(&what, error))?;
        syncs.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(syncs),
        }
    }
}
