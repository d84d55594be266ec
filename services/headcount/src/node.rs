//! [`Node`]: a stream node that serves, from its start to its end. It ends by draining, or by handing everything over to the
//! program that replaces it.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::num::NonZeroU16;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use headcount_engine::{Engine, HeldViewer};
use headcount_presence::{Counter, Health, HistoryFile, HistorySettings, Presence, PresenceState};
use prometheus_client::registry::Registry;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin};
use crate::commands::draw;
use crate::counter_gauges::CounterGauges;
use crate::counters::Counters;
use crate::feeds::{Feed, FeedSettings, Feeds, ViewerAttachment};
use crate::http::WaitingConnection;
use crate::options::{OptionDigests, ServeOptions};
use crate::phase::Phase;
use crate::reload::{
    self, DetachedViewer, EndingStream, Handover, Listener, LooksState, NodeState, Ports, ReloadMetrics, ReloadTotals,
    ReturningState, Waiting,
};
use crate::returning_viewers::ExpectedViewer;
use crate::status_board::StatusBoard;
use crate::{descriptors, http, node_description};

/// Time that streams and other connections have to end after the spread. Those that remain are aborted.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// Time to give the leases back if Redis has been away. They expire anyway.
const RELEASE_WITHOUT_REDIS: Duration = Duration::from_millis(500);
/// Time to draw the streams' last pictures, which are marked. Half of the processors draw a thousand usual looks meanwhile.
/// Streams whose picture takes longer repeat their newest one, unless it is drawn before the spread reaches them.
const DRAW_LAST: Duration = Duration::from_secs(1);
/// Time to draw those pictures before a reload, which few programs need.
const RELOAD_DRAW_LAST: Duration = Duration::from_millis(200);
/// Time that requests in progress and HTTP/2 streams have to end before a reload. All viewers wait that long at most for
/// their next frame, so it leaves a part of the promised second for the new program to start.
const RELOAD_WAIT: Duration = Duration::from_millis(600);
/// Time to answer the requests that then still wait with 503.
const RELOAD_LAST_WAIT: Duration = Duration::from_millis(100);

/// A node that serves.
pub(crate) struct Node {
    presence: Presence,
    engine: Engine<ViewerAttachment>,
    feeds: Arc<Feeds>,
    acceptor: Arc<http::Acceptor>,
    http2_viewers: TaskTracker,
    phase: watch::Sender<Phase>,
    public: Listener,
    admin: Listener,
    stop_accepting: CancellationToken,
    accepting: JoinHandle<()>,
    ending: CancellationToken,
    admin_task: JoinHandle<()>,
    reloads: ReloadMetrics,
    resumed: Option<Resumed>,
}

/// What a former program has handed over, as far as this one can go on with it.
#[derive(Default)]
pub(crate) struct Former {
    /// The ports, and whoever waits there.
    pub(crate) ports: Option<Ports>,
    /// The viewers, and everything that belongs to them.
    pub(crate) state: Option<NodeState>,
}

impl From<Handover> for Former {
    fn from(Handover { ports, node }: Handover) -> Self {
        Self { ports: Some(ports), state: Some(node) }
    }
}

/// The viewers that a node has gone on with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resumed {
    /// How many.
    pub(crate) viewers: usize,
    /// How many streams ended, because this program does not know their feed.
    pub(crate) ended: usize,
    /// How long nobody sent them anything.
    pub(crate) pause: Duration,
}

impl Node {
    /// Starts to serve, with what a former program has handed over.
    ///
    /// # Errors
    /// Fails if it cannot start, as when an address is in use or the font is unreadable. The former program's streams have then
    /// ended.
    pub(crate) async fn start(options: &ServeOptions, former: Former) -> anyhow::Result<Self> {
        let Former { ports, state } = former;
        let (presence, totals, viewers) = match state {
            None => (None, ReloadTotals::default(), None),
            Some(NodeState { presence, looks, viewers, totals, held_at, .. }) => {
                (Some(presence), totals, Some(FormerViewers { looks, viewers, held_at }))
            }
        };
        let owner_key = viewers.as_ref().map_or_else(rand::random, |former| former.looks.owner_key);
        let parts = match Parts::build(options, ports, presence, totals, owner_key) {
            Ok(parts) => parts,
            Err(error) => {
                if let Some(former) = viewers {
                    reload::end_all(former.ending_streams()).await;
                }
                return Err(error);
            }
        };
        let resumed = viewers.map(|former| former.resume(&parts.presence, &parts.feeds));
        Ok(parts.serve(options, resumed))
    }

