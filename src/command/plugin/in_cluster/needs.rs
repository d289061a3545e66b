//! What a pod of a sync needs and others make: its ServiceAccount and its cursor. Where one is not there no pod starts,
//! and nothing but time says so, so it is asked for first.

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::ResourceExt;

use crate::api::S3Sync;
use crate::command::plugin::cluster::Cluster;
use crate::controller::build;
use crate::controller::names::cursor_name;

/// Something that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What, as a sentence.
    pub why: String,
    /// What to do.
    pub fix: String,
    /// Whether the operator makes it, with the sync's first run.
    pub of_first_run: bool,
}

/// What a pod of the sync would wait for; `None` where all is there, or cannot be seen: then the pod says it.
pub async fn missing(cluster: &Cluster, sync: &S3Sync) -> Option<Missing> {
    let (account, map) = (build::account(sync), cursor_name(&sync.name_any()));
    // Who may not ask is not told.
    let (accounts, maps) = (cluster.api::<ServiceAccount>(), cluster.api::<ConfigMap>());
    let (has_account, has_map) = tokio::join!(accounts.get_metadata_opt(&account), maps.get_metadata_opt(&map));
    if matches!(has_account, Ok(None)) {
        return Some(match &sync.spec.worker.service_account_name {
            None => of_first_run(cluster, sync, &format!("the ServiceAccount {account}")),
            Some(named) => Missing {
                why: format!("the ServiceAccount {named} of spec.worker.serviceAccountName is not there"),
                fix: "make it in the sync's namespace".to_owned(),
                of_first_run: false,
            },
        });
    }
    matches!(has_map, Ok(None)).then(|| of_first_run(cluster, sync, &format!("the ConfigMap {map}")))
}

fn of_first_run(cluster: &Cluster, sync: &S3Sync, what: &str) -> Missing {
    Missing {
        why: format!(
            "{what} is not there, and no pod starts without it: the operator makes it with the sync's first run"
        ),
        fix: format!("start one with `kubectl s3sync trigger {} --namespace {}`", sync.name_any(), cluster.namespace),
        of_first_run: true,
    }
}
