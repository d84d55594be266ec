//! The public routes: one file per route, and the router over them.

mod embed_policy;
mod frame;
mod history;
mod host;
mod http2_body;
mod json;
mod link_preview;
mod page;
mod requested_origin;
mod route;
mod sheet;
mod snapshot;
mod static_files;
mod stream;
mod stream_options;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body::Body as _;

pub(crate) use self::embed_policy::EmbedPolicy;
use self::route::Route;
pub(crate) use self::route::counter_ref;
use super::app::App;
use super::error::{HttpError, RefusalCause};
use super::refusal_form::RefusalForm;
use crate::counters::CounterRef;
use crate::phase;
use crate::sprite_sheets::set_of_path;
use crate::stream_format::StreamFormat;

/// Time that a request in progress may still take once streams are ending. Drawing takes less; Redis may take longer.
const ENDING_PATIENCE: Duration = Duration::from_secs(1);

/// Returns the router of all public routes.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(page::front))
        .route("/robots.txt", get(static_files::robots))
        .route("/favicon.ico", get(static_files::favicon))
        .route("/{file}", get(one_segment))
        .route("/{counter}/{file}", get(two_segments))
        .fallback(|| async { HttpError::NotFound })
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn(refuse_bodies))
        .layer(middleware::from_fn(host::require_host))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), end_with_node))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), count_refusals))
        .with_state(app)
}

/// `/{counter}`, `/{counter}.png`, `.jpg`, `.html`, `.json`.
async fn one_segment(State(app): State<Arc<App>>, request: Request) -> Result<Response, HttpError> {
    match Route::from_one_segment(request.uri().path(), &app.counters)? {
        Route::Page(counter) => {
            let asked = page::Asked::of(&app, &request);
            page::counter(&app, &counter, asked).await
        }
        Route::Stream(counter, format) => Ok(stream(&app, counter, format, request).await),
        Route::Frame(counter) => frame::frame(&app, &counter, request).await,
        Route::Json(counter) => json::json(&app, &counter.name).await,
        Route::History(_) | Route::Snapshot(..) => Err(HttpError::NotFound),
    }
}

/// `/{counter}/snapshot.png`, `.jpg`, `.svg`, `/{counter}/live.html`, `/{counter}/events`, `/{counter}/history.json`,
/// `/sprites/{set}-{hash}.png`.
async fn two_segments(State(app): State<Arc<App>>, request: Request) -> Result<Response, HttpError> {
    // No counter has such a file.
    if let Some(set) = set_of_path(request.uri().path()) {
        return sheet::sheet(&app, &set, request).await;
    }
    match Route::from_two_segments(request.uri().path(), &app.counters)? {
        Route::Snapshot(counter, format) => snapshot::snapshot(&app, &counter.name, format, request).await,
        Route::Stream(counter, format) => Ok(stream(&app, counter, format, request).await),
        Route::History(counter) => {
            history::history(&app, &counter.name, request.uri().query().unwrap_or_default()).await
        }
        _ => Err(HttpError::NotFound),
    }
}

async fn stream(app: &Arc<App>, counter: CounterRef, format: StreamFormat, request: Request) -> Response {
    let answer = stream::stream(app, counter.name, format, request).await;
    let mut response = match answer {
        Ok(response) => response,
        Err(error) => RefusalForm::of(format).refuse(error),
    };
    // Firefox gets another head, and a fetcher of link previews one picture.
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("user-agent"));
    response
}

/// Answers the question of a browser whether a page of another site may send a request with further headers, as libraries for
/// events do when they reconnect. Refuses all other methods.
async fn other_method(request: Request) -> Result<Response, HttpError> {
    let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if *request.method() != Method::OPTIONS || !asks {
        return Err(HttpError::Method);
    }
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "cache-control, last-event-id"),
        // A day: browsers ask no sooner than after two hours, whatever is said.
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    Ok((StatusCode::NO_CONTENT, allowed).into_response())
}

/// Refuses requests with a body. No route reads one, and hyper would parse an unread body as the next request's head.
async fn refuse_bodies(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_read && !request.body().is_end_stream() {
        return HttpError::Body.into_response();
    }
    next.run(request).await
}

/// Refuses requests that are still in progress a second after streams have begun to end.
async fn end_with_node(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut phases = app.phase.clone();
    let too_late = async {
        phase::ending(&mut phases).await;
        tokio::time::sleep(ENDING_PATIENCE).await;
    };
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = too_late => HttpError::Draining.into_response(),
    }
}

async fn count_refusals(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let Some(cause) = response.extensions().get::<RefusalCause>() {
        app.metrics.refused(cause.0);
    }
    response
}
