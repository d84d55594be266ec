//! `GET /{counter}.png`, `.jpg`, `/{counter}/live.html`, `/{counter}/events`: checks the request, admits the viewer, and passes it to the engine (HTTP/1) or to an
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
use headcount_wire::{events, html};

use super::requested_origin::requested_origin;
use super::stream_options::StreamOptions;
use super::{frame, http2_body, link_preview, snapshot};
use crate::event_frames::random_retry;
use crate::feeds::{Counting, Feed, FeedKey, ViewerAttachment};
use crate::html_document::{self, Theme};
use crate::http::app::App;
use crate::http::connection::{ConnectionInfo, NewViewer};
use crate::http::error::HttpError;
use crate::phase;
use crate::returning_viewers::Arrival;
use crate::sprite_sheets::SpriteSheet;
use crate::stream_format::StreamFormat;

/// Answers a request for a stream. For HTTP/1 this never returns once the viewer has been admitted.
///
/// # Errors
/// Fails if the request is refused. The viewer does not count then.
pub(super) async fn stream(
    app: &Arc<App>,
    counter: CounterName,
    format: StreamFormat,
    request: Request,
) -> Result<Response, HttpError> {
    let options = StreamOptions::from_query(request.uri().query().unwrap_or_default(), format)?;
    let arrival = match frame::is_refresh(request.headers()) {
        true => Arrival::Refreshed,
        false if options.is_reloaded => Arrival::Reloaded,
        false => Arrival::Loaded,
    };
    // A document that comes back was right before. What its look lacks since then is drawn as well as can be.
    if format != StreamFormat::Html || arrival == Arrival::Loaded {
        app.feeds.draw_queue().artist().check(&options.look)?;
    }
    let own_origins = [requested_origin(&request), app.public_url.clone()];
    // Browsers keep pages from framing a document that may not be (`frame-ancestors`).
    if format != StreamFormat::Html
        && !app.embed_policy.allows(&counter, request.headers(), own_origins.iter().flatten())
    {
        return Err(HttpError::EmbedPolicy);
    }
    if link_preview::is_fetcher(request.headers())
        && let Some(format) = format.pictures()
    {
        return snapshot::of_look(app, &counter, &options.look, format, request).await;
    }
    let mut headers = response_headers(request.headers(), format);
    if format == StreamFormat::Html {
        headers.extend(frame::document_headers(app, &counter));
    }
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

    let key = FeedKey::new(counter.clone(), &options.look, format);
    let mut phases = app.phase.clone();
    let (feed, attachment) = tokio::select! {
        biased;
        _ = phase::ending(&mut phases) => return Err(HttpError::Draining),
        admitted = admit(app, key.clone(), &client, options.counting, arrival) => admitted?,
    };
    // At the limit of looks, the numbers are written for the default one.
    let look = if feed.key == key { options.look } else { Look::default() };
    let sheet = if format == StreamFormat::Html { app.feeds.sheet(&look, client.ip).await? } else { None };
    let opening = opening(&counter, &look, sheet.as_deref(), options.theme, format);
    match connection.handoff {
        Some(handoff) => {
            handoff.send(NewViewer { feed, head: http1_head(&headers, &opening), attachment });
            std::future::pending().await
        }
        None => {
            let (body, viewer_stream) = http2_body::body(app, &feed, attachment, opening)?;
            Ok((headers, Extension(viewer_stream), body).into_response())
        }
    }
}

/// Admits a viewer, and then opens its feed: a client that has reached a limit costs neither a picture nor a counter, and
/// those that wait for a picture count for their address.
///
/// A viewer of a document who is back within a moment goes on as it was admitted before. One that comes back to another node
/// counts there once the former node does not expect it any more.
async fn admit(
    app: &App,
    key: FeedKey,
    client: &Client,
    counting: Counting,
    arrival: Arrival,
) -> Result<(Arc<Feed>, ViewerAttachment), HttpError> {
    app.feeds.has_room(&key.counter)?;
    let may_be_back = key.format == StreamFormat::Html && counting == Counting::Counted;
    let former = match may_be_back && arrival != Arrival::Loaded {
        true => {
            let visitor = app.presence.visitor(client).await;
            app.feeds.returning().take(&key.counter, client.ip, visitor, arrival)
        }
        false => None,
    };
    let (registration, counting) = match former {
        Some(registration) => (registration, counting),
        None => {
            let registration = app.presence.admit(&key.counter, client).await.map_err(HttpError::Admission)?;
            // At another node, or at this one, where its former connection's end is not known yet.
            let may_still_count = match arrival {
                Arrival::Loaded => false,
                Arrival::Reloaded => may_be_back,
                Arrival::Refreshed => may_be_back && app.presence.is_shared(),
            };
            (registration, if may_still_count { Counting::CountedAfter(arrival.elsewhere()) } else { counting })
        }
    };
    let feed = app.feeds.open(key, client.ip).await?;
    let attachment = feed.attachment(registration, counting);
    Ok((feed, attachment))
}

/// Returns what a viewer is sent before the first frame.
fn opening(
    counter: &CounterName,
    look: &Look,
    sheet: Option<&SpriteSheet>,
    theme: Theme,
    format: StreamFormat,
) -> Bytes {
    match format {
        StreamFormat::Png => headcount_wire::opening(Format::Png.content_type()),
        StreamFormat::Jpeg => headcount_wire::opening(Format::Jpeg.content_type()),
        StreamFormat::Html => html::opening(&html_document::start(counter.as_str(), look, sheet, theme)),
        StreamFormat::Events => events::retry(random_retry()).into(),
    }
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
fn response_headers(request: &HeaderMap, format: StreamFormat) -> HeaderMap {
    let fixed = [
        (header::CONTENT_TYPE, format.content_type()),
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
fn http1_head(headers: &HeaderMap, opening: &Bytes) -> Bytes {
    let mut head = BytesMut::with_capacity(1024 + opening.len());
    head.put_slice(b"HTTP/1.1 200 OK\r\n");
    for (name, value) in headers {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    head.put_slice(format!("date: {}\r\n", httpdate::fmt_http_date(std::time::SystemTime::now())).as_bytes());
    head.put_slice(b"connection: close\r\n\r\n");
    head.put_slice(opening);
    head.freeze()
}
