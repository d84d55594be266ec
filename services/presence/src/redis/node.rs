//! What all parts of this node's Redis side use: its identity, its connections, its tasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::command_connection::{CommandConnection, ConnectionState};
use super::counter_state::CounterStates;
use super::data_identity::DataIdentity;
use super::keys::{CounterKeys, Prefix, Recording};
use super::node_list;
use super::renewals::Renewals;
use super::scripts::Scripts;
use super::subscription::Subscription;
use super::url::RedisUrl;
use super::visitor_key::CurrentKey;
use crate::metrics::Metrics;
use crate::settings::{NodeDescription, Timing};
use crate::visitor::VisitorKey;
use crate::{CounterName, Health, HistoryRule, Settings};

/// How long [`Node::release`] waits before it leaves the leases to run out.
const RELEASE_WITHIN: Duration = Duration::from_secs(3);

/// How long [`Node::pause`] waits. Nothing waits for Redis, so it takes longer only where no task gets to run.
const PAUSE_WITHIN: Duration = Duration::from_secs(1);

/// Most counters that call their scripts at a time, renewals apart: enough that none waits while Redis is fast, and so few that the
/// calls of a thousand nodes are answered within a response timeout.
const TURNS: usize = 16;

/// This node, as Redis sees it.
pub(super) struct Node {
    /// Random at each start, but for a process that goes on as this node: Redis never takes a run for a former one.
    pub(super) id: String,
    pub(super) prefix: Prefix,
    pub(super) timing: Timing,
    /// What the list of nodes says of it.
    pub(super) description: NodeDescription,
    pub(super) scripts: Scripts,
    pub(super) commands: Arc<CommandConnection>,
    pub(super) subscription: Arc<Subscription>,
    /// The counters that have nothing to report.
    pub(super) renewals: Renewals,
    turns: Arc<Semaphore>,
    history: HistoryRule,
    /// The counters whose histories this node has begun although they are not listed, and when it last reported one.
    others: Mutex<HashMap<CounterName, Instant>>,
    pub(super) metrics: Metrics,
    pub(super) data_identity: DataIdentity,
    pub(super) visitor_key: watch::Sender<CurrentKey>,
    /// How often Redis has lost data: a counter has begun a new epoch.
    pub(super) data_losses: watch::Sender<u64>,
    /// Cancelled when this node ends its leases.
    pub(super) releasing: CancellationToken,
    /// Cancelled when a new process takes over: whatever waits for Redis gives up, and leaves its state in `counters`.
    pub(super) pausing: CancellationToken,
    /// Cancelled when all viewers of a former process are restored: reports may begin.
    pub(super) restored: CancellationToken,
    /// What goes from a former process to this one, and from this one to the next.
    pub(super) counters: Mutex<CounterStates>,
    /// The tasks that end in an orderly way: [`Node::release`] and [`Node::pause`] wait for them.
    tasks: TaskTracker,
    end: CancellationToken,
}

/// What a new process needs to go on as this node.
#[derive(Serialize, Deserialize)]
pub(super) struct NodeState {
    id: String,
    pub(super) visitor_key: CurrentKey,
    connection: Option<ConnectionState>,
    counters: CounterStates,
}

impl NodeState {
    /// A new node, which uses this key until it knows the one that all nodes share.
    pub(super) fn new(key: VisitorKey) -> NodeState {
        NodeState {
            id: format!("{:016x}", rand::random::<u64>()),
            visitor_key: CurrentKey::own(key),
            connection: None,
            counters: CounterStates::default(),
        }
    }

    /// Goes on at another address of Redis. It may mean the same Redis, which then knows the sessions: they go on as well.
    /// Another one answers that it does not, and all viewers are registered there.
    pub(super) fn at_another_address(self) -> NodeState {
        let mut counters = self.counters;
        counters.forget_replies();
        let connection = self.connection.map(ConnectionState::at_another_address);
        NodeState { visitor_key: CurrentKey::own(self.visitor_key.key), connection, counters, ..self }
    }

