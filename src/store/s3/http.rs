//! The HTTP client: one pool of connections, bounded waits everywhere, and the server's clock read from every response.
//!
//! The SDK's own client is not used because it cannot be told to skip certificate verification, and because its read
//! timeout does not tell a response that stalls from a large one.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, Sleep};

use crate::net::connector;
use crate::net::proxy::{Dial, Proxies};

/// How long anything may take. Each is a bound on silence rather than on work, so that size does not matter.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until a TCP connection stands. Ten seconds cover two lost SYN packets (RFC 6298 doubles from one second).
    pub connect: Duration,
    /// From the end of the request to the head of the response, TLS and the server's thinking included.
    pub response: Duration,
    /// Between two pieces of a response's body while somebody waits for them.
    pub idle: Duration,
    /// The slowest upload that is waited for, in bytes a second: the request's body adds its size over this to
    /// `response`.
    pub upload_bytes_per_second: u64,
}

impl Timeouts {
    /// Those of a look whether a server answers, for a person who waits: two lost SYN packets are five seconds.
    pub const IN_SECONDS: Timeouts = Timeouts {
        connect: Duration::from_secs(5),
        response: Duration::from_secs(10),
        idle: Duration::from_secs(10),
        upload_bytes_per_second: 64 << 10,
    };
}

impl Default for Timeouts {
    /// A minute for an answer, because completing an upload of thousands of parts takes that long on some servers; half
    /// a minute of silence inside a body, which is then read on from where it stopped; 64 KiB a second for uploads.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            upload_bytes_per_second: 64 << 10,
        }
    }
}

/// Idle connections kept to one host: as many as a worker reads and writes at once, no more.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// Idle connections are closed before the server does it: AWS ends them after about 20 seconds.
const IDLE_CONNECTION_LIFE: Duration = Duration::from_secs(15);

/// The server's clock: how far it is ahead of ours, by the last response's `Date`.
#[derive(Debug)]
pub(super) struct ServerClock {
    ahead_seconds: AtomicI64,
}

/// In place of seconds: no response has told the time yet.
const UNSEEN: i64 = i64::MIN;

impl Default for ServerClock {
    fn default() -> Self {
        Self { ahead_seconds: AtomicI64::new(UNSEEN) }
    }
}

impl ServerClock {
    /// How many seconds it is ahead of ours; `None` before the first response that tells the time.
    pub(super) fn ahead(&self) -> Option<SignedDuration> {
        Some(self.ahead_seconds.load(Ordering::Relaxed))
            .filter(|seconds| *seconds != UNSEEN)
            .map(SignedDuration::from_secs)
    }

    /// The time there, to the second.
    pub(super) fn now(&self) -> Timestamp {
        let ahead = self.ahead().unwrap_or_default();
        Timestamp::now().saturating_add(ahead).unwrap_or_else(|_| Timestamp::now())
    }

    fn saw(&self, date: &str) {
        if let Ok(there) = jiff::fmt::rfc2822::parse(date) {
            self.ahead_seconds.store(there.timestamp().as_second() - Timestamp::now().as_second(), Ordering::Relaxed);
        }
    }
}

/// A client for the SDK: every request of one store, its credential providers' among them, goes through this pool.
pub(super) fn client(
    tls: rustls::ClientConfig,
    timeouts: Timeouts,
    proxies: Proxies,
    clock: Arc<ServerClock>,
) -> SharedHttpClient {
    let connector = connector(tls, proxies, timeouts.connect);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION_LIFE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(connector);
    let connector = SharedHttpConnector::new(Connector { client, timeouts, clock });
    http_client_fn(move |_, _| connector.clone())
}

