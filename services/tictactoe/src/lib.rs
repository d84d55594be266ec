//! Tic-tac-toe for everyone who looks at a page: pushed as a picture and as HTML, played with a form, without JavaScript. It is
//! a service of its own on headcount's crates, and shows what else they can be used for.
//!
//! `game` has the rules and knows nothing of the rest; `store` keeps the boards in Redis; `boards` pushes those that somebody
//! looks at, as `document` and `picture` show them; `http` answers requests.

mod boards;
mod document;
mod form;
mod game;
mod http;
mod options;
mod picture;
mod refusal;
mod store;

use std::sync::Arc;

use anyhow::Context;
use headcount_connection::{ForwardedHeader, TrustedProxies};
use headcount_engine::{Engine, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::{form::Move, options::Options};

/// Serves until SIGTERM or SIGINT; then streams end, spread over the drain.
///
/// # Errors
/// Fails if the service cannot start, as when an address is in use.
#[tokio::main]
pub async fn run(options: Options) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let (store, draining) = (store::Store::new(&options)?, CancellationToken::new());
    let Options { max_viewers, keepalive, .. } = options;
    let engine = Engine::start(Settings { max_viewers, keepalive, ..Settings::default() })?;
    let boards = boards::Boards::new(engine.clone(), store, options.max_boards);
    let listener = TcpListener::bind(options.listen).await.context("cannot listen on the address of --listen")?;
    tracing::info!("serving http://{}/", listener.local_addr()?);
    let app = Arc::new(http::App::new(boards, &options, draining.clone()));
    let Options { proxy_protocol_from, forwarded_from, limit_exempt: exempt, drain_delay, drain, .. } = options;
    let proxies =
        TrustedProxies { proxy_protocol_from, forwarded_from, forwarded_header: ForwardedHeader::XForwardedFor };
    let settings = headcount_connection::Settings { proxies, exempt, drain_delay, drain };
    let answer = move |request, connection| {
        let app = Arc::clone(&app);
        async move { app.answer(request, connection).await }
    };
    Ok(headcount_connection::run(listener, settings, &engine, draining, answer).await?)
}
