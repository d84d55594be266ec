//! The admin port, apart from the public one: `/healthz`, `/readyz`, `/metrics`, and all nodes and counters as a page (`/`) and as
//! JSON (`/status.json`).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};
use headcount_presence::Health;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::counter_gauges::CounterGauges;
use crate::phase::Phase;
use crate::status_board::{StatusBoard, StatusReport};
use crate::status_page;

/// Value of `Content-Security-Policy` of the page: it runs nothing, and loads nothing but itself.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How long metrics wait for the numbers of counters. Monitoring must not be without metrics because Redis is slow.
const COUNTERS_WITHIN: Duration = Duration::from_millis(500);

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
    /// Those of counters, which are registered there.
    pub(crate) counters: CounterGauges,
    /// All nodes and counters.
    pub(crate) status: StatusBoard,
}

/// Serves the admin port in a task, until the task is aborted.
pub(crate) fn serve(listener: TcpListener, admin: Admin) -> JoinHandle<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status.json", get(status_json))
        .route("/", get(status_page))
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
    // A load balancer need not notice a reload: the listener stays open.
    if !matches!(phase, Phase::Serving | Phase::Reloading) {
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

async fn status_json(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(StatusReport::clone(&*admin.status.report().await)))
}

async fn status_page(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let report = admin.status.report().await;
    let (_, readiness) = readiness(*admin.phase.borrow(), (admin.live_shards)(), &admin.health.borrow());
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(status_page::render(&report, readiness.trim_end())))
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    // In a task of its own, which goes on where this does not wait for it.
    let reading = {
        let admin = Arc::clone(&admin);
        tokio::spawn(async move { admin.status.report().await })
    };
    match tokio::time::timeout(COUNTERS_WITHIN, reading).await {
        Ok(Ok(report)) => admin.counters.show(&report),
        _ => admin.counters.mark_stale(),
    }
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
