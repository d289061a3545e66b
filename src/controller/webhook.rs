//! The validating webhook: what is wrong with a resource, said when it is applied. Every replica serves it, the leader
//! or not: a review needs the rules, and nothing of the cluster.
//!
//! | module | what it is | pure |
//! | --- | --- | --- |
//! | [`review`] | what the API server asks, and what it is answered | yes |
//! | [`measure`] | how much a value holds, before it is read | yes |
//! | [`certificate`] | a certificate: made, read, checked | but for chance |
//! | [`keep`] | where the certificate comes from, and its renewal | no |
//! | [`serve`] | TLS and HTTP | no |

pub mod certificate;
pub mod keep;
pub mod measure;
pub mod review;
pub mod serve;

use std::net::SocketAddr;
use std::sync::Arc;

use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::keep::{Current, Source};
use crate::controller::manager::metrics::Metrics;
use crate::controller::policy::Policy;

/// How to serve the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookOptions {
    /// Where.
    pub listen: SocketAddr,
    /// By which certificate.
    pub certificate: Source,
}

/// A webhook that is served.
#[derive(Debug)]
pub struct Serving {
    /// What is shown. Without it nothing can be asked.
    pub certificate: Arc<Current>,
    tasks: JoinSet<()>,
}

impl Serving {
    /// Serves until `stop`. An address that cannot be had is known at once.
    pub async fn start(
        options: &WebhookOptions,
        client: Client,
        policy: Arc<Policy>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> std::io::Result<Serving> {
        let listener = serve::listen(options.listen).await?;
        let certificate = Arc::new(Current::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(keep::keep(options.certificate.clone(), client, Arc::clone(&certificate), stop.clone()));
        tasks.spawn(serve::serve(listener, Arc::clone(&certificate), policy, metrics, stop));
        Ok(Serving { certificate, tasks })
    }

    /// Waits for its end, after `stop`.
    pub async fn ended(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
