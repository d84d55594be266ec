//! `GET /{counter}.html`: the outer document of a frame, which holds the live one.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::stream_options::StreamOptions;
use crate::counters::CounterRef;
use crate::html_document::{self, LiveFrame, RELOADED};
use crate::http::app::App;
use crate::http::connection::ConnectionInfo;
use crate::http::error::HttpError;
use crate::http::headers;
use crate::stream_format::StreamFormat;

/// Answers with the outer document.
///
/// # Errors
/// Fails if the options are wrong. In a document that is refreshed they were right before: what a look lacks since then, a set of
/// sprites or a character of a font, is drawn as well as can be.
pub(super) async fn frame(app: &App, counter: &CounterRef, request: Request) -> Result<Response, HttpError> {
    let query = request.uri().query().unwrap_or_default();
    let options = StreamOptions::from_query(query, StreamFormat::Html)?;
    let (reloaded, frame) = match is_refresh(request.headers()) {
        true => (Some(RELOADED), LiveFrame::AtOnce),
        false => (None, LiveFrame::Lazy),
    };
    if reloaded.is_none() {
        app.feeds.draw_queue().artist().check(&options.look)?;
    }
    let query = [query].into_iter().filter(|query| !query.is_empty()).chain(reloaded).collect::<Vec<_>>().join("&");
    let separator = if query.is_empty() { "" } else { "?" };
    let live = format!("/{}/live.html{separator}{query}", counter.path_segment);
    let connection = request.extensions().get::<ConnectionInfo>().expect("every request carries it");
    let client_ip = connection.client_ip(request.headers());
    // Without it, the live one loads it.
    let sheet = app.feeds.sheet(&options.look, client_ip).await.ok().flatten();
    let sheet = sheet.as_ref().map(|sheet| sheet.path());
    let document = html_document::outer(counter.name.as_str(), (&live, frame), sheet, options.theme, app.frame_refresh);
    let mut headers = headers::cross_origin("no-store");
    headers.extend(document_headers(app, &counter.name));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(StreamFormat::Html.content_type()));
    Ok((headers, document).into_response())
}

/// Returns the headers of either document: what it may load, and which sites' pages may frame it.
pub(super) fn document_headers(app: &App, counter: &headcount_presence::CounterName) -> HeaderMap {
    let ancestors = app.embed_policy.frame_ancestors(counter);
    let policy = format!(
        "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors {ancestors}"
    );
    let policy = HeaderValue::from_str(&policy).expect("origins are visible ASCII");
    let fixed = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
    HeaderMap::from_iter([
        (header::CONTENT_SECURITY_POLICY, policy),
        // Pages under COEP may frame only documents that are under it too.
        fixed("cross-origin-embedder-policy", "require-corp"),
        fixed("referrer-policy", "same-origin"),
    ])
}

/// Returns whether a browser refreshes a document. Chromium, Firefox and WebKit then have caches ask again, and only then.
pub(super) fn is_refresh(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|directive| directive.trim() == "max-age=0")
}
