//! The entry point: all counters of this node, counted in the process or in Redis.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use headcount_wire::history::{History, Span};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::address_limiter::{AddressClass, AddressLimiter, AdmittedStream};
use crate::change_schedule::ChangeSchedule;
use crate::counter_registry::{CounterRegistry, LiveCounter};
use crate::history::embedded::Histories;
use crate::local_viewers::{LocalState, LocalViewers};
use crate::metrics::{DecidedBy, Metrics};
use crate::presence_state::{BackendState, EmbeddedState, PresenceState};
use crate::redis::{self, RedisBackend, RedisUrl, StatusError};
use crate::registration::{RegistrationState, Stage};
use crate::settings::NodeDescription;
use crate::status::{CounterStatus, NodeStatus, SessionStatus, Status};
use crate::versions::Versions;
use crate::visitor::{Visitor, VisitorKey};
use crate::{AdmissionError, Client, Counter, CounterName, Health, Reading, Registration, Settings};

/// All counters of this node. A clone is cheap and refers to the same presence. Its tasks end when the last clone is
/// dropped.
#[derive(Clone)]
pub struct Presence(Arc<Inner>);

struct Inner {
    registry: Arc<CounterRegistry>,
    versions: Arc<Versions>,
    health: watch::Sender<Health>,
    metrics: Metrics,
    description: NodeDescription,
    backend: Backend,
    /// Registrations of a former process are being restored.
    is_restoring: AtomicBool,
    /// Ends the tasks.
    end: CancellationToken,
}

