//! The connection for commands. A node has one, and replaces it whenever it stops answering.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, ServerErrorKind, Value};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::call_error::{CallError, Recovery};
use super::clock::ClockReading;
use super::connect::{self, Connection, SentinelConnections};
use super::reply::{Renewed, Reply};
use super::scripts::{Access, Call, KnownClock};
use super::url::{RedisUrl, Topology};
use crate::metrics::Metrics;
use crate::{Health, monotonic};

/// Number of replies missing in a row at which the connection is replaced.
const MISSED_IN_A_ROW: u32 = 2;

/// Interval at which the sentinels are asked for the master: a failover may leave the old one alive.
const CHECK_MASTER_EVERY: Duration = Duration::from_secs(2);

/// The server is pinged after this time without a reply.
const PING_AFTER: Duration = CHECK_MASTER_EVERY.saturating_mul(3);

/// Sends commands to Redis. Connects in the background, see [`run`](CommandConnection::run).
pub(super) struct CommandConnection {
    url: RedisUrl,
    response_timeout: Duration,
    current: watch::Sender<Option<Current>>,
    sentinels: SentinelConnections,
    /// Replies missing in a row.
    missed: AtomicU32,
    last_reply: Mutex<LastReply>,
    /// Redis's clock in the last reply of a counter's script.
    clock: Mutex<Option<ClockReading>>,
    problem: Mutex<Option<Problem>>,
    health: watch::Sender<Health>,
    metrics: Metrics,
}

#[derive(Clone)]
struct Current {
    connection: Connection,
    /// Counts the connections, so that a late failure of a former one does not end its successor.
    number: u64,
}

/// Why the node is degraded.
struct Problem {
    reason: String,
    /// Redis answers, but refuses this access. Only a success of this access, or of one that needs more, ends the
    /// problem.
    refused: Option<Access>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct LastReply {
    #[serde(with = "monotonic")]
    at: Instant,
    at_time_of_day: SystemTime,
}

/// What a new process needs to go on.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ConnectionState {
    last_reply: LastReply,
    clock: Option<ClockReading>,
    health: Health,
}

impl ConnectionState {
    /// What is left if Redis may be another one, with another clock.
    pub(super) fn at_another_address(self) -> ConnectionState {
        ConnectionState { clock: None, ..self }
    }
}

impl CommandConnection {
    pub(super) fn new(
        url: RedisUrl,
        response_timeout: Duration,
        health: watch::Sender<Health>,
        metrics: Metrics,
    ) -> Arc<CommandConnection> {
        Arc::new(CommandConnection {
            url,
            response_timeout,
            current: watch::Sender::new(None),
            sentinels: SentinelConnections::default(),
            missed: AtomicU32::new(0),
            last_reply: Mutex::new(LastReply { at: Instant::now(), at_time_of_day: SystemTime::now() }),
            clock: Mutex::new(None),
            problem: Mutex::new(None),
            health,
            metrics,
        })
    }

    /// Goes on with what a former process knew of Redis.
    pub(super) fn resume(&self, ConnectionState { last_reply, clock, health }: ConnectionState) {
        *self.last_reply.lock() = last_reply;
        *self.clock.lock() = clock;
        if let Health::Degraded { reason, .. } = &health {
            *self.problem.lock() = Some(Problem { reason: reason.clone(), refused: None });
        }
        self.health.send_replace(health);
    }

    /// What a new process needs to go on.
    pub(super) fn state(&self) -> ConnectionState {
        let health = self.health.borrow().clone();
        ConnectionState { last_reply: *self.last_reply.lock(), clock: *self.clock.lock(), health }
    }

