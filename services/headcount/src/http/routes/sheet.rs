//! `GET /sprites/{set}-{hash}.png`: the digits of a set of sprites, which documents link. The hash is that of the file, so that
//! browsers keep it for good.

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use headcount_drawing::{Format, SetName};

use crate::http::app::App;
use crate::http::connection::ConnectionInfo;
use crate::http::error::HttpError;
use crate::http::headers;

/// Answers with the digits. Where the path names others, as another node's that has another folder, nobody may keep them under
/// that name.
///
/// # Errors
/// Fails if there is no such set, or if its digits cannot be drawn soon.
pub(super) async fn sheet(app: &App, name: &SetName, request: Request) -> Result<Response, HttpError> {
    let set = app.feeds.draw_queue().artist().sprites().get(name).ok_or(HttpError::NotFound)?;
    let connection = request.extensions().get::<ConnectionInfo>().expect("every request carries it");
    let client_ip = connection.client_ip(request.headers());
    let sheet = app.feeds.set_sheet(name, set, client_ip).await?;
    let is_named = sheet.path() == request.uri().path();
    // Documents of no origin, as in a sandbox, may load it too: they are under COEP.
    let mut headers = headers::cross_origin(if is_named { "public, max-age=31536000, immutable" } else { "no-store" });
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Format::Png.content_type()));
    Ok((headers, sheet.png().clone()).into_response())
}
