//! The webhook's server: TLS, one path, and a bound on everything that a stranger can make it hold. Whoever reaches the
//! port may ask: an answer says no more than whether a spec is valid here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::certificate::provider;
use super::keep::Current;
use super::review::{Answer, review};
use crate::controller::manager::metrics::Metrics;
use crate::controller::policy::Policy;

/// The path.
pub const PATH: &str = "/validate";

/// The longest body: a review holds an object twice, etcd takes 1.5 MiB of each (`--max-request-bytes`), and the rest
/// is small.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Bodies that are held at once; more wait, unread. API servers ask of changes that people and GitOps make, few a
/// second.
const BODIES_MAX: usize = 4;

/// Connections at once: each API server keeps one or two. More wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// Until TLS stands.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Between two requests of a connection, and for a request's head. API servers close idle connections after 90 s; who
/// closes first must not be us, since a request may be under way.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// From a request's head to its answer. Twice as long as API servers wait by the chart's default.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long answers under way are waited for at the end.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Who answers.
#[derive(Clone, Debug)]
struct Reviewer {
    policy: Arc<Policy>,
    metrics: Arc<Metrics>,
    bodies: Arc<Semaphore>,
    /// One is looked at at a time: that takes less than a millisecond, and memory for one whose spec is filled to the
    /// brim.
    one: Arc<Semaphore>,
}

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    current: Arc<Current>,
    policy: Arc<Policy>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let builder = rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let mut tls = builder.expect("ring has the default versions").with_no_client_auth().with_cert_resolver(current);
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(tls));
    let reviewer =
        Reviewer { policy, metrics, bodies: Arc::new(Semaphore::new(BODIES_MAX)), one: Arc::new(Semaphore::new(1)) };
    let router = Router::new().route(PATH, post(answer)).with_state(reviewer);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tasks = TaskTracker::new();
    while let Some((stream, place)) = accept(&listener, &places, &stop).await {
        let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
        tasks.spawn(async move {
            converse(stream, tls, router, stop).await;
            drop(place);
        });
    }
    tasks.close();
    // Who has not got an answer by then gets none.
    let _ = tokio::time::timeout(DRAIN_MAX, tasks.wait()).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return None,
            accepted = async {
                let place = Arc::clone(places).acquire_owned().await.ok()?;
                Some((listener.accept().await, place))
            } => match accepted? {
                (Ok((stream, _)), place) => return Some((stream, place)),
                (Err(error), _) => {
                    // Mostly too many open files: some may be closed by then.
                    tracing::warn!("the webhook takes no connection: {error}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
        }
    }
}

async fn converse(stream: TcpStream, tls: TlsAcceptor, router: Router, stop: CancellationToken) {
    let stream = match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        // A port's probe, or whoever does not trust the certificate: that is told by the other side.
        Ok(Err(error)) => return tracing::debug!("no TLS with the webhook's caller: {error}"),
        Err(_) => return tracing::debug!("no TLS with the webhook's caller within {HANDSHAKE_MAX:?}"),
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE_MAX);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection to the webhook broke: {error}");
    }
}

async fn answer(State(reviewer): State<Reviewer>, body: Body) -> Response {
    let answered = tokio::time::timeout(ANSWER_MAX, reviewer.review(body)).await;
    let answered =
        answered.unwrap_or_else(|_| Err((StatusCode::SERVICE_UNAVAILABLE, "too many reviews at once".to_owned())));
    reviewer.metrics.reviewed(answered.as_ref().ok().map(|answer| answer.allowed));
    match answered {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer.review.to_string()).into_response(),
        Err((status, why)) => {
            tracing::warn!(status = status.as_u16(), "a review could not be answered: {why}");
            (status, format!("{why}\n")).into_response()
        }
    }
}

impl Reviewer {
    async fn review(&self, body: Body) -> Result<Answer, (StatusCode, String)> {
        let busy = |_| (StatusCode::SERVICE_UNAVAILABLE, "the webhook ends".to_owned());
        let held = Arc::clone(&self.bodies).acquire_owned().await.map_err(busy)?;
        let bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
            (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body was cut off, or has more than {BODY_BYTES_MAX} bytes: {error}"),
            )
        })?;
        let one = Arc::clone(&self.one).acquire_owned().await.map_err(busy)?;
        let policy = Arc::clone(&self.policy);
        // Away from the threads that renew the Lease: a spec that is filled to the brim takes tens of milliseconds.
        let reviewed = tokio::task::spawn_blocking(move || {
            let reviewed = review(&bytes, &policy);
            drop((bytes, one, held));
            reviewed
        });
        let reviewed =
            reviewed.await.map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "the review broke".to_owned()))?;
        reviewed.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
    }
}

/// Listens; an address that cannot be had is known at once.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}
