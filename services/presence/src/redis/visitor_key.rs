//! The key of visitors' hashes: the same on all nodes, and a new one every day.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::call_error::CallError;
use super::command_connection::CommandConnection;
use super::shared_keys::{NO_EXPIRY, digest};
use super::subscription::Subscription;
use crate::monotonic;
use crate::visitor::VisitorKey;

/// How long a key is used. A person who opens a second stream after the change counts as two visitors until the first
/// one ends.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The time between two attempts to read the key.
const RETRY: Duration = Duration::from_secs(1);

/// The key is read again where no node has said for so long what it is: Redis may have lost it, and another node may have stored a
/// new one. A key that is evicted alone is back within half of the promised 10 s, before a new node stores another.
const READ_EVERY: Duration = Duration::from_secs(5);

/// The key, and whether all nodes share it.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct CurrentKey {
    pub(crate) key: VisitorKey,
    pub(crate) is_shared: bool,
    /// The end of its life.
    #[serde(with = "monotonic")]
    ends: Instant,
}

impl CurrentKey {
    /// A key that only this node uses. It becomes the shared one if Redis has none.
    pub(crate) fn own(key: VisitorKey) -> CurrentKey {
        CurrentKey { key, is_shared: false, ends: Instant::now() + LIFE }
    }
}

/// Reads the key, and each new one, until cancelled. Stores it again at once when `data_losses` changes: a node that
/// starts before that would store another one.
pub(super) async fn run(
    commands: Arc<CommandConnection>,
    name: String,
    current: watch::Sender<CurrentKey>,
    mut data_losses: watch::Receiver<u64>,
    subscription: Arc<Subscription>,
) {
    loop {
        commands.connected().await;
        let now = Instant::now();
        let CurrentKey { key, ends, .. } = *current.borrow();
        // A key whose life is over is not offered, even if Redis has not expired it yet.
        let offered = if ends > now { (key, ends - now) } else { (VisitorKey::random(), LIFE) };
        match agree(&commands, &name, offered).await {
            Ok((key, left)) => {
                current.send_if_modified(|current| {
                    let is_new = current.key != key || !current.is_shared;
                    *current = CurrentKey { key, is_shared: true, ends: Instant::now() + left };
                    is_new
                });
                let known = digest(key.as_bytes());
                tokio::select! {
                    () = sleep(left.max(RETRY)) => {}
                    () = subscription.until_doubt(READ_EVERY, |shared| shared.visitor_key == known) => {}
                    // The sender is the node's own, so this does not fail.
                    _ = data_losses.changed() => {}
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the key of visitors' hashes is not known yet");
                sleep(RETRY).await;
            }
        }
    }
}

/// Stores the offered key if Redis has none. Returns the key in Redis and what is left of its life.
async fn agree(
    commands: &CommandConnection,
    name: &str,
    (key, life): (VisitorKey, Duration),
) -> Result<(VisitorKey, Duration), CallError> {
    let life = life.as_millis().max(1) as u64;
    let mut stored = commands.query(redis::cmd("GET").arg(name)).await?;
    if stored == Value::Nil {
        // Only then: a Redis that is full refuses even what it would not store.
        commands.query(redis::cmd("SET").arg(name).arg(key.as_bytes()).arg("NX").arg("PX").arg(life)).await?;
        stored = commands.query(redis::cmd("GET").arg(name)).await?;
    }
    let Value::BulkString(bytes) = stored else { return Err(CallError::Form) };
    let key = VisitorKey::from_bytes(&bytes).ok_or(CallError::Form)?;
    let Value::Int(left) = commands.query(redis::cmd("PTTL").arg(name)).await? else { return Err(CallError::Form) };
    // Without an end, because somebody has removed it: the key gets a life again.
    if left == NO_EXPIRY {
        commands.query(redis::cmd("PEXPIRE").arg(name).arg(life)).await?;
        return Ok((key, Duration::from_millis(life)));
    }
    Ok((key, Duration::from_millis(u64::try_from(left).unwrap_or(0))))
}
