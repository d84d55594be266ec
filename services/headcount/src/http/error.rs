//! [`HttpError`]: the one place that maps errors to an HTTP status and a sentence, in the [`RefusalForm`](super::refusal_form::RefusalForm) that its reader needs.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headcount_connection::TooManyRequests;
use headcount_drawing::LookError;
use headcount_presence::AdmissionError;

use crate::counters::UnknownCounter;
use crate::draw_queue::DrawQueueFull;
use crate::feeds::FeedError;
use crate::http::headers;

/// `Retry-After` of 429 and 503, in seconds: long enough to spread many clients, short enough for a person.
const RETRY_AFTER: &str = "5";

/// Why a request is refused. Its display is the response's sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The path leads nowhere.
    #[error("There is nothing at this address.")]
    NotFound,
    /// The counter does not exist.
    #[error("There is no such counter: {0}.")]
    Counter(#[from] UnknownCounter),
    /// The site of the page may not embed the counter.
    #[error("This counter may not be shown on that page: its owner has restricted which sites may embed it.")]
    EmbedPolicy,
    /// An option of the look is wrong.
    #[error("{0}.")]
    Look(#[from] LookError),
    /// The method is neither GET nor HEAD.
    #[error("Only GET and HEAD are supported.")]
    Method,
    /// The request has a body.
    #[error("Requests with a body are not accepted.")]
    Body,
    /// The `Host` header is missing, repeated or malformed.
    #[error("The request must have one well-formed Host header.")]
    Host,
    /// The client does not read the responses that it has.
    #[error("Too many bytes wait for clients that do not read them; try again in a few seconds.")]
    Unread,
    /// Too many requests are in progress on the node.
    #[error("Sorry, too many requests are waiting here; try again in a few seconds.")]
    Requests,
    /// Too many requests of the client's address are in progress.
    #[error("Your network address has too many requests in progress; try again in a few seconds.")]
    AddressRequests,
    /// The engine rejects the viewer.
    #[error("Sorry, {0}; try again in a few seconds.")]
    Engine(headcount_engine::Rejection),
    /// Too many pictures wait to be drawn.
    #[error("Sorry, {0}; try again in a few seconds.")]
    DrawQueueFull(#[from] DrawQueueFull),
    /// Presence refuses the viewer or the counter.
    #[error("{0}.")]
    Admission(AdmissionError),
    /// The query of a history has anything but one span.
    #[error("A history takes one option: span, which is hour, day, month, year or all.")]
    Span,
    /// Redis, which alone knows the past of a counter, does not answer.
    #[error("The history cannot be read now; try again in a few seconds.")]
    History,
    /// The node is shutting down.
    #[error("This node is shutting down; try again in a few seconds.")]
    Draining,
}

/// The value of every cause label of refused requests.
pub(super) const CAUSES: [&str; 21] = [
    "not_found",
    "counter",
    "embedder",
    "look",
    "method",
    "body",
    "host",
    "unread",
    "requests",
    "address_requests",
    "max_viewers",
    "max_viewers_per_counter",
    "engine",
    "drawing",
    "max_counters",
    "address_rate",
    "address_streams",
    "address_streams_in_all",
    "span",
    "history",
    "draining",
];

/// A refusal's cause label. Error responses carry it as an extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefusalCause(pub(crate) &'static str);

impl HttpError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::Counter(_) => StatusCode::NOT_FOUND,
            Self::Look(_) | Self::Host | Self::Span => StatusCode::BAD_REQUEST,
            Self::EmbedPolicy => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Engine(_)
            | Self::DrawQueueFull(_)
            | Self::Draining
            | Self::Unread
            | Self::Requests
            | Self::History => StatusCode::SERVICE_UNAVAILABLE,
            Self::AddressRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Admission(error) => match error {
                AdmissionError::TooManyCounters { .. } => StatusCode::SERVICE_UNAVAILABLE,
                AdmissionError::TooFast
                | AdmissionError::TooManyOfCounter { .. }
                | AdmissionError::TooManyInAll { .. } => StatusCode::TOO_MANY_REQUESTS,
            },
        }
    }

    /// Whether the same request may be answered later.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }

    /// The value of the cause label.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Counter(_) => "counter",
            Self::EmbedPolicy => "embedder",
            Self::Look(_) => "look",
            Self::Method => "method",
            Self::Body => "body",
            Self::Host => "host",
            Self::Unread => "unread",
            Self::Requests => "requests",
            Self::AddressRequests => "address_requests",
            Self::Engine(headcount_engine::Rejection::Full) => "max_viewers",
            Self::Engine(headcount_engine::Rejection::CounterFull) => "max_viewers_per_counter",
            Self::Draining => "draining",
            Self::Span => "span",
            Self::History => "history",
            Self::Engine(_) => "engine",
            Self::DrawQueueFull(_) => "drawing",
            Self::Admission(AdmissionError::TooManyCounters { .. }) => "max_counters",
            Self::Admission(AdmissionError::TooFast) => "address_rate",
            Self::Admission(AdmissionError::TooManyOfCounter { .. }) => "address_streams",
            Self::Admission(AdmissionError::TooManyInAll { .. }) => "address_streams_in_all",
        }
    }
}

impl From<headcount_engine::Rejection> for HttpError {
    fn from(rejection: headcount_engine::Rejection) -> Self {
        match rejection {
            headcount_engine::Rejection::Draining => Self::Draining,
            other => Self::Engine(other),
        }
    }
}

impl From<TooManyRequests> for HttpError {
    fn from(error: TooManyRequests) -> Self {
        match error {
            TooManyRequests::OfAll => Self::Requests,
            TooManyRequests::OfAddress => Self::AddressRequests,
        }
    }
}

impl From<FeedError> for HttpError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Counter(error) => Self::Admission(error),
            FeedError::DrawQueueFull(full) => Self::DrawQueueFull(full),
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, format!("{self}\n")).into_response();
        let headers = response.headers_mut();
        headers.extend(headers::cross_origin("no-store"));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(RefusalCause(self.cause()));
        response
    }
}
