//! What all parts of this node's Redis side use: its identity, its connections, its tasks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::command_connection::CommandConnection;
use super::keys::Prefix;
use super::scripts::Scripts;
use super::subscription::Subscription;
use super::url::RedisUrl;
use super::visitor_key::CurrentKey;
use crate::metrics::Metrics;
use crate::settings::Timing;
use crate::visitor::VisitorKey;
use crate::{Health, Settings};

/// How long [`Node::release`] waits before it leaves the leases to run out.
const RELEASE_WITHIN: Duration = Duration::from_secs(3);

/// This node, as Redis sees it.
pub(super) struct Node {
    /// Random at each start: Redis never takes this run for a former one.
    pub(super) id: String,
    pub(super) prefix: Prefix,
    pub(super) timing: Timing,
    pub(super) scripts: Scripts,
    pub(super) commands: Arc<CommandConnection>,
    pub(super) subscription: Arc<Subscription>,
    pub(super) metrics: Metrics,
    pub(super) visitor_key: watch::Sender<CurrentKey>,
    /// How often Redis has lost data: a counter has begun a new epoch.
    pub(super) data_losses: watch::Sender<u64>,
    /// Cancelled when this node ends its leases.
    pub(super) releasing: CancellationToken,
    /// The tasks that end in an orderly way: [`Node::release`] waits for them.
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Node {
    /// Connects to nothing by itself. All tasks end with the token.
    pub(super) fn new(
        url: RedisUrl,
        settings: &Settings,
        health: watch::Sender<Health>,
        metrics: Metrics,
        end: CancellationToken,
    ) -> Arc<Node> {
        let timing = settings.timing;
        let commands = CommandConnection::new(url.clone(), timing.response_timeout, health, metrics.clone());
        Arc::new(Node {
            id: format!("{:016x}", rand::random::<u64>()),
            prefix: Prefix(settings.prefix.clone()),
            timing,
            scripts: Scripts::new(&timing),
            subscription: Subscription::new(url, Arc::clone(&commands), metrics.clone()),
            commands,
            metrics,
            visitor_key: watch::Sender::new(CurrentKey { key: VisitorKey::random(), is_shared: false }),
            data_losses: watch::Sender::default(),
            releasing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            end,
        })
    }

    /// Ends all leases, and waits up to 3 s for the tasks that do so.
    pub(super) async fn release(&self) {
        let started = Instant::now();
        self.releasing.cancel();
        self.tasks.close();
        match tokio::time::timeout(RELEASE_WITHIN, self.tasks.wait()).await {
            Ok(()) => tracing::debug!(took = ?started.elapsed(), "leases ended"),
            Err(_) => tracing::warn!("Redis is away: the leases will run out by themselves"),
        }
    }

    /// Spawns a task that [`Node::release`] waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.until_end(task));
    }

    /// Spawns a task that runs until the node ends.
    pub(super) fn spawn_background(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.until_end(task));
    }

    fn until_end(&self, task: impl Future<Output = ()> + Send + 'static) -> impl Future<Output = ()> + Send + 'static {
        let end = self.end.clone();
        async move {
            let _ended = end.run_until_cancelled(task).await;
        }
    }
}
