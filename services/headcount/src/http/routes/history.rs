//! `GET /{counter}/history.json`: the past for programs.

use axum::Json;
use axum::response::{IntoResponse, Response};
use headcount_presence::CounterName;
use headcount_wire::history::Span;

use crate::history_json::HistoryJson;
use crate::http::app::App;
use crate::http::error::HttpError;
use crate::http::headers;

/// Answers with the past as JSON.
///
/// # Errors
/// Fails if the query has anything but one span, or Redis does not answer.
pub(super) async fn history(app: &App, counter: &CounterName, query: &str) -> Result<Response, HttpError> {
    let span = span(query).ok_or(HttpError::Span)?;
    let history = app.presence.history(counter, span).await.ok_or(HttpError::History)?;
    Ok((headers::cross_origin("no-store"), Json(HistoryJson::new(history, app.small))).into_response())
}

fn span(query: &str) -> Option<Span> {
    let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
    match (pairs.next(), pairs.next()) {
        (None, _) => Some(Span::default()),
        (Some(pair), None) => Span::from_name(pair.strip_prefix("span=")?),
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_named_once_or_is_a_day() {
        assert_eq!(span("").expect("a day"), Span::Day);
        for one in Span::ALL {
            assert_eq!(span(&format!("span={}", one.name())).expect("a span"), one);
            assert!(HttpError::Span.to_string().contains(one.name()));
        }
        for wrong in ["span=week", "span=", "span", "span=day&span=day", "spam=day", "span=day&a=b", "span=1e9"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }
}