    /// The viewers' engine, for those who ask how many there are.
    pub(crate) fn engine(&self) -> &Engine<ViewerAttachment> {
        &self.engine
    }

    /// The state of presence.
    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.presence.health()
    }

    /// The viewers that it has gone on with, if it began with a handover.
    pub(crate) fn resumed(&self) -> Option<Resumed> {
        self.resumed
    }

    /// Metrics of reloads.
    pub(crate) fn reloads(&self) -> &ReloadMetrics {
        &self.reloads
    }

    /// How far the node is from start to exit.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Serves as before, but is not ready any more.
    pub(crate) fn set_unready(&self) {
        self.phase.send_replace(Phase::Unready);
    }

    /// Ends all streams, spread over `spread`, gives the leases back, and ends. When `hurry` returns, the rest of the spread is
    /// skipped.
    pub(crate) async fn drain(self, mut spread: Duration, hurry: impl Future<Output = ()>) {
        let mut hurry = pin!(hurry);
        self.stop_accepting.cancel();
        // The loop closes the listener, so that a load balancer's next connection goes to another node.
        let _ = self.accepting.await;
        drop(self.public);
        tokio::select! {
            drawn = tokio::time::timeout(DRAW_LAST, self.feeds.prepare_endings()) => {
                if drawn.is_err() {
                    tracing::warn!("not all last pictures could be drawn in time: some streams end with an unmarked one");
                }
            }
            () = &mut hurry, if !spread.is_zero() => spread = Duration::ZERO,
        }
        self.phase.send_replace(Phase::Ending { spread });
        // Who comes back comes to another node.
        self.feeds.returning().close();
        self.ending.cancel();
        self.http2_viewers.close();
        self.acceptor.connections().close();
        let ended = async |spread| {
            let all = async {
                self.engine.drain(spread).await;
                self.http2_viewers.wait().await;
                self.acceptor.connections().wait().await;
            };
            tokio::time::timeout(spread + LAST_WAIT, all).await.is_ok()
        };
        let all_ended = tokio::select! {
            all_ended = ended(spread) => all_ended,
            () = &mut hurry, if !spread.is_zero() => {
                tracing::info!("second signal: ending all streams at once");
                self.phase.send_replace(Phase::Ending { spread: Duration::ZERO });
                ended(Duration::ZERO).await
            }
        };
        if !all_ended {
            let connections = self.acceptor.connections().len();
            tracing::warn!(connections, "aborting connections that have not ended in time");
        }
        self.feeds.stop().await;
        release(&self.presence).await;
        self.admin_task.abort();
    }

    /// Stops to serve without ending a viewer's stream, and returns all that another run needs to go on, `options` for one that
    /// says what has changed. Streams over HTTP/2
    /// end, because their connections cannot be handed over.
    pub(crate) async fn hand_over(mut self, options: OptionDigests) -> Handover {
        // For a program that does not know the format of the state, and can only end the streams.
        let _ = tokio::time::timeout(RELOAD_DRAW_LAST, self.feeds.prepare_endings()).await;
        self.stop_accepting.cancel();
        let _ = (&mut self.accepting).await;
        self.acceptor.keep_waiting();
        self.http2_viewers.close();
        self.acceptor.connections().close();
        let http2_streams = self.http2_viewers.len();
        self.phase.send_replace(Phase::Reloading);
        self.ending.cancel();
        let ended = async {
            self.http2_viewers.wait().await;
            self.acceptor.connections().wait().await;
        };
        tokio::pin!(ended);
        if tokio::time::timeout(RELOAD_WAIT, &mut ended).await.is_err() {
            self.phase.send_replace(Phase::Ending { spread: Duration::ZERO });
            let _ = tokio::time::timeout(RELOAD_LAST_WAIT, &mut ended).await;
        }
        let held_at = monotonic();
        let held = self.engine.hold_viewers().await;
        let (viewers, looks, counters) = self.detach(held);
        let presence = self.presence.pause().await;
        drop(counters);
        self.feeds.stop().await;
        self.admin_task.abort();
        let waiting =
            self.acceptor.take_waiting().into_iter().filter_map(|WaitingConnection { stream, peer, read }| {
                Some(Waiting { socket: stream.into_std().ok()?.into(), peer, read })
            });
        let waiting = waiting.collect();
        self.reloads.http2_streams_ended(http2_streams);
        Handover {
            ports: Ports { public: self.public, admin: self.admin, waiting },
            node: NodeState { presence, looks, viewers, totals: self.reloads.totals(), options, held_at },
        }
    }

    /// Takes the viewers' registrations out of this process. Returns handles of the counters of those who are expected back, too:
    /// they must be live until presence has paused.
    fn detach(
        &self,
        held: Vec<HeldViewer<ViewerAttachment>>,
    ) -> (Vec<HeldViewer<DetachedViewer>>, LooksState, Vec<Counter>) {
        let mut numbers: HashMap<*const Feed, u32> = HashMap::new();
        let mut feeds = Vec::new();
        let viewers = held.into_iter().map(|HeldViewer { socket, attachment, progress }| {
            let (registration, counting, feed) = attachment.detach();
            let feed = *numbers.entry(Arc::as_ptr(&feed)).or_insert_with(|| {
                feeds.push(Feeds::state_of(&feed));
                feeds.len() as u32 - 1
            });
            HeldViewer { socket, attachment: DetachedViewer::new(registration, counting, feed), progress }
        });
        let viewers = viewers.collect();
        let returning = self.feeds.returning().take_all();
        let counters = returning.iter().map(|viewer| viewer.registration.counter()).collect();
        let returning = returning.into_iter().map(|ExpectedViewer { counter, registration, cause, within }| {
            ReturningState { counter: counter.as_str().to_owned(), registration: registration.detach(), cause, within }
        });
        let returning = returning.collect();
        (viewers, LooksState { owner_key: self.feeds.owner_key(), feeds, returning }, counters)
    }
}

