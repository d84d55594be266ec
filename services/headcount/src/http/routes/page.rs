//! `GET /` and `GET /{counter}`: the pages for people, with the live count, links and a form to choose a look, and the
//! embed codes. The content security policy forbids JavaScript.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use headcount_drawing::{Artist, Look, SetName, Style};
use headcount_wire::history::{Peak, Span};

use super::requested_origin::requested_origin;
use crate::counters::{CounterRef, Counters};
use crate::http::app::App;
use crate::http::error::HttpError;
use crate::sample;

/// The counter that `GET /` shows, unless --counters lists others.
const FRONT_COUNTER: &str = "online";
/// Value of `Content-Security-Policy`.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; img-src 'self'; frame-src 'self'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'";

/// Looks that the page offers: a name and a query.
const PRESETS: [(&str, &str); 9] = [
    ("A flat badge", ""),
    ("A blue badge for readers", "label=readers&bg=royalblue"),
    ("Distinct visitors", "label=visitors&show=visitors&bg=teal"),
    ("The bare number", "style=plain&height=24"),
    ("An odometer", "style=odometer&height=32"),
    ("Glowing tubes", "style=sprites&height=32"),
    ("The number with the last hour behind it", "style=spark"),
    ("The day as a chart", "style=chart&width=300&height=120"),
    ("A green odometer", "style=odometer&fg=lime&height=32&label="),
];

/// Width and height of the page's chart, which fit its card, where the window is wide, and where it is not, in pixels.
const WIDE_CHART: (u32, u32) = (656, 220);
const NARROW_CHART: (u32, u32) = (256, 180);
/// The spans of the page's chart, in words.
const SPANS: [(Span, &str); 5] = [
    (Span::Hour, "60 minutes"),
    (Span::Day, "24 hours"),
    (Span::Month, "30 days"),
    (Span::Year, "a year"),
    (Span::All, "five years"),
];

/// What a page says of the node's other counters.
enum Others {
    /// Any name is a counter.
    Any,
    /// The segments of the paths of all counters.
    Listed(Vec<String>),
    /// Names need a signature.
    Signed,
}

/// The front page of a node whose counters have signed names: it can name none of them.
#[derive(Template)]
#[template(path = "front.html")]
struct FrontPage {
    title: &'static str,
    others: Others,
}

#[derive(Template)]
#[template(path = "counter.html")]
struct Page {
    title: String,
    others: Others,
    counter: String,
    /// The page's own path.
    page: String,
    /// What is wrong with the requested look.
    error: Option<String>,
    /// The path of the live picture in the chosen look, which counts.
    stream: String,
    height: u32,
    /// The path of a sample in the chosen look.
    sample: String,
    /// The path of the number in a frame, which does not count.
    number: String,
    /// The paths of the past in a frame, which does not count: for wide windows and for narrow ones.
    wide_chart: String,
    narrow_chart: String,
    spans: Vec<SpanLink>,
    /// What the chart's steps are: "minute".
    step: &'static str,
    peak_today: Option<PeakText>,
    peak: Option<PeakText>,
    is_recorded: bool,
    presets: Vec<Preset>,
    fields: Vec<Field>,
    html: String,
    frame_html: String,
    events: String,
    markdown: String,
    bbcode: String,
    json: String,
}

/// A peak as text: how many, and when.
struct PeakText {
    count: u64,
    /// RFC 3339.
    time: String,
    /// For people.
    when: String,
}

/// A link to another span of the chart.
struct SpanLink {
    name: &'static str,
    title: &'static str,
    current: bool,
}

struct Preset {
    name: &'static str,
    query: String,
    sample: String,
    current: bool,
}

/// A control of the form: a list of `choices`, or a text box if there are none.
struct Field {
    name: &'static str,
    title: &'static str,
    hint: &'static str,
    choices: Vec<String>,
    value: String,
}

/// `GET /`: the page of the front counter, or a redirect to the one that the form names.
pub(super) async fn front(State(app): State<Arc<App>>, request: Request) -> Result<Response, HttpError> {
    let requested = pairs(request.uri().query().unwrap_or_default()).find(|(name, _)| *name == "counter");
    if let Some((_, name)) = requested {
        let counter = app.counters.read(&decode(name))?;
        return Ok(Redirect::to(&format!("/{}", counter.path_segment)).into_response());
    }
    let counter = match &app.counters {
        Counters::Listed(names) => app.counters.read(names[0].as_str())?,
        Counters::Any => app.counters.read(FRONT_COUNTER)?,
        Counters::Signed(_) => {
            let text = FrontPage { title: "headcount", others: Others::Signed }.render();
            return Ok(html(StatusCode::OK, text.expect("the template writes to a String")));
        }
    };
    let asked = Asked::of(&app, &request);
    page(&app, &counter, "/", asked).await
}

