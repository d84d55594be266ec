//! The admin port: `/healthz`, `/readyz` and `/metrics`, apart from the public one.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use headcount_presence::Health;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

/// Where the process is on its way from start to exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Serving.
    Serving,
    /// SIGTERM has come: as before, but not ready, so that load balancers send nobody new.
    Unready,
    /// Streams are being ended.
    Ending {
        /// Over so long.
        spread: Duration,
    },
}

/// What the admin port tells.
pub(crate) struct Admin {
    /// Of presence.
    pub(crate) health: watch::Receiver<Health>,
    /// Of this process.
    pub(crate) phase: watch::Receiver<Phase>,
    /// All metrics.
    pub(crate) registry: Registry,
}

/// The admin port's routes.
pub(crate) fn routes(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
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
        // A node without Redis keeps serving what it last knew: taking it out of the balance would drop its viewers.
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
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n").into_response(),
    }
}
