//! Notices that Redis has lost its data, where this node has not lost a counter by it: beside the data lies a random id, and
//! what loses the one loses the other.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::Value;
use tokio::time::Instant;

use super::call_error::CallError;
use super::command_connection::CommandConnection;
use super::shared_keys::digest;
use super::subscription::Subscription;
use crate::settings::Timing;

/// The id is read where no node has said for so long what it is, however many counters there are.
const READ_EVERY: Duration = Duration::from_secs(5);

/// The id of the data in Redis, as this node knows it.
pub(super) struct DataIdentity {
    commands: Arc<CommandConnection>,
    name: String,
    timing: Timing,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// `None` before it was first read: a loss before that is not noticed.
    id: Option<Vec<u8>>,
    /// When this node noticed that it had changed.
    lost: Option<Instant>,
}

impl DataIdentity {
    pub(super) fn new(commands: Arc<CommandConnection>, name: String, timing: Timing) -> DataIdentity {
        DataIdentity { commands, name, timing, known: Mutex::default() }
    }

    /// Reads the id whenever it may have changed.
    pub(super) async fn run(&self, subscription: &Subscription) {
        loop {
            self.commands.connected().await;
            self.check().await;
            let known = self.known.lock().id.as_deref().map(digest);
            subscription.until_doubt(READ_EVERY, |shared| known == Some(shared.data_id)).await;
        }
    }

    /// Reads the id, and returns until when a counter that was not live here may lack viewers, because Redis has lost its data and
    /// their nodes have not registered them again. `None` if no loss is known.
    pub(super) async fn check(&self) -> Option<Instant> {
        let id = match self.read().await {
            Ok(id) => Some(id),
            Err(error) => {
                tracing::debug!(%error, "the id of Redis's data cannot be read");
                None
            }
        };
        let mut known = self.known.lock();
        if id.is_some() {
            let before = std::mem::replace(&mut known.id, id);
            if before.is_some() && before != known.id {
                known.lost = Some(Instant::now());
            }
        }
        // By then the promise is that all are registered again; it is as long as what is not confirmed is still shown as live.
        known.lost.map(|lost| lost + self.timing.stale_after).filter(|until| *until > Instant::now())
    }

    /// Returns the id in Redis, and gives it one if it has none. Prolongs its life, which is that of the registrations.
    async fn read(&self) -> Result<Vec<u8>, CallError> {
        let life = self.timing.keep.as_millis() as u64;
        let read = redis::cmd("GETEX").arg(&self.name).arg("PX").arg(life).clone();
        let mut stored = self.commands.query(&read).await?;
        if stored == Value::Nil {
            let id = rand::random::<[u8; 16]>();
            self.commands.query(redis::cmd("SET").arg(&self.name).arg(&id).arg("NX").arg("PX").arg(life)).await?;
            stored = self.commands.query(&read).await?;
        }
        match stored {
            Value::BulkString(id) => Ok(id),
            _ => Err(CallError::Form),
        }
    }
}
