//! Answers requests.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headcount_connection::{ConnectionResult, FormError, NewViewer, read_form};
use headcount_presence::{AddressLimits, Client, CounterName, Presence, Settings};
use headcount_wire::html;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::boards::{Boards, PICTURE_TYPE, Viewer};
use crate::document;
use crate::form::Move;
use crate::game::Board;
use crate::refusal::{self, Refusal};

/// Largest form. Ours has some thirty bytes.
const MAX_FORM_BYTES: usize = 256;
/// Streams that an address may have on this node. After a pause it may begin as many at once, and make as many moves.
const MAX_ADDRESS_STREAMS: usize = 64;
/// Games that it may begin within a move limit: enough for a class, and few of all boards.
const MAX_ADDRESS_GAMES: usize = 16;
/// Streams that it may begin in a second, and moves that it may make.
const MAX_ADDRESS_RATE: u32 = 5;
const TEXT: &str = "text/plain; charset=utf-8";
type Answer = Result<Response<Bytes>, Refusal>;

/// Headers of every response: pages of any origin may show it, and nobody keeps it.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store, no-transform"),
    (header::CONTENT_SECURITY_POLICY, document::POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];
/// What requests are answered from.
pub(crate) struct App {
    boards: Arc<Boards>,
    /// Knows what each address has open on this node, and limits it.
    streams: Presence,
    /// Limits the moves of each address: who looks at many boards can still play.
    moves: Presence,
    /// The games that each address has begun within a move limit.
    games: Presence,
    move_limit: Duration,
    /// Cancelled when the node is about to end.
    draining: CancellationToken,
}

impl App {
    /// Limits addresses that are in none of the `exempt` networks.
    pub(crate) fn new(boards: Arc<Boards>, options: &Options, draining: CancellationToken) -> Self {
        let limited = |in_all| {
            let exempt = options.limit_exempt.clone();
            let limits = AddressLimits { per_counter: in_all, in_all, per_second: MAX_ADDRESS_RATE, exempt };
            Presence::embedded(Settings { limits, ..Settings::default() })
        };
        let [streams, moves, games] = [MAX_ADDRESS_STREAMS, MAX_ADDRESS_STREAMS, MAX_ADDRESS_GAMES].map(limited);
        Self { boards, streams, moves, games, move_limit: options.move_limit, draining }
    }

    /// Answers a request, or makes its connection a viewer's and never returns.
    pub(crate) async fn answer(&self, request: Request<Incoming>, by: ConnectionResult<Viewer>) -> Response<Bytes> {
        let is_move = request.method() == Method::POST;
        let mut answer = self.route(request, by).await.unwrap_or_else(refuse);
        if is_move {
            // The sentence of a refusal stands below the board, and goes away by itself.
            answer.headers_mut().insert(header::REFRESH, HeaderValue::from_static("5; url=/-/nothing"));
        }
        answer
    }

    /// Paths that begin with a dash are none of a board.
    async fn route(&self, request: Request<Incoming>, by: ConnectionResult<Viewer>) -> Answer {
        let (by, (head, body)) = (by.map_err(|_| refusal::ADDRESS)?, request.into_parts());
        let agent = head.headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let client = Client { ip: by.client_ip, user_agent: agent.to_vec() };
        let path: Vec<&str> = head.uri.path().strip_prefix('/').unwrap_or_default().split('/').collect();
        let refusal = refuse(refusal::FULL);
        Ok(match (&head.method, &path[..]) {
            (&Method::GET, [""]) => respond(200, html::CONTENT_TYPE, document::FRONT),
            (&Method::GET, ["-", "nothing"]) => respond(200, TEXT, "\n"),
            (&Method::GET, ["readyz"]) if self.draining.is_cancelled() => return Err(refusal::DRAINING),
            (&Method::GET, ["readyz" | "healthz"]) => respond(200, TEXT, "ok\n"),
            (&Method::GET, [board, "live.html"]) => {
                let attachment = self.admit(board, &client).await?;
                let response = respond(200, html::CONTENT_TYPE, document::opening(board));
                by.hand_over(NewViewer { feed: attachment.board.html.clone(), response, attachment, refusal }).await
            }
            (&Method::GET, [file]) if file.ends_with(".png") => {
                let attachment = self.admit(&file[..file.len() - 4], &client).await?;
                let response = respond(200, headcount_wire::CONTENT_TYPE, headcount_wire::opening(PICTURE_TYPE));
                by.hand_over(NewViewer { feed: attachment.board.pictures.clone(), response, attachment, refusal }).await
            }
            (&Method::GET, [file]) if file.ends_with(".html") => {
                respond(200, html::CONTENT_TYPE, document::outer(&name(&file[..file.len() - 5])?))
            }
            (&Method::POST, [board]) => {
                self.play(board, &client, &head.headers, body).await?;
                respond(204, TEXT, "")
            }
            (&Method::GET | &Method::POST, _) => return Err(refusal::NOT_FOUND),
            _ => return Err(refusal::METHOD),
        })
    }

    /// Admits a viewer to a board.
    async fn admit(&self, board: &str, client: &Client) -> Result<Viewer, Refusal> {
        let name = name(board)?;
        self.boards.engine.has_room(&name.as_str().into()).map_err(|_| refusal::FULL)?;
        let _registration = self.streams.admit(&name, client).await.map_err(|_| refusal::ADDRESS)?;
        Ok(Viewer { _registration, board: self.boards.open(&name).await? })
    }

    /// Makes a client's move.
    async fn play(&self, board: &str, client: &Client, headers: &HeaderMap, body: Incoming) -> Result<(), Refusal> {
        let form = read_form(headers, body, MAX_FORM_BYTES).await.map_err(|error| match error {
            FormError::OtherOrigin => refusal::OTHER_ORIGIN,
            FormError::Late => refusal::SLOW_FORM,
            FormError::TooLarge => refusal::LARGE_FORM,
        })?;
        let name = name(board)?;
        let _move = self.moves.admit(&name, client).await.map_err(|_| refusal::ADDRESS)?;
        let wanted = Move::parse(&form).ok_or(refusal::FORM)?;
        let stored = self.boards.store.read(&name).await?;
        let next = stored.board.play(client, wanted)?;
        if stored.board != Board::default() {
            return self.boards.store.swap(&name, &stored, &next).await;
        }
        let game = self.games.admit(&name, client).await.map_err(|_| refusal::ADDRESS)?;
        self.boards.store.swap(&name, &stored, &next).await?;
        let move_limit = self.move_limit;
        tokio::spawn(async move {
            tokio::time::sleep(move_limit).await;
            drop(game);
        });
        Ok(())
    }
}

/// An answer.
fn respond(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    let headers = [(header::CONTENT_TYPE, content_type)].into_iter().chain(HEADERS);
    response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// A refusal. A frame comes back by itself after one that passes, and not together with those that were refused with it.
fn refuse(Refusal(status, sentence): Refusal) -> Response<Bytes> {
    let mut response = respond(status, TEXT, format!("{sentence}\n"));
    if matches!(status, 429 | 503) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        response.headers_mut().insert(header::REFRESH, HeaderValue::from(rand::random_range(5..=10_u16)));
    }
    response
}

fn name(text: &str) -> Result<CounterName, Refusal> {
    CounterName::parse(text).map_err(|_| refusal::NAME)
}
