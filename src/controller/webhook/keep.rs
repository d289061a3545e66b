//! Where the webhook's certificate comes from, and its renewal: files that somebody else keeps (cert-manager), or a
//! Secret in which replicas share one that they made.
//!
//! With the Secret the order is what keeps a webhook answering while its certificate is renewed: first the Secret, then
//! the bundle by which the API servers trust it, and only at the next look, when all of them have had time to see the
//! bundle, the certificate itself. The bundle holds the authority of before too, for replicas that still show its
//! certificate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::certificate::{Pems, RENEW_BEFORE, make};
use crate::controller::names::FIELD_MANAGER;

/// How often is looked whether there is another certificate. A kubelet needs about a minute to show another Secret in
/// files, and an API server a second to see another bundle.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The same while there is none.
const LOOK_SOON: Duration = Duration::from_secs(2);

/// Replicas that begin together write one after another; each reads what the others wrote.
const TRIES_MAX: usize = 5;

/// What a file of a certificate or key may have: chains have some kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `tls.crt` and `tls.key` of this directory.
    Directory(PathBuf),
    /// A Secret.
    Shared(Shared),
}

/// What replicas share: the Service that leads to them, the Secret and the ValidatingWebhookConfiguration have one
/// name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Of Secret and Service.
    pub namespace: String,
    /// Of all three.
    pub name: String,
}

/// The certificate that is shown now.
#[derive(Debug, Default)]
pub struct Current(RwLock<Option<Arc<CertifiedKey>>>);

impl Current {
    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn show(&self, certified: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why there is no certificate, or none that is trusted.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("the API server refuses to {what}: {source}")]
    Kube { what: String, source: Box<kube::Error> },
    #[error("replicas write the Secret {0} over each other; it is tried again")]
    Contended(String),
    #[error("{0}")]
    Certificate(String),
    #[error("no certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
}

fn asked(what: String) -> impl FnOnce(kube::Error) -> KeepError {
    move |source| KeepError::Kube { what, source: Box::new(source) }
}

