//! S3 and what speaks its protocol, through the AWS SDK.
//!
//! Every call is retried by one loop, at most [`Options::retries`] times with exponential waits: throttling, timeouts,
//! broken connections, 5xx, and the same errors inside the body of a 200. Keys that have expired are fetched anew once
//! in a call. A body that breaks is read on from where it broke, under If-Match.
//!
//! Not guaranteed: that a conditional write failed because of somebody else. An answer that was lost makes the store
//! try again, and then its own first try may stand in the way; `put` looks and compares, `complete_upload` says
//! [`ErrorKind::NoSuchUpload`] and leaves the look to its caller.

mod client;
mod failure;
mod http;
mod list;
mod read;
mod store;
mod upload;

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use self::client::{Change, Clients, Current, Plan};
use self::failure::{Failure, Remedy};
use self::http::ServerClock;
use super::{ErrorKind, StoreError};
use crate::model::connection::{Connection, Credentials, Endpoint};
use crate::model::retry::RetryPolicy;
use crate::net::tls;
use crate::net::tries::Tries;

pub use self::http::Timeouts;
pub use crate::net::proxy::Proxies;

/// The name under which `create_upload` keeps its id: `x-amz-meta-s3sync-id` on the wire.
const ID: &str = "s3sync-id";

/// How patient a store is, and which way it goes.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The tries of one call, or of one body between two megabytes of progress.
    pub retries: RetryPolicy,
    /// How long each try may take.
    pub timeouts: Timeouts,
    /// The way to the server.
    pub proxies: Proxies,
}

/// A bucket of an S3 service. Cloning is cheap; clones share connections and credentials.
#[derive(Clone)]
pub struct S3Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// `s3://bucket`
    place: String,
    /// What answers for it, without what a URL may hold of secrets.
    endpoint: String,
    bucket: String,
    clients: Clients,
    clock: Arc<ServerClock>,
    retries: RetryPolicy,
}

impl S3Store {
    /// A store for `bucket`. Reads configuration (environment, profile, certificates) but sends nothing: whether the
    /// bucket is there and the credentials are good shows in the first call. Errors are about the connection itself.
    pub async fn connect(connection: &Connection, bucket: &str) -> Result<Self, StoreError> {
        Self::connect_with(connection, bucket, Options::default()).await
    }

