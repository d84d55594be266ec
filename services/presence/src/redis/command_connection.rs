//! The connection for commands: one a node, replaced whenever it does not answer, for ever.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use redis::{Cmd, ErrorKind, ServerErrorKind, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::call_error::{CallError, Recovery};
use super::connect::{self, Connection};
use super::reply::Reply;
use super::scripts::{Access, Call};
use super::url::{RedisUrl, Topology};
use crate::Health;
use crate::metrics::Metrics;

/// Answers that may be missing in a row before the connection is given up.
const MISSED_IN_A_ROW: u32 = 2;

/// How often the sentinels are asked whether the master is still the master: a failover may leave our old one alive.
const ASK_SENTINEL_EVERY: Duration = Duration::from_secs(2);

/// Commands to Redis. Connects in the background.
pub(super) struct CommandConnection {
    url: RedisUrl,
    response_timeout: Duration,
    current: watch::Sender<Option<Current>>,
    missed: AtomicU32,
    last_answer: Mutex<LastAnswer>,
    /// What is wrong now, if anything is.
    trouble: Mutex<Option<Trouble>>,
    health: watch::Sender<Health>,
    metrics: Metrics,
}

#[derive(Clone)]
struct Current {
    connection: Connection,
    /// Tells this connection from the ones before it.
    number: u64,
}

/// What is wrong.
struct Trouble {
    why: String,
    /// Redis answers, but refuses this: nothing but its success shows that that is over.
    refused: Option<Access>,
}

