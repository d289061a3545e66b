//! The Lease that makes one replica the leader, as client-go's leader election does it
//! (<https://pkg.go.dev/k8s.io/client-go/tools/leaderelection>): whoever waits counts from when it saw the Lease
//! change, by its own clock, so that clocks of several nodes need not agree; and what is written names the version that
//! was read, so that of two who take it one fails.

use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::controller::names::FIELD_MANAGER;

/// How long the Lease lasts that nobody renews: as long as a leader that was killed holds up the next one. As
/// client-go's leader election.
const LEASE: Duration = Duration::from_secs(15);

/// A leader that could not renew for this long stops. Before the Lease ends for others, whoever is slow: they count
/// from later.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// How often a leader renews: three tries before it stops, each of which takes three seconds at most (the client's
/// timeout).
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// How often whoever waits looks: as long as a Lease that was given back is nobody's. One small read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Which lease makes a leader.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// This replica.
    pub identity: String,
}

/// Waiting for the Lease, and holding it.
#[derive(Debug)]
pub struct Lead {
    leads: watch::Receiver<bool>,
    stop: CancellationToken,
    holding: JoinHandle<()>,
}

impl Lead {
    /// Begins to wait. An error when the Lease cannot be looked at or made.
    pub async fn start(client: &Client, options: &LeaseOptions) -> Result<Lead, kube::Error> {
        let mut candidate = Candidate::new(client, options);
        let began = Instant::now();
        let renewed = (candidate.attempt().boxed().await? == Outcome::Holds).then_some(began);
        let (sender, leads) = watch::channel(renewed.is_some());
        let stop = CancellationToken::new();
        let holding = tokio::spawn(candidate.hold(renewed, sender, stop.clone()).boxed());
        Ok(Lead { leads, stop, holding })
    }

    /// Returns when this replica leads; `false` when it is stopped before.
    pub async fn wait(&mut self, stop: &CancellationToken) -> bool {
        tokio::select! {
            leads = self.leads.wait_for(|leads| *leads) => leads.is_ok(),
            () = stop.cancelled() => false,
        }
    }

    /// Returns when this replica leads no more.
    pub fn lost(&self) -> impl Future<Output = ()> + use<> {
        let mut leads = self.leads.clone();
        async move {
            // An ended channel is an ended holder.
            let _ = leads.wait_for(|leads| !*leads).await;
        }
    }

    /// Gives the Lease back, so that the next leader need not wait for its end.
    pub async fn release(self) {
        self.stop.cancel();
        if let Err(error) = self.holding.await {
            tracing::warn!("the Lease's task ended early: {error}");
        }
    }
}

/// What became of a try to hold the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is this replica's, from now on for [`LEASE`].
    Holds,
    /// It is another's.
    Another,
    /// Somebody wrote to it at the same time.
    Conflict,
}

/// One who wants the Lease.
struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    /// The Lease as it was last seen or written, and since when it is as it is.
    seen: Option<(Lease, Instant)>,
}

impl Candidate {
    fn new(client: &Client, options: &LeaseOptions) -> Candidate {
        let api = Api::namespaced(client.clone(), &options.namespace);
        Candidate { api, name: options.name.clone(), identity: options.identity.clone(), seen: None }
    }

    /// Waits and holds until `stop`, or until the Lease that it held is lost.
    async fn hold(mut self, mut renewed: Option<Instant>, leads: watch::Sender<bool>, stop: CancellationToken) {
        let mut said = String::new();
        loop {
            // For the try as well: it may take long, and count for nothing by then.
            let deadline = renewed.map_or_else(|| Instant::now() + LEASE, |renewed| renewed + RENEW_DEADLINE);
            let pause = if renewed.is_some() { RENEW_EVERY } else { LOOK_EVERY };
            tokio::select! {
                () = tokio::time::sleep_until(deadline.min(Instant::now() + pause)) => {}
                () = stop.cancelled() => break,
            }
            let began = Instant::now();
            match tokio::time::timeout_at(deadline, self.attempt().boxed()).await {
                Ok(Ok(Outcome::Holds)) => {
                    said.clear();
                    renewed = Some(began);
                    leads.send_replace(true);
                }
                // What another holds is lost, whatever the time.
                Ok(Ok(Outcome::Another)) if renewed.is_some() => return,
                Ok(Ok(_)) => said.clear(),
                Ok(Err(error)) => {
                    let sentence = error.to_string();
                    if sentence != said {
                        tracing::warn!(
                            lease = self.name,
                            "the Lease cannot be {}: {sentence}",
                            if renewed.is_some() { "renewed" } else { "looked at" }
                        );
                        said = sentence;
                    }
                }
                Err(_) => {}
            }
            if renewed.is_some_and(|renewed| renewed.elapsed() >= RENEW_DEADLINE) {
                tracing::warn!(lease = self.name, "the Lease could not be renewed for {} s", RENEW_DEADLINE.as_secs());
                return;
            }
        }
        if renewed.is_some()
            && let Err(error) = self.give_back().boxed().await
        {
            tracing::warn!(lease = self.name, "the Lease was not given back, and ends by itself: {error}");
        }
    }

