//! The `Host` header, which HTTP/1.1 requires exactly once (RFC 9112 §3.2).

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::error::HttpError;

/// Refuses requests whose `Host` is missing, repeated or malformed. Proxies that route by it could see another host than
/// this node.
pub(super) async fn require_host(request: Request, next: Next) -> Response {
    if is_well_formed(&request) { next.run(request).await } else { HttpError::Host.into_response() }
}

fn is_well_formed(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => {
            // An empty one is for targets without a host.
            host.is_empty()
                || Authority::try_from(host.as_bytes()).is_ok_and(|authority| !authority.as_str().contains('@'))
        }
        (Some(_), Some(_)) => false,
    }
}
