//! The HTTP server for Prometheus and the kubelet: `/metrics`, `/healthz`, `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::controller::manager::exposition::Exposition;
use crate::controller::manager::health::Health;
use crate::controller::manager::metrics::Metrics;
use crate::controller::webhook::keep::Current;

/// What is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Whether the watches live.
    pub health: Arc<Health>,
    /// Whether the API server was reached. A replica that waits to lead is ready.
    pub ready: Arc<AtomicBool>,
    /// What the webhook shows, where there is one.
    pub certificate: Option<Arc<Current>>,
}

/// Listens; an address that cannot be had is known at once.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, served: Served, stop: CancellationToken) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(served);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn metrics(State(served): State<Served>, headers: HeaderMap) -> impl IntoResponse {
    // A list may come in several headers.
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Exposition::asked_for(&accept.join(","));
    let about = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")];
    (about, format.of(served.metrics.text()))
}

async fn healthz(State(served): State<Served>) -> (StatusCode, String) {
    match served.health.dead().as_slice() {
        [] => (StatusCode::OK, "ok\n".to_owned()),
        dead => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the watches of {} have failed for minutes\n", dead.join(", ")))
        }
    }
}

async fn readyz(State(served): State<Served>) -> (StatusCode, &'static str) {
    if !served.ready.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "the API server was not reached yet\n");
    }
    match &served.certificate {
        Some(certificate) if !certificate.is_there() => {
            (StatusCode::SERVICE_UNAVAILABLE, "the webhook has no certificate yet\n")
        }
        _ => (StatusCode::OK, "ok\n"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::controller::reflectors::reflectors;

    /// What a client sees that asks over a connection of its own.
    async fn asked(address: SocketAddr, headers: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_come_in_the_format_that_is_asked_for() {
        let (reflectors, _writers) = reflectors();
        let metrics = Arc::new(Metrics::new(reflectors, Arc::default()));
        let served = Served { metrics, health: Arc::default(), ready: Arc::default(), certificate: None };
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, served, stop.clone()));
        for (headers, content_type, declared) in [
            ("", "text/plain; version=0.0.4; charset=utf-8", "# TYPE s3sync_reconciles_total counter"),
            (
                "Accept: text/plain\r\n",
                "text/plain; version=0.0.4; charset=utf-8",
                "# TYPE s3sync_reconciles_total counter",
            ),
            (
                "Accept: text/plain;q=0.5\r\nAccept: application/openmetrics-text\r\n",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                "# TYPE s3sync_reconciles counter",
            ),
        ] {
            let answer = asked(address, headers).await;
            let line = |wanted: &str| answer.lines().any(|line| line == wanted);
            assert!(
                line(&format!("content-type: {content_type}")) && line("vary: accept") && line(declared),
                "{headers}{answer}"
            );
            assert_eq!(answer.contains("# EOF"), content_type.contains("openmetrics"), "{answer}");
        }
        stop.cancel();
        serving.await.unwrap().unwrap();
    }
}
