//! The way in: who counts where, and how it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address_limiter::{AddressLimiter, Admitted};
use crate::counter::CounterRegistry;
use crate::grace_period::GracePeriod;
use crate::local_viewers::{LocalViewers, Versions};
use crate::metrics::{DecidedBy, Metrics};
use crate::network::Network;
use crate::redis::{CurrentKey, Node, RedisUrl, Status, StatusError};
use crate::visitor::VisitorKey;
use crate::{AdmissionError, Client, Counter, CounterName, Health, Reading, Registration, Settings};

/// How long the first viewers wait for the visitors' key that all nodes share.
const KEY_WITHIN: Duration = Duration::from_millis(500);

/// All counters of this node. A clone is cheap and is the same presence; with the last clone its tasks end.
#[derive(Clone)]
pub struct Presence(Arc<Inner>);

struct Inner {
    registry: Arc<CounterRegistry>,
    versions: Arc<Versions>,
    health: watch::Sender<Health>,
    metrics: Metrics,
    kind: Kind,
    /// Ends the tasks of this presence when it goes.
    _end: DropGuard,
}

enum Kind {
    Embedded(VisitorKey),
    Shared(Arc<Node>),
}

impl Presence {
    /// Counts within this process. Must be called within a tokio runtime.
    pub fn embedded(settings: Settings) -> Presence {
        let versions = Versions::new(microseconds_now());
        Presence::new(settings, versions, Health::Connected, |_, _, _, _, _| Kind::Embedded(VisitorKey::random()))
    }

    /// Counts together with all nodes of the same Redis. Connects in the background, so that it never fails because Redis
    /// is away: until Redis answers, readings tell what this node knows by itself, and are marked as stale. Must be called
    /// within a tokio runtime.
    pub fn redis(url: RedisUrl, settings: Settings) -> Presence {
        Presence::new(settings, Versions::new(0), Health::Starting, |settings, limiter, health, metrics, end| {
            let (limiter, metrics) = (Arc::clone(limiter), metrics.clone());
            Kind::Shared(Node::start(url, settings, limiter, health.clone(), metrics, end.clone()))
        })
    }

    fn new(
        settings: Settings,
        versions: Versions,
        health: Health,
        kind: impl FnOnce(&Settings, &Arc<AddressLimiter>, &watch::Sender<Health>, &Metrics, &CancellationToken) -> Kind,
    ) -> Presence {
        let end = CancellationToken::new();
        let grace = GracePeriod::new(settings.grace);
        if grace.is_given() {
            tokio::spawn(Arc::clone(&grace).run(end.clone()));
        }
        let health = watch::Sender::new(health);
        let metrics = Metrics::default();
        let limiter = AddressLimiter::new(settings.limits.clone(), metrics.clone());
        let kind = kind(&settings, &limiter, &health, &metrics, &end);
        Presence(Arc::new(Inner {
            registry: CounterRegistry::new(settings.max_counters, grace, limiter, metrics.clone()),
            versions: Arc::new(versions),
            health,
            metrics,
            kind,
            _end: end.drop_guard(),
        }))
    }

    /// The counter of this name, live on this node from now. Must be called within a tokio runtime.
    pub fn counter(&self, name: &CounterName) -> Result<Counter, AdmissionError> {
        let inner = &self.0;
        inner.registry.counter(name, || {
            let (versions, metrics) = (Arc::clone(&inner.versions), inner.metrics.clone());
            match &inner.kind {
                Kind::Embedded(_) => Arc::new(LocalViewers::alone(name.clone(), versions, metrics)),
                Kind::Shared(node) => {
                    let local_viewers = Arc::new(LocalViewers::shared(name.clone(), versions, metrics));
                    node.share(Arc::clone(&local_viewers));
                    local_viewers
                }
            }
        })
    }

    /// Gives a client a registration at the counter, unless its address has reached its [limits](crate::AddressLimits). The registration does not
    /// count until it is [taken](Registration::start_counting).
    ///
    /// Waits for one answer of Redis, a response timeout at most: then this node decides alone. At the start of a node it may
    /// wait for another 500 ms for the visitors' key.
    pub async fn admit(&self, counter: &Counter, client: &Client) -> Result<Registration, AdmissionError> {
        let inner = &self.0;
        let key = self.visitor_key().await;
        let (viewer, admitted) = inner.registry.limiter.enter(client.ip, counter.name())?;
        let network = Network::of(client.ip);
        // From here on it leaves the limiter whatever becomes of it.
        let registration = Registration::new(counter, viewer, key.visitor(client), network);
        if admitted == Admitted::Within {
            match &inner.kind {
                Kind::Embedded(_) => inner.metrics.admitted(DecidedBy::Alone),
                Kind::Shared(node) => node.admit(&inner.registry.limiter, network, viewer, counter.name()).await?,
            }
        }
        Ok(registration)
    }

    /// What the counter says now, whether it is live on this node or not. Does not make it live.
    pub async fn read(&self, name: &CounterName) -> Reading {
        match (&self.0.kind, self.0.registry.find(name)) {
            (Kind::Embedded(_), Some(counter)) => {
                Reading { as_of: SystemTime::now(), ..counter.0.local_viewers.reading() }
            }
            (Kind::Embedded(_), None) => self.0.versions.nobody(),
            (Kind::Shared(_), Some(counter)) => counter.settled().await,
            (Kind::Shared(node), None) => node.read(name).await.unwrap_or_else(|| self.0.versions.nobody()),
        }
    }

    /// How presence is doing, now and whenever that changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.0.health.subscribe()
    }

    /// The end of a shutdown: reports the last leaves and gives this node's leases back. Takes 3 s at most.
    pub async fn release(&self) {
        if let Kind::Shared(node) = &self.0.kind {
            node.release().await;
        }
    }

    /// Adds this crate's metrics to the registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
    }

    /// What Redis knows about all counters under the prefix.
    pub async fn status(url: &RedisUrl, prefix: &str) -> Result<Status, StatusError> {
        Status::ask(url, prefix).await
    }

    async fn visitor_key(&self) -> VisitorKey {
        match &self.0.kind {
            Kind::Embedded(key) => *key,
            Kind::Shared(node) => {
                let mut current = node.visitor_key();
                let CurrentKey { key, is_shared } = *current.borrow();
                if is_shared {
                    return key;
                }
                match tokio::time::timeout(KEY_WITHIN, current.wait_for(|current| current.is_shared)).await {
                    Ok(Ok(current)) => current.key,
                    _ => key,
                }
            }
        }
    }
}

/// A beginning of an epoch: later processes begin later ones.
fn microseconds_now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
}
