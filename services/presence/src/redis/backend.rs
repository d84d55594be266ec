//! The Redis side of [`Presence`](crate::Presence): starts a node's tasks, and passes calls on to its parts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::addresses::RedisAddressLimiter;
use super::memory;
use super::node::Node;
use super::reporter::Reporter;
use super::url::RedisUrl;
use super::visitor_key::{self, CurrentKey};
use crate::address_limiter::AddressLimiter;
use crate::local_viewers::LocalViewers;
use crate::metrics::Metrics;
use crate::network::Network;
use crate::viewer_id::ViewerId;
use crate::visitor::VisitorKey;
use crate::{AdmissionError, CounterName, Health, Reading, Settings};

/// Interval at which all views are checked for stale readings and missing messages.
const TICK: Duration = Duration::from_millis(100);

/// Most reads in flight of counters that are not live here: a client that asks for many invented names delays only
/// reads.
const READS_AT_ONCE: usize = 32;

/// How long the first viewers wait for the visitors' key that all nodes share.
const KEY_WITHIN: Duration = Duration::from_millis(500);

/// A node that counts in Redis.
pub(crate) struct RedisBackend {
    node: Arc<Node>,
    addresses: Arc<RedisAddressLimiter>,
    reads: Semaphore,
}

impl RedisBackend {
    /// Starts to connect. All tasks end with the token.
    pub(crate) fn start(
        url: RedisUrl,
        settings: &Settings,
        limiter: Arc<AddressLimiter>,
        health: watch::Sender<Health>,
        metrics: Metrics,
        end: CancellationToken,
    ) -> RedisBackend {
        let node = Node::new(url, settings, health, metrics, end);
        let (commands, subscription) = (Arc::clone(&node.commands), Arc::clone(&node.subscription));
        node.spawn_background(async move { commands.run().await });
        node.spawn_background(async move { subscription.run().await });
        let subscription = Arc::clone(&node.subscription);
        node.spawn_background(async move {
            loop {
                tokio::time::sleep(TICK).await;
                subscription.tick();
            }
        });
        node.spawn_background(visitor_key::run(
            Arc::clone(&node.commands),
            node.prefix.visitor_key(),
            node.visitor_key.clone(),
            node.data_losses.subscribe(),
        ));
        node.spawn_background(memory::run(Arc::clone(&node.commands), node.metrics.clone()));
        let addresses = RedisAddressLimiter::start(Arc::clone(&node), limiter);
        tracing::debug!(node = node.id, "presence starts");
        RedisBackend { node, addresses, reads: Semaphore::new(READS_AT_ONCE) }
    }

    /// Reports the counter's viewers to Redis and shows its readings, until the counter is closed.
    pub(crate) fn report(&self, local_viewers: Arc<LocalViewers>) {
        self.node.spawn(Reporter::new(Arc::clone(&self.node), local_viewers).run());
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

    /// Reads a counter that is not live on this node. `None` if Redis does not answer.
    pub(crate) async fn read(&self, name: &CounterName) -> Option<Reading> {
        let _permit = self.reads.acquire().await.ok()?;
        let keys = self.node.prefix.counter(name);
        let reply = self.node.commands.call(&self.node.scripts.look(&keys, self.node.commands.clock())).await.ok()?;
        Some(reply.state.reading(SystemTime::now(), false))
    }

    /// The key that makes visitors: the one that all nodes share, or this node's own if that is not known within 500
    /// ms.
    pub(crate) async fn visitor_key(&self) -> VisitorKey {
        let mut current = self.node.visitor_key.subscribe();
        let CurrentKey { key, is_shared } = *current.borrow();
        if is_shared {
            return key;
        }
        match tokio::time::timeout(KEY_WITHIN, current.wait_for(|current| current.is_shared)).await {
            Ok(Ok(current)) => current.key,
            _ => key,
        }
    }

    /// Ends all leases. Takes at most 3 s.
    pub(crate) async fn release(&self) {
        self.node.release().await;
    }
}