/// A node that does not serve yet: everything whose beginning can fail.
struct Parts {
    presence: Presence,
    engine: Engine<ViewerAttachment>,
    feeds: Arc<Feeds>,
    registry: Registry,
    metrics: http::Metrics,
    reloads: ReloadMetrics,
    counters: Counters,
    budget: descriptors::DescriptorBudget,
    listener: TcpListener,
    admin_listener: TcpListener,
    /// Of the two.
    addresses: (SocketAddr, SocketAddr),
    public: Listener,
    admin: Listener,
    waiting: Vec<Waiting>,
}

impl Parts {
    fn build(
        options: &ServeOptions,
        ports: Option<Ports>,
        presence_state: Option<PresenceState>,
        totals: ReloadTotals,
        owner_key: [u64; 2],
    ) -> anyhow::Result<Self> {
        let (public, admin, waiting) = match ports {
            Some(Ports { public, admin, waiting }) => (Some(public), Some(admin), waiting),
            None => (None, None, Vec::new()),
        };
        let (listener, public) = listen(public, options.listen)?;
        let (admin_listener, admin) = listen(admin, options.admin).context("the admin address")?;
        let addresses = (listener.local_addr()?, admin_listener.local_addr()?);
        let mut registry = Registry::with_prefix("headcount");
        let artist = draw::artist(options.font.as_deref(), options.sprites.as_deref())?;
        let counters = options.presence.counters().map_err(anyhow::Error::msg)?;
        let budget = descriptors::budget(options.requests.max_heads).context("cannot read the limit of open files")?;
        let engine = Engine::start(engine_settings(options, budget.viewers))?;
        let file = history_file(options, presence_state.is_some())?;
        let presence = presence(options, presence_state, addresses.0, file);
        let metrics = http::Metrics::default();
        let reloads = ReloadMetrics::new(totals);
        let settings = FeedSettings {
            small: options.presence.small,
            frame_rate: options.viewers.frame_rate,
            document_updates: document_updates(options),
            max_looks: options.viewers.max_looks,
            addresses: options.addresses.limits(),
            owner_key,
        };
        let feeds = Arc::new(Feeds::new(presence.clone(), engine.clone(), artist, settings));
        presence.register_metrics(&mut registry);
        engine.register_metrics(&mut registry);
        descriptors::register_metrics(&mut registry);
        metrics.register(&mut registry);
        reloads.register(&mut registry);
        feeds.register_metrics(&mut registry);
        Ok(Self {
            presence,
            engine,
            feeds,
            registry,
            metrics,
            reloads,
            counters,
            budget,
            listener,
            admin_listener,
            addresses,
            public,
            admin,
            waiting,
        })
    }

