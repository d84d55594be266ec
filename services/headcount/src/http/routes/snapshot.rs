//! `GET /{counter}/snapshot.png`, `.jpg`, `.svg`: one picture of the count now, or with `sample=yes` of a number that is the same
//! for all looks.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headcount_drawing::{Format, Look};
use headcount_presence::CounterName;
use sha2::{Digest, Sha256};

use crate::http::app::App;
use crate::http::connection::ConnectionInfo;
use crate::http::error::HttpError;
use crate::http::headers;
use crate::sample;

/// Bytes of the picture's SHA-256 in its ETag.
const ETAG_BYTES: usize = 16;

/// Answers with one picture of the count now, or with 304 if the client has it.
pub(super) async fn snapshot(
    app: &App,
    counter: &CounterName,
    format: Format,
    request: Request,
) -> Result<Response, HttpError> {
    let query = request.uri().query().unwrap_or_default();
    let (samples, options): (Vec<&str>, Vec<&str>) = query.split('&').partition(|pair| *pair == sample::OPTION);
    let look = Look::from_query(&options.join("&"))?;
    if samples.is_empty() {
        return of_look(app, counter, &look, format, request).await;
    }
    app.feeds.draw_queue().artist().check(&look)?;
    let picture = app.feeds.draw_sample(&look, format, client_ip(&request)).await?;
    Ok(answer(&picture, format, request.headers()))
}

fn client_ip(request: &Request) -> IpAddr {
    request.extensions().get::<ConnectionInfo>().expect("every request carries it").client_ip(request.headers())
}

/// Answers with a picture in this look.
pub(super) async fn of_look(
    app: &App,
    counter: &CounterName,
    look: &Look,
    format: Format,
    request: Request,
) -> Result<Response, HttpError> {
    app.feeds.draw_queue().artist().check(look)?;
    let reading = app.presence.read(counter).await;
    let picture = app.feeds.draw_snapshot(counter, look, &reading, format, client_ip(&request)).await?;
    Ok(answer(&picture, format, request.headers()))
}

fn answer(picture: &[u8], format: Format, request: &HeaderMap) -> Response {
    let etag = etag(picture);
    // Caches may keep the picture but must revalidate it each time: an outdated badge shows a wrong number.
    let mut headers = headers::cross_origin("no-cache");
    headers.insert(header::ETAG, etag.clone());
    if if_none_match(request, &etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    (headers, picture.to_vec()).into_response()
}

/// Returns a strong validator: the first 128 bits of the picture's SHA-256.
fn etag(picture: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(picture);
    let hex: String = digest[..ETAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).expect("hexadecimal digits and quotes are visible ASCII")
}

/// Returns whether `If-None-Match` names the ETag. It compares weakly (RFC 9110 §13.1.2).
fn if_none_match(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let lists = request.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|line| line.to_str().ok());
    let own = etag.to_str().unwrap_or_default();
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == own)
}
