//! `GET /robots.txt` and `GET /favicon.ico`.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// `GET /robots.txt`: keeps crawlers off the streams, where one would be a viewer that never leaves.
pub(super) async fn robots() -> &'static str {
    "User-agent: *\nAllow: /*/snapshot.\nDisallow: /*.png\nDisallow: /*.jpg\nDisallow: /*.jpeg\nDisallow: /*.json\nDisallow: /*.html\nDisallow: /*/events\n"
}

/// `GET /favicon.ico`.
pub(super) async fn favicon() -> Response {
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, include_str!("../../../templates/favicon.svg")).into_response()
}
