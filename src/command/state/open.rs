//! Which cursors a state verb is about: those of manifests, in files, or the one of a sync in a cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;

use crate::api::S3Sync;
use crate::api::manifest::{self, End, Manifests};
use crate::api::validate::{Access, AccessCredentials};
use crate::cli::{CursorArgs, FileArgs};
use crate::command::cluster::Cluster;
use crate::command::syncs::{self, Place, Sync};
use crate::command::validate::manifest_errors;
use crate::command::{CommandError, Kind};
use crate::pipeline::error::RunErrorKind;
use crate::state::StateError;
use crate::state::configmap::{ConfigMapCursor, Patience};

/// The ConfigMap of a sync's cursor.
pub(super) fn config_map(name: &str) -> String {
    format!("{name}-cursor")
}

/// The cursor of a sync in a cluster, and nothing of the sync.
pub(super) fn cursor(cluster: &Cluster, name: &str) -> ConfigMapCursor {
    ConfigMapCursor::new(cluster.client.clone(), &cluster.namespace, &config_map(name), Patience::PERSON)
}

/// The syncs with their cursors and, by the rights of whoever asks, their credentials.
pub(super) async fn open(args: &CursorArgs) -> Result<Vec<Sync>, CommandError> {
    let Some(name) = &args.name else {
        return syncs::load(&FileArgs { files: args.files.clone() }, &args.state);
    };
    let cluster = Cluster::connect(&args.cluster).await?;
    let sync = cluster.sync(name).await?;
    let manifests = checked(&sync)?;
    let secrets = secrets(&cluster, &manifests).await?;
    let value = |_: &End<'_>, secret: &str, key: &str| Ok(secrets.get(secret).and_then(|values| values.get(key)).cloned());
    let mut loaded = manifests.connect_with(&value).map_err(manifest_errors)?;
    let cursor = cursor(&cluster, name);
    let failed = |error: StateError| CommandError::new(syncs::kind_of(RunErrorKind::from(&error)), anyhow::Error::new(error));
    let uid = cursor.uid().await.map_err(failed)?.unwrap_or_default();
    Ok(loaded.drain(..).map(|loaded| Sync { loaded, cursor: Place::ConfigMap { cursor: cursor.clone(), uid: uid.clone() } }).collect())
}

/// The same, for what changes a cursor: refused while a run of it is in progress.
pub(super) async fn open_idle(args: &CursorArgs) -> Result<Vec<Sync>, CommandError> {
    if let Some(name) = &args.name {
        let cluster = Cluster::connect(&args.cluster).await?;
        let sync = cluster.sync(name).await?;
        let place = format!("{}/{name}", cluster.namespace);
        if let Some(run) = sync.status.iter().flat_map(|status| &status.active).next() {
            let message = format!(
                "{place}: the run {} is in progress; wait until it has ended (`kubectl s3sync suspend {name}` keeps the next from starting)",
                run.job
            );
            return Err(CommandError::new(Kind::Interrupted, anyhow::anyhow!(message)));
        }
        let maps: Api<ConfigMap> = cluster.api();
        let map = config_map(name);
        let found =
            maps.get_metadata_opt(&map).await.map_err(|error| cluster.failed(&format!("ConfigMap {}/{map}", cluster.namespace), error))?;
        if found.is_none() {
            let message = format!(
                "{place}: there is no ConfigMap {map}: the operator makes it when it first sees the sync; look whether it is there"
            );
            return Err(CommandError::new(Kind::Access, anyhow::anyhow!(message)));
        }
    }
    open(args).await
}

/// The resource by the rules for manifests: what the API server let through may be older than they are.
fn checked(sync: &S3Sync) -> Result<Manifests, CommandError> {
    let mut sync = sync.clone();
    sync.status = None;
    sync.metadata.managed_fields = None;
    let text = serde_json::to_string(&sync).map_err(anyhow::Error::new)?;
    manifest::check_text(&text).map_err(manifest_errors)
}

/// The values of the Secrets that a sync names.
async fn secrets(cluster: &Cluster, manifests: &Manifests) -> Result<BTreeMap<String, BTreeMap<String, String>>, CommandError> {
    let mut secrets = BTreeMap::new();
    for name in manifests.syncs.iter().flat_map(|sync| [&sync.resolved.source, &sync.resolved.destination]).flat_map(named) {
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
