//! Presence that all nodes share: the only module that speaks to Redis.
//!
//! Each counter that is live on this node has a [`Reporter`], which tells Redis of joins and leaves under the node's
//! lease, and a [`CounterView`], which decides what is shown. A node has one [`CommandConnection`] for commands and one [`Subscription`] for
//! messages. What counts, and when a lease has ended, the Lua scripts decide by Redis's clock; the keys are
//! listed in `keys.rs`.

mod addresses;
mod backoff;
mod call_error;
mod command_connection;
mod connect;
mod counter_view;
pub(crate) mod fuzzing;
mod keys;
#[cfg(test)]
mod property;
mod reaper;
mod reply;
mod report_schedule;
mod reporter;
mod scripts;
mod status;
mod subscription;
mod url;
mod visitor_key;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use connect::ConnectError;
pub use status::{CounterStatus, SessionStatus, Status, StatusError};
pub use url::{RedisUrl, RedisUrlError};

use crate::address_limiter::AddressLimiter;
use crate::local_viewers::LocalViewers;
use crate::metrics::Metrics;
use crate::settings::Timing;
use crate::visitor::VisitorKey;
use crate::{CounterName, Health, Reading, Settings};
use command_connection::CommandConnection;
use counter_view::CounterView;
use keys::Prefix;
use reporter::Reporter;
use scripts::Scripts;
use subscription::Subscription;
pub(crate) use visitor_key::CurrentKey;

/// How often views are looked after.
const TICK: Duration = Duration::from_millis(100);

/// Most reads at a time for counters that are not live here: whoever asks for a lot of invented names waits for himself.
const READS_AT_ONCE: usize = 32;

/// How long the end of all leases may take before they are left to run out.
const RELEASE_WITHIN: Duration = Duration::from_secs(3);

/// This node's part in the shared presence.
pub(crate) struct Node {
    /// Random at each start: nobody is ever taken for a former run.
    id: String,
    prefix: Prefix,
    timing: Timing,
    scripts: Scripts,
    commands: Arc<CommandConnection>,
    subscription: Arc<Subscription>,
    metrics: Metrics,
    reads: Semaphore,
    visitor_key: watch::Sender<CurrentKey>,
    /// How often Redis has lost what it had, or some of it: a counter has begun a new epoch.
    lost: watch::Sender<u64>,
    /// Reporters, reapers and who tells of leaves: those that end their work in an orderly way.
    tasks: TaskTracker,
    releasing: CancellationToken,
    end: CancellationToken,
}

impl Node {
    /// Begins to connect. All tasks end with the token.
    pub(crate) fn start(
        url: RedisUrl,
        settings: &Settings,
        limiter: Arc<AddressLimiter>,
        health: watch::Sender<Health>,
        metrics: Metrics,
        end: CancellationToken,
    ) -> Arc<Node> {
        let timing = settings.timing;
        let commands = CommandConnection::new(url.clone(), timing.response_timeout, health, metrics.clone());
        let node = Arc::new(Node {
            id: format!("{:016x}", rand::random::<u64>()),
            prefix: Prefix(settings.prefix.clone()),
            timing,
            scripts: Scripts::new(&timing),
            subscription: Subscription::new(url, Arc::clone(&commands), metrics.clone()),
            commands,
            metrics,
            reads: Semaphore::new(READS_AT_ONCE),
            visitor_key: watch::Sender::new(CurrentKey { key: VisitorKey::random(), is_shared: false }),
            lost: watch::Sender::default(),
            tasks: TaskTracker::new(),
            releasing: CancellationToken::new(),
            end,
        });
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
            node.lost.subscribe(),
        ));
        limiter.keep_left();
        let (teller, left) = (Arc::clone(&node), Arc::clone(&limiter));
        node.spawn(async move { teller.tell_left(&left).await });
        let teller = Arc::clone(&node);
        node.spawn_background(async move { teller.tell_crowded(&limiter).await });
        tracing::debug!(node = node.id, "presence begins");
        node
    }

    /// Shares the local_viewers with the other nodes, until it is closed.
    pub(crate) fn share(self: &Arc<Node>, local_viewers: Arc<LocalViewers>) {
        let view = CounterView::new(Arc::clone(&local_viewers), self.timing, self.metrics.clone());
        self.spawn(Reporter::new(Arc::clone(self), local_viewers, view).run());
    }

    /// The state of a counter that is not live on this node. `None`: Redis does not tell.
    pub(crate) async fn read(&self, name: &CounterName) -> Option<Reading> {
        let _permit = self.reads.acquire().await.ok()?;
        let keys = self.prefix.counter(name);
        let reply = self.commands.call(&self.scripts.read(&keys, scripts::Seen::default())).await.ok()?;
        let reply::State { count, visitors, epoch, version, .. } = reply.state;
        Some(Reading { count, visitors, epoch, version, as_of: SystemTime::now(), stale: false })
    }

    /// The key that makes visitors, and each new one.
    pub(crate) fn visitor_key(&self) -> watch::Receiver<CurrentKey> {
        self.visitor_key.subscribe()
    }

    /// Gives all leases back.
    pub(crate) async fn release(&self) {
        let started = Instant::now();
        self.releasing.cancel();
        self.tasks.close();
        match tokio::time::timeout(RELEASE_WITHIN, self.tasks.wait()).await {
            Ok(()) => tracing::debug!(took = ?started.elapsed(), "leases given back"),
            Err(_) => tracing::warn!("Redis is away: the leases will run out by themselves"),
        }
    }

    /// A task that has something to give back, and at the latest ends with the node.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.until_end(task));
    }

    /// A task that goes on until the node ends.
    fn spawn_background(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.until_end(task));
    }

    fn until_end(&self, task: impl Future<Output = ()> + Send + 'static) -> impl Future<Output = ()> + Send + 'static {
        let end = self.end.clone();
        async move {
            let _ended = end.run_until_cancelled(task).await;
        }
    }
}
