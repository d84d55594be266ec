//! [`StatusBoard`]: all nodes and counters, as the admin port shows them. However many ask, Redis is read by one at a time, and
//! for a small part of the time.

use std::sync::Arc;
use std::time::Duration;

use headcount_presence::{Presence, Status};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer is used again.
const FRESH: Duration = Duration::from_secs(2);

/// Where reading takes long, the answer is used for this many times as long: at most a twentieth of Redis's time.
const FRESH_TIMES: u32 = 20;

/// After this time without Redis's answer, the node tells what it knows by itself.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// All nodes and counters, or what one node knows. Serialized, it is `/status.json` and the output of `headcount status --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StatusReport {
    /// Why it has only what the node knows by itself. Absent where that is everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The nodes and counters.
    #[serde(flatten)]
    pub(crate) status: Status,
}

impl From<Status> for StatusReport {
    fn from(status: Status) -> Self {
        Self { error: None, status }
    }
}

/// What the admin port shows of all nodes and counters.
pub(crate) struct StatusBoard {
    presence: Presence,
    /// The newest report, and until when it is used.
    newest: Mutex<Option<(Instant, Arc<StatusReport>)>>,
}

impl StatusBoard {
    pub(crate) fn new(presence: Presence) -> Self {
        Self { presence, newest: Mutex::new(None) }
    }

    /// Returns a report that is 2 s old at most, or longer where it took long to read. Takes 5 s at most for each who waits.
    pub(crate) async fn report(&self) -> Arc<StatusReport> {
        let mut newest = self.newest.lock().await;
        if let Some((until, report)) = &*newest
            && *until > Instant::now()
        {
            return Arc::clone(report);
        }
        let started = Instant::now();
        let report = Arc::new(self.read().await);
        let fresh = FRESH.max(started.elapsed() * FRESH_TIMES);
        *newest = Some((Instant::now() + fresh, Arc::clone(&report)));
        report
    }

    async fn read(&self) -> StatusReport {
        let error = match tokio::time::timeout(READ_WITHIN, self.presence.shared_status()).await {
            Ok(None) => return self.presence.own_status().into(),
            Ok(Some(Ok(status))) => return status.into(),
            Ok(Some(Err(error))) => error.to_string(),
            Err(_) => format!("Redis does not answer within {} s", READ_WITHIN.as_secs()),
        };
        let error = format!("{error}. What follows is what this node knows by itself, perhaps an old number.");
        StatusReport { error: Some(error), status: self.presence.own_status() }
    }
}
