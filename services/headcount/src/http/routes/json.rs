//! `GET /{counter}.json`: the count for programs.

use axum::Json;
use axum::response::{IntoResponse, Response};
use headcount_presence::CounterName;
use serde::Serialize;

use crate::http::app::App;
use crate::http::error::HttpError;
use crate::http::headers;

#[derive(Serialize)]
struct CounterJson {
    counter: String,
    /// Open streams now. Absent below `--small`.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// Distinct visitors behind them. Absent below `--small`.
    #[serde(skip_serializing_if = "Option::is_none")]
    visitors: Option<u64>,
    /// The bound that an absent number is below.
    #[serde(skip_serializing_if = "Option::is_none")]
    fewer_than: Option<u64>,
    /// Whether the count may be outdated because Redis does not answer.
    stale: bool,
    /// When the count was last known to be right, RFC 3339.
    as_of: String,
    /// Versions are ordered within an epoch. A loss of Redis' data begins a new one.
    epoch: u64,
    version: u64,
}

/// Answers with the count as JSON.
pub(super) async fn json(app: &App, counter: &CounterName) -> Result<Response, HttpError> {
    let reading = app.presence.read(counter).await;
    let visible = |number: u64| (number >= app.small).then_some(number);
    let json = CounterJson {
        counter: counter.as_str().to_owned(),
        count: visible(reading.count),
        visitors: visible(reading.visitors).filter(|_| reading.count >= app.small),
        fewer_than: (reading.count < app.small || reading.visitors < app.small).then_some(app.small),
        stale: reading.stale,
        as_of: humantime::format_rfc3339_millis(reading.as_of).to_string(),
        epoch: reading.epoch,
        version: reading.version,
    };
    Ok((headers::cross_origin("no-store"), Json(json)).into_response())
}
