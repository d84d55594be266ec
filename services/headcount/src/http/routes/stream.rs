//! `GET /{counter}.png`, `.jpg`: checks the request, admits the viewer, and passes it to the engine (HTTP/1) or to an
//! [`http2_body`] (HTTP/2).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use headcount_drawing::{Format, Look};
use headcount_presence::{Client, CounterName};

use super::requested_origin::requested_origin;
use super::{http2_body, link_preview, snapshot};
use crate::feeds::{Feed, FeedKey, ViewerAttachment};
use crate::http::app::App;
use crate::http::connection::{ConnectionInfo, NewViewer};
use crate::http::error::HttpError;
use crate::phase;

/// Answers a request for a stream. For HTTP/1 this never returns once the viewer has been admitted.
///
/// # Errors
/// Fails if the request is refused. The viewer does not count then.
pub(super) async fn stream(
    app: &Arc<App>,
    counter: CounterName,
    format: Format,
    request: Request,
) -> Result<Response, HttpError> {
    let look = Look::from_query(request.uri().query().unwrap_or_default())?;
    app.feeds.draw_queue().artist().check(&look)?;
    let own_origins = [requested_origin(&request), app.public_url.clone()];
    if !app.embed_policy.allows(&counter, request.headers(), own_origins.iter().flatten()) {
        return Err(HttpError::EmbedPolicy);
    }
    if link_preview::is_fetcher(request.headers()) {
        return snapshot::snapshot(app, &counter, format, request).await;
    }
    let headers = response_headers(request.headers());
    if request.method() == Method::HEAD {
        return Ok((headers, Body::new(UnknownLength)).into_response());
    }
    let connection = request.extensions().get::<ConnectionInfo>().cloned().expect("every request carries it");
    let client = Client {
        ip: connection.client_ip(request.headers()),
        user_agent: request
            .headers()
            .get(header::USER_AGENT)
            .map(|value| value.as_bytes().to_vec())
            .unwrap_or_default(),
    };
    // Frees hyper's buffers, which the request holds: admission may take long.
    drop(request);

    let mut phases = app.phase.clone();
    let (feed, attachment) = tokio::select! {
        biased;
        _ = phase::ending(&mut phases) => return Err(HttpError::Draining),
        admitted = admit(app, FeedKey { counter, look, format }, &client) => admitted?,
    };
    match connection.handoff {
        Some(handoff) => {
            handoff.send(NewViewer { feed, head: http1_head(&headers, format), attachment });
            std::future::pending().await
        }
        None => {
            let (body, first_frame_sent) = http2_body::body(app, &feed, attachment, format)?;
            Ok((headers, Extension(first_frame_sent), body).into_response())
        }
    }
}

/// Opens the feed and admits a viewer of it.
async fn admit(app: &App, key: FeedKey, client: &Client) -> Result<(Arc<Feed>, ViewerAttachment), HttpError> {
    let feed = app.feeds.open(key, client.ip).await?;
    feed.handle().has_room()?;
    let registration = app.presence.admit(feed.counter(), client).await.map_err(HttpError::Admission)?;
    let attachment = feed.attachment(registration);
    Ok((feed, attachment))
}

/// The body of a response to HEAD. A stream has no length, so none is announced.
struct UnknownLength;

impl http_body::Body for UnknownLength {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

/// Keeps Firefox from delaying a second page with the same image for 20 s behind its cache's half-written entry: it does
/// not wait if it expects the entry to outgrow the cache. It takes the size from this header, which has no meaning in a
/// response with status 200 (RFC 9110 §14.4). Other clients do not get it: ffmpeg concludes that it can seek in the
/// stream.
const OUTGROWS_FIREFOX_CACHE: (HeaderName, HeaderValue) =
    (header::CONTENT_RANGE, HeaderValue::from_static("bytes 0-0/1099511627776"));

/// Returns the response's headers, without HTTP/1's `Connection: close`.
fn response_headers(request: &HeaderMap) -> HeaderMap {
    let fixed = [
        (header::CONTENT_TYPE, headcount_wire::CONTENT_TYPE),
        // Neither browsers nor proxies may keep it, and no proxy may re-encode it.
        (header::CACHE_CONTROL, "no-store, no-transform"),
        // Pages under COEP may embed it.
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        // Makes nginx pass each frame on at once.
        (HeaderName::from_static("x-accel-buffering"), "no"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "user-agent"),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
    let agent = request.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    fixed.chain(agent.contains("Firefox/").then_some(OUTGROWS_FIREFOX_CACHE)).collect()
}

/// Returns the head and the stream's opening as bytes for an HTTP/1 socket. The stream ends with its connection, so the
/// head says `Connection: close`.
fn http1_head(headers: &HeaderMap, format: Format) -> Bytes {
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
