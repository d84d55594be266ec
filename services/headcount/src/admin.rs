//! The admin port: `/healthz`, `/readyz` and `/metrics`, apart from the public port.

use std::sync::Arc;

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
    /// Returns the number of the engine's shards that are alive.
    pub(crate) live_shards: Box<dyn Fn() -> usize + Send + Sync>,
    /// Phase of this process.
    pub(crate) phase: watch::Receiver<Phase>,
    /// All metrics.
    pub(crate) registry: Registry,
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
    readiness(*admin.phase.borrow(), (admin.live_shards)(), &admin.health.borrow())
}

/// Returns the status and the text of `/readyz`.
fn readiness(phase: Phase, live_shards: usize, health: &Health) -> (StatusCode, String) {
    if phase != Phase::Serving {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    if live_shards == 0 {
        // Each has panicked and logged it. Only a restart helps.
        return (StatusCode::SERVICE_UNAVAILABLE, "broken: all shards have stopped, restart this node\n".to_owned());
    }
    match health {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_shards_is_not_ready() {
        assert_eq!(readiness(Phase::Serving, 1, &Health::Connected), (StatusCode::OK, "ready\n".to_owned()));
        let (status, text) = readiness(Phase::Serving, 0, &Health::Connected);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("shards"), "{text}");
    }
}
