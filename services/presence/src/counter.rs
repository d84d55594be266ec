//! The handle of a counter.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::counter_registry::LiveCounter;
use crate::{CounterName, Reading};

/// How long [`Counter::settled`] waits for the first reading that includes all nodes. Redis answers within a few
/// milliseconds or is away, and then a reading of this node's own viewers is better than none.
const SETTLED_WITHIN: Duration = Duration::from_millis(500);

/// A counter that is live on this node, as long as a clone of this handle or a registration at the counter exists.
#[derive(Clone)]
pub struct Counter(pub(crate) Arc<LiveCounter>);

impl Counter {
    /// The counter's name.
    pub fn name(&self) -> &CounterName {
        &self.0.local_viewers.name
    }

    /// The newest reading, and each new one. The receiver does not keep the counter live.
    pub fn watch(&self) -> watch::Receiver<Reading> {
        self.0.local_viewers.watch()
    }

    /// The newest reading that includes all nodes. Waits for the first one up to 500 ms, then returns this node's own
    /// reading, marked as stale.
    pub async fn settled(&self) -> Reading {
        let mut readings = self.watch();
        let settled = readings.wait_for(|reading| reading.epoch > 0);
        match tokio::time::timeout(SETTLED_WITHIN, settled).await {
            Ok(Ok(reading)) => *reading,
            _ => self.0.local_viewers.reading(),
        }
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(self.name()).finish()
    }
}
