//! `GET /{counter}.json`: the count for programs.

use axum::Json;
use axum::response::{IntoResponse, Response};
use headcount_presence::CounterName;

use crate::counter_json::CounterJson;
use crate::http::app::App;
use crate::http::error::HttpError;
use crate::http::headers;

/// Answers with the count as JSON.
pub(super) async fn json(app: &App, counter: &CounterName) -> Result<Response, HttpError> {
    let reading = app.presence.read(counter).await;
    let json = CounterJson::new(counter, &reading, app.small).with_watching(app.feeds.watching(counter));
    Ok((headers::cross_origin("no-store"), Json(json)).into_response())
}