#[derive(Clone, Copy)]
struct LastAnswer {
    at: Instant,
    at_time_of_day: SystemTime,
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
            missed: AtomicU32::new(0),
            last_answer: Mutex::new(LastAnswer { at: Instant::now(), at_time_of_day: SystemTime::now() }),
            trouble: Mutex::new(None),
            health,
            metrics,
        })
    }

    /// Calls a script and waits for its reply, at most for a response timeout (and as long for a connection).
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Reply, CallError> {
        self.ask(call, Reply::parse).await
    }

    /// The same with a script whose reply is of another form.
    pub(super) async fn ask<T>(&self, call: &Call<'_>, parse: fn(Value) -> Option<T>) -> Result<T, CallError> {
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
            // Redis has forgotten the script, or has never seen it. EVAL loads it where this counter's keys are.
            Err(CallError::Redis(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.send(&command("EVAL", &call.script.code, call), call.access).await
            }
            result => result,
        }
    }

    /// Sends one command and waits for its answer.
    pub(super) async fn query(&self, command: &Cmd) -> Result<Value, CallError> {
        self.send(command, Access::Read).await
    }

    async fn send(&self, command: &Cmd, access: Access) -> Result<Value, CallError> {
        let Current { mut connection, number } = self.connection().await?;
        match tokio::time::timeout(self.response_timeout, command.query_async::<Value>(&mut connection)).await {
            Ok(Ok(value)) => {
                self.answered(access);
                Ok(value)
            }
            Ok(Err(error)) => {
                match (Recovery::of(&error), &connection) {
                    (Recovery::None, _) => self.answered(Access::Ping),
                    (Recovery::Operator, _) => self.degraded(&error.to_string(), Some(access)),
                    (Recovery::OtherConnection, Connection::One { .. }) => self.replace(number, &error.to_string()),
                    // The cluster's client finds other masters by itself, if there are any.
                    (Recovery::OtherConnection, Connection::Cluster(_)) => self.missed(number, &error.to_string()),
                }
                Err(error.into())
            }
            Err(_) => {
                self.missed(number, &CallError::Timeout.to_string());
                Err(CallError::Timeout)
            }
        }
    }

    /// Finds out whether the connection still works.
    pub(super) async fn check(&self) {
        // An answer that does not come is dealt with where every answer is.
        let _dealt_with = self.send(&redis::cmd("PING"), Access::Ping).await;
    }

    /// Whether there is a connection now.
    pub(super) fn is_connected(&self) -> bool {
        self.current.borrow().is_some()
    }

    /// Waits for a connection.
    pub(super) fn connected(&self) -> impl Future<Output = ()> {
        let mut current = self.current.subscribe();
        async move {
            // The sender lives as long as the commands; without it there is nothing to wait for.
            let _ended = current.wait_for(Option::is_some).await;
        }
    }

    async fn connection(&self) -> Result<Current, CallError> {
        let mut current = self.current.subscribe();
        let there = tokio::time::timeout(self.response_timeout, current.wait_for(Option::is_some)).await;
        match there {
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
            self.answered(Access::Ping);
            let since = Instant::now();
            self.current.send_replace(Some(Current { connection, number }));
            self.watch_over(number).await;
            // A connection that is lost as soon as it is open is no reason to hurry.
            if since.elapsed() > self.response_timeout {
                backoff = Backoff::new();
            }
            backoff.wait().await;
        }
    }

    /// Until the connection is given up: asks for a sign of life when nothing else does, and whether the master is still
    /// the master.
    async fn watch_over(&self, number: u64) {
        let mut gone = self.current.subscribe();
        let mut sentinel_asked = Instant::now();
        let is_ours = |current: &Option<Current>| current.as_ref().is_none_or(|current| current.number != number);
        while tokio::time::timeout(ASK_SENTINEL_EVERY, gone.wait_for(is_ours)).await.is_err() {
            let silence = self.last_answer.lock().unwrap_or_else(PoisonError::into_inner).at.elapsed();
            if silence > ASK_SENTINEL_EVERY * 3 {
                self.check().await;
            }
            if matches!(self.url.topology, Topology::Sentinel { .. }) && sentinel_asked.elapsed() >= ASK_SENTINEL_EVERY
            {
                sentinel_asked = Instant::now();
                self.check_master(number).await;
            }
        }
    }

    async fn check_master(&self, number: u64) {
        let Ok(master) = connect::master(&self.url).await else { return };
        let moved = self.current.borrow().as_ref().is_some_and(|current| {
            current.number == number && current.connection.server().is_some_and(|server| server != master.addr())
        });
        if moved {
            self.replace(number, "Sentinel names another master");
        }
    }

    /// An answer is missing: a few of them in a row, and the connection is given up.
    fn missed(&self, number: u64, reason: &str) {
        if self.missed.fetch_add(1, Ordering::Relaxed) + 1 >= MISSED_IN_A_ROW {
            self.replace(number, reason);
        }
    }

    /// Gives a connection up, unless it has been replaced already.
    fn replace(&self, number: u64, reason: &str) {
        let given_up = self.current.send_if_modified(|current| {
            let is_current = current.as_ref().is_some_and(|current| current.number == number);
            if is_current {
                *current = None;
            }
            is_current
        });
        if given_up {
            self.degraded(reason, None);
        }
    }

    /// Redis did what was asked of it.
    fn answered(&self, access: Access) {
        self.missed.store(0, Ordering::Relaxed);
        let answer = LastAnswer { at: Instant::now(), at_time_of_day: SystemTime::now() };
        *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref().and_then(|trouble| trouble.refused).is_some_and(|refused| refused > access) {
            return;
        }
        if trouble.take().is_some() {
            tracing::info!(redis = %self.url, "Redis answers");
        }
        drop(trouble);
        self.health.send_if_modified(|health| {
            let recovered = *health != Health::Connected;
            *health = Health::Connected;
            recovered
        });
    }

    /// Says once what is wrong.
    fn degraded(&self, why: &str, refused: Option<Access>) {
        let now = Trouble { why: why.to_owned(), refused };
        let before = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if before.is_none_or(|before| before.why != why) {
            tracing::warn!(redis = %self.url, reason = why, "no answer from Redis");
        }
        let since = self.last_answer.lock().unwrap_or_else(PoisonError::into_inner).at_time_of_day;
        self.health.send_if_modified(|health| match health {
            Health::Starting => false,
            Health::Degraded { reason, .. } if reason == why => false,
            _ => {
                *health = Health::Degraded { since, reason: why.to_owned() };
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
