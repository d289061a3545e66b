//! What an answer of the API server means, and how long a worker bears with it.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::retry::{GiveUp, Jitter, RetryPolicy};
use crate::net::tries;
use crate::state::StateError;

/// How long requests and outages may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// One request: its answer is a page of JSON, and a server that takes longer is not there.
    pub request: Duration,
    /// A server that cannot be reached, is busy or fails.
    pub outage: Duration,
    /// A server that says that we may not. Roles take effect a moment after they are written, and the operator writes a
    /// worker's just before its Job.
    pub denied: Duration,
}

impl Patience {
    /// A worker's: an API server that restarts, or moves to another node, is back within two minutes.
    pub const WORKER: Patience = Patience {
        request: Duration::from_secs(10),
        outage: Duration::from_secs(120),
        denied: Duration::from_secs(15),
    };

    /// A person's, who waits for the answer.
    pub const PERSON: Patience =
        Patience { request: Duration::from_secs(10), outage: Duration::from_secs(5), denied: Duration::ZERO };
}

/// Why a request did not do what it should.
#[derive(Debug)]
pub(super) enum Failure {
    /// 404
    Missing,
    /// 409: the object is not at the resourceVersion that was sent, or has another uid.
    Moved,
    /// 401, 403
    Denied(kube::Error),
    /// Nothing that lasts, as far as the answer tells. The request may have been carried out.
    Transient(Cause),
    /// The server will say the same again.
    Refused(kube::Error),
}

/// Why nothing came of a request.
#[derive(Debug)]
pub(super) enum Cause {
    /// No answer in time.
    Silence,
    /// An answer, or a connection that failed.
    Error(kube::Error),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Failure {
        match &error {
            kube::Error::Api(status) => match status.code {
                404 => Failure::Missing,
                409 => Failure::Moved,
                401 | 403 => Failure::Denied(error),
                // 410 is a watch's: what it asked for is too old.
                408 | 410 | 429 | 500.. => Failure::Transient(Cause::Error(error)),
                _ => Failure::Refused(error),
            },
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
                Failure::Transient(Cause::Error(error))
            }
            _ => Failure::Refused(error),
        }
    }
}

/// Makes one request, within [`Patience::request`].
pub(super) async fn call<T>(patience: &Patience, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(patience.request, request).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::Transient(Cause::Silence)),
    }
}

/// The tries of one operation, which ends when patience does.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    patience: &'a Patience,
    place: &'a str,
    began: Instant,
    /// Since when the server has said nothing but that we may not.
    denied: Option<Instant>,
    failed: u32,
}

/// Waits double from 200 ms to 5 s, for as long as `patience` lasts, see [`Patience`].
fn policy(patience: Duration, asked: Duration) -> RetryPolicy {
    RetryPolicy {
        base: Duration::from_millis(200),
        cap: Duration::from_secs(5),
        at_least: asked,
        jitter: Jitter::Full,
        give_up: GiveUp::AfterTime(patience),
    }
}

impl<'a> Tries<'a> {
    pub(super) fn new(patience: &'a Patience, place: &'a str) -> Self {
        Self { patience, place, began: Instant::now(), denied: None, failed: 0 }
    }

    /// Waits until the next try, or gives up with what the failure means.
    pub(super) async fn wait(&mut self, failure: Failure) -> Result<(), StateError> {
        let (patience, since) = match &failure {
            // A server that starts may know no roles yet: an outage before does not count.
            Failure::Denied(_) => (self.patience.denied, *self.denied.get_or_insert_with(Instant::now)),
            Failure::Transient(_) | Failure::Moved => (self.patience.outage, self.began),
            Failure::Missing | Failure::Refused(_) => (Duration::ZERO, self.began),
        };
        if !matches!(failure, Failure::Denied(_)) {
            self.denied = None;
        }
        self.failed += 1;
        // The first who comes second only has to read again.
        let failed = if matches!(failure, Failure::Moved) && self.failed == 1 { 0 } else { self.failed };
        let policy = policy(patience, asked(&failure));
        let Some(wait) = policy.wait(failed, since.elapsed(), tries::random()) else {
            return Err(self.give_up(failure));
        };
        tracing::debug!(
            cursor = self.place,
            ?failure,
            "the API server did not answer as it should; trying again in {wait:?}"
        );
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn give_up(&self, failure: Failure) -> StateError {
        let place = self.place.to_owned();
        let waited = self.began.elapsed().as_secs();
        let unavailable = |message: String, source: Option<kube::Error>| StateError::Unavailable {
            place: place.clone(),
            message,
            source: source.map(|error| Box::new(error) as _),
        };
        match failure {
            Failure::Missing => gone(self.place, "was deleted"),
            Failure::Moved => unavailable(format!("others wrote to it all the time for {waited} s; run again"), None),
            Failure::Denied(error) => StateError::Denied {
                place: place.clone(),
                message: format!(
                    "{}; grant get, list, watch and update on it, as the Role that the operator makes does",
                    sentence(&error)
                ),
                source: Some(Box::new(error)),
            },
            Failure::Transient(Cause::Silence) => unavailable(
                format!("the API server did not answer within {waited} s; look at the control plane, and run again"),
                None,
            ),
            Failure::Transient(Cause::Error(error)) => unavailable(
                format!(
                    "the API server could not be reached for {waited} s: {}; look at the control plane, and run again",
                    sentence(&error)
                ),
                Some(error),
            ),
            Failure::Refused(error) => {
                unavailable(format!("the API server refused: {}", sentence(&error)), Some(error))
            }
        }
    }
}

/// The error of a ConfigMap that is not the one that this worker began with.
pub(super) fn gone(place: &str, what: &str) -> StateError {
    StateError::Gone { place: place.to_owned(), what: what.to_owned() }
}

/// How long the server asks us to wait, as far as that is reasonable: API Priority and Fairness asks for seconds.
fn asked(failure: &Failure) -> Duration {
    let seconds = match failure {
        Failure::Transient(Cause::Error(kube::Error::Api(status))) => {
            status.details.as_ref().map_or(0, |details| details.retry_after_seconds)
        }
        _ => 0,
    };
    Duration::from_secs(seconds.min(30).into())
}

/// What the API server said, or why it could not be asked: without the dump that kube's own text adds.
pub(super) fn sentence(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("status {} {}", status.code, status.reason),
        other => {
            let mut deepest: &dyn std::error::Error = other;
            while let Some(source) = deepest.source() {
                deepest = source;
            }
            deepest.to_string()
        }
    }
}
