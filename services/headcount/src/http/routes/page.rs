//! The pages for people: the live count, looks to choose from by links and forms, and the code that embeds it. No
//! JavaScript; the content security policy forbids any.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use headcount_drawing::Look;

use crate::counters::{CounterRef, Counters};
use crate::http::App;
use crate::http::error::HttpError;

/// The counter that `GET /` shows: the original's, or the first of a list.
const FRONT: &str = "online";
const POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'";

/// Looks offered as pictures: a name, and the query that gives it.
const PRESETS: [(&str, &str); 6] = [
    ("A flat badge", ""),
    ("A blue badge for readers", "label=readers&bg=royalblue"),
    ("Distinct visitors", "label=visitors&show=visitors&bg=teal"),
    ("The bare number", "style=plain&height=24"),
    ("Drums of an odometer", "style=odometer&height=32"),
    ("A green odometer", "style=odometer&fg=lime&height=32&label="),
];

#[derive(Template)]
#[template(path = "counter.html")]
struct Page {
    counter: String,
    /// This page's own path.
    page: String,
    mistake: Option<String>,
    stream: String,
    height: u32,
    presets: Vec<Preset>,
    fields: Vec<Field>,
    html: String,
    markdown: String,
    bbcode: String,
    json: String,
}

struct Preset {
    name: &'static str,
    query: String,
    snapshot: String,
    current: bool,
}

/// A control of the form; with no choices it is a text box.
struct Field {
    name: &'static str,
    title: &'static str,
    hint: &'static str,
    choices: &'static [&'static str],
    value: String,
}

/// `GET /`: the page of the counter `online`, or on to the one that the form names.
pub(in crate::http) async fn front(State(app): State<Arc<App>>, request: Request) -> Result<Response, HttpError> {
    let wanted = pairs(request.uri().query().unwrap_or_default()).find(|(name, _)| *name == "counter");
    if let Some((_, name)) = wanted {
        let counter = app.counters.read(name)?;
        return Ok(Redirect::to(&format!("/{}", counter.path_segment)).into_response());
    }
    let counter = match &app.counters {
        Counters::Listed(names) => app.counters.read(names[0].as_str())?,
        _ => app.counters.read(FRONT)?,
    };
    page(&app, &counter, "/", &request)
}

/// `GET /{counter}`.
pub(in crate::http) fn counter(app: &App, counter: &CounterRef, request: &Request) -> Result<Response, HttpError> {
    page(app, counter, &format!("/{}", counter.path_segment), request)
}

/// `GET /robots.txt`: a crawler on a stream would be a viewer for ever.
pub(in crate::http) async fn robots() -> &'static str {
    "User-agent: *\nAllow: /*/snapshot.\nDisallow: /*.png\nDisallow: /*.jpg\nDisallow: /*.json\n"
}

/// `GET /favicon.ico`.
pub(in crate::http) async fn favicon() -> Response {
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, include_str!("../../../templates/favicon.svg")).into_response()
}

fn page(app: &App, counter: &CounterRef, path: &str, request: &Request) -> Result<Response, HttpError> {
    let asked = filled_in(request.uri());
    let look = Look::from_query(&asked).and_then(|look| app.feeds.draw_queue().artist().check(&look).map(|()| look));
    let (look, mistake) = match look {
        Ok(look) => (look, None),
        Err(mistake) => (Look::default(), Some(format!("{mistake}."))),
    };
    let name = &counter.path_segment;
    let query = question(&look.query());
    let base = base(app, request.headers());
    let live = format!("{base}/{name}.png{query}");
    let snapshot = format!("{base}/{name}/snapshot.svg{query}");
    let status = if mistake.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = Page {
        counter: counter.name.as_str().to_owned(),
        page: path.to_owned(),
        mistake,
        stream: format!("/{name}.png{query}"),
        height: look.height(),
        presets: PRESETS.iter().map(|preset| offered(preset, name, &look)).collect(),
        fields: fields(&asked),
        html: format!(
            "<img src=\"{}\" alt=\"people here now\" height=\"{}\">",
            live.replace('&', "&amp;"),
            look.height()
        ),
        markdown: format!("![people here now]({snapshot})"),
        bbcode: format!("[img]{live}[/img]"),
        json: format!("{base}/{name}.json"),
    };
    // A template without includes or filters of its own fails for want of memory alone.
    let text = body.render().map_err(|_| HttpError::NotFound)?;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((status, headers, Html(text)).into_response())
}

fn offered(&(name, query): &(&'static str, &str), counter: &str, current: &Look) -> Preset {
    let look = Look::from_query(query).expect("the presets are good looks: a test reads them");
    let query = question(&look.query());
    Preset { name, snapshot: format!("/{counter}/snapshot.svg{query}"), query, current: look == *current }
}

fn fields(asked: &str) -> Vec<Field> {
    let value =
        |name: &str| pairs(asked).find(|(key, _)| *key == name).map(|(_, value)| plain(value)).unwrap_or_default();
    let field = |name, title, hint, choices| Field { name, title, hint, choices, value: value(name) };
    vec![
        field("style", "Style", "", &["", "flat", "plain", "odometer"]),
        field("label", "Label", "online", &[]),
        field("fg", "Ink", "white, #333", &[]),
        field("bg", "Ground", "teal, #4c1", &[]),
        field("height", "Height in pixels", "20", &[]),
        field("scale", "Pixels a CSS pixel", "", &["", "1", "2", "3"]),
        field("format", "Number", "", &["", "full", "grouped", "compact"]),
        field("show", "Counted", "", &["", "count", "visitors"]),
    ]
}

/// The query without the form's empty fields.
fn filled_in(uri: &Uri) -> String {
    let filled = pairs(uri.query().unwrap_or_default()).filter(|(_, value)| !value.is_empty());
    filled.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

/// A form's value as text, to stand in its box again.
fn plain(value: &str) -> String {
    let spaced = value.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn question(query: &str) -> String {
    if query.is_empty() { String::new() } else { format!("?{query}") }
}

/// The address that embed codes begin with: the configured one, or what the browser asked for.
fn base(app: &App, headers: &HeaderMap) -> String {
    if let Some(url) = &app.public_url {
        return url.clone();
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme =
        if text(header::HeaderName::from_static("x-forwarded-proto")) == Some("https") { "https" } else { "http" };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let host = text(header::HOST).filter(|host| host.chars().all(allowed)).unwrap_or("count.example");
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_good_looks() {
        for preset in &PRESETS {
            offered(preset, "online", &Look::default());
        }
    }

    #[test]
    fn empty_fields_are_left_out() {
        let uri = "/?style=&label=caf%C3%A9+bar&fg=".parse().expect("an address");
        assert_eq!(filled_in(&uri), "label=caf%C3%A9+bar");
        assert_eq!(plain("caf%C3%A9+bar"), "café bar");
    }
}
