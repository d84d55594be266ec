//! Answers requests.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use headcount_connection::{Connection, NewViewer};
use headcount_presence::{AddressLimits, Client, CounterName, Presence, Settings};
use headcount_wire::html;
use hyper::body::Incoming;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use crate::boards::{Boards, PICTURE_TYPE, Viewer};
use crate::document;
use crate::form::Move;
use crate::refusal::{self, Refusal};

/// Largest form. Ours has some thirty bytes.
const MAX_FORM_BYTES: usize = 256;
/// What is read of a larger one before it is refused: many clients read no answer while they write.
const MAX_BODY_BYTES: usize = 128 << 10;
/// Time within which a form must be complete.
const FORM_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams that an address may have on this node. After a pause it may begin as many streams and moves at once.
const MAX_ADDRESS_STREAMS: usize = 64;
/// Streams and moves that it may begin in a second.
const MAX_ADDRESS_RATE: u32 = 5;
/// Headers of every response: pages of any origin may show it, and nobody keeps it.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store, no-transform"),
    (header::CONTENT_SECURITY_POLICY, document::POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];
/// Keeps Firefox from delaying a second page with the same picture behind its cache's entry: see headcount's streams.
const OUTGROWS_FIREFOX_CACHE: &str = "content-range: bytes 0-0/1099511627776\r\n";

/// What requests are answered from.
pub(crate) struct App {
    boards: Arc<Boards>,
    /// Knows what each address has open on this node, and limits it.
    presence: Presence,
    /// Cancelled when the node is about to end.
    draining: CancellationToken,
}

impl App {
    /// Admits at most so much of an address, unless it is in one of the `exempt` networks.
    pub(crate) fn new(boards: Arc<Boards>, exempt: Vec<IpNet>, draining: CancellationToken) -> Self {
        let streams = MAX_ADDRESS_STREAMS;
        let limits = AddressLimits { per_counter: streams, in_all: streams, per_second: MAX_ADDRESS_RATE, exempt };
        Self { boards, presence: Presence::embedded(Settings { limits, ..Settings::default() }), draining }
    }

    /// Answers a request, or makes its connection a viewer's and never returns.
    pub(crate) async fn answer(&self, connection: Connection<Viewer>, request: Request<Incoming>) -> Response {
        let is_move = request.method() == Method::POST;
        let answer = self.route(connection, request).await;
        let refuse = |Refusal(status, sentence)| {
            (StatusCode::from_u16(status).expect("a status"), format!("{sentence}\n")).into_response()
        };
        let mut response = answer.unwrap_or_else(refuse);
        let (status, headers) = (response.status(), response.headers_mut());
        headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.extend([header::RETRY_AFTER, header::REFRESH].map(|name| (name, HeaderValue::from_static("5"))));
        }
        if is_move {
            // The sentence of a refusal stands below the board, and goes away by itself.
            headers.insert(header::REFRESH, HeaderValue::from_static("5; url=/-/nothing"));
        }
        response
    }

    /// Paths that begin with a dash are none of a board.
    async fn route(&self, connection: Connection<Viewer>, request: Request<Incoming>) -> Result<Response, Refusal> {
        let (axum::http::request::Parts { method, uri, headers, .. }, body) = request.into_parts();
        let client = Client { ip: connection.client_ip(&headers), user_agent: agent(&headers).to_vec() };
        let path: Vec<&str> = uri.path().strip_prefix('/').unwrap_or_default().split('/').collect();
        Ok(match (method, &path[..]) {
            (Method::GET, [""]) => Html(document::FRONT).into_response(),
            (Method::GET, ["-", "nothing"]) => "\n".into_response(),
            (Method::GET, ["readyz"]) if self.draining.is_cancelled() => return Err(refusal::DRAINING),
            (Method::GET, ["readyz" | "healthz"]) => "ok\n".into_response(),
            (Method::GET, [board, "live.html"]) => {
                let viewer = self.admit(board, &client).await?;
                let head = head(&headers, html::CONTENT_TYPE, &document::opening(board));
                connection.hand_over(NewViewer { feed: viewer.board.html.clone(), head, attachment: viewer }).await
            }
            (Method::GET, [file]) if file.ends_with(".png") => {
                let viewer = self.admit(&file[..file.len() - 4], &client).await?;
                let head = head(&headers, headcount_wire::CONTENT_TYPE, &headcount_wire::opening(PICTURE_TYPE));
                connection.hand_over(NewViewer { feed: viewer.board.pictures.clone(), head, attachment: viewer }).await
            }
            (Method::GET, [file]) if file.ends_with(".html") => {
                Html(document::outer(&name(&file[..file.len() - 5])?)).into_response()
            }
            (Method::POST, [board]) => {
                self.play(board, &client, &headers, body).await?;
                StatusCode::NO_CONTENT.into_response()
            }
            (Method::GET | Method::POST, _) => return Err(refusal::NOT_FOUND),
            _ => return Err(refusal::METHOD),
        })
    }

    /// Admits a viewer to a board.
    async fn admit(&self, board: &str, client: &Client) -> Result<Viewer, Refusal> {
        let name = name(board)?;
        self.boards.engine.has_room(&name.as_str().into()).map_err(|_| refusal::FULL)?;
        let _registration = self.presence.admit(&name, client).await.map_err(|_| refusal::ADDRESS)?;
        Ok(Viewer { _registration, board: self.boards.open(&name).await? })
    }

    /// Makes a client's move.
    async fn play(&self, board: &str, client: &Client, headers: &HeaderMap, body: Incoming) -> Result<(), Refusal> {
        let form = tokio::time::timeout(FORM_TIMEOUT, to_bytes(Body::new(body), MAX_BODY_BYTES)).await;
        let form = form.map_err(|_| refusal::SLOW_FORM)?.ok();
        let form = form.filter(|form| form.len() <= MAX_FORM_BYTES).ok_or(refusal::LARGE_FORM)?;
        let name = name(board)?;
        // For as long as the move takes, it counts as a stream.
        let _move = self.presence.admit(&name, client).await.map_err(|_| refusal::ADDRESS)?;
        // Browsers send it with every form. So no other site can make its readers move.
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let origin = headers.get(header::ORIGIN).map(|origin| origin.as_bytes().rsplit(|byte| *byte == b'/').next());
        if origin.is_some_and(|origin| origin != host) {
            return Err(refusal::OTHER_ORIGIN);
        }
        let wanted = Move::parse(&form).ok_or(refusal::FORM)?;
        let stored = self.boards.store.read(&name).await?;
        let next = stored.board.play(client, wanted)?;
        self.boards.store.swap(&name, &stored, &next).await
    }
}

fn name(text: &str) -> Result<CounterName, Refusal> {
    CounterName::parse(text).map_err(|_| refusal::NAME)
}

fn agent(headers: &HeaderMap) -> &[u8] {
    headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default()
}

/// The head of a stream, and its opening.
fn head(request: &HeaderMap, content_type: &str, opening: &[u8]) -> Bytes {
    let fixed: String = HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let firefox = if agent(request).windows(8).any(|part| part == b"Firefox/") { OUTGROWS_FIREFOX_CACHE } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{fixed}{firefox}connection: close\r\n\r\n");
    [head.as_bytes(), opening].concat().into()
}
