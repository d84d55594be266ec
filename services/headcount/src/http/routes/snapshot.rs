//! The number now: one picture of it, and JSON for programs.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headcount_drawing::{Format, Look};
use headcount_presence::CounterName;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::http::App;
use crate::http::error::HttpError;

/// `GET /{counter}.json`.
#[derive(Serialize)]
struct CounterJson {
    counter: String,
    /// Open streams now; absent below `--small`.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// Distinct people behind them; absent below `--small`.
    #[serde(skip_serializing_if = "Option::is_none")]
    visitors: Option<u64>,
    /// What the number is below, where it is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    fewer_than: Option<u64>,
    /// Whether the number may be old: Redis has been away.
    stale: bool,
    /// When it was last known to be right, RFC 3339.
    as_of: String,
    /// Versions are ordered within an epoch; a loss of Redis begins a new one.
    epoch: u64,
    version: u64,
}

/// Answers with the number as JSON.
pub(in crate::http) async fn json(app: &App, counter: &CounterName) -> Result<Response, HttpError> {
    let reading = app.presence.read(counter).await;
    let told = |number: u64| (number >= app.small).then_some(number);
    let number = CounterJson {
        counter: counter.as_str().to_owned(),
        count: told(reading.count),
        visitors: told(reading.visitors).filter(|_| reading.count >= app.small),
        fewer_than: (reading.count < app.small || reading.visitors < app.small).then_some(app.small),
        stale: reading.stale,
        as_of: humantime::format_rfc3339_millis(reading.as_of).to_string(),
        epoch: reading.epoch,
        version: reading.version,
    };
    Ok((open_to_all("no-store"), Json(number)).into_response())
}

/// Answers with one picture of the number now.
pub(in crate::http) async fn snapshot(
    app: &App,
    counter: &CounterName,
    format: Format,
    query: Option<&str>,
    asked: &HeaderMap,
) -> Result<Response, HttpError> {
    let look = Look::from_query(query.unwrap_or_default())?;
    app.feeds.draw_queue().artist().check(&look)?;
    let reading = app.presence.read(counter).await;
    let picture = app.feeds.draw_queue().first(&look, &app.feeds.figure(&look, &reading), format).await?;
    let etag = etag(&picture);
    // Caches may keep it, but must ask each time: a badge that lags is a wrong number.
    let mut headers = open_to_all("no-cache");
    headers.insert(header::ETAG, etag.clone());
    if matches(asked, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    Ok((headers, picture).into_response())
}

fn open_to_all(cache_control: &'static str) -> HeaderMap {
    [
        (header::CACHE_CONTROL, cache_control),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
    .into_iter()
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
    .collect()
}

/// A strong validator: the first 128 bits of the picture's SHA-256.
fn etag(picture: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(picture);
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).expect("hexadecimal digits and quotes are visible ASCII")
}

/// `If-None-Match` compares weakly (RFC 9110 §13.1.2).
fn matches(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    let lists = asked.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|line| line.to_str().ok());
    let own = etag.to_str().unwrap_or_default();
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == own)
}
