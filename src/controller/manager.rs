//! The controller's life: serve, lead, watch, look; end gracefully.

pub mod exposition;
pub mod health;
pub mod lead;
pub mod metrics;
pub mod serve;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use kube::runtime::controller::{self, Action, applier};
use kube::runtime::{Config, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::controller::build::PodDefaults;
use crate::controller::decide::concurrency::Caps;
use crate::controller::manager::health::Health;
use crate::controller::manager::lead::{Lead, LeaseOptions};
use crate::controller::manager::metrics::Metrics;
use crate::controller::manager::serve::Served;
use crate::controller::names::FIELD_MANAGER;
use crate::controller::notify::{Notices, Patience};
use crate::controller::policy::Policy;
use crate::controller::reconcile::requested::look_after_orphans;
use crate::controller::reconcile::{Context, LookError, after_error, reconcile};
use crate::controller::reflectors::expectations::Expectations;
use crate::controller::reflectors::{self, Guarded, Reflectors, Watches};
use crate::controller::webhook::{Serving, WebhookOptions};

/// Looks at once. More would only queue at the API server, which gives one client a share of its room.
const LOOKS_MAX: u16 = 32;

/// How often what is remembered of resources that are gone is dropped.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only there; none: everywhere.
    pub namespaces: Vec<String>,
    /// Runs at once.
    pub caps: Caps,
    /// What is added to pods.
    pub defaults: PodDefaults,
    /// What resources may ask for.
    pub policy: Arc<Policy>,
    /// Where to serve.
    pub listen: SocketAddr,
    /// How to serve the webhook; `None`: not at all.
    pub webhook: Option<WebhookOptions>,
    /// The file with the URL that is told of conditions that turn; `None`: nobody is told.
    pub notify_url_file: Option<PathBuf>,
    /// How to lead; `None`: there is no other replica.
    pub lease: Option<LeaseOptions>,
}

/// What ends a controller that nobody has stopped.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The address cannot be listened at.
    #[error("nothing can be served at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The Lease cannot be had.
    #[error("the Lease {name} cannot be held: {source}")]
    Lease {
        /// The Lease, with its namespace.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Another replica leads now.
    #[error("another replica holds the Lease now; this one starts again and waits")]
    NotLeading,
    /// A watch's task has ended.
    #[error("the watches have ended")]
    WatchesEnded,
}

/// Operates until `stop`, or until it cannot. `leases` is a client of the same cluster that gives up on a request long
/// before a Lease ends: its renewals must not hang on a connection that is dead while another replica takes over.
pub async fn run(
    client: Client,
    leases: Client,
    options: Options,
    stop: CancellationToken,
) -> Result<(), ManagerError> {
    let (reflectors, writers) = reflectors::reflectors();
    let health = Arc::new(Health::default());
    let metrics = Arc::new(Metrics::new(reflectors.clone(), Arc::clone(&health)));
    let ready = Arc::new(AtomicBool::new(false));
    let unheard = |address| move |source| ManagerError::Listen { address, source };
    let listener = serve::listen(options.listen).await.map_err(unheard(options.listen))?;
    let webhook = match &options.webhook {
        None => None,
        Some(webhook) => {
            let (policy, metrics) = (Arc::clone(&options.policy), Arc::clone(&metrics));
            let serving = Serving::start(webhook, leases.clone(), policy, metrics, stop.clone()).await;
            Some(serving.map_err(unheard(webhook.listen))?)
        }
    };
    let certificate = webhook.as_ref().map(|webhook| Arc::clone(&webhook.certificate));
    let served =
        Served { metrics: Arc::clone(&metrics), health: Arc::clone(&health), ready: Arc::clone(&ready), certificate };
    let serving = tokio::spawn(serve::serve(listener, served, stop.clone()));
    let (notices, telling) = match options.notify_url_file.clone() {
        None => (Notices::none(), None),
        Some(file) => {
            let notices = Notices::new(Arc::clone(&metrics));
            let telling = tokio::spawn(notices.clone().send(file, Patience::default(), stop.clone()));
            (notices, Some(telling))
        }
    };
    let led = match &options.lease {
        None => {
            ready.store(true, Ordering::Relaxed);
            metrics.leads();
            let watches = reflectors::watch(&client, &options.namespaces, writers, &health);
            look_after(context(client, reflectors, health, metrics, notices, &options), watches, stop.clone())
                .boxed()
                .await
        }
        Some(lease) => {
            let named = |source| ManagerError::Lease {
                name: format!("{}/{}", lease.namespace, lease.name),
                source: Box::new(source),
            };
            let mut lead = Lead::start(&leases, lease).await.map_err(named)?;
            ready.store(true, Ordering::Relaxed);
            let result = match lead.wait(&stop).await {
                false => Ok(()),
                true => {
                    tracing::info!(identity = lease.identity, "this replica leads");
                    metrics.leads();
                    // Listed only now: what an earlier leader did is in these lists.
                    let watches = reflectors::watch(&client, &options.namespaces, writers, &health);
                    let lost = lead.lost();
                    tokio::select! {
                        result = look_after(
                            context(client, reflectors, health, metrics, notices, &options),
                            watches,
                            stop.clone(),
                        )
                        .boxed() => result,
                        () = lost => Err(ManagerError::NotLeading),
                    }
                }
            };
            lead.release().await;
            result
        }
    };
    stop.cancel();
    // The server ends with `stop`; whether it did so well concerns nobody any more.
    let _ = serving.await;
    if let Some(webhook) = webhook {
        webhook.ended().await;
    }
    if let Some(telling) = telling {
        let _ = telling.await;
    }
    led
}