    /// The same with other patience.
    pub async fn connect_with(connection: &Connection, bucket: &str, options: Options) -> Result<Self, StoreError> {
        let place = format!("s3://{bucket}");
        let refused = |message: String| StoreError::new(ErrorKind::Other, "HeadBucket", &place, "", message);
        let plain = match &connection.endpoint {
            Endpoint::Aws => false,
            Endpoint::Url(url) if url.starts_with("https://") => false,
            Endpoint::Url(url) if url.starts_with("http://") => true,
            Endpoint::Url(url) => return Err(refused(format!("endpoint {url:?} must begin with http:// or https://"))),
            Endpoint::File(_) => return Err(refused("a file: endpoint is no S3 service".to_owned())),
        };
        if bucket.is_empty() || bucket.contains('/') {
            return Err(refused(format!("{bucket:?} is no name of a bucket")));
        }
        let (ca_pem, skip) = (connection.ca_pem.clone(), connection.insecure_skip_verify);
        let tls = tokio::task::spawn_blocking(move || tls::config(ca_pem.as_deref(), skip)).await;
        let tls = tls.unwrap_or_else(|ended| Err(ended.to_string())).map_err(refused)?;
        if plain && connection.ca_pem.is_some() {
            tracing::warn!("caSecretRef has no effect on an endpoint without TLS");
        }
        let clock = Arc::new(ServerClock::default());
        let http = http::client(tls, options.timeouts, options.proxies, clock.clone());
        let clients = Clients::begin(Plan { connection: connection.clone(), http }).await;
        let endpoint = endpoint_name(&connection.endpoint);
        let inner = Inner { place, endpoint, bucket: bucket.to_owned(), clients, clock, retries: options.retries };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a call until it succeeds, or fails in a way that another try does not change, or the tries are used up.
    async fn attempt<T, E, F>(
        &self,
        op: &'static str,
        key: &str,
        call: impl Fn(Arc<Current>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.attempt_counted(op, key, &mut self.tries(), call).await
    }

    /// The same, as a part of `tries`.
    async fn attempt_counted<T, E, F>(
        &self,
        op: &'static str,
        key: &str,
        tries: &mut Tries,
        call: impl Fn(Arc<Current>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let clients = &self.inner.clients;
        // Once each: keys that were fetched a moment ago and are refused again, or regions that send us on and on, stay
        // an error.
        let mut may_renew = clients.plan.renewable();
        let mut may_follow = clients.plan.follows_region();
        loop {
            let current = clients.current();
            let error = match call(current.clone()).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let failure = Failure::of(op, &error);
            match failure.remedy {
                Remedy::Wait => self.pause(op, key, failure, tries).await?,
                Remedy::Change(Change::Identity) if std::mem::take(&mut may_renew) => {
                    clients.change(&current, Change::Identity).await;
                }
                Remedy::Change(Change::Region(ref region))
                    if *region != current.region && std::mem::take(&mut may_follow) =>
                {
                    clients.change(&current, Change::Region(region.clone())).await;
                }
                Remedy::Nothing | Remedy::Change(_) => return Err(self.error(op, key, failure)),
            }
        }
    }

    /// The tries of one call.
    fn tries(&self) -> Tries {
        Tries::new(self.inner.retries)
    }

    /// Waits before the next try, or gives up.
    async fn pause(&self, op: &'static str, key: &str, failure: Failure, tries: &mut Tries) -> Result<(), StoreError> {
        let Some(wait) = tries.fail() else {
            let message = match tries.failed() {
                1 => failure.message,
                failed => format!("{}, {failed} times in a row: try again later", failure.message),
            };
            return Err(self.error(op, key, Failure { message, ..failure }));
        };
        tracing::debug!(
            op,
            place = self.inner.place,
            key,
            wait_ms = wait.as_millis() as u64,
            "{}, trying again",
            failure.message
        );
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn error(&self, op: &'static str, key: &str, failure: Failure) -> StoreError {
        let failure = match &self.inner.clients.plan.connection.credentials {
            Credentials::Profile(name) if failure.unsigned && failure.kind == ErrorKind::Denied => Failure {
                message: format!(
                    "the profile {name:?} gives no credentials: look whether ~/.aws/config or ~/.aws/credentials has it (AWS_CONFIG_FILE and \
                     AWS_SHARED_CREDENTIALS_FILE name other files), and what it refers to"
                ),
                ..failure
            },
            _ => failure,
        };
        // Source and destination may be served by different endpoints, and a bucket's name does not say which.
        let message = match failure.kind {
            ErrorKind::NoSuchBucket | ErrorKind::Denied | ErrorKind::Unavailable | ErrorKind::Other => {
                format!("{} (endpoint {})", failure.message, self.inner.endpoint)
            }
            _ => failure.message,
        };
        let error = StoreError::new(failure.kind, op, &self.inner.place, key, message);
        match failure.cause {
            Some(cause) => error.caused_by(cause),
            None => error,
        }
    }

    fn refused(&self, kind: ErrorKind, op: &'static str, key: &str, message: impl AsRef<str>) -> StoreError {
        StoreError::new(kind, op, &self.inner.place, key, message)
    }
}

impl std::fmt::Debug for S3Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Store({})", self.inner.place)
    }
}

/// The endpoint's scheme and authority: a URL's user, path and query are nobody's business in a message.
fn endpoint_name(endpoint: &Endpoint) -> String {
    let Endpoint::Url(url) = endpoint else { return "AWS".to_owned() };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

/// An SDK time as a value of ours; the epoch for a time that no calendar holds.
fn timestamp(time: &aws_sdk_s3::primitives::DateTime) -> jiff::Timestamp {
    jiff::Timestamp::new(time.secs(), time.subsec_nanos().cast_signed()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_named_without_secrets() {
        for (url, expected) in [
            ("http://minio:9000", "http://minio:9000"),
            ("https://me:secret@minio:9000/path?token=x", "https://minio:9000"),
            ("http://[::1]:9000/", "http://[::1]:9000"),
        ] {
            assert_eq!(endpoint_name(&Endpoint::Url(url.into())), expected);
        }
        assert_eq!(endpoint_name(&Endpoint::Aws), "AWS");
    }
}
