//! Which syncs of a cluster a verb is about, and what became of each.

use futures::stream::{self, StreamExt};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::api::S3Sync;
use crate::cli::SelectArgs;
use crate::command::plugin::cluster::Cluster;
use crate::command::{CommandError, FailureKind, note, print};

/// Syncs that one request lists: what kubectl asks for at once.
const PAGE: u32 = 500;

/// Syncs that are asked for at once: an API server answers a person's commands beside its work.
pub const AT_ONCE: usize = 8;

/// Runs that are waited for at once: each is looked at once a second, and later ones go on meanwhile.
pub const AWAITED_AT_ONCE: usize = 32;

/// Looks in a row that may fail: an API server that restarts is back within two minutes.
const UNSEEN_MAX: u32 = 120;

/// A look at a sync whose run somebody waits for; `None` where the API server does not answer: the run does not end
/// with its absence. `unseen` counts such looks in a row.
pub async fn look(cluster: &Cluster, name: &str, unseen: &mut u32) -> Result<Option<S3Sync>, CommandError> {
    match cluster.sync(name).await {
        Ok(sync) => {
            *unseen = 0;
            Ok(Some(sync))
        }
        Err(error) if error.kind == FailureKind::Other && *unseen < UNSEEN_MAX => {
            *unseen += 1;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

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

/// Does something to each selected sync, `at_once` of them at a time, in no order. It gets a cluster whose namespace is
/// the sync's, and gives the sentence that is printed. One that fails keeps none of the others from it; the first
/// failure's kind is that of all.
pub async fn each<F>(
    cluster: &Cluster,
    args: &SelectArgs,
    at_once: usize,
    act: impl Fn(Cluster, S3Sync) -> F,
) -> Result<(), CommandError>
where
    F: Future<Output = Result<String, CommandError>>,
{
    if args.names.is_empty() && !args.all && args.selector.is_none() {
        let message = "no sync is named; name some, select them with -l, or all of them with --all";
        return Err(CommandError::new(FailureKind::Usage, anyhow::anyhow!(message)));
    }
    let mut failed = Ok(());
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
            Err(error) => failed = both(failed, Err(error)),
        }
    }
    let acts = selected.into_iter().map(|sync| {
        let namespace = sync.namespace().unwrap_or_default();
        act(Cluster { client: cluster.client.clone(), namespace }, sync)
    });
    both(failed, all(acts, at_once).await)
}

/// Does all of it, `at_once` at a time, in no order, and prints the sentence that each gives. One that fails keeps none
/// of the others from it.
pub async fn all<F>(acts: impl IntoIterator<Item = F>, at_once: usize) -> Result<(), CommandError>
where
    F: Future<Output = Result<String, CommandError>>,
{
    let mut failed = Ok(());
    let mut ends = stream::iter(acts).buffer_unordered(at_once);
    while let Some(end) = ends.next().await {
        match end {
            Ok(said) => print(&said)?,
            Err(error) => failed = both(failed, Err(error)),
        }
    }
    failed
}

/// All errors of both; the first failure's kind is that of all.
pub fn both(first: Result<(), CommandError>, second: Result<(), CommandError>) -> Result<(), CommandError> {
    match (first, second) {
        (Err(mut first), Err(second)) => {
            first.errors.extend(second.errors);
            Err(first)
        }
        (first, second) => first.and(second),
    }
}

async fn list(cluster: &Cluster, args: &SelectArgs) -> Result<Vec<S3Sync>, CommandError> {
    let all = args.all_namespaces;
    let api: Api<S3Sync> = if all { Api::all(cluster.client.clone()) } else { cluster.api() };
    let what = if all {
        "S3Syncs of all namespaces".to_owned()
    } else {
        format!("S3Syncs of the namespace {}", cluster.namespace)
    };
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