    fn serve(self, options: &ServeOptions, resumed: Option<Resumed>) -> Node {
        let Self { presence, engine, feeds, mut registry, budget, listener, .. } = self;
        let (phase, phases) = watch::channel(Phase::Serving);
        let http2_viewers = TaskTracker::new();
        let app = Arc::new(http::App {
            feeds: Arc::clone(&feeds),
            presence: presence.clone(),
            counters: self.counters,
            embed_policy: options.presence.embed_from.clone(),
            public_url: options.public_url.clone(),
            small: options.presence.small,
            keepalive: options.viewers.keepalive,
            frame_refresh: options.viewers.frame_refresh,
            metrics: self.metrics,
            phase: phases.clone(),
            http2_viewers: http2_viewers.clone(),
        });
        let (stop_accepting, ending) = (CancellationToken::new(), CancellationToken::new());
        let limits = http::AcceptLimits {
            accept_rate: options.requests.accept_rate,
            head_timeout: options.requests.head_timeout,
            max_heads: budget.heads,
            max_requests: budget.requests,
            addresses: options.addresses.limits(),
            stall_limit: options.viewers.stall_limit,
        };
        let acceptor = Arc::new(http::acceptor(app, options.proxies.trusted(), limits, ending.clone()));
        announce(options, self.addresses);
        for Waiting { socket, peer, read } in self.waiting {
            match tokio::net::TcpStream::from_std(socket.into()) {
                Ok(stream) => acceptor.serve(WaitingConnection { stream, peer, read }),
                Err(error) => tracing::debug!("a waiting connection is lost: {error}"),
            }
        }
        let accepting = tokio::spawn({
            let (acceptor, stop) = (Arc::clone(&acceptor), stop_accepting.clone());
            async move { acceptor.run(listener, stop).await }
        });
        let live_shards = {
            let engine = engine.clone();
            Box::new(move || engine.live_shards())
        };
        let health = presence.health();
        let status = StatusBoard::new(presence.clone());
        let counters = CounterGauges::default();
        counters.register(&mut registry);
        let admin = Admin { health, live_shards, phase: phases, registry, counters, status };
        let admin_task = admin::serve(self.admin_listener, admin);
        Node {
            presence,
            engine,
            feeds,
            acceptor,
            http2_viewers,
            phase,
            public: self.public,
            admin: self.admin,
            stop_accepting,
            accepting,
            ending,
            admin_task,
            reloads: self.reloads,
            resumed,
        }
    }
}

/// A former program's viewers.
struct FormerViewers {
    looks: LooksState,
    viewers: Vec<HeldViewer<DetachedViewer>>,
    held_at: Duration,
}

impl FormerViewers {
    /// The end of each stream.
    fn ending_streams(self) -> Vec<EndingStream> {
        self.viewers.into_iter().map(|viewer| self.looks.ending_stream(viewer)).collect()
    }

    /// Goes on with them. The streams of a feed that this program does not know end.
    fn resume(self, presence: &Presence, feeds: &Arc<Feeds>) -> Resumed {
        let Self { mut looks, viewers, held_at } = self;
        let restored: Vec<Option<Arc<Feed>>> = looks
            .feeds
            .iter()
            .map(|state| {
                let restored = feeds.restore(state);
                restored
                    .inspect_err(|error| tracing::error!(counter = state.counter, "a feed's streams end: {error:#}"))
                    .ok()
            })
            .collect();
        // All are counted before the first is shown a number.
        let (mut counted, mut ending) = (Vec::with_capacity(viewers.len()), Vec::new());
        for viewer in viewers {
            let Some(Some(feed)) = restored.get(viewer.attachment.feed as usize) else {
                ending.push(looks.ending_stream(viewer));
                continue;
            };
            let HeldViewer { socket, attachment, progress } = viewer;
            let counting = attachment.counting();
            let attachment = feed.attachment(presence.restore(feed.counter(), attachment.registration), counting);
            counted.push((feed, HeldViewer { socket, attachment, progress }));
        }
        for returning in std::mem::take(&mut looks.returning) {
            if let Err(error) = feeds.restore_returning(returning) {
                tracing::error!("a viewer is not expected back: {error:#}");
            }
        }
        presence.restored();
        let resumed =
            Resumed { viewers: counted.len(), ended: ending.len(), pause: monotonic().saturating_sub(held_at) };
        for (feed, viewer) in counted {
            if let Err(rejected) = feed.handle().resume(viewer) {
                tracing::debug!("a viewer has left: {}", rejected.rejection);
            }
        }
        tokio::spawn(reload::end_all(ending));
        resumed
    }
}

