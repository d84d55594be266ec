//! The origin under which a client has reached the node: scheme, host and port, as its browser shows them.

use axum::extract::Request;
use axum::http::header;

use crate::http::connection::ConnectionInfo;

/// Returns the origin that the request was sent to, as `https://count.example`. `None` if the request names no host.
///
/// The host is HTTP/2's `:authority` or HTTP/1's `Host`. The scheme is what the proxies in front say, if they are trusted,
/// or HTTP/2's `:scheme`.
pub(super) fn requested_origin(request: &Request) -> Option<String> {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let host = request.uri().authority().map(|authority| authority.as_str()).or(host)?;
    // It is written into a page.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:[]".contains(c);
    if host.is_empty() || !host.chars().all(is_plain) {
        return None;
    }
    let connection = request.extensions().get::<ConnectionInfo>().expect("every request carries it");
    let is_https = connection.is_https(request.headers()) || request.uri().scheme_str() == Some("https");
    Some(format!("{}://{host}", if is_https { "https" } else { "http" }))
}
