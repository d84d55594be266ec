//! The visitors' key: the same on all nodes, another every day.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::call_error::CallError;
use super::command_connection::CommandConnection;
use crate::visitor::VisitorKey;

/// How long a key is used. A person whose stream spans the change is another visitor to it from then on: whoever opens
/// a second stream after the change is counted twice among the visitors until the first one ends.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The time between two attempts to learn the key.
const RETRY: Duration = Duration::from_secs(1);

/// A key in use must be looked for again, because Redis may have lost it and another node may have made a new one.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The key, and whether it is everybody's yet.
#[derive(Clone, Copy)]
pub(crate) struct CurrentKey {
    pub(crate) key: VisitorKey,
    pub(crate) is_shared: bool,
}

/// Learns the key, and each new one, until cancelled. Puts it back at once where `lost` says that Redis has lost something:
/// a node that starts before that would make another.
pub(super) async fn run(
    commands: Arc<CommandConnection>,
    name: String,
    current: watch::Sender<CurrentKey>,
    mut lost: watch::Receiver<u64>,
) {
    // Until then a key of this node's own serves; it becomes everybody's if there is none.
    let mut ends = Instant::now() + LIFE;
    loop {
        commands.connected().await;
        let now = Instant::now();
        // A key whose time is over is not put back, should Redis have been slower than we to forget it.
        let offered = if ends > now { (current.borrow().key, ends - now) } else { (VisitorKey::random(), LIFE) };
        match agree(&commands, &name, offered).await {
            Ok((key, left)) => {
                ends = Instant::now() + left;
                current.send_if_modified(|current| {
                    let is_new = current.key != key || !current.is_shared;
                    *current = CurrentKey { key, is_shared: true };
                    is_new
                });
                let _looked_long_enough = timeout(left.min(LOOK_EVERY), lost.changed()).await;
            }
            Err(error) => {
                tracing::debug!(%error, "the visitors' key is not known yet");
                sleep(RETRY).await;
            }
        }
    }
}

/// Offers a key in case there is none, and says which one it is, and for how long.
async fn agree(
    commands: &CommandConnection,
    name: &str,
    (key, life): (VisitorKey, Duration),
) -> Result<(VisitorKey, Duration), CallError> {
    let life = life.as_millis().max(1) as u64;
    commands.query(redis::cmd("SET").arg(name).arg(key.as_bytes()).arg("NX").arg("PX").arg(life)).await?;
    let Value::BulkString(bytes) = commands.query(redis::cmd("GET").arg(name)).await? else {
        return Err(CallError::Form);
    };
    let key = VisitorKey::from_bytes(&bytes).ok_or(CallError::Form)?;
    let Value::Int(left) = commands.query(redis::cmd("PTTL").arg(name)).await? else { return Err(CallError::Form) };
    Ok((key, Duration::from_millis(u64::try_from(left).unwrap_or(0))))
}
