//! `GET /{counter}.png`, `.jpg`: checks the request, takes a registration for the viewer, and hands its socket to the engine
//! (HTTP/1) or its frames to a [`http2_body`] (HTTP/2).

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use headcount_drawing::{Format, Look};
use headcount_presence::{Client, CounterName};

use super::{embed_policy, http2_body, snapshot};
use crate::admin::Phase;
use crate::feeds::FeedKey;
use crate::http::App;
use crate::http::connection::ConnectionInfo;
use crate::http::connection::NewViewer;
use crate::http::error::HttpError;

/// Answers a request for a live stream. For HTTP/1 this never returns once the viewer has been accepted.
///
/// # Errors
/// [`HttpError`]: nothing has been counted then.
pub(in crate::http) async fn answer(
    app: &Arc<App>,
    counter: CounterName,
    format: Format,
    request: Request,
) -> Result<Response, HttpError> {
    let look = Look::from_query(request.uri().query().unwrap_or_default())?;
    app.feeds.draw_queue().artist().check(&look)?;
    if !app.embed_policy.allow(&counter, request.headers()) {
        return Err(HttpError::Embedder);
    }
    if embed_policy::is_fetcher(request.headers()) {
        return snapshot::snapshot(app, &counter, format, request.uri().query(), request.headers()).await;
    }
    let headers = headers(request.headers());
    if request.method() == Method::HEAD {
        return Ok(headers.into_response());
    }
    if matches!(*app.phase.borrow(), Phase::Ending { .. }) {
        return Err(HttpError::Draining);
    }
    let origin = request.extensions().get::<ConnectionInfo>().cloned().expect("every connection puts its origin in");
    let client = Client {
        ip: origin.client(request.headers()),
        user_agent: request
            .headers()
            .get(header::USER_AGENT)
            .map(|value| value.as_bytes().to_vec())
            .unwrap_or_default(),
    };
    // hyper's buffers hang on the request; the wait below may be long.
    drop(request);

    let feed = app.feeds.open(FeedKey { counter, look, format }).await?;
    feed.frames().has_room()?;
    let registration = app.presence.admit(feed.counter(), &client).await.map_err(HttpError::Presence)?;
    let viewer = feed.viewer(registration);
    match origin.handoff {
        Some(handoff) => {
            handoff.give(NewViewer { feed, head: head(&headers, format), viewer });
            std::future::pending().await
        }
        None => Ok((headers, http2_body::body(app, &feed, viewer, format)?).into_response()),
    }
}

/// Firefox lets a second page with the same image wait for 20 s behind its cache's half-written entry, unless it expects
/// the entry to outgrow the cache. It takes the size from this header, which means nothing in an answer with status 200
/// (RFC 9110 §14.4). Others are not sent it: ffmpeg concludes that it could seek in the stream, and loses its way.
const OUTGROWS_FIREFOX_CACHE: (HeaderName, HeaderValue) =
    (header::CONTENT_RANGE, HeaderValue::from_static("bytes 0-0/1099511627776"));

/// The response's headers; HTTP/1 adds `Connection: close`, because the stream ends with its connection.
fn headers(asked: &HeaderMap) -> HeaderMap {
    let fixed = [
        (header::CONTENT_TYPE, headcount_wire::CONTENT_TYPE),
        // Neither browsers nor proxies may keep it, and no proxy may re-encode it.
        (header::CACHE_CONTROL, "no-store, no-transform"),
        // Pages under COEP may embed it.
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        // nginx in front hands each frame on at once.
        (HeaderName::from_static("x-accel-buffering"), "no"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
    let agent = asked.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    fixed.chain(agent.contains("Firefox/").then_some(OUTGROWS_FIREFOX_CACHE)).collect()
}

/// The head and opening as they go over an HTTP/1 socket.
fn head(headers: &HeaderMap, format: Format) -> Bytes {
    let mut head = BytesMut::with_capacity(2048);
    head.put_slice(b"HTTP/1.1 200 OK\r\n");
    for (name, value) in headers {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    head.put_slice(format!("date: {}\r\n", httpdate::fmt_http_date(std::time::SystemTime::now())).as_bytes());
    head.put_slice(b"connection: close\r\n\r\n");
    head.put_slice(&headcount_wire::opening(format.content_type()));
    head.freeze()
}
