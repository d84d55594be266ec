//! The public side: routes, answers, and the connections that ask. Only this module and [`crate::admin`] know axum.

mod connection;
mod error;
mod metrics;
mod routes;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use headcount_presence::{CounterName, Presence};
use http_body::Body as _;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub(crate) use self::connection::{AcceptLimits, Acceptor, TrustedProxies, proxy_header};
use self::error::HttpError;
pub(crate) use self::metrics::Metrics;
pub(crate) use self::routes::embed_policy::EmbedPolicy;
use self::routes::route::Route;
use self::routes::{page, snapshot, stream};
use crate::admin::Phase;
use crate::counters::Counters;
use crate::feeds::Feeds;

/// What every request may need.
pub(crate) struct App {
    /// The live feeds.
    pub(crate) feeds: Arc<Feeds>,
    /// Who is here.
    pub(crate) presence: Presence,
    /// Which counters exist.
    pub(crate) counters: Counters,
    /// Which sites may embed them.
    pub(crate) embed_policy: EmbedPolicy,
    /// The address that embed codes name, where it is configured.
    pub(crate) public_url: Option<String>,
    /// Below it, the JSON says "fewer than".
    pub(crate) small: u64,
    /// An unchanged frame is sent again after so long, to HTTP/2 viewers too.
    pub(crate) keepalive: std::time::Duration,
    /// An HTTP/2 viewer that takes nothing for so long is dropped.
    pub(crate) stall_limit: std::time::Duration,
    /// Counts what is refused.
    pub(crate) metrics: Metrics,
    /// Whether the node is on its way out.
    pub(crate) phase: watch::Receiver<Phase>,
    /// The HTTP/2 viewers' tasks.
    pub(crate) http2_viewers: TaskTracker,
}

/// The counter that a path leads to, and what addresses call it.
pub(crate) fn counter_ref(path: &str, counters: &Counters) -> Option<(CounterName, String)> {
    let address = Route::from_one_segment(path, counters).or_else(|_| Route::from_two_segments(path, counters));
    let (Route::Page(counter) | Route::Stream(counter, _) | Route::Json(counter) | Route::Snapshot(counter, _)) =
        address.ok()?;
    Some((counter.name, counter.path_segment))
}

/// The public routes.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(page::front))
        .route("/robots.txt", get(page::robots))
        .route("/favicon.ico", get(page::favicon))
        .route("/{file}", get(one_segment))
        .route("/{counter}/{file}", get(two_segments))
        .fallback(|| async { HttpError::NotFound })
        .method_not_allowed_fallback(|| async { HttpError::Method })
        .layer(middleware::from_fn(without_body))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), counting_refusals))
        .with_state(app)
}

/// `/{counter}`, `/{counter}.png`, `.jpg`, `.json`.
async fn one_segment(State(app): State<Arc<App>>, request: Request) -> Result<Response, HttpError> {
    match Route::from_one_segment(request.uri().path(), &app.counters)? {
        Route::Page(counter) => page::counter(&app, &counter, &request),
        Route::Stream(counter, format) => stream::answer(&app, counter.name, format, request).await,
        Route::Json(counter) => snapshot::json(&app, &counter.name).await,
        Route::Snapshot(..) => Err(HttpError::NotFound),
    }
}

/// `/{counter}/snapshot.png`, `.jpg`, `.svg`.
async fn two_segments(State(app): State<Arc<App>>, request: Request) -> Result<Response, HttpError> {
    match Route::from_two_segments(request.uri().path(), &app.counters)? {
        Route::Snapshot(counter, format) => {
            snapshot::snapshot(&app, &counter.name, format, request.uri().query(), request.headers()).await
        }
        _ => Err(HttpError::NotFound),
    }
}

/// Nothing here takes a body; one that is sent all the same would be read as the next request's head.
async fn without_body(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads && !request.body().is_end_stream() {
        return HttpError::Body.into_response();
    }
    next.run(request).await
}

async fn counting_refusals(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let Some(cause) = response.extensions().get::<error::RefusalCause>() {
        app.metrics.refused(cause.0);
    }
    response
}
