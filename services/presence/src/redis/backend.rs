//! The Redis side of [`Presence`](crate::Presence): starts a node's tasks, and passes calls on to its parts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use headcount_wire::history::{History, Span};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::addresses::RedisAddressLimiter;
use super::history::{self, StoredHistory};
use super::memory;
use super::node::{Node, NodeState};
use super::node_list;
use super::renewals::Renewals;
use super::reply::Reply;
use super::reporter::Reporter;
use super::status::{self, StatusError};
use super::url::RedisUrl;
use super::visitor_key::{self, CurrentKey};
use crate::address_limiter::AddressLimiter;
use crate::local_viewers::LocalViewers;
use crate::metrics::Metrics;
use crate::network::Network;
use crate::status::Status;
use crate::versions::Versions;
use crate::viewer_id::ViewerId;
use crate::visitor::VisitorKey;
use crate::{AdmissionError, CounterName, Health, Reading, Settings};

/// Most reads in flight of counters that are not live here: a client that asks for many invented names delays only
/// reads.
const READS_AT_ONCE: usize = 32;

/// Most times that a read waits for nodes whose leases have run out. Each ends with the suspicion of those that had run
/// out before.
const WAITS: usize = 2;

/// How much longer than a suspicion a read waits: by then it has ended, despite rounding.
const AFTER_SUSPICION: Duration = Duration::from_millis(10);

/// How long the first viewers wait for the visitors' key that all nodes share.
const KEY_WITHIN: Duration = Duration::from_millis(500);

/// A node that counts in Redis.
pub(crate) struct RedisBackend {
    node: Arc<Node>,
    addresses: Arc<RedisAddressLimiter>,
    limiter: Arc<AddressLimiter>,
    reads: Semaphore,
    url: RedisUrl,
}

/// What a new process needs to go on as this node.
#[derive(Serialize, Deserialize)]
pub(crate) struct RedisState {
    /// The Redis and the prefix that the rest is about. Without passwords.
    redis: String,
    prefix: String,
    node: NodeState,
    departures: Vec<(Network, ViewerId)>,
}

impl RedisState {
    /// A new node, which uses this key until it knows the one that all nodes share.
    pub(crate) fn new(url: &RedisUrl, settings: &Settings, key: VisitorKey) -> RedisState {
        RedisState {
            redis: url.database(),
            prefix: settings.prefix.clone(),
            node: NodeState::new(key),
            departures: Vec::new(),
        }
    }

    /// What a node with this address of Redis and these settings goes on with. `None` if its keys are others.
    pub(crate) fn at(self, url: &RedisUrl, settings: &Settings) -> Option<RedisState> {
        if self.prefix != settings.prefix || !self.node.is_valid() {
            return None;
        }
        if self.redis == url.database() {
            return Some(self);
        }
        Some(RedisState { redis: url.database(), node: self.node.at_another_address(), ..self })
    }

    /// The key of visitors' hashes.
    pub(crate) fn visitor_key(&self) -> VisitorKey {
        self.node.visitor_key.key
    }
}

impl RedisBackend {
    /// Starts to connect, as the node of this state. Reports begin with [`restored`](RedisBackend::restored). All tasks
    /// end with the token.
    pub(crate) fn start(
        url: RedisUrl,
        settings: &Settings,
        limiter: Arc<AddressLimiter>,
        health: watch::Sender<Health>,
        metrics: Metrics,
        end: CancellationToken,
        state: RedisState,
    ) -> RedisBackend {
        let node = Node::new(url.clone(), settings, health, metrics, end, state.node);
        let (commands, subscription) = (Arc::clone(&node.commands), Arc::clone(&node.subscription));
        node.spawn_background(async move { commands.run().await });
        node.spawn_background(async move { subscription.run().await });
        let subscription = Arc::clone(&node.subscription);
        node.spawn_background(async move { subscription.probe().await });
        node.spawn_background(Renewals::run(Arc::clone(&node)));
        node.spawn_background(visitor_key::run(
            Arc::clone(&node.commands),
            node.prefix.visitor_key(),
            node.visitor_key.clone(),
            node.data_losses.subscribe(),
            Arc::clone(&node.subscription),
        ));
        let identity = Arc::clone(&node);
        node.spawn_background(async move { identity.data_identity.run(&identity.subscription).await });
        node.spawn_background(node_list::run(Arc::clone(&node)));
        node.spawn_background(memory::run(Arc::clone(&node.commands), node.metrics.clone()));
        let addresses = RedisAddressLimiter::start(Arc::clone(&node), Arc::clone(&limiter), state.departures);
        tracing::debug!(node = node.id, "presence starts");
        RedisBackend { node, addresses, limiter, reads: Semaphore::new(READS_AT_ONCE), url }
    }

