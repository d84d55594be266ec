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
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use self::{form::Move, options::Options};

/// Serves until SIGTERM or SIGINT; then streams end, spread over the drain.
///
/// # Errors
/// Fails if the service cannot start, as when an address is in use.
#[tokio::main]
pub async fn run(options: Options) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    // Each viewer is an open file.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let store = store::Store::new(&options)?;
    let Options { max_viewers, keepalive, proxy_protocol_from, forwarded_from, .. } = options;
    let engine = Engine::start(Settings { max_viewers, keepalive, ..Settings::default() })?;
    let boards = boards::Boards::new(engine.clone(), store, options.max_boards);
    let listener = TcpListener::bind(options.listen).await.context("cannot listen on the address of --listen")?;
    tracing::info!("serving http://{}/", listener.local_addr()?);
    let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
    let app = Arc::new(http::App::new(boards, options.limit_exempt, draining.clone()));
    let forwarded_header = ForwardedHeader::XForwardedFor;
    let proxies = TrustedProxies { proxy_protocol_from, forwarded_from, forwarded_header };
    tokio::spawn(headcount_connection::accept(listener, proxies, stop.clone(), move |connection, request| {
        let app = Arc::clone(&app);
        async move { app.answer(connection, request).await }
    }));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(viewers = engine.viewers(), "stopping");
    draining.cancel();
    tokio::time::sleep(options.drain_delay).await;
    stop.cancel();
    engine.drain(options.drain).await;
    Ok(())
}