fn context(
    client: Client,
    reflectors: Reflectors,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    notices: Notices,
    options: &Options,
) -> Arc<Context> {
    Arc::new(Context {
        instance: options.lease.as_ref().map_or_else(|| FIELD_MANAGER.to_owned(), |lease| lease.identity.clone()),
        client,
        reflectors,
        health,
        expectations: Expectations::default(),
        metrics,
        notices,
        defaults: options.defaults.clone(),
        policy: Arc::clone(&options.policy),
        undeclared: Default::default(),
        caps: options.caps,
        clock: Timestamp::now,
    })
}

/// Looks at what the watches ask for, and at what asked to be looked at again. After `stop`, looks under way are
/// brought to their end.
async fn look_after(context: Arc<Context>, mut watches: Watches, stop: CancellationToken) -> Result<(), ManagerError> {
    // Once, before all looks: each of them would wait for the same lists.
    tokio::select! {
        ready = context.reflectors.ready() => ready.map_err(|_| ManagerError::WatchesEnded)?,
        () = stop.cancelled() => return Ok(()),
    }
    let queue = std::mem::replace(&mut watches.queue, tokio::sync::mpsc::channel(1).1);
    let queue = stream::unfold(queue, |mut queue| async move { Some((queue.recv().await?, queue)) });
    let queue = queue.map(Ok::<_, watcher::Error>).take_until(stop.clone().cancelled_owned()).boxed();
    let store = context.reflectors.syncs.clone();
    let looks = applier(
        look_in_a_task,
        after_error,
        Arc::clone(&context),
        store,
        queue,
        Config::default().concurrency(LOOKS_MAX),
    );
    let missing = Arc::new(Notify::new());
    let _orphans = AbortOnDropHandle::new(tokio::spawn(look_after_orphans(Arc::clone(&context), Arc::clone(&missing))));
    let mut forget = tokio::time::interval(FORGET_EVERY);
    let mut looks = looks.boxed();
    loop {
        tokio::select! {
            look = looks.next() => match look {
                None => break,
                // Deleted, or never there: an S3SyncRun may name it.
                Some(Err(controller::Error::ObjectNotFound(_))) => missing.notify_one(),
                // Told already by the error's policy.
                Some(Ok(_) | Err(controller::Error::ReconcilerFailed(..))) => {}
                Some(Err(error)) => tracing::warn!("{error}"),
            },
            _ = forget.tick() => {
                let syncs = context.reflectors.syncs.state();
                let names = syncs.iter().map(|sync| (sync.namespace().unwrap_or_default(), sync.name_any()));
                let alive: BTreeSet<_> = names.collect();
                context.reflectors.naming.keep(&alive);
                context.expectations.keep(&alive).iter().for_each(|gone| context.metrics.forget(gone));
            }
        }
    }
    if stop.is_cancelled() { Ok(()) } else { Err(ManagerError::WatchesEnded) }
}

/// A task of its own, so that looks share all threads. It ends with whoever waits for it: a replica that leads no more
/// writes nothing more.
fn look_in_a_task(sync: Arc<Guarded>, context: Arc<Context>) -> BoxFuture<'static, Result<Action, LookError>> {
    let metrics = Arc::clone(&context.metrics);
    in_a_task(reconcile(sync, context), metrics)
}

fn in_a_task(
    look: BoxFuture<'static, Result<Action, LookError>>,
    metrics: Arc<Metrics>,
) -> BoxFuture<'static, Result<Action, LookError>> {
    let began = Instant::now();
    let task = AbortOnDropHandle::new(tokio::spawn(look));
    let ended = async move {
        // The panic was told where it happened; the other resources go on.
        task.await.unwrap_or_else(|_| {
            metrics.looked(began.elapsed(), Some(LookError::Panicked.kind()));
            Err(LookError::Panicked)
        })
    };
    ended.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_panics_is_an_error_and_one_that_nobody_waits_for_ends() {
        let metrics = Arc::new(Metrics::new(reflectors::reflectors().0, Arc::default()));
        let panics = in_a_task(async { panic!("a look's own fault") }.boxed(), Arc::clone(&metrics)).await;
        assert_eq!(panics.unwrap_err().kind(), "panic");
        assert!(metrics.text().contains("s3sync_reconcile_errors_total{kind=\"panic\"} 1"));
        let (held, gone) = tokio::sync::oneshot::channel::<()>();
        let hangs = async move {
            let _held = held;
            std::future::pending().await
        };
        drop(in_a_task(hangs.boxed(), metrics));
        assert!(gone.await.is_err(), "its task has dropped what it held");
    }
}
