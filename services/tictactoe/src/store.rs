//! [`Store`]: the boards, in Redis. The only module that speaks to it.
//!
//! Keys (`tictactoe` in braces keeps them in one slot of a cluster):
//! - `{tictactoe}:board:NAME`, STRING: the [`Board`] as JSON. Life: [`REMEMBERED_LIMITS`]. Writer: `swap.lua`.
//! - `{tictactoe}:boards`, ZSET: name → end of its key's life, to bound their number. Life and writer: the same.
//! - `{tictactoe}:boards`, channel: the name of each board that has changed.

use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use headcount_presence::CounterName;
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError, RedisResult, Script};
use tokio::sync::Mutex;

use crate::Options;
use crate::game::Board;
use crate::refusal::{self, Refusal};

/// A board is remembered for as many move limits after its last move. So long no number of a position comes again.
const REMEMBERED_LIMITS: u32 = 10;
/// Redis must answer within this time.
const ANSWER: Duration = Duration::from_secs(1);
/// Pause before another subscription.
const RETRY: Duration = Duration::from_millis(500);
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
    /// `None` until a call needs one, and after a call has failed.
    connection: Mutex<Option<MultiplexedConnection>>,
    swap: Script,
    move_limit: Duration,
    max_boards: usize,
}

impl Store {
    /// Redis need not answer yet.
    ///
    /// # Errors
    /// Fails if its address is malformed.
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        // Without the address itself, which may have a password.
        let client = Client::open(options.redis.as_str()).context("--redis is no address of Redis")?;
        let (swap, Options { move_limit, max_boards, .. }) = (Script::new(include_str!("swap.lua")), options);
        Ok(Self { client, connection: Mutex::default(), swap, move_limit: *move_limit, max_boards: *max_boards })
    }

    /// Reads a board.
    pub(crate) async fn read(&self, name: &CounterName) -> Result<StoredBoard, Refusal> {
        let (mut read, key) = (redis::pipe(), format!("{BOARD}{name}"));
        read.atomic().get(&key).pttl(&key);
        let (text, left): (Option<String>, i64) =
            self.call(async |mut connection| read.query_async(&mut connection).await).await?;
        let (text, left) = (text.unwrap_or_default(), Duration::from_millis(left.try_into().unwrap_or(0)));
        let Ok(board) = serde_json::from_str::<Board>(&text) else {
            return Ok(StoredBoard { board: Board::default(), changes_in: Duration::MAX, text });
        };
        let age = (self.move_limit * REMEMBERED_LIMITS).saturating_sub(left);
        Ok(match board.patience(self.move_limit).checked_sub(age).filter(|rest| !rest.is_zero()) {
            Some(rest) => StoredBoard { board, changes_in: rest, text },
            None => StoredBoard { board: board.freed(), changes_in: left, text },
        })
    }

    /// Replaces a board, unless somebody else has since it was read.
    pub(crate) async fn swap(&self, name: &CounterName, former: &StoredBoard, next: &Board) -> Result<(), Refusal> {
        let next = serde_json::to_string(next).expect("numbers and lists can be written");
        let life = u64::try_from((self.move_limit * REMEMBERED_LIMITS).as_millis()).unwrap_or(u64::MAX);
        let mut swap = self.swap.key(format!("{BOARD}{name}"));
        swap.key(BOARDS).arg(&former.text).arg(next).arg(life).arg(self.max_boards).arg(name.as_str());
        match self.call(async |mut connection| swap.invoke_async(&mut connection).await).await? {
            1 => Ok(()),
            // Another move came first. Whatever this one was, it was for a former position.
            0 => Err(refusal::PASSED),
            _ => Err(refusal::FULL),
        }
    }

    /// Makes a call on the connection, which is opened if there is none, and given up if the call fails.
    async fn call<T>(&self, call: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<T>) -> Result<T, Refusal> {
        let answer = async {
            let mut slot = self.connection.lock().await;
            let connection = match &*slot {
                Some(connection) => connection.clone(),
                None => slot.insert(self.client.get_multiplexed_async_connection().await?).clone(),
            };
            drop(slot);
            call(connection).await
        };
        let error = match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {ANSWER:?}"),
        };
        tracing::warn!("Redis: {error}");
        // Another call may be opening the next one.
        let _ = self.connection.try_lock().map(|mut connection| connection.take());
        Err(refusal::UNAVAILABLE)
    }

    /// Says which board has changed, for ever. `None` stands for any: without a subscription, messages were missed.
    pub(crate) async fn listen(&self, changed: impl Fn(Option<&str>)) {
        loop {
            let subscription = async {
                let mut subscription = self.client.get_async_pubsub().await?;
                subscription.subscribe(BOARDS).await?;
                Ok::<_, RedisError>(subscription)
            };
            if let Ok(Ok(mut subscription)) = tokio::time::timeout(ANSWER, subscription).await {
                changed(None);
                let mut messages = subscription.on_message();
                while let Some(message) = messages.next().await {
                    changed(message.get_payload::<String>().ok().as_deref());
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}
