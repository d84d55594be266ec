//! [`read_form`]: a form's body, bounded in time and size.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

/// Time within which a form must be complete.
const FORM_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read of a form that is too large before it is refused: many clients read no answer while they write.
const MAX_READ_BYTES: usize = 128 << 10;

/// Why a form is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It is another site's: its `Origin`, which browsers send with every form, is not the `Host`.
    #[error("the form is another site's")]
    OtherOrigin,
    /// It was not complete within 5 s.
    #[error("the form was not complete in time")]
    Late,
    /// It has too many bytes, or its connection has failed.
    #[error("the form is too large")]
    TooLarge,
}

/// Reads a form of at most `max` bytes, up to 128 KiB, which must have been sent by one of the service's own pages, if by any.
///
/// # Errors
/// Fails if it was not, or if the form is too large or takes too long.
pub async fn read_form(headers: &HeaderMap, body: Incoming, max: usize) -> Result<Bytes, FormError> {
    let read = tokio::time::timeout(FORM_TIMEOUT, Limited::new(body, MAX_READ_BYTES).collect()).await;
    let form = read.map_err(|_| FormError::Late)?.map(|form| form.to_bytes()).ok();
    let form = form.filter(|form| form.len() <= max).ok_or(FormError::TooLarge)?;
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let origin = headers.get(header::ORIGIN).map(|origin| origin.as_bytes().rsplit(|byte| *byte == b'/').next());
    match origin {
        Some(origin) if origin != host => Err(FormError::OtherOrigin),
        _ => Ok(form),
    }
}
