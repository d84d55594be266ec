//! [`Store`]: the boards, in Redis. The only module that speaks to it.
//!
//! Keys (`tictactoe` in braces keeps them in one slot of a cluster):
//! - `{tictactoe}:board:NAME`, STRING: the [`Board`] as JSON. Life: until the board is free. Writer: `swap.lua`.
//! - `{tictactoe}:boards`, ZSET: name → end of its key's life, to bound their number. Life: the longest of theirs. Writer: the same.
//! - `{tictactoe}:boards`, channel: the name of each board that has changed.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use headcount_presence::CounterName;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushInfo, RedisError, RedisResult, Script,
};
use tokio::sync::watch;

use crate::Options;
use crate::game::Board;
use crate::refusal::{self, Refusal};

/// A call waits so long for a connection, which is tried so often.
const ANSWER: Duration = Duration::from_secs(1);
/// First and longest pause before another connection. Each is shortened at random by up to a half.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
const BOARD: &str = "{tictactoe}:board:";
const BOARDS: &str = "{tictactoe}:boards";

/// A board as it was read.
pub(crate) struct StoredBoard {
    pub(crate) board: Board,
    /// Until then it stays as it is, unless there is a move.
    pub(crate) changes_in: Duration,
    text: String,
}

/// The boards of all nodes.
pub(crate) struct Store {
    client: Client,
    /// For commands and messages: where messages do not arrive, replies do not either, and that is noticed.
    connection: watch::Sender<Option<MultiplexedConnection>>,
    /// Whether a call has failed, which is logged once for each connection.
    has_failed: AtomicBool,
    swap: Script,
    move_limit: Duration,
    max_boards: usize,
}

impl Store {
    /// Redis need not answer yet.
    ///
    /// # Errors
    /// Fails if its address is malformed, or the move limit is out of range.
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        let Options { move_limit, max_boards, .. } = *options;
        anyhow::ensure!((1..=3600).contains(&move_limit.as_secs()), "--move-limit must be between 1s and 1h");
        // Without the address itself, which may have a password.
        let server = options.redis.as_str().into_connection_info().context("--redis is no address of Redis")?;
        let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(server.set_redis_settings(settings)).context("--redis is no address of Redis")?;
        let (connection, swap) = (watch::Sender::default(), Script::new(include_str!("swap.lua")));
        Ok(Self { client, connection, has_failed: AtomicBool::default(), swap, move_limit, max_boards })
    }

    /// Reads a board.
    pub(crate) async fn read(&self, name: &CounterName) -> Result<StoredBoard, Refusal> {
        let (mut read, key) = (redis::pipe(), format!("{BOARD}{name}"));
        read.atomic().get(&key).pttl(&key);
        let (text, left): (Option<String>, i64) =
            self.call(async |mut connection| read.query_async(&mut connection).await).await?;
        let text = text.unwrap_or_default();
        // Below zero if there is no key.
        let changes_in = u64::try_from(left).map_or(Duration::MAX, Duration::from_millis);
        Ok(StoredBoard { board: serde_json::from_str(&text).unwrap_or_default(), changes_in, text })
    }

    /// Replaces a board, unless somebody else has since it was read, or it has become free.
    pub(crate) async fn swap(&self, name: &CounterName, former: &StoredBoard, next: &Board) -> Result<(), Refusal> {
        let life = u64::try_from(next.patience(self.move_limit).as_millis()).expect("a move limit is an hour at most");
        let next = serde_json::to_string(next).expect("numbers and lists can be written");
        let mut swap = self.swap.key(format!("{BOARD}{name}"));
        swap.key(BOARDS).arg(&former.text).arg(next).arg(life).arg(self.max_boards).arg(name.as_str());
        match self.call(async |mut connection| swap.invoke_async(&mut connection).await).await? {
            1 => Ok(()),
            // Another move came first. Whatever this one was, it was for a former position.
            0 => Err(refusal::PASSED),
            _ => Err(refusal::FULL),
        }
    }

    /// Makes a call on the connection, for which it waits.
    async fn call<T>(&self, call: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<T>) -> Result<T, Refusal> {
        let mut current = self.connection.subscribe();
        let connected = tokio::time::timeout(ANSWER, current.wait_for(Option::is_some)).await;
        let connection = connected.ok().and_then(|current| current.ok()?.clone()).ok_or(refusal::UNAVAILABLE)?;
        call(connection).await.map_err(|error| {
            if !self.has_failed.swap(true, Ordering::Relaxed) {
                tracing::warn!("Redis: {error}");
            }
            refusal::UNAVAILABLE
        })
    }

    /// Keeps a connection open for ever, and says which board may have changed. `None` stands for any: messages were missed.
    pub(crate) async fn run(&self, changed: impl Fn(Option<&str>) + Clone + Send + Sync + 'static) {
        let mut pause = PAUSES.0;
        loop {
            let begun = Instant::now();
            let Err(error) = self.connect(changed.clone()).await;
            // Not each attempt that follows.
            if self.connection.send_replace(None).is_some() || pause == PAUSES.0 {
                tracing::warn!("no connection to Redis: {error}");
            }
            // One that is lost at once is no reason to hurry.
            pause = if begun.elapsed() > 2 * ANSWER { PAUSES.0 } else { PAUSES.1.min(2 * pause) };
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        }
    }

    /// Opens a connection, and returns when it is lost.
    async fn connect(&self, changed: impl Fn(Option<&str>) + Clone + Send + Sync + 'static) -> RedisResult<Infallible> {
        // What is no message names no board: the subscription has begun, or the connection has ended.
        let receive = move |push: PushInfo| {
            let name = push.data.get(1).filter(|name| matches!(name, redis::Value::BulkString(_)));
            changed(name.and_then(|name| redis::from_redis_value_ref::<String>(name).ok()).as_deref());
            Ok::<_, RedisError>(())
        };
        // It has a second to connect, and half a second for each answer.
        let config = AsyncConnectionConfig::new().set_push_sender(receive);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        connection.subscribe(BOARDS).await?;
        self.has_failed.store(false, Ordering::Relaxed);
        self.connection.send_replace(Some(connection.clone()));
        tracing::info!("Redis answers");
        loop {
            tokio::time::sleep(ANSWER).await;
            redis::cmd("PING").exec_async(&mut connection).await?;
        }
    }
}
