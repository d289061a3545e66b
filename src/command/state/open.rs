//! Which cursors a state verb is about: those of manifests, in files, or the one of a sync in a cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, ResourceExt};
use tokio::signal::unix::{SignalKind, signal};

use crate::api::S3Sync;
use crate::api::manifest::{CheckedSync, End};
use crate::api::validate::{Access, AccessCredentials};
use crate::cli::{CursorArgs, FileArgs};
use crate::command::plugin::cluster::Cluster;
use crate::command::syncs::{self, CursorLocation, Sync};
use crate::command::validate::manifest_errors;
use crate::command::{CommandError, FailureKind, worker};
use crate::controller::names::cursor_name;
use crate::model::retry::RetryPolicy;
use crate::pipeline::commit::claim::claim_key;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::StateError;
use crate::state::configmap::{ConfigMapCursor, Patience};
use crate::store::s3::{self, Timeouts};
use crate::store::{self, ErrorKind, Side};

/// The cursor of a sync in a cluster, and nothing of the sync.
pub(super) fn cursor(cluster: &Cluster, name: &str) -> ConfigMapCursor {
    ConfigMapCursor::new(cluster.client.clone(), &cluster.namespace, &cursor_name(name), Patience::PERSON)
}

/// The syncs with their cursors and, by the rights of whoever asks, their credentials.
pub async fn open(args: &CursorArgs) -> Result<Vec<Sync>, CommandError> {
    if args.job.in_pod {
        return Ok(vec![of_pod().await?]);
    }
    let Some(name) = &args.name else {
        return syncs::load(&FileArgs { files: args.files.clone() }, &args.state);
    };
    let cluster = Cluster::connect(&args.cluster).await?;
    let sync = cluster.connected(cluster.sync(name).await?).await?;
    let checked = CheckedSync::of_resource(sync).map_err(manifest_errors)?;
    let secrets = secrets(&cluster, &checked).await?;
    let value =
        |_: &End<'_>, secret: &str, key: &str| Ok(secrets.get(secret).and_then(|values| values.get(key)).cloned());
    let loaded = checked.connect(&value).map_err(manifest_errors)?;
    let cursor = cursor(&cluster, name);
    let failed = |error: StateError| CommandError::new(RunErrorKind::from(&error).failure(), anyhow::Error::new(error));
    let uid = cursor.uid().await.map_err(failed)?.unwrap_or_default();
    Ok(vec![Sync { loaded, cursor: CursorLocation::ConfigMap { cursor, uid } }])
}

/// The same, for what changes a cursor: refused while a run of it is in progress.
pub(super) async fn open_idle(args: &CursorArgs) -> Result<Vec<Sync>, CommandError> {
    if let Some(name) = &args.name {
        let cluster = Cluster::connect(&args.cluster).await?;
        idle(&cluster, &cluster.sync(name).await?)?;
        let place = format!("{}/{name}", cluster.namespace);
        let maps: Api<ConfigMap> = cluster.api();
        let map = cursor_name(name);
        let found = maps
            .get_metadata_opt(&map)
            .await
            .map_err(|error| cluster.failed(&format!("ConfigMap {}/{map}", cluster.namespace), error))?;
        if found.is_none() {
            let message = format!(
                "{place}: there is no ConfigMap {map}: the operator makes it when it first sees the sync; look whether it is there"
            );
            return Err(CommandError::new(FailureKind::Access, anyhow::anyhow!(message)));
        }
    }
    open(args).await
}

/// An error while a run of the sync is in progress.
pub(super) fn idle(cluster: &Cluster, sync: &S3Sync) -> Result<(), CommandError> {
    let Some(run) = sync.status.iter().flat_map(|status| &status.active).next() else { return Ok(()) };
    let (namespace, name) = (&cluster.namespace, sync.name_any());
    let message = format!(
        "{namespace}/{name}: the run {} is in progress; wait until it has ended (`kubectl s3sync suspend {name}` keeps the next from starting)",
        run.job
    );
    Err(CommandError::new(FailureKind::Interrupted, anyhow::anyhow!(message)))
}

/// The sync of this pod, with its cursor and credentials. Whoever made the pod has looked whether a run is in progress;
/// compare-and-swap keeps apart what came in between.
async fn of_pod() -> Result<Sync, CommandError> {
    // The first process of a container ignores a signal that it does not handle, and would be waited for. The pod may
    // be ended at any instruction.
    let cannot = |error: std::io::Error| {
        CommandError::new(FailureKind::Other, anyhow::Error::new(error).context("signals cannot be caught"))
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    tokio::spawn(async move {
        terminate.recv().await;
        std::process::exit(i32::from(FailureKind::Interrupted.exit_code()));
    });
    let sync = async {
        let pod = worker::Pod::new(&|name: &str| std::env::var(name).ok())?;
        Ok(worker::sync(&pod).await?.0)
    };
    sync.await.map_err(syncs::failure)
}

/// Whether S3 answers at all, so that a person waits for seconds and not for the many tries of a run. Pods have no use
/// for the question: they are where runs are.
pub(super) async fn reach(args: &CursorArgs, sync: &Sync, verb: &str) -> Result<(), RunError> {
    if args.job.in_pod {
        return Ok(());
    }
    let (settings, id) = (sync.settings(), &sync.loaded.id);
    let options = s3::Options { retries: RetryPolicy::ONCE, timeouts: Timeouts::IN_SECONDS, ..s3::Options::default() };
    let store =
        store::connect_with(&sync.loaded.destination, &settings.destination.bucket, Side::Destination, options).await?;
    let unanswered = match store.head(&claim_key(settings)).await {
        Err(error) if error.kind == ErrorKind::Unavailable && store.clock_ahead().is_none() => error,
        // Whatever it answers, the verb itself says what it means.
        _ => return Ok(()),
    };
    let mut message = format!("{id}: S3 cannot be reached from here: {unanswered}");
    if let (CursorLocation::ConfigMap { .. }, Some(name)) = (&sync.cursor, &args.name) {
        message.push_str(&format!(
            "; where only the sync's workers reach it: `kubectl s3sync state {verb} --in-cluster {name} --namespace {}`",
            id.namespace
        ));
    }
    Err(RunError::because(RunErrorKind::Failed, message, unanswered))
}

/// The values of the Secrets that a sync names.
async fn secrets(
    cluster: &Cluster,
    checked: &CheckedSync,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, CommandError> {
    let mut secrets = BTreeMap::new();
    for name in [&checked.resolved.source, &checked.resolved.destination].into_iter().flat_map(named) {
        let secret: Secret = cluster.get(&name).await?;
        let values = secret.data.unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        secrets.insert(name, values.into_iter().map(|(key, bytes)| (key, text(bytes.0))).collect());
    }
    Ok(secrets)
}

/// The Secrets of one end.
fn named(access: &Access) -> Vec<String> {
    let credentials = match &access.credentials {
        AccessCredentials::Secret(name) => Some(name.clone()),
        _ => None,
    };
    credentials.into_iter().chain(access.ca_secret.clone()).collect()
}
