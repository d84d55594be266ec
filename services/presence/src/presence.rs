//! The entry point: all counters of this node, counted in the process or in Redis.

use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address_limiter::{AddressClass, AddressLimiter};
use crate::change_schedule::ChangeSchedule;
use crate::counter_registry::CounterRegistry;
use crate::local_viewers::LocalViewers;
use crate::metrics::{DecidedBy, Metrics};
use crate::network::Network;
use crate::redis::{RedisBackend, RedisUrl, Status, StatusError};
use crate::versions::Versions;
use crate::visitor::VisitorKey;
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
    backend: Backend,
    /// Cancels the tasks when the last clone is dropped.
    _end: DropGuard,
}

enum Backend {
    Embedded(VisitorKey),
    Redis(RedisBackend),
}

impl Presence {
    /// Counts within this process. Must be called within a tokio runtime.
    pub fn embedded(settings: Settings) -> Presence {
        Presence::start(settings, None)
    }

    /// Counts together with all nodes of the same Redis. Connects in the background and never fails: until Redis
    /// answers, readings hold this node's own viewers and are marked as stale. Must be called within a tokio runtime.
    pub fn redis(url: RedisUrl, settings: Settings) -> Presence {
        Presence::start(settings, Some(url))
    }

    fn start(settings: Settings, url: Option<RedisUrl>) -> Presence {
        let end = CancellationToken::new();
        let metrics = Metrics::default();
        let limiter = AddressLimiter::new(settings.limits.clone(), metrics.clone());
        let change_schedule = ChangeSchedule::new(settings.grace, Arc::clone(&limiter));
        tokio::spawn(Arc::clone(&change_schedule).run(end.clone()));
        let (versions, health, backend) = match url {
            None => {
                let health = watch::Sender::new(Health::Connected);
                (Versions::new(microseconds_since_1970()), health, Backend::Embedded(VisitorKey::random()))
            }
            Some(url) => {
                let health = watch::Sender::new(Health::Starting);
                let limiter = Arc::clone(&limiter);
                let backend =
                    RedisBackend::start(url, &settings, limiter, health.clone(), metrics.clone(), end.clone());
                (Versions::new(0), health, Backend::Redis(backend))
            }
        };
        Presence(Arc::new(Inner {
            registry: CounterRegistry::new(settings.max_counters, change_schedule, limiter, metrics.clone()),
            versions: Arc::new(versions),
            health,
            metrics,
            backend,
            _end: end.drop_guard(),
        }))
    }

    /// Returns the counter of this name, and makes it live on this node. Fails if the node has
    /// [`Settings::max_counters`] already. Must be called within a tokio runtime.
    pub fn counter(&self, name: &CounterName) -> Result<Counter, AdmissionError> {
        let inner = &self.0;
        let open = || {
            let (name, versions, metrics) = (name.clone(), Arc::clone(&inner.versions), inner.metrics.clone());
            match &inner.backend {
                Backend::Embedded(_) => Arc::new(LocalViewers::embedded(name, versions, metrics)),
                Backend::Redis(backend) => {
                    let local_viewers = Arc::new(LocalViewers::reported(name, versions, metrics));
                    backend.report(Arc::clone(&local_viewers));
                    local_viewers
                }
            }
        };
        inner.registry.open(name, open).map(Counter)
    }

    /// Registers a client at the counter. Fails if its address has reached its [limits](crate::AddressLimits). The
    /// registration does not count until [`Registration::start_counting`].
    ///
    /// Waits for one answer of Redis, at most for the response timeout; after that this node decides by itself. A node
    /// that has just started may wait for another 500 ms for the key of visitors' hashes.
    pub async fn admit(&self, counter: &Counter, client: &Client) -> Result<Registration, AdmissionError> {
        let inner = &self.0;
        let key = match &inner.backend {
            Backend::Embedded(key) => *key,
            Backend::Redis(backend) => backend.visitor_key().await,
        };
        let (viewer, class) = inner.registry.limiter.admit(client.ip, counter.name())?;
        let network = Network::of(client.ip);
        // From here on the drop of the registration releases the stream of the address.
        let registration = Registration::new(Arc::clone(&counter.0), viewer, key.visitor(client), network);
        if class == AddressClass::Limited {
            match &inner.backend {
                Backend::Embedded(_) => inner.metrics.admitted(DecidedBy::Alone),
                Backend::Redis(backend) => backend.admit(network, viewer, counter.name()).await?,
            }
        }
        Ok(registration)
    }

    /// Returns the newest reading of a counter, whether it is live on this node or not. Does not make it live.
    pub async fn read(&self, name: &CounterName) -> Reading {
        let inner = &self.0;
        match (&inner.backend, inner.registry.find(name).map(Counter)) {
            (Backend::Embedded(_), Some(counter)) => {
                Reading { as_of: SystemTime::now(), ..counter.0.local_viewers.reading() }
            }
            (Backend::Embedded(_), None) => inner.versions.empty_reading(),
            (Backend::Redis(_), Some(counter)) => counter.settled().await,
            (Backend::Redis(backend), None) => {
                backend.read(name).await.unwrap_or_else(|| inner.versions.empty_reading())
            }
        }
    }

    /// The state of presence, and each change of it.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.0.health.subscribe()
    }

    /// Called at the end of a shutdown: reports the last leaves and ends this node's leases. Takes at most 3 s.
    pub async fn release(&self) {
        self.0.registry.change_schedule.release();
        if let Backend::Redis(backend) = &self.0.backend {
            backend.release().await;
        }
    }

    /// Adds this crate's metrics to the registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
    }

    /// Reads all counters under the prefix from Redis.
    pub async fn status(url: &RedisUrl, prefix: &str) -> Result<Status, StatusError> {
        Status::read(url, prefix).await
    }
}

/// The epoch of a process's own readings: a later process has a later one.
fn microseconds_since_1970() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
}
