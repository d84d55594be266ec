//! The admin port: `/healthz`, `/readyz` and `/metrics`, apart from the public port.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use headcount_presence::Health;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::phase::Phase;

/// What the admin port reports.
pub(crate) struct Admin {
    /// Health of presence.
    pub(crate) health: watch::Receiver<Health>,
    /// Phase of this process.
    pub(crate) phase: watch::Receiver<Phase>,
    /// All metrics.
    pub(crate) registry: Registry,
}

/// Opens the admin listener.
///
/// # Errors
/// Fails if the address is in use or is not an address of this machine.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on the admin address {address}"))
}

/// Serves the admin port in a task, until the task is aborted.
pub(crate) fn serve(listener: TcpListener, admin: Admin) -> JoinHandle<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(admin));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the admin port fails: {error}");
        }
    })
}

async fn ready(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    if *admin.phase.borrow() != Phase::Serving {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    match &*admin.health.borrow() {
        Health::Starting => {
            (StatusCode::SERVICE_UNAVAILABLE, "starting: Redis has not answered a first report yet\n".to_owned())
        }
        Health::Connected => (StatusCode::OK, "ready\n".to_owned()),
        // A node without Redis keeps serving its last known counts: taking it out of rotation would drop its viewers.
        Health::Degraded { since, reason } => {
            let seconds = since.elapsed().unwrap_or_default().as_secs();
            (StatusCode::OK, format!("ready, degraded: without Redis for {seconds} s: {reason}\n"))
        }
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &admin.registry) {
        Ok(()) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
            text,
        )
            .into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be encoded\n").into_response(),
    }
}