    /// Calls a script of a counter. Waits at most one response timeout for a connection and one for the reply.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Reply, CallError> {
        let reply = self.call_as(call, Reply::parse).await?;
        *self.clock.lock() = Some(ClockReading::now(reply.now));
        Ok(reply)
    }

    /// Calls the script that renews leases, in the same way.
    pub(super) async fn renew(&self, call: &Call<'_>) -> Result<Renewed, CallError> {
        let reply = self.call_as(call, Renewed::parse).await?;
        *self.clock.lock() = Some(ClockReading::now(reply.now));
        Ok(reply)
    }

    /// Whether Redis is a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.url.topology, Topology::Cluster(_))
    }

    /// What this node knows of Redis's clock, whatever counter told it.
    pub(super) fn clock(&self) -> KnownClock {
        let reading = *self.clock.lock();
        reading.map_or_else(KnownClock::default, |reading| reading.known())
    }

    /// Calls a script whose reply has another form.
    pub(super) async fn call_as<T>(&self, call: &Call<'_>, parse: fn(Value) -> Option<T>) -> Result<T, CallError> {
        let started = Instant::now();
        let result = self.evaluate(call).await.and_then(|value| parse(value).ok_or(CallError::Form));
        match &result {
            Ok(_) => self.metrics.called(call.script.name, started.elapsed()),
            Err(error) => self.metrics.failed(error.failure()),
        }
        result
    }

    async fn evaluate(&self, call: &Call<'_>) -> Result<Value, CallError> {
        match self.send(&command("EVALSHA", &call.script.hash, call), call.access).await {
            // Redis has not loaded the script. EVAL loads it on the server that has the keys.
            Err(CallError::Redis(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.send(&command("EVAL", &call.script.code, call), call.access).await
            }
            result => result,
        }
    }

    /// Sends one command and waits for its reply, as long as [`call`](CommandConnection::call).
    pub(super) async fn query(&self, command: &Cmd) -> Result<Value, CallError> {
        self.send(command, Access::Read).await
    }

    async fn send(&self, command: &Cmd, access: Access) -> Result<Value, CallError> {
        let Current { mut connection, number } = self.connection().await?;
        match tokio::time::timeout(self.response_timeout, command.query_async::<Value>(&mut connection)).await {
            Ok(Ok(value)) => {
                self.succeeded(access);
                Ok(value)
            }
            Ok(Err(error)) => {
                match (Recovery::of(&error), &connection) {
                    (Recovery::Retry, _) => self.succeeded(Access::Ping),
                    (Recovery::Operator, _) => self.degraded(&error.to_string(), Some(access)),
                    (Recovery::Reconnect, Connection::One { .. }) => self.replace(number, &error.to_string()),
                    // The cluster client looks for other masters by itself.
                    (Recovery::Reconnect, Connection::Cluster(_)) => self.missed(number, &error.to_string()),
                }
                Err(error.into())
            }
            Err(_) => {
                self.missed(number, &CallError::Timeout.to_string());
                Err(CallError::Timeout)
            }
        }
    }

    /// Checks whether the connection still works, and replaces it like any other call if it does not.
    pub(super) async fn ping(&self) {
        let _handled = self.send(&redis::cmd("PING"), Access::Ping).await;
    }

    /// Whether there is a connection now.
    pub(super) fn is_connected(&self) -> bool {
        self.current.borrow().is_some()
    }

    /// Whether Redis is about to answer a call: there is a connection, or there was one in a former process and this one
    /// has just begun to connect.
    pub(super) fn is_expected_to_answer(&self) -> bool {
        self.is_connected() || *self.health.borrow() == Health::Connected
    }

    /// Waits for a connection.
    pub(super) fn connected(&self) -> impl Future<Output = ()> {
        let mut current = self.current.subscribe();
        async move {
            // Fails only if the sender is dropped, which ends this node.
            let _ended = current.wait_for(Option::is_some).await;
        }
    }

    /// Waits until the connection is replaced or lost.
    pub(super) fn replaced(&self) -> impl Future<Output = ()> {
        let mut current = self.current.subscribe();
        async move {
            // Fails only if the sender is dropped, which ends this node.
            let _ended = current.changed().await;
        }
    }

    async fn connection(&self) -> Result<Current, CallError> {
        let mut current = self.current.subscribe();
        let connected = tokio::time::timeout(self.response_timeout, current.wait_for(Option::is_some)).await;
        match connected {
            Ok(Ok(current)) => current.clone().ok_or(CallError::Away),
            _ => Err(CallError::Away),
        }
    }

    /// Keeps a connection open until cancelled.
    pub(super) async fn run(&self) {
        let mut backoff = Backoff::new();
        for number in 1.. {
            let connection = loop {
                match Connection::open(&self.url, self.response_timeout).await {
                    Ok(connection) => break connection,
                    Err(error) => {
                        self.degraded(&error.to_string(), None);
                        backoff.wait().await;
                    }
                }
            };
            tracing::debug!(redis = %self.url, number, "connected to Redis");
            if number > 1 {
                self.metrics.reconnections.inc();
            }
            self.succeeded(Access::Ping);
            let since = Instant::now();
            self.current.send_replace(Some(Current { connection, number }));
            self.supervise(number).await;
            // A connection that is lost at once does not reset the backoff.
            if since.elapsed() > self.response_timeout {
                backoff = Backoff::new();
            }
            backoff.wait().await;
        }
    }

    /// Runs until the connection is replaced: pings a silent server, and checks that Sentinel still names it as master.
    async fn supervise(&self, number: u64) {
        let mut current = self.current.subscribe();
        let mut master_checked = Instant::now();
        let is_replaced = |current: &Option<Current>| current.as_ref().is_none_or(|current| current.number != number);
        while tokio::time::timeout(CHECK_MASTER_EVERY, current.wait_for(is_replaced)).await.is_err() {
            let silence = self.last_reply.lock().at.elapsed();
            if silence > PING_AFTER {
                self.ping().await;
            }
            if matches!(self.url.topology, Topology::Sentinel { .. }) && master_checked.elapsed() >= CHECK_MASTER_EVERY
            {
                master_checked = Instant::now();
                self.check_master(number).await;
            }
        }
    }

    async fn check_master(&self, number: u64) {
        let Ok(master) = connect::master(&self.url, &self.sentinels).await else { return };
        let moved = self.current.borrow().as_ref().is_some_and(|current| {
            current.number == number && current.connection.server().is_some_and(|server| server != master.addr())
        });
        if moved {
            self.replace(number, "Sentinel names another master");
        }
    }

    /// Called when a reply is missing. Replaces the connection after a few in a row.
    fn missed(&self, number: u64, reason: &str) {
        if self.missed.fetch_add(1, Ordering::Relaxed) + 1 >= MISSED_IN_A_ROW {
            self.replace(number, reason);
        }
    }

    /// Drops the connection of this number, so that [`run`](CommandConnection::run) opens another one. Does nothing if
    /// that has happened already.
    fn replace(&self, number: u64, reason: &str) {
        let is_dropped = self.current.send_if_modified(|current| {
            let is_current = current.as_ref().is_some_and(|current| current.number == number);
            if is_current {
                *current = None;
            }
            is_current
        });
        if is_dropped {
            self.degraded(reason, None);
        }
    }

    /// Called when Redis has executed a command.
    fn succeeded(&self, access: Access) {
        self.missed.store(0, Ordering::Relaxed);
        *self.last_reply.lock() = LastReply { at: Instant::now(), at_time_of_day: SystemTime::now() };
        let mut problem = self.problem.lock();
        if problem.as_ref().and_then(|problem| problem.refused).is_some_and(|refused| refused > access) {
            return;
        }
        if problem.take().is_some() {
            tracing::info!(redis = %self.url, "Redis answers");
        }
        drop(problem);
        self.health.send_if_modified(|health| {
            let recovered = *health != Health::Connected;
            *health = Health::Connected;
            recovered
        });
    }

    /// Marks the node as degraded, and logs each new reason once.
    fn degraded(&self, reason: &str, refused: Option<Access>) {
        let before = self.problem.lock().replace(Problem { reason: reason.to_owned(), refused });
        if before.is_none_or(|before| before.reason != reason) {
            tracing::warn!(redis = %self.url, reason, "no answer from Redis");
        }
        let since = self.last_reply.lock().at_time_of_day;
        self.health.send_if_modified(|health| match health {
            Health::Starting => false,
            Health::Degraded { reason: known, .. } if known == reason => false,
            _ => {
                *health = Health::Degraded { since, reason: reason.to_owned() };
                true
            }
        });
    }
}

fn command(name: &str, script: &str, call: &Call<'_>) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(call.keys.len()).arg(&call.keys).arg(&call.arguments);
    command
}
