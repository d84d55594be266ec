//! `headcount serve`: build, run, drain. The shutdown order is: not ready; (after `--drain-delay`) stop accepting; end the
//! streams with their last frame, spread over `--drain`; wait for other connections; stop the feeds; release the leases;
//! exit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use headcount_engine::Engine;
use headcount_presence::{Health, Presence};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin};
use crate::commands::draw;
use crate::feeds::{FeedSettings, Feeds};
use crate::options::ServeOptions;
use crate::phase::Phase;
use crate::{descriptors, http, logging};

/// Time that streams and other connections have to end after the spread. Those that remain are aborted.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// Time to give the leases back if Redis has been away. They expire anyway.
const RELEASE_WITHOUT_REDIS: Duration = Duration::from_millis(500);

/// Runs a stream node until SIGTERM or SIGINT.
///
/// # Errors
/// Fails if the node cannot start, as when an address is in use or the font is unreadable.
pub(crate) fn run(options: ServeOptions) -> anyhow::Result<()> {
    logging::start(&options.log, options.log_format)?;
    if let Err(error) = descriptors::raise() {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("http").build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let listener = http::listen(options.listen)?;
    let admin_listener = http::listen(options.admin).context("the admin address")?;
    let (phase, phases) = watch::channel(Phase::Serving);

    let mut registry = Registry::with_prefix("headcount");
    let presence = presence(&options);
    presence.register_metrics(&mut registry);
    let budget = descriptors::budget(options.requests.max_heads).context("cannot read the limit of open files")?;
    let engine = Engine::start(engine_settings(&options, budget.viewers))?;
    engine.register_metrics(&mut registry);
    descriptors::register_metrics(&mut registry);
    let metrics = http::Metrics::default();
    metrics.register(&mut registry);

    let artist = draw::artist(options.font.as_deref())?;
    let feeds = Arc::new(Feeds::new(
        presence.clone(),
        engine.clone(),
        artist,
        FeedSettings {
            small: options.presence.small,
            frame_rate: options.viewers.frame_rate,
            max_looks: options.viewers.max_looks,
            addresses: options.addresses.limits(),
        },
    ));
    feeds.register_metrics(&mut registry);
    let http2_viewers = TaskTracker::new();
    let app = Arc::new(http::App {
        feeds: Arc::clone(&feeds),
        presence: presence.clone(),
        counters: options.presence.counters().map_err(anyhow::Error::msg)?,
        embed_policy: options.presence.embed_from.clone(),
        public_url: options.public_url.clone(),
        small: options.presence.small,
        keepalive: options.viewers.keepalive,
        stall_limit: options.viewers.stall_limit,
        metrics,
        phase: phases.clone(),
        http2_viewers: http2_viewers.clone(),
    });
    let (stop_accepting, ending) = (CancellationToken::new(), CancellationToken::new());
    let limits = http::AcceptLimits {
        accept_rate: options.requests.accept_rate,
        head_timeout: options.requests.head_timeout,
        max_heads: budget.heads,
        stall_limit: options.viewers.stall_limit,
    };
    let acceptor = Arc::new(http::acceptor(app, options.proxies.trusted(), limits, ending.clone()));
    announce(&options, &listener, &admin_listener)?;

    let accepting = tokio::spawn({
        let (acceptor, stop) = (Arc::clone(&acceptor), stop_accepting.clone());
        async move { acceptor.run(listener, stop).await }
    });
    let live_shards = {
        let engine = engine.clone();
        Box::new(move || engine.live_shards())
    };
    let admin = admin::serve(admin_listener, Admin { health: presence.health(), live_shards, phase: phases, registry });

    signals.next().await;
    tracing::info!(viewers = engine.viewers(), "stopping: no longer ready");
    phase.send_replace(Phase::Unready);
    let at_once = tokio::select! {
        () = tokio::time::sleep(options.shutdown.drain_delay) => false,
        () = signals.next() => true,
    };
    let spread = if at_once { Duration::ZERO } else { options.shutdown.drain };
    stop_accepting.cancel();
    // The loop closes the listener, so that a load balancer's next connection goes to another node.
    let _ = accepting.await;
    phase.send_replace(Phase::Ending { spread });
    ending.cancel();
    http2_viewers.close();
    acceptor.connections().close();
    let ended = async |spread| {
        let all = async {
            engine.drain(spread).await;
            http2_viewers.wait().await;
            acceptor.connections().wait().await;
        };
        tokio::time::timeout(spread + LAST_WAIT, all).await.is_ok()
    };
    let all_ended = tokio::select! {
        all_ended = ended(spread) => all_ended,
        () = signals.next(), if !at_once => {
            tracing::info!("second signal: ending all streams at once");
            phase.send_replace(Phase::Ending { spread: Duration::ZERO });
            ended(Duration::ZERO).await
        }
    };
    if !all_ended {
        tracing::warn!(connections = acceptor.connections().len(), "aborting connections that have not ended in time");
    }
    feeds.stop().await;
    release(&presence).await;
    admin.abort();
    tracing::info!("stopped");
    Ok(())
}

/// Gives the leases back.
async fn release(presence: &Presence) {
    if matches!(*presence.health().borrow(), Health::Connected) {
        presence.release().await;
    } else if tokio::time::timeout(RELEASE_WITHOUT_REDIS, presence.release()).await.is_err() {
        tracing::warn!("Redis does not answer: this node's leases expire by themselves");
    }
}

/// The signals that stop a node.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next SIGTERM or SIGINT.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn presence(options: &ServeOptions) -> Presence {
    let settings = headcount_presence::Settings {
        prefix: options.presence.redis_prefix.clone(),
        grace: options.presence.grace,
        limits: options.addresses.limits(),
        timing: headcount_presence::Timing::scaled(options.presence.time_scale),
        ..headcount_presence::Settings::default()
    };
    match &options.presence.redis {
        Some(url) => Presence::redis(url.clone(), settings),
        None => Presence::embedded(settings),
    }
}

/// Returns the engine's settings. Descriptors suffice for `max_viewers`.
fn engine_settings(options: &ServeOptions, max_viewers: usize) -> headcount_engine::Settings {
    let defaults = headcount_engine::Settings::default();
    headcount_engine::Settings {
        shards: options.viewers.shards.unwrap_or(defaults.shards),
        max_viewers: options.viewers.max_viewers.map_or(max_viewers, |max| max.min(max_viewers)),
        max_viewers_per_counter: options.viewers.max_viewers_per_counter.unwrap_or(max_viewers),
        frame_rate: options.viewers.frame_rate,
        keepalive: options.viewers.keepalive,
        stall_limit: options.viewers.stall_limit,
    }
}

fn announce(options: &ServeOptions, listener: &TcpListener, admin: &TcpListener) -> anyhow::Result<()> {
    let (listen, admin) = (listener.local_addr()?, admin.local_addr()?);
    let open = options.public_url.clone().unwrap_or_else(|| {
        // A socket address has the brackets that a URL needs around IPv6.
        let host =
            if listen.ip().is_unspecified() { format!("localhost:{}", listen.port()) } else { listen.to_string() };
        format!("http://{host}/")
    });
    let presence = options.presence.redis.as_ref().map_or_else(|| "in this process".to_owned(), ToString::to_string);
    tracing::info!(%listen, %admin, %presence, "listening");
    tracing::info!("open {open} in a browser");
    Ok(())
}