/// Returns a listener on the configured address, and its socket for a handover: the inherited one if it is on that address.
/// If another address cannot be had, the node stays on the inherited one, because a reload must not end it.
fn listen(inherited: Option<Listener>, configured: SocketAddr) -> anyhow::Result<(TcpListener, Listener)> {
    let kept = match inherited {
        None => opened(configured)?,
        Some(listener) if listener.configured == configured => listener,
        Some(listener) => match opened(configured) {
            Ok(opened) => opened,
            Err(error) => move_from(listener, configured, &error)?,
        },
    };
    let listener = TcpListener::from_std(StdListener::from(kept.socket.try_clone()?))?;
    Ok((listener, kept))
}

/// Opens a listener on `configured` although that has failed while the inherited one was open: the two may exclude each other,
/// if their ports are equal. Otherwise, or if it fails again, stays where the inherited one is.
fn move_from(inherited: Listener, configured: SocketAddr, error: &anyhow::Error) -> anyhow::Result<Listener> {
    let former = StdListener::from(inherited.socket.try_clone()?).local_addr()?;
    let stays = |error: &anyhow::Error| tracing::error!("{error:#}: this node stays on {former}");
    if former.port() != configured.port() {
        stays(error);
        return Ok(inherited);
    }
    drop(inherited);
    opened(configured).or_else(|error| {
        stays(&error);
        opened(former)
    })
}

fn opened(configured: SocketAddr) -> anyhow::Result<Listener> {
    let socket = http::listen(configured)?.into_std()?.into();
    Ok(Listener { configured, socket })
}

/// Gives the leases back.
async fn release(presence: &Presence) {
    if matches!(*presence.health().borrow(), Health::Connected) {
        presence.release().await;
    } else if tokio::time::timeout(RELEASE_WITHOUT_REDIS, presence.release()).await.is_err() {
        tracing::warn!("Redis does not answer: this node's leases expire by themselves");
    }
}

/// Returns the file with the past. A reload must not end the node, so it goes on without a file that it cannot use.
fn history_file(options: &ServeOptions, is_reload: bool) -> anyhow::Result<Option<HistoryFile>> {
    let Some(path) = &options.presence.data else { return Ok(None) };
    let opened = HistoryFile::open(path).and_then(|file| file.check_writable().map(|()| file));
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_reload => {
            tracing::error!("the history is not saved: {error}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn presence(
    options: &ServeOptions,
    state: Option<PresenceState>,
    listen: SocketAddr,
    file: Option<HistoryFile>,
) -> Presence {
    let settings = headcount_presence::Settings {
        prefix: options.presence.redis_prefix.clone(),
        grace: options.presence.grace,
        max_counters: options.viewers.max_counters,
        limits: options.addresses.limits(),
        timing: headcount_presence::Timing::scaled(options.presence.time_scale),
        history: HistorySettings { rule: options.presence.history(), file },
        node: node_description::describe(listen),
    };
    let url = options.presence.redis.clone();
    match (state, url) {
        (Some(state), url) => Presence::resume(url, settings, state),
        (None, Some(url)) => Presence::redis(url, settings),
        (None, None) => Presence::embedded(settings),
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

/// Returns after how many updates a document ends.
fn document_updates(options: &ServeOptions) -> NonZeroU16 {
    let updates = u16::try_from(options.viewers.document_updates).ok();
    updates.and_then(NonZeroU16::new).expect("the option is from 1 to 10,000")
}

fn announce(options: &ServeOptions, (listen, admin): (SocketAddr, SocketAddr)) {
    let open = options.public_url.clone().unwrap_or_else(|| {
        // A socket address has the brackets that a URL needs around IPv6.
        let host =
            if listen.ip().is_unspecified() { format!("localhost:{}", listen.port()) } else { listen.to_string() };
        format!("http://{host}/")
    });
    let presence = options.presence.redis.as_ref().map_or_else(|| "in this process".to_owned(), ToString::to_string);
    if let Some(path) = &options.config {
        tracing::info!("configured by {}, below the environment and the command line", path.display());
    }
    tracing::info!(%listen, %admin, %presence, "listening");
    tracing::info!("open {open} in a browser");
}

/// The time that goes on over `execve`.
fn monotonic() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}