struct Connector {
    client: Client<HttpsConnector<Dial>, SdkBody>,
    timeouts: Timeouts,
    clock: Arc<ServerClock>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let Timeouts { response, idle, upload_bytes_per_second, .. } = self.timeouts;
        let upload = request.body().content_length().unwrap_or_default() / upload_bytes_per_second.max(1);
        let wait = response.saturating_add(Duration::from_secs(upload));
        let is_read = reads_object(&request);
        let captured = capture_connection(&mut request);
        if let Some(asks) = request.extensions().get::<CaptureSmithyConnection>() {
            asks.set_connection_retriever(move || metadata(&captured));
        }
        let answer = self.client.request(request);
        let clock = self.clock.clone();
        HttpConnectorFuture::new(async move {
            let answered = tokio::time::timeout(wait, answer).await;
            let response =
                answered.map_err(|_| ConnectorError::timeout(Stalled(wait).into()))?.map_err(connector_error)?;
            if let Some(date) = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok()) {
                clock.saw(date);
            }
            let bound = (!is_read || !response.status().is_success()).then(Bound::default);
            let response = response.map(|body| SdkBody::from_body_1_x(Watched { body, idle, sleep: None, bound }));
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What the SDK marks a connection by: one whose answer was an error of the server, or broke, is closed and not used
/// again.
fn metadata(captured: &CaptureConnection) -> Option<ConnectionMetadata> {
    let is_proxied = captured.connection_metadata().as_ref()?.is_proxied();
    let captured = captured.clone();
    let poison = move || {
        if let Some(connection) = captured.connection_metadata().as_ref() {
            connection.poison();
        }
    };
    Some(ConnectionMetadata::builder().proxied(is_proxied).poison_fn(poison).build())
}

fn connector_error(error: hyper_util::client::legacy::Error) -> ConnectorError {
    // Whatever breaks between us and the server may be better next time; what is wrong with certificates is told apart
    // by its cause.
    ConnectorError::io(error.into())
}

/// Nothing came for too long.
#[derive(Debug, thiserror::Error)]
#[error("nothing came for {0:?}")]
pub(super) struct Stalled(Duration);

/// Whether a request asks for the bytes of an object, by the mark that the SDK gives each call. Whoever reads them
/// takes them as they come; every other answer is held as a whole before it is looked at.
fn reads_object(request: &http::Request<SdkBody>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "x-id=GetObject"))
}

/// The longest answer that is held: a page of 1,000 keys has 4 MB when each is of 1,024 bytes that are all written as
/// `%XX`.
pub(super) const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Tags in an answer: each element costs some hundred bytes once it is parsed, however short it is. A page of 1,000
/// objects with all that S3 tells of them has some 30,000.
pub(super) const ANSWER_TAGS_MAX: usize = 100_000;

/// What is left of an answer that is held as a whole.
struct Bound {
    bytes: usize,
    tags: usize,
}

impl Default for Bound {
    fn default() -> Self {
        Self { bytes: ANSWER_BYTES_MAX, tags: ANSWER_TAGS_MAX }
    }
}

impl Bound {
    fn take(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.bytes = self.bytes.checked_sub(bytes.len()).ok_or(TooLong)?;
        self.tags = self.tags.checked_sub(memchr::memchr_iter(b'<', bytes).count()).ok_or(TooLong)?;
        Ok(())
    }
}

/// An answer that goes on and on.
#[derive(Debug, thiserror::Error)]
#[error("the answer has more than {} MiB or {ANSWER_TAGS_MAX} tags, and none of S3 has", ANSWER_BYTES_MAX >> 20)]
pub(super) struct TooLong;

/// A body that fails when nothing comes for too long, or when more comes than is held. Only time in which somebody
/// waits for it counts: a reader may be as slow as it likes.
struct Watched<B> {
    body: B,
    idle: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    bound: Option<Bound>,
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.sleep = None;
            if let (Some(bound), Some(Ok(frame))) = (&mut self.bound, &frame)
                && let Some(bytes) = frame.data_ref()
                && let Err(too_long) = bound.take(bytes)
            {
                return Poll::Ready(Some(Err(too_long.into())));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let idle = self.idle;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + idle)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(Stalled(idle).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
