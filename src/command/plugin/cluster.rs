//! The cluster as a person sees it: through a kubeconfig, with their own rights.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::api::connect::{NoConnection, connect, named};
use crate::api::{S3Connection, S3Sync, text};
use crate::cli::ClusterArgs;
use crate::command::{CommandError, FailureKind};

/// Who a person's changes are by, in `metadata.managedFields`: kubectl's plugins call themselves so.
pub const FIELD_MANAGER: &str = "kubectl-s3sync";

/// A cluster and a namespace of it.
#[derive(Clone)]
pub struct Cluster {
    /// How it is spoken to.
    pub client: Client,
    /// The namespace that was asked for, or the context's.
    pub namespace: String,
}

impl Cluster {
    /// The cluster of a kubeconfig. No request is made yet.
    pub async fn connect(args: &ClusterArgs) -> Result<Cluster, CommandError> {
        let config = config(args).await.map_err(|error| {
            let message = format!(
                "no cluster to speak to: {error:#}; name a kubeconfig with --kubeconfig or KUBECONFIG, and a context of it with --context"
            );
            CommandError::new(FailureKind::Usage, anyhow::anyhow!(message))
        })?;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| {
            CommandError::new(FailureKind::Usage, anyhow::Error::new(error).context("the kubeconfig cannot be used"))
        })?;
        Ok(Cluster { client, namespace })
    }

    /// Objects of one kind in the namespace.
    pub fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A sync by its name.
    pub async fn sync(&self, name: &str) -> Result<S3Sync, CommandError> {
        self.get(name).await
    }

    /// A sync with what the S3Connections that it names say, by the rights of whoever asks.
    pub async fn connected(&self, mut sync: S3Sync) -> Result<S3Sync, CommandError> {
        let mut says = BTreeMap::new();
        // Both sides may name the same one.
        for name in named(&sync).map(str::to_owned).collect::<BTreeSet<String>>() {
            let connection: S3Connection = self.get(&name).await?;
            says.insert(name, connection.spec.connection);
        }
        let found =
            |name: &str| says.get(name).cloned().ok_or_else(|| NoConnection::Missing("which is not there".to_owned()));
        connect(&mut sync, &found).map_err(|unconnected| CommandError {
            kind: FailureKind::Usage,
            errors: unconnected.errors.into_iter().map(|error| anyhow::anyhow!(error.to_string())).collect(),
        })?;
        Ok(sync)
    }

    /// An object by its name. One that is not there is an error.
    pub async fn get<K>(&self, name: &str) -> Result<K, CommandError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        self.api::<K>()
            .get(name)
            .await
            .map_err(|error| self.failed(&format!("{} {}/{name}", K::kind(&()), self.namespace), error))
    }

    /// Changes a sync by a merge patch.
    pub async fn patch(&self, sync: &S3Sync, patch: serde_json::Value) -> Result<(), CommandError> {
        let name = sync.name_any();
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patched = self.api::<S3Sync>().patch(&name, &params, &Patch::Merge(patch)).await;
        patched.map(drop).map_err(|error| self.failed(&format!("S3Sync {}/{name}", self.namespace), error))
    }

    /// What a failed request means, in a sentence that begins with what it was about.
    pub fn failed(&self, what: &str, error: kube::Error) -> CommandError {
        let (kind, message) = meaning(what, &error);
        CommandError::new(kind, anyhow::Error::new(error).context(message))
    }
}

async fn config(args: &ClusterArgs) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    match &args.kubeconfig {
        Some(path) => Ok(Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?),
        None if args.context.is_some() => Ok(Config::from_kubeconfig(&options).await?),
        None => Ok(Config::infer().await?),
    }
}

fn meaning(what: &str, error: &kube::Error) -> (FailureKind, String) {
    match error {
        kube::Error::Api(status) => match (status.code, status.reason.as_str()) {
            (404, "NotFound") if status.details.as_ref().is_some_and(|details| !details.name.is_empty()) => (
                FailureKind::Access,
                format!("{what} is not there; look at the name, the namespace (-n) and the context (--context)"),
            ),
            (404, _) => (
                FailureKind::Access,
                format!(
                    "{what}: this cluster does not know the resource; install s3sync on it, or name another with --context"
                ),
            ),
            (401, _) => (
                FailureKind::Access,
                format!("{what}: the cluster does not know you: {}; look at the kubeconfig's user", said(status)),
            ),
            (403, _) => (
                FailureKind::Access,
                format!("{what}: {}; ask who runs the cluster for a role that allows it", said(status)),
            ),
            (409, _) => {
                (FailureKind::Interrupted, format!("{what} was changed by somebody else at the same time; try again"))
            }
            (422 | 400, _) => (FailureKind::Usage, format!("{what}: {}", said(status))),
            _ => (FailureKind::Other, format!("{what}: the API server failed: {}; try again", said(status))),
        },
        kube::Error::Auth(_) => {
            (FailureKind::Access, format!("{what}: the kubeconfig's credentials cannot be had: {}", deepest(error)))
        }
        _ => (
            FailureKind::Other,
            format!(
                "{what}: the API server cannot be reached: {}; look at the kubeconfig's server, and try again",
                deepest(error)
            ),
        ),
    }
}

fn said(status: &kube::core::Status) -> String {
    if status.message.is_empty() { format!("status {}", status.code) } else { text::message(&status.message) }
}

/// The cause below all: kube's own text repeats it with each layer.
pub fn deepest(error: &kube::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_says_what_to_do() {
        let status = |code: u16, reason: &str, name: &str| {
            let status = serde_json::json!({"status": "Failure", "code": code, "reason": reason, "message": "said", "details": {"name": name}});
            kube::Error::Api(serde_json::from_value(status).unwrap())
        };
        let refused = kube::Error::Service(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
        for (error, kind, expected) in [
            (
                status(404, "NotFound", "orders"),
                FailureKind::Access,
                "S3Sync data/orders is not there; look at the name",
            ),
            (
                status(404, "", ""),
                FailureKind::Access,
                "S3Sync data/orders: this cluster does not know the resource; install s3sync",
            ),
            (
                status(403, "Forbidden", "orders"),
                FailureKind::Access,
                "S3Sync data/orders: said; ask who runs the cluster",
            ),
            (
                status(401, "Unauthorized", ""),
                FailureKind::Access,
                "S3Sync data/orders: the cluster does not know you: said",
            ),
            (status(422, "Invalid", "orders"), FailureKind::Usage, "S3Sync data/orders: said"),
            (status(503, "", ""), FailureKind::Other, "S3Sync data/orders: the API server failed: said"),
            (refused, FailureKind::Other, "S3Sync data/orders: the API server cannot be reached: connection refused"),
        ] {
            let (found, message) = meaning("S3Sync data/orders", &error);
            assert!(message.starts_with(expected), "{message}");
            assert_eq!(found, kind, "{message}");
        }
    }
}
