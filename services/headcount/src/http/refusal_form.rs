//! [`RefusalForm`]: how a request is refused that could be answered later, so that its sender comes back by itself.

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use headcount_wire::{events, html};

use super::error::{HttpError, RefusalCause};
use super::headers;
use crate::event_frames::random_retry;
use crate::html_document;
use crate::stream_format::StreamFormat;

/// Time until a client of events tries again where there is no room for it.
const EVENTS_RETRY: Duration = Duration::from_secs(30);

/// Seconds until a document is loaded again. Those that were refused together do not come back together.
const DOCUMENT_RETRY: RangeInclusive<u64> = 5..=10;

/// What a refusal looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalForm {
    /// A sentence of plain text. Browsers show no picture then, and do not come back by themselves.
    Sentence,
    /// A document with the sentence that refreshes itself: without it, a frame would stay as it is until the page is loaded again.
    Document,
    /// A stream of events that ends at once. After any other status than 200, browsers make no further attempt.
    Events,
}

impl RefusalForm {
    /// The form for whoever requests streams of a format.
    pub(crate) fn of(format: StreamFormat) -> Self {
        match format {
            StreamFormat::Png | StreamFormat::Jpeg => Self::Sentence,
            StreamFormat::Html => Self::Document,
            StreamFormat::Events => Self::Events,
        }
    }

    /// The form for whoever requests a path, whether it leads anywhere or not.
    pub(crate) fn of_path(path: &str) -> Self {
        if path.ends_with(".html") {
            Self::Document
        } else if path.ends_with("/events") {
            Self::Events
        } else {
            Self::Sentence
        }
    }

    /// Refuses a request. What will never be answered is refused with a sentence in any form.
    pub(crate) fn refuse(self, error: HttpError) -> Response {
        if !error.is_temporary() {
            return error.into_response();
        }
        match self {
            Self::Sentence => error.into_response(),
            Self::Document => {
                let document = html_document::refused(&error.to_string(), rand::random_range(DOCUMENT_RETRY));
                let mut response = error.into_response();
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(html::CONTENT_TYPE));
                response.headers_mut().remove(header::CONTENT_LENGTH);
                response.map(|_| document.into())
            }
            Self::Events => {
                let retry = if matches!(error, HttpError::Draining) { random_retry() } else { EVENTS_RETRY };
                let text = events::retry(retry) + &events::comment(&error.to_string());
                let refusal = error.into_response();
                let mut headers = headers::cross_origin("no-store");
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(events::CONTENT_TYPE));
                let mut response = (headers, text).into_response();
                if let Some(cause) = refusal.extensions().get::<RefusalCause>() {
                    response.extensions_mut().insert(*cause);
                }
                response
            }
        }
    }
}
