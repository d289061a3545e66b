//! The HTTP server for Prometheus and the kubelet: `/metrics`, `/healthz`, `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::metrics::Metrics;

/// What is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Whether the watches live.
    pub health: Arc<Health>,
    /// Whether the API server was reached. A replica that waits to lead is ready.
    pub ready: Arc<AtomicBool>,
}

/// Listens; an address that cannot be had is known at once.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, served: Served, stop: CancellationToken) -> std::io::Result<()> {
    let router =
        Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).route("/readyz", get(readyz)).with_state(served);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], served.metrics.text())
}

async fn healthz(State(served): State<Served>) -> (StatusCode, String) {
    match served.health.dead().as_slice() {
        [] => (StatusCode::OK, "ok\n".to_owned()),
        dead => (StatusCode::SERVICE_UNAVAILABLE, format!("the watches of {} have failed for minutes\n", dead.join(", "))),
    }
}

async fn readyz(State(served): State<Served>) -> (StatusCode, &'static str) {
    if served.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the API server was not reached yet\n")
    }
}