/// `GET /{counter}`.
pub(super) async fn counter(app: &App, counter: &CounterRef, asked: Asked) -> Result<Response, HttpError> {
    page(app, counter, &format!("/{}", counter.path_segment), asked).await
}

/// What a page needs of its request.
pub(super) struct Asked {
    /// The query, without the form's empty fields.
    query: String,
    /// The base URL for embed codes.
    base: String,
}

impl Asked {
    /// Reads a request.
    pub(super) fn of(app: &App, request: &Request) -> Self {
        Self { query: non_empty_fields(request.uri()), base: base(app, request) }
    }
}

async fn page(app: &App, counter: &CounterRef, path: &str, asked: Asked) -> Result<Response, HttpError> {
    let Asked { query, base } = asked;
    let look = Look::from_query(&query).and_then(|look| app.feeds.draw_queue().artist().check(&look).map(|()| look));
    let (look, error) = match look {
        Ok(look) => (look, None),
        Err(error) => (Look::default(), Some(format!("{error}."))),
    };
    let name = &counter.path_segment;
    let look_query = query_suffix(&look.query());
    let live = format!("{base}/{name}.png{look_query}");
    let frame = format!("{base}/{name}.html{look_query}");
    let artist = app.feeds.draw_queue().artist();
    let width = frame_width(&look, artist);
    let snapshot = format!("{base}/{name}/snapshot.svg{look_query}");
    let asked = pairs(&query).find(|(name, _)| *name == "span").and_then(|(_, span)| Span::from_name(span));
    let span = asked.unwrap_or_default();
    let history = app.presence.history(&counter.name, Span::default()).await;
    let is_recorded = history.is_some();
    let peaks = history.map_or((None, None), |history| (history.peak_today, history.peak));
    let chart = |width, height| {
        let size = format!("width={width}&height={height}");
        format!("/{name}.html?style=chart&span={}&{size}&count=no", span.name())
    };
    let status = if error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = Page {
        title: format!("{} · headcount", counter.name.as_str()),
        others: others(&app.counters),
        counter: counter.name.as_str().to_owned(),
        page: path.to_owned(),
        error,
        stream: format!("/{name}.png{look_query}"),
        height: look.height(),
        sample: sample_path(name, &look),
        number: format!("/{name}.html?style=plain&height=96&label=&count=no"),
        wide_chart: chart(WIDE_CHART.0, WIDE_CHART.1),
        narrow_chart: chart(NARROW_CHART.0, NARROW_CHART.1),
        spans: SPANS.map(|(of, title)| SpanLink { name: of.name(), title, current: of == span }).into(),
        step: match span {
            Span::Hour | Span::Day => "minute",
            Span::Month => "quarter of an hour",
            Span::Year | Span::All => "day",
        },
        peak_today: peaks.0.and_then(|peak| peak_text(peak, app.small)),
        peak: peaks.1.and_then(|peak| peak_text(peak, app.small)),
        is_recorded,
        presets: PRESETS.iter().map(|offer| preset(offer, name, &look)).collect(),
        fields: fields(&query, artist),
        frame_html: format!(
            "<iframe loading=\"lazy\" src=\"{}\" title=\"people here now\" width=\"{width}\" height=\"{}\" \
             style=\"border:0\"></iframe>",
            frame.replace('&', "&amp;"),
            look.height()
        ),
        events: events_snippet(&format!("{base}/{name}/events")),
        html: format!(
            "<img src=\"{}\" alt=\"people here now\" height=\"{}\">",
            live.replace('&', "&amp;"),
            look.height()
        ),
        markdown: format!("![people here now]({snapshot})"),
        bbcode: format!("[img]{live}[/img]"),
        json: format!("{base}/{name}.json"),
    };
    Ok(html(status, body.render().expect("the template writes to a String")))
}

/// Returns a width, in pixels, that a document in this look needs with six digits: browsers do not fit a frame to what is in it.
fn frame_width(look: &Look, artist: &Artist) -> u32 {
    if let Some(width) = look.width() {
        return width;
    }
    // A digit is 0.6 of its font size, and that is 0.55 of the height; an odometer's drum is 0.6 of the height.
    let digit = match (look.style(), artist.set_of(look)) {
        (_, Some((_, set))) => set.digit_aspect(),
        (Style::Odometer, None) => 0.6,
        (_, None) => 0.34,
    };
    let width = 1.2 + 6.0 * digit + 0.34 * look.label().chars().count() as f32;
    (width * look.height() as f32).ceil() as u32
}