    /// Whether a node can have this id.
    pub(super) fn is_valid(&self) -> bool {
        self.id.len() == 16 && self.id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl Node {
    /// The node of this state. Connects to nothing by itself. All tasks end with the token.
    pub(super) fn new(
        url: RedisUrl,
        settings: &Settings,
        health: watch::Sender<Health>,
        metrics: Metrics,
        end: CancellationToken,
        NodeState { id, visitor_key, connection, counters }: NodeState,
    ) -> Arc<Node> {
        let timing = settings.timing;
        let prefix = Prefix(settings.prefix.clone());
        let commands = CommandConnection::new(url.clone(), timing.response_timeout, health, metrics.clone());
        if let Some(connection) = connection {
            commands.resume(connection);
        }
        Arc::new(Node {
            data_identity: DataIdentity::new(Arc::clone(&commands), prefix.data_id(), timing),
            timing,
            description: settings.node.clone(),
            scripts: Scripts::new(&timing),
            subscription: Subscription::new(
                url,
                prefix.clone(),
                id.clone(),
                timing,
                Arc::clone(&commands),
                metrics.clone(),
            ),
            id,
            prefix,
            commands,
            renewals: Renewals::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
            history: settings.history.rule.clone(),
            others: Mutex::default(),
            metrics,
            visitor_key: watch::Sender::new(visitor_key),
            data_losses: watch::Sender::default(),
            releasing: CancellationToken::new(),
            pausing: CancellationToken::new(),
            restored: CancellationToken::new(),
            counters: Mutex::new(counters),
            tasks: TaskTracker::new(),
            end,
        })
    }

    /// Waits for a turn to call counters' scripts: those who wait get one in the order in which they came.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// The keys of a counter that is live here, with what becomes of its history. Of those that are not listed, this node begins a bounded
    /// number, and another one only where the life of one is over.
    pub(super) fn counter_keys(&self, name: &CounterName) -> CounterKeys {
        let (mut others, life) = (self.others.lock(), self.history.life(name));
        let mut has_room = |most: usize| {
            if !others.contains_key(name) && others.len() >= most {
                others.retain(|_, reported| reported.elapsed() < life);
            }
            let has_room = others.contains_key(name) || others.len() < most;
            if has_room {
                others.insert(name.clone(), Instant::now());
            }
            has_room
        };
        let recording = match &self.history {
            HistoryRule::Off => Recording::Off,
            rule if rule.keeps(name, &mut has_room) => Recording::On { life },
            HistoryRule::Kept { .. } => Recording::AsIs,
        };
        CounterKeys { recording, ..self.prefix.counter(name) }
    }

    /// Called when a reply shows that Redis's clock was stepped.
    pub(super) fn clock_stepped(&self) {
        self.metrics.clock_steps.inc();
        tracing::warn!("Redis's clock was stepped");
    }

    /// Ends all leases, and waits up to 3 s for the tasks that do so.
    pub(super) async fn release(&self) {
        let started = Instant::now();
        self.releasing.cancel();
        self.tasks.close();
        let ended = async { tokio::join!(self.tasks.wait(), node_list::leave(self)) };
        match tokio::time::timeout(RELEASE_WITHIN, ended).await {
            Ok(_) => tracing::debug!(took = ?started.elapsed(), "leases ended"),
            Err(_) if self.metrics.leases.get() > 0 => {
                tracing::warn!("Redis is away: the leases will run out by themselves");
            }
            Err(_) => tracing::debug!("registrations of ended sessions will run out by themselves"),
        }
    }

    /// Stops all reports, and returns what a new process needs to go on as this node.
    pub(super) async fn pause(&self) -> NodeState {
        self.pausing.cancel();
        self.tasks.close();
        if tokio::time::timeout(PAUSE_WITHIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("some counters are not handed over: their viewers are registered again");
        }
        NodeState {
            id: self.id.clone(),
            visitor_key: *self.visitor_key.borrow(),
            connection: Some(self.commands.state()),
            counters: std::mem::take(&mut *self.counters.lock()),
        }
    }

    /// Spawns a task that [`Node::release`] waits for. It must end when the node is paused.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.until_end(task));
    }

    /// Spawns a task that [`Node::release`] waits for, and that is dropped when the node is paused.
    pub(super) fn spawn_until_pause(&self, task: impl Future<Output = ()> + Send + 'static) {
        let pausing = self.pausing.clone();
        self.spawn(async move {
            let _paused = pausing.run_until_cancelled(task).await;
        });
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
