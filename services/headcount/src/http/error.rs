//! The one place that maps what is refused to an HTTP status and one plain sentence.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headcount_drawing::LookError;
use headcount_presence::AdmissionError;

use crate::counters::UnknownCounter;
use crate::draw_queue::DrawQueueFull;
use crate::feeds::FeedError;

/// Seconds after which a refused viewer may try again: long enough to spread a crowd, short enough for a person.
const RETRY_AFTER: &str = "5";

/// A request that gets no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// No such address.
    #[error("There is nothing at this address.")]
    NotFound,
    /// There is no such counter.
    #[error("There is no such counter: {0}.")]
    Counter(#[from] UnknownCounter),
    /// The page's site may not embed the counter.
    #[error("This counter may not be shown on that page: its owner has said which sites may embed it.")]
    Embedder,
    /// An option of the look is wrong.
    #[error("{0}.")]
    Look(#[from] LookError),
    /// Neither GET nor HEAD.
    #[error("Only GET and HEAD are understood here.")]
    Method,
    /// A request with a body.
    #[error("A request with a body is not taken here.")]
    Body,
    /// The engine has no room for the viewer.
    #[error("Sorry, {0}; try again in a few seconds.")]
    Room(#[from] headcount_engine::Rejection),
    /// The node holds as many looks or counters as it may.
    #[error("This node shows as many different pictures as it can hold; try again in a few seconds.")]
    Looks,
    /// Too many pictures are asked for at once.
    #[error("Sorry, {0}; try again in a few seconds.")]
    DrawQueueFull(#[from] DrawQueueFull),
    /// Presence refuses the viewer or the counter.
    #[error("{0}.")]
    Presence(AdmissionError),
    /// The node is on its way out.
    #[error("This node is shutting down; try again in a few seconds.")]
    Draining,
}

/// Every cause of a refusal, as the metrics name it.
pub(super) const CAUSES: [&str; 16] = [
    "not_found",
    "counter",
    "embedder",
    "look",
    "method",
    "body",
    "max_viewers",
    "max_viewers_per_counter",
    "engine",
    "max_looks",
    "drawing",
    "max_counters",
    "address_rate",
    "address_streams",
    "address_streams_in_all",
    "draining",
];

/// Why a response is a refusal, for the metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefusalCause(pub(crate) &'static str);

impl HttpError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::Counter(_) => StatusCode::NOT_FOUND,
            Self::Look(_) => StatusCode::BAD_REQUEST,
            Self::Embedder => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Room(_) | Self::Looks | Self::DrawQueueFull(_) | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Presence(refusal) => match refusal {
                AdmissionError::TooManyCounters { .. } => StatusCode::SERVICE_UNAVAILABLE,
                AdmissionError::TooFast
                | AdmissionError::TooManyOfCounter { .. }
                | AdmissionError::TooManyInAll { .. } => StatusCode::TOO_MANY_REQUESTS,
            },
        }
    }

    fn cause(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Counter(_) => "counter",
            Self::Embedder => "embedder",
            Self::Look(_) => "look",
            Self::Method => "method",
            Self::Body => "body",
            Self::Room(headcount_engine::Rejection::Full) => "max_viewers",
            Self::Room(headcount_engine::Rejection::CounterFull) => "max_viewers_per_counter",
            Self::Room(_) => "engine",
            Self::Looks => "max_looks",
            Self::DrawQueueFull(_) => "drawing",
            Self::Presence(AdmissionError::TooManyCounters { .. }) => "max_counters",
            Self::Presence(AdmissionError::TooFast) => "address_rate",
            Self::Presence(AdmissionError::TooManyOfCounter { .. }) => "address_streams",
            Self::Presence(AdmissionError::TooManyInAll { .. }) => "address_streams_in_all",
            Self::Draining => "draining",
        }
    }
}

impl From<FeedError> for HttpError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::TooManyLooks => Self::Looks,
            FeedError::Counter(refusal) => Self::Presence(refusal),
            FeedError::DrawQueueFull(crowded) => Self::DrawQueueFull(crowded),
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, format!("{self}\n")).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
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