    /// Tries to hold it, or to hold it on.
    async fn attempt(&mut self) -> Result<Outcome, kube::Error> {
        // What this replica wrote last is known, unless somebody else wrote since.
        if let Some((lease, _)) = self.seen.clone().filter(|(lease, _)| self.is_mine(lease))
            && self.write(&lease).await? == Outcome::Holds
        {
            return Ok(Outcome::Holds);
        }
        let Some(lease) = self.api.get_opt(&self.name).await? else { return self.make().await };
        let now = Instant::now();
        let since = match &self.seen {
            Some((seen, since)) if seen.metadata.resource_version == lease.metadata.resource_version => *since,
            _ => now,
        };
        self.seen = Some((lease.clone(), since));
        if !self.is_mine(&lease) && now < since + lasts(&lease) {
            return Ok(Outcome::Another);
        }
        self.write(&lease).await
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref()) == Some(&self.identity)
    }

    /// Writes this replica over a Lease as it was seen.
    async fn write(&mut self, lease: &Lease) -> Result<Outcome, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let before = lease.spec.clone().unwrap_or_default();
        let (acquired, changes) = if self.is_mine(lease) {
            (before.acquire_time.unwrap_or_else(|| now.clone()), before.lease_transitions.unwrap_or(0))
        } else {
            (now.clone(), before.lease_transitions.unwrap_or(0).saturating_add(1))
        };
        self.patch(lease, json!(self.spec(acquired, now, changes))).await
    }

    fn spec(&self, acquired: MicroTime, now: MicroTime, changes: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: Some(acquired),
            renew_time: Some(now),
            lease_transitions: Some(changes),
            ..LeaseSpec::default()
        }
    }

    async fn patch(&mut self, lease: &Lease, spec: Value) -> Result<Outcome, kube::Error> {
        // With the version that was seen: another one is a conflict.
        let patch =
            Patch::Merge(json!({"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": spec}));
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match self.api.patch(&self.name, &params, &patch).await {
            Ok(written) => {
                self.seen = Some((written, Instant::now()));
                Ok(Outcome::Holds)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Outcome::Conflict),
            Err(error) => Err(error),
        }
    }

    async fn make(&mut self) -> Result<Outcome, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let lease = Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: Some(self.spec(now.clone(), now, 0)),
        };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.api.create(&params, &lease).await {
            Ok(made) => {
                self.seen = Some((made, Instant::now()));
                Ok(Outcome::Holds)
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Outcome::Conflict),
            Err(error) => Err(error),
        }
    }

    /// Leaves the Lease without a holder.
    async fn give_back(&mut self) -> Result<(), kube::Error> {
        let Some((lease, _)) = self.seen.clone().filter(|(lease, _)| self.is_mine(lease)) else { return Ok(()) };
        // Without times as well: replicas of earlier releases take a Lease with times and no holder for one that is
        // held.
        let nobody =
            json!({"holderIdentity": null, "leaseDurationSeconds": null, "acquireTime": null, "renewTime": null});
        // A conflict: it is somebody else's by now.
        self.patch(&lease, nobody).await.map(drop)
    }
}

/// How long a Lease lasts from its last change; no time where nobody holds it.
fn lasts(lease: &Lease) -> Duration {
    let Some(spec) = &lease.spec else { return Duration::ZERO };
    if spec.holder_identity.as_ref().is_none_or(|holder| holder.is_empty()) {
        return Duration::ZERO;
    }
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    // What another release or a hand wrote may be anything: no more than a while.
    seconds.map_or(LEASE, Duration::from_secs).min(4 * LEASE)
}

#[cfg(test)]
mod tests;
