//! `headcount serve`: build, run, drain. The shutdown order is: not ready; (after `--drain-delay`) stop accepting; end
//! the streams with their last frame, spread over `--drain`; release the leases; exit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use headcount_drawing::Artist;
use headcount_engine::Engine;
use headcount_presence::Presence;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin, Phase};
use crate::feeds::Feeds;
use crate::options::ServeOptions;
use crate::{descriptors, http, logging};

/// Connections that the kernel holds until they are accepted. The system's `net.core.somaxconn` bounds it further.
const BACKLOG: u32 = 4096;
/// Longest wait for what is left once the streams have ended.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs a stream node until it is told to stop.
///
/// # Errors
/// What keeps it from starting: an address in use, an unreadable font.
pub(crate) fn run(options: ServeOptions) -> anyhow::Result<()> {
    logging::start(&options.log, options.log_format)?;
    if let Err(error) = descriptors::raise() {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("http").build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = listen(&options)?;
    let admin_listener = TcpListener::bind(options.admin)
        .await
        .with_context(|| format!("cannot listen on the admin address {}", options.admin))?;
    let (phase, phases) = watch::channel(Phase::Serving);

    let mut registry = Registry::with_prefix("headcount");
    let presence = presence(&options);
    presence.register_metrics(&mut registry);
    let budget = descriptors::budget(options.max_heads).context("the limit of open files cannot be read")?;
    let engine = Engine::start(engine_settings(&options, budget.viewers))?;
    engine.register_metrics(&mut registry);
    descriptors::register_metrics(&mut registry);
    let metrics = http::Metrics::default();
    metrics.register(&mut registry);

    let drivers = TaskTracker::new();
    let http2_viewers = TaskTracker::new();
    let feeds =
        Feeds::new(presence.clone(), engine.clone(), artist(&options)?, options.small, options.max_looks, drivers);
    let app = Arc::new(http::App {
        feeds: Arc::new(feeds),
        presence: presence.clone(),
        counters: options.counters.clone(),
        embed_policy: options.embed_policy.clone(),
        public_url: options.public_url.clone(),
        small: options.small,
        keepalive: options.keepalive,
        stall_limit: options.stall_limit,
        metrics: metrics.clone(),
        phase: phases.clone(),
        http2_viewers: http2_viewers.clone(),
    });
    let (stop_accepting, ending) = (CancellationToken::new(), CancellationToken::new());
    let acceptor = Arc::new(http::Acceptor::new(
        http::routes(app),
        trust(&options),
        http::AcceptLimits {
            accept_rate: options.accept_rate,
            head_timeout: options.head_timeout,
            max_heads: budget.heads,
        },
        metrics,
        ending.clone(),
    ));
    announce(&options, &listener, &admin_listener)?;

    let accepting = tokio::spawn({
        let (acceptor, stop) = (Arc::clone(&acceptor), stop_accepting.clone());
        async move { acceptor.run(listener, stop).await }
    });
    let admin = Arc::new(Admin { health: presence.health(), phase: phases, registry });
    let admin = tokio::spawn(async move { axum::serve(admin_listener, admin::routes(admin)).await });

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(viewers = engine.viewers(), "stopping: not ready from now on");
    phase.send_replace(Phase::Unready);
    let mut hurry = pin_hurry(&mut terminate, &mut interrupt);
    let hurried = tokio::select! {
        () = tokio::time::sleep(options.drain_delay) => false,
        () = &mut hurry => true,
    };
    let spread = if hurried { Duration::ZERO } else { options.drain };
    stop_accepting.cancel();
    // The listener closes with the loop, so that a load balancer's next connection goes elsewhere.
    let _ = accepting.await;
    phase.send_replace(Phase::Ending { spread });
    ending.cancel();
    tokio::select! {
        () = engine.drain(spread) => {}
        () = &mut hurry, if !hurried => {
            tracing::info!("told again: ending all streams at once");
            phase.send_replace(Phase::Ending { spread: Duration::ZERO });
            engine.drain(Duration::ZERO).await;
        }
    }
    http2_viewers.close();
    acceptor.connections().close();
    let rest = async {
        http2_viewers.wait().await;
        acceptor.connections().wait().await;
    };
    if tokio::time::timeout(options.drain + LAST_WAIT, rest).await.is_err() {
        tracing::warn!(connections = acceptor.connections().len(), "connections are left that would not end");
    }
    presence.release().await;
    admin.abort();
    tracing::info!("stopped");
    Ok(())
}

/// Resolves at the next signal.
fn pin_hurry<'a>(
    terminate: &'a mut tokio::signal::unix::Signal,
    interrupt: &'a mut tokio::signal::unix::Signal,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn listen(options: &ServeOptions) -> anyhow::Result<TcpListener> {
    let wrong = || format!("cannot listen on {}", options.listen);
    let socket =
        if options.listen.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() };
    let socket = socket.with_context(wrong)?;
    socket.set_reuseaddr(true).with_context(wrong)?;
    socket.bind(options.listen).with_context(wrong)?;
    socket.listen(BACKLOG).with_context(wrong)
}

fn presence(options: &ServeOptions) -> Presence {
    let settings = headcount_presence::Settings {
        prefix: options.redis_prefix.clone(),
        grace: options.grace,
        limits: options.limits.clone(),
        ..headcount_presence::Settings::default()
    };
    match &options.redis {
        Some(url) => Presence::redis(url.clone(), settings),
        None => Presence::embedded(settings),
    }
}

fn engine_settings(options: &ServeOptions, budget: usize) -> headcount_engine::Settings {
    let defaults = headcount_engine::Settings::default();
    headcount_engine::Settings {
        shards: options.shards.unwrap_or(defaults.shards),
        max_viewers: options.max_viewers.map_or(budget, |most| most.min(budget)),
        max_viewers_per_counter: options.max_viewers_per_counter.unwrap_or(budget),
        frame_rate: options.frame_rate,
        keepalive: options.keepalive,
        stall_limit: options.stall_limit,
    }
}

fn artist(options: &ServeOptions) -> anyhow::Result<Artist> {
    crate::commands::draw::artist(options.font.as_deref())
}

fn trust(options: &ServeOptions) -> http::TrustedProxies {
    http::TrustedProxies {
        proxy_protocol_from: options.proxy_protocol_from.clone(),
        forwarded_from: options.forwarded_from.clone(),
        forwarded_header: options.forwarded_header,
    }
}

fn announce(options: &ServeOptions, listener: &TcpListener, admin: &TcpListener) -> anyhow::Result<()> {
    let (listen, admin) = (listener.local_addr()?, admin.local_addr()?);
    let host = if listen.ip().is_unspecified() { "localhost".to_owned() } else { listen.ip().to_string() };
    let open = options.public_url.clone().unwrap_or_else(|| format!("http://{host}:{}/", listen.port()));
    let presence = options.redis.as_ref().map_or_else(|| "in this process".to_owned(), ToString::to_string);
    tracing::info!(%listen, %admin, %presence, "listening");
    tracing::info!("open {open} in a browser");
    Ok(())
}