/// Returns a script that shows the count in an element of the page, and comes back by itself.
fn events_snippet(url: &str) -> String {
    format!(
        "<output id=\"here-now\">…</output> people here now\n<script>\nnew EventSource('{url}')\n  \
         .onmessage = event => document.getElementById('here-now').value = JSON.parse(event.data).count;\n</script>"
    )
}

fn html(status: StatusCode, text: String) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, Html(text)).into_response()
}

/// Returns a peak as text, unless it is hidden.
fn peak_text(peak: Peak, small: u64) -> Option<PeakText> {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(peak.at))?;
    // 2025-11-25T14:05:40Z
    let time = humantime::format_rfc3339_seconds(time).to_string();
    let when = format!("{} at {} UTC", time.get(..10)?, time.get(11..16)?);
    (peak.count >= small && peak.count > 0).then_some(PeakText { count: peak.count, time, when })
}

/// Returns the path of a sample in a look.
fn sample_path(counter: &str, look: &Look) -> String {
    let options = [look.query().as_str(), sample::OPTION].join("&");
    format!("/{counter}/snapshot.svg?{}", options.trim_start_matches('&'))
}

fn preset(&(name, query): &(&'static str, &str), counter: &str, current: &Look) -> Preset {
    let look = Look::from_query(query).expect("the presets are valid looks: a test parses them");
    let query = query_suffix(&look.query());
    Preset { name, sample: sample_path(counter, &look), query, current: look == *current }
}

fn fields(query: &str, artist: &Artist) -> Vec<Field> {
    let value =
        |name: &str| pairs(query).find(|(key, _)| *key == name).map(|(_, value)| decode(value)).unwrap_or_default();
    let field = |name, title, hint, choices: &[&str]| {
        let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        Field { name, title, hint, choices, value: value(name) }
    };
    let sets: Vec<&str> = std::iter::once("").chain(artist.sprites().names().map(SetName::as_str)).collect();
    vec![
        field("style", "Style", "", &["", "flat", "plain", "odometer", "sprites", "chart", "spark"]),
        field("span", "Past of a chart", "", &["", "hour", "day", "month", "year", "all"]),
        field("width", "Width of a chart", "600", &[]),
        field("set", "Set of sprites", "", &sets),
        field("label", "Label", "online", &[]),
        field("fg", "Foreground", "white, #333", &[]),
        field("bg", "Background", "teal, #4c1", &[]),
        field("label_bg", "Behind the label", "#555", &[]),
        field("height", "Height in pixels", "20", &[]),
        field("scale", "Pixels per CSS pixel", "", &["", "1", "2", "3"]),
        field("format", "Number", "", &["", "full", "grouped", "compact"]),
        field("show", "What counts", "", &["", "count", "visitors"]),
    ]
}

/// Returns the query without empty fields, which the form sends too.
fn non_empty_fields(uri: &Uri) -> String {
    let filled = pairs(uri.query().unwrap_or_default()).filter(|(_, value)| !value.is_empty());
    filled.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

/// Decodes a form's value.
fn decode(value: &str) -> String {
    let spaced = value.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn query_suffix(query: &str) -> String {
    if query.is_empty() { String::new() } else { format!("?{query}") }
}

fn others(counters: &Counters) -> Others {
    match counters {
        Counters::Any => Others::Any,
        Counters::Listed(names) => Others::Listed(names.iter().map(|name| name.as_str().to_owned()).collect()),
        Counters::Signed(_) => Others::Signed,
    }
}

/// Returns the base URL for embed codes: the configured one, or the one that the browser requested.
fn base(app: &App, request: &Request) -> String {
    let requested = || requested_origin(request).unwrap_or_else(|| "http://count.example".to_owned());
    app.public_url.clone().unwrap_or_else(requested)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_valid_looks() {
        for offer in &PRESETS {
            preset(offer, "online", &Look::default());
        }
    }

    #[test]
    fn empty_fields_are_dropped() {
        let uri = "/?style=&label=caf%C3%A9+bar&fg=".parse().expect("a URI");
        assert_eq!(non_empty_fields(&uri), "label=caf%C3%A9+bar");
        assert_eq!(decode("caf%C3%A9+bar"), "café bar");
    }
}