enum Backend {
    Embedded {
        visitor_key: VisitorKey,
        /// A former process's counters that are not live here yet, by name.
        former: Mutex<HashMap<String, LocalState>>,
        histories: Arc<Histories>,
    },
    Redis(RedisBackend),
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Presence {
    /// Counts within this process. Must be called within a tokio runtime.
    pub fn embedded(settings: Settings) -> Presence {
        let presence = Presence::start(None, settings, PresenceState::new());
        presence.restored();
        presence
    }

    /// Counts together with all nodes of the same Redis. Connects in the background and never fails: until Redis
    /// answers, readings hold this node's own viewers and are marked as stale. Must be called within a tokio runtime.
    pub fn redis(url: RedisUrl, settings: Settings) -> Presence {
        let presence = Presence::start(Some(url), settings, PresenceState::new());
        presence.restored();
        presence
    }

    /// Goes on with the presence of a former process: counts in the Redis of this address, or within this process if
    /// there is none. No number changes by that, and Redis notices nothing but new connections. Must be called within a
    /// tokio runtime.
    ///
    /// Then open the counters and [`restore`](Presence::restore) their registrations, and call
    /// [`restored`](Presence::restored). Until then nothing is reported, and readings stay those of the former process.
    ///
    /// If the former process counted elsewhere (in another Redis, under another prefix, or in itself), its viewers are
    /// registered anew, and readings stay until they are. Its sessions there count until their leases run out.
    pub fn resume(url: Option<RedisUrl>, settings: Settings, state: PresenceState) -> Presence {
        Presence::start(url, settings, state)
    }

    fn start(url: Option<RedisUrl>, settings: Settings, state: PresenceState) -> Presence {
        let end = CancellationToken::new();
        let metrics = Metrics::default();
        metrics.nodes.set(1);
        let description = settings.node.clone();
        let limiter = AddressLimiter::new(settings.limits.clone(), metrics.clone());
        let change_schedule = ChangeSchedule::new(settings.grace, Arc::clone(&limiter));
        tokio::spawn(Arc::clone(&change_schedule).run(end.clone()));
        limiter.resume(state.next_viewer);
        let (versions, health, backend) = match url {
            None => {
                let (versions, EmbeddedState { visitor_key, counters, histories }) = state.into_embedded();
                let histories = Histories::start(settings.history, histories, end.clone());
                let backend = Backend::Embedded { visitor_key, former: Mutex::new(counters), histories };
                (versions, watch::Sender::new(Health::Connected), backend)
            }
            Some(url) => {
                let (versions, state) = state.into_redis(&url, &settings);
                let health = watch::Sender::new(Health::Starting);
                let (limiter, shared) = (Arc::clone(&limiter), health.clone());
                let backend = RedisBackend::start(url, &settings, limiter, shared, metrics.clone(), end.clone(), state);
                (versions, health, Backend::Redis(backend))
            }
        };
        Presence(Arc::new(Inner {
            registry: CounterRegistry::new(settings.max_counters, change_schedule, limiter, metrics.clone()),
            versions: Arc::new(versions),
            health,
            metrics,
            description,
            backend,
            is_restoring: AtomicBool::new(true),
            end,
        }))
    }

    /// Returns the counter of this name, and makes it live on this node. Fails if the node has
    /// [`Settings::max_counters`] already. Must be called within a tokio runtime.
    pub fn counter(&self, name: &CounterName) -> Result<Counter, AdmissionError> {
        let inner = &self.0;
        let open = || {
            let (name, versions, metrics) = (name.clone(), Arc::clone(&inner.versions), inner.metrics.clone());
            let local_viewers = Arc::new(match &inner.backend {
                Backend::Embedded { histories, .. } => {
                    let history = histories.open(&name);
                    LocalViewers::embedded(name, versions, history, metrics)
                }
                Backend::Redis(_) => LocalViewers::reported(name, versions, metrics),
            });
            if inner.is_restoring.load(Ordering::Relaxed) {
                local_viewers.begin_restoring();
            }
            match &inner.backend {
                Backend::Embedded { former, .. } => {
                    if let Some(state) = former.lock().remove(local_viewers.name.as_str()) {
                        local_viewers.resume(state);
                    }
                }
                Backend::Redis(backend) => backend.report(Arc::clone(&local_viewers)),
            }
            local_viewers
        };
        inner.registry.open(name, open).map(Counter)
    }

    /// Registers a client at the counter of this name, which is live on this node from then on. Fails if the client's
    /// address has reached its [limits](crate::AddressLimits), before the counter is opened, or if the node has
    /// [`Settings::max_counters`] already. The registration does not count until [`Registration::start_counting`].
    ///
    /// Waits for one answer of Redis, at most for the response timeout; after that this node decides by itself. A node
    /// that has just started may wait for another 500 ms for the key of visitors' hashes.
    pub async fn admit(&self, name: &CounterName, client: &Client) -> Result<Registration, AdmissionError> {
        let inner = &self.0;
        let (stream, class) = AdmittedStream::admit(&inner.registry.limiter, client.ip, name)?;
        let visitor = self.visitor(client).await;
        if class == AddressClass::Limited {
            match &inner.backend {
                Backend::Embedded { .. } => inner.metrics.admitted(DecidedBy::Alone),
                Backend::Redis(backend) => backend.admit(stream.network(), stream.viewer(), name).await?,
            }
        }
        let counter = self.counter(name)?;
        // From here on the drop of the registration releases the stream of the address.
        let (network, viewer) = stream.into_parts();
        Ok(Registration::new(counter.0, viewer, visitor, network))
    }

    /// The visitor that a client is today. Waits as [`admit`](Self::admit) does for the key of visitors' hashes.
    pub async fn visitor(&self, client: &Client) -> Visitor {
        let key = match &self.0.backend {
            Backend::Embedded { visitor_key, .. } => *visitor_key,
            Backend::Redis(backend) => backend.visitor_key().await,
        };
        key.visitor(client)
    }

    /// Returns the newest reading of a counter, whether it is live on this node or not. Does not make it live.
    pub async fn read(&self, name: &CounterName) -> Reading {
        let inner = &self.0;
        match (&inner.backend, inner.registry.find(name).map(Counter)) {
            (Backend::Embedded { .. }, Some(counter)) => {
                Reading { as_of: SystemTime::now(), ..counter.0.local_viewers.reading() }
            }
            (Backend::Embedded { .. }, None) => inner.versions.empty_reading(),
            (Backend::Redis(_), Some(counter)) => counter.settled().await,
            (Backend::Redis(backend), None) => {
                backend.read(name).await.unwrap_or_else(|| inner.versions.empty_reading())
            }
        }
    }

    /// Returns the past of a counter, whether it is live on this node or not. `None` if Redis does not answer within a response
    /// timeout: only Redis knows it.
    pub async fn history(&self, name: &CounterName, span: Span) -> Option<History> {
        match &self.0.backend {
            Backend::Embedded { histories, .. } => Some(histories.history(name, span, self.read(name).await.count)),
            Backend::Redis(backend) => backend.history(name, span).await,
        }
    }

    /// Whether the counters are shared with other nodes.
    pub fn is_shared(&self) -> bool {
        matches!(self.0.backend, Backend::Redis(_))
    }

    /// The state of presence, and each change of it.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.0.health.subscribe()
    }

    /// Called at the end of a shutdown: reports the last leaves and ends this node's leases, which takes at most 3 s, or saves the
    /// history.
    pub async fn release(&self) {
        self.0.registry.change_schedule.release();
        match &self.0.backend {
            Backend::Embedded { histories, .. } => histories.save().await,
            Backend::Redis(backend) => backend.release().await,
        }
    }

