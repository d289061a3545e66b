//! One notice, sent: tried again for a while where that may help. A redirect is not followed, and of an answer only its
//! status is read.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::notice::Notice;
use super::url;
use crate::model::retry::{GiveUp, Jitter, RetryPolicy};
use crate::model::shown::{Secrets, shown};
use crate::net::proxy::{Dial, Proxies};
use crate::net::tries::Tries;
use crate::net::{connector, tls};

/// What a failure may say, in bytes.
const FAILURE_BYTES_MAX: usize = 512;

/// How long a receiver is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For an answer, connecting included.
    pub answer: Duration,
    /// Before the second try; each next one waits twice as long.
    pub first_wait: Duration,
    /// No try begins later than this after the first.
    pub in_all: Duration,
}

impl Default for Patience {
    /// A minute in all: long enough for a receiver that is started again, and short enough that what comes after is
    /// still news.
    fn default() -> Self {
        Self { answer: Duration::from_secs(10), first_wait: Duration::from_secs(1), in_all: Duration::from_secs(60) }
    }
}

impl Patience {
    /// Without jitter: one replica sends, one notice at a time.
    fn policy(&self) -> RetryPolicy {
        RetryPolicy {
            base: self.first_wait,
            cap: self.in_all,
            at_least: Duration::ZERO,
            jitter: Jitter::None,
            give_up: GiveUp::AfterTime(self.in_all),
        }
    }
}

/// Why a notice was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(super) struct Failure {
    what: String,
    /// Another try may go better.
    passing: bool,
}

impl Failure {
    fn passing(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), passing: true }
    }
}

pub(super) struct Sender {
    client: Client<HttpsConnector<Dial>, Body>,
    file: PathBuf,
    patience: Patience,
}

impl Sender {
    pub(super) fn new(file: PathBuf, patience: Patience) -> Result<Sender, String> {
        let connector = connector(tls::config(None, false)?, Proxies::from_env(), patience.answer);
        // A connection is kept for no longer than one outburst.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Sender { client, file, patience })
    }

    /// Sends until it is taken, refused for good, or the patience is over.
    pub(super) async fn tell(&self, notice: &Notice) -> Result<(), Failure> {
        let mut tries = Tries::new(self.patience.policy());
        loop {
            let failure = match self.post(notice).await {
                Err(failure) if failure.passing => failure,
                done => return done,
            };
            let Some(wait) = tries.fail() else { return Err(failure) };
            tracing::debug!("a notice is sent again in {wait:?}: {failure}");
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends once.
    pub(super) async fn post(&self, notice: &Notice) -> Result<(), Failure> {
        // A Secret may be mended while we try.
        let uri = url(&self.file).map_err(|error| Failure::passing(error.to_string()))?;
        let mut secrets = Secrets::new();
        secrets.add(&uri.to_string());
        secrets.add(uri.path_and_query().map_or("", |path| path.as_str()));
        let body = serde_json::to_vec(notice).map_err(|error| Failure { what: error.to_string(), passing: false })?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("s3sync/", env!("CARGO_PKG_VERSION")))
            .body(Body::from(body))
            .map_err(|error| Failure { what: error.to_string(), passing: false })?;
        let answered = tokio::time::timeout(self.patience.answer, self.client.request(request)).await;
        let answered =
            answered.map_err(|_| Failure::passing(format!("no answer within {:?}", self.patience.answer)))?;
        let status =
            answered.map_err(|error| Failure::passing(shown(&causes(&error), &secrets, FAILURE_BYTES_MAX)))?.status();
        match status {
            _ if status.is_success() => Ok(()),
            _ if status.is_redirection() => Err(Failure {
                what: format!("the receiver answers {status}, and redirects are not followed"),
                passing: false,
            }),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(Failure::passing(format!("the receiver answers {status}")))
            }
            _ => Err(Failure { what: format!("the receiver answers {status}"), passing: status.is_server_error() }),
        }
    }
}

/// An error with what lies below it.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(&format!(": {cause}"));
        below = cause.source();
    }
    text
}