    /// Reports the counter's viewers to Redis and shows its readings, until the counter is closed.
    pub(crate) fn report(&self, local_viewers: Arc<LocalViewers>) {
        let former = self.node.counters.lock().take(local_viewers.name.as_str());
        self.node.spawn(Reporter::new(Arc::clone(&self.node), local_viewers, former).run());
    }

    /// Called when all viewers of the former process are restored: reports begin, and sessions of counters that are not
    /// live here end.
    pub(crate) fn restored(&self) {
        let rest = self.node.counters.lock().take_rest();
        for (name, former) in rest {
            let Ok(name) = CounterName::parse(&name) else { continue };
            let local_viewers =
                Arc::new(LocalViewers::reported(name, Arc::new(Versions::new(0)), self.node.metrics.clone()));
            local_viewers.close();
            self.node.spawn(Reporter::new(Arc::clone(&self.node), local_viewers, Some(former)).run());
        }
        self.node.restored.cancel();
    }

    /// Stops all reports, and returns what a new process needs to go on as this node. Does not wait for Redis.
    pub(crate) async fn pause(&self) -> RedisState {
        RedisState {
            redis: self.url.database(),
            prefix: self.node.prefix.0.clone(),
            node: self.node.pause().await,
            departures: self.limiter.departures(),
        }
    }

    /// Asks Redis about a stream that the node's own limiter has admitted.
    pub(crate) async fn admit(
        &self,
        network: Network,
        viewer: ViewerId,
        counter: &CounterName,
    ) -> Result<(), AdmissionError> {
        self.addresses.admit(network, viewer, counter).await
    }

    /// Reads a counter that is not live on this node. `None` if there is no connection, no turn, or no answer within a response
    /// timeout each. Where leases have run out, waits
    /// until their nodes have reported or their viewers have left: nobody else may have asked since they died. Stale if Redis
    /// has just lost its data: other nodes may not have registered their viewers again.
    pub(crate) async fn read(&self, name: &CounterName) -> Option<Reading> {
        let mut reply = self.look(name).await?;
        for _ in 0..WAITS {
            let Some(doubt) = reply.doubt(&self.node.timing) else { break };
            tokio::time::sleep(doubt + AFTER_SUSPICION).await;
            reply = self.look(name).await?;
        }
        let stale = self.node.data_identity.check().await.is_some();
        Some(reply.state.reading(SystemTime::now(), stale))
    }

    async fn look(&self, name: &CounterName) -> Option<Reply> {
        let within = self.node.timing.response_timeout;
        // All at the same time: while Redis is away, the last one does not wait longer than the first.
        tokio::time::timeout(within, self.node.commands.connected()).await.ok()?;
        let _permit = tokio::time::timeout(within, self.reads.acquire()).await.ok()?.ok()?;
        let keys = self.node.prefix.counter(name);
        self.node.commands.call(&self.node.scripts.look(&keys, self.node.commands.clock())).await.ok()
    }

    /// Reads the past of a counter. `None` if there is no connection, no turn, or no answer within a response timeout each.
    pub(crate) async fn history(&self, name: &CounterName, span: Span) -> Option<History> {
        // First, so that sessions whose leases have run out have ended.
        self.read(name).await?;
        let _permit = tokio::time::timeout(self.node.timing.response_timeout, self.reads.acquire()).await.ok()?.ok()?;
        let call = self.node.scripts.history(&self.node.prefix.counter(name), history::ring_of(span));
        let stored = self.node.commands.call_as(&call, StoredHistory::parse).await.ok()?;
        let count = stored.count;
        Some(stored.recorder(span, &self.node.timing).history(name.as_str(), span, count))
    }

    /// The key that makes visitors: the one that all nodes share, or this node's own if that is not known within 500
    /// ms.
    pub(crate) async fn visitor_key(&self) -> VisitorKey {
        let mut current = self.node.visitor_key.subscribe();
        let CurrentKey { key, is_shared, .. } = *current.borrow();
        if is_shared {
            return key;
        }
        match tokio::time::timeout(KEY_WITHIN, current.wait_for(|current| current.is_shared)).await {
            Ok(Ok(current)) => current.key,
            _ => key,
        }
    }

    /// Reads all nodes and counters from Redis.
    pub(crate) async fn status(&self) -> Result<Status, StatusError> {
        status::read(&self.url, &self.node.prefix.0).await
    }

    /// This node's id.
    pub(crate) fn node_id(&self) -> &str {
        &self.node.id
    }

    /// Ends all leases. Takes at most 3 s.
    pub(crate) async fn release(&self) {
        self.node.release().await;
    }
}