/// Keeps `current` up to date until `stop`.
pub async fn keep(source: Source, client: Client, current: Arc<Current>, stop: CancellationToken) {
    let mut keeper = Keeper { source, client, current, shown: Pems::default(), next: None, told: String::new() };
    loop {
        keeper.look(Timestamp::now()).boxed().await;
        let wait = if keeper.current.is_there() { LOOK_EVERY } else { LOOK_SOON };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

struct Keeper {
    source: Source,
    client: Client,
    current: Arc<Current>,
    /// What is shown.
    shown: Pems,
    /// What is shown from the next look on.
    next: Option<Pems>,
    /// The last complaint: each is told once.
    told: String,
}

impl Keeper {
    async fn look(&mut self, now: Timestamp) {
        let outcome = match &self.source {
            Source::Directory(directory) => files(directory).await.map(|pems| (pems, Ok(()))),
            Source::Shared(shared) => match shared.pems(&self.client, now).await {
                // Somebody else may have written the bundle, so the certificate is shown in any case.
                Ok(pems) => {
                    let trusted = shared.trust(&self.client, &pems.ca).await;
                    Ok((pems, trusted))
                }
                Err(error) => Err(error),
            },
        };
        let result = outcome.and_then(|(pems, trusted)| self.adopt(pems, now).and(trusted));
        let complaint = result.err().map(|error| error.to_string()).unwrap_or_default();
        if complaint != self.told && !complaint.is_empty() {
            tracing::warn!("the webhook's certificate: {complaint}");
        }
        self.told = complaint;
    }

    fn adopt(&mut self, pems: Pems, now: Timestamp) -> Result<(), KeepError> {
        if pems.certificate == self.shown.certificate && pems.key == self.shown.key {
            self.next = None;
            return Ok(());
        }
        let certified = pems.certified().map_err(KeepError::Certificate)?;
        if let Source::Shared(shared) = &self.source
            && self.next.as_ref() != Some(&pems)
            && (Pems { ca: pems.ca.clone(), ..self.shown.clone() }).holds(&shared.hosts()[0], now)
        {
            self.next = Some(pems);
            return Ok(());
        }
        self.current.show(certified);
        tracing::info!("the webhook shows another certificate");
        (self.shown, self.next) = (pems, None);
        Ok(())
    }
}

async fn files(directory: &Path) -> Result<Pems, KeepError> {
    let read = async |name: &str| {
        let path = directory.join(name);
        let wrong = |why: String| KeepError::Certificate(format!("{} cannot be read: {why}", path.display()));
        let length = tokio::fs::metadata(&path).await.map_err(|error| wrong(error.to_string()))?.len();
        if length > FILE_BYTES_MAX {
            return Err(wrong(format!(
                "it has {length} bytes, and no certificate or key has more than {FILE_BYTES_MAX}"
            )));
        }
        tokio::fs::read(&path).await.map_err(|error| wrong(error.to_string()))
    };
    Ok(Pems { ca: vec![], certificate: read("tls.crt").await?, key: read("tls.key").await? })
}

impl Shared {
    /// The names by which API servers know the Service: the first is the one that they check.
    fn hosts(&self) -> Vec<String> {
        let host = format!("{}.{}.svc", self.name, self.namespace);
        vec![host.clone(), format!("{host}.cluster.local")]
    }

    /// What the Secret holds; made anew where that is not good for long enough.
    async fn pems(&self, client: &Client, now: Timestamp) -> Result<Pems, KeepError> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &self.namespace);
        let hosts = self.hosts();
        for _ in 0..TRIES_MAX {
            let secret = secrets.get(&self.name).await.map_err(asked(format!("show the Secret {}", self.name)))?;
            let part = |key: &str| {
                secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.clone()).unwrap_or_default()
            };
            let there = Pems { ca: part("ca.crt"), certificate: part("tls.crt"), key: part("tls.key") };
            if there.holds(&hosts[0], now + RENEW_BEFORE) {
                return Ok(there);
            }
            let made = make(&hosts, now, Some(&there).filter(|there| there.holds(&hosts[0], now)))?;
            let bytes = |bytes: &[u8]| ByteString(bytes.to_vec());
            let data: BTreeMap<_, _> =
                [("ca.crt", bytes(&made.ca)), ("tls.crt", bytes(&made.certificate)), ("tls.key", bytes(&made.key))]
                    .into();
            // The version: of replicas that begin together one writes, and the others take what it wrote.
            let patch =
                Patch::Merge(json!({"metadata": {"resourceVersion": secret.metadata.resource_version}, "data": data}));
            match secrets.patch(&self.name, &PatchParams::apply(FIELD_MANAGER), &patch).await {
                Ok(_) => return Ok(made),
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => return Err(asked(format!("write the Secret {}", self.name))(error)),
            }
        }
        Err(KeepError::Contended(self.name.clone()))
    }

    /// Has the API servers trust `ca` for our Service.
    async fn trust(&self, client: &Client, ca: &[u8]) -> Result<(), KeepError> {
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        let what = |verb: &str| asked(format!("{verb} the ValidatingWebhookConfiguration {}", self.name));
        let there = configurations.get(&self.name).await.map_err(what("show"))?;
        let ours = there.webhooks.iter().flatten().filter(|webhook| {
            let service = webhook.client_config.service.as_ref();
            service.is_some_and(|service| service.name == self.name && service.namespace == self.namespace)
        });
        let stale: Vec<_> = ours
            .filter(|webhook| webhook.client_config.ca_bundle.as_ref().is_none_or(|bundle| bundle.0 != ca))
            .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": ByteString(ca.to_vec())}}))
            .collect();
        if stale.is_empty() {
            return Ok(());
        }
        let patch = json!({"metadata": {"resourceVersion": there.metadata.resource_version}, "webhooks": stale});
        match configurations.patch(&self.name, &PatchParams::apply(FIELD_MANAGER), &Patch::Strategic(patch)).await {
            Ok(_) => Ok(()),
            // Another replica was first; the next look sees what it wrote.
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
            Err(error) => Err(what("write")(error)),
        }
    }
}

#[cfg(test)]
mod tests;