    /// Stops all reports, and returns what a new process needs to go on without anybody noticing: see
    /// [`resume`](Presence::resume). Takes at most 1 s, usually some milliseconds: it does not wait for Redis.
    ///
    /// Before, each registration must have been [detached](Registration::detach) or dropped. Afterwards nothing may be
    /// admitted. Each counter that viewers were detached from must still be held: closing it would end its viewers.
    pub async fn pause(&self) -> PresenceState {
        let inner = &self.0;
        inner.registry.change_schedule.release();
        let backend = match &inner.backend {
            Backend::Embedded { visitor_key, former, histories } => {
                let mut counters = former.lock().clone();
                for live in inner.registry.all() {
                    counters.insert(live.local_viewers.name.to_string(), live.local_viewers.state());
                }
                let (visitor_key, histories) = (*visitor_key, histories.snapshot());
                BackendState::Embedded(EmbeddedState { visitor_key, counters, histories })
            }
            Backend::Redis(backend) => BackendState::Redis(Box::new(backend.pause().await)),
        };
        inner.end.cancel();
        PresenceState { next_viewer: inner.registry.limiter.next_viewer(), versions: inner.versions.state(), backend }
    }

    /// Restores the registration of a viewer that a former process had. Checks no limit, because the viewer is here
    /// already. The registration counts, or is about to count, if it did or was then; otherwise it waits for
    /// [`Registration::start_counting`].
    ///
    /// To be called between [`resume`](Presence::resume) and [`restored`](Presence::restored), before anybody is admitted.
    /// Later, or if there is such a registration already, it becomes that of a new viewer.
    pub fn restore(&self, counter: &Counter, state: RegistrationState) -> Registration {
        let RegistrationState { viewer: former, visitor, network, stream, stage } = state;
        let registry = &self.0.registry;
        let viewer = registry.limiter.restore(network, former, stream, counter.name());
        let local_viewers = &counter.0.local_viewers;
        match stage {
            Stage::New => {}
            Stage::Pending { due } => registry.change_schedule.resume(local_viewers, viewer, visitor, due),
            Stage::Counted if viewer == former => local_viewers.restore(viewer, visitor),
            Stage::Counted => local_viewers.join(viewer, visitor),
        }
        Registration::new(Arc::clone(&counter.0), viewer, visitor, network)
    }

    /// Called when all registrations of the former process are restored: reports begin, and readings show this process's
    /// viewers. Sessions of counters that are not live here end.
    pub fn restored(&self) {
        let inner = &self.0;
        // Before the counters are listed: each that is opened is listed, or knows.
        inner.is_restoring.store(false, Ordering::Relaxed);
        for live in inner.registry.all() {
            live.local_viewers.restored();
        }
        inner.registry.limiter.restored();
        match &inner.backend {
            Backend::Embedded { former, histories, .. } => {
                former.lock().clear();
                histories.restored();
            }
            Backend::Redis(backend) => backend.restored(),
        }
    }

    /// Adds this crate's metrics to the registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
    }

    /// Reads all nodes and counters under the prefix from Redis.
    ///
    /// # Errors
    /// Fails if Redis cannot be reached or answers with an error.
    pub async fn status(url: &RedisUrl, prefix: &str) -> Result<Status, StatusError> {
        redis::read_status(url, prefix).await
    }

    /// Reads all nodes and counters of this node's Redis, over connections of its own. `None` without Redis.
    pub async fn shared_status(&self) -> Option<Result<Status, StatusError>> {
        match &self.0.backend {
            Backend::Embedded { .. } => None,
            Backend::Redis(backend) => Some(backend.status().await),
        }
    }

    /// What this node knows by itself: its own viewers, and the counters that are live here, with the numbers that it shows.
    pub fn own_status(&self) -> Status {
        let inner = &self.0;
        let id = match &inner.backend {
            Backend::Embedded { .. } => "this",
            Backend::Redis(backend) => backend.node_id(),
        };
        let counter = |live: &LiveCounter| {
            let (reading, viewers) = (live.local_viewers.reading(), live.local_viewers.count() as u64);
            let session = SessionStatus { node: id.to_owned(), viewers, lease_left: None, registering: false };
            CounterStatus {
                name: live.local_viewers.name.to_string(),
                count: reading.count,
                visitors: reading.visitors,
                epoch: reading.epoch,
                version: reading.version,
                sessions: vec![session],
            }
        };
        let counters = inner.registry.all().iter().map(|live| counter(live)).collect();
        let NodeDescription { version, address, started } = inner.description.clone();
        let node = NodeStatus {
            node: id.to_owned(),
            version: Some(version),
            address: Some(address),
            viewers: 0,
            since: Some(SystemTime::now() - started.elapsed()),
            reported: Some(Duration::ZERO),
        };
        Status::new(vec![node], counters)
    }
}
