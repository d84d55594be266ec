//! The time between a registration's taking and its counting.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::local_viewers::{LocalViewers, ViewerId};
use crate::visitor::Visitor;

/// Lets viewers count, each of them the grace after it took its registration.
pub(crate) struct GracePeriod {
    length: Duration,
    /// Those who wait, in the order of their time: it is the same length for all.
    queue: Mutex<VecDeque<Waiting>>,
    filled: Notify,
}

struct Waiting {
    until: Instant,
    local_viewers: Weak<LocalViewers>,
    viewer: ViewerId,
}

impl GracePeriod {
    pub(crate) fn new(length: Duration) -> Arc<GracePeriod> {
        Arc::new(GracePeriod { length, queue: Mutex::default(), filled: Notify::new() })
    }

    /// Whether anybody ever waits, and [`run`](GracePeriod::run) is needed.
    pub(crate) fn is_given(&self) -> bool {
        !self.length.is_zero()
    }

    pub(crate) fn take(&self, local_viewers: &Arc<LocalViewers>, viewer: ViewerId, visitor: Visitor) {
        if !self.is_given() {
            return local_viewers.join(viewer, visitor);
        }
        if !local_viewers.wait(viewer, visitor) {
            return;
        }
        let waiting =
            Waiting { until: Instant::now() + self.length, local_viewers: Arc::downgrade(local_viewers), viewer };
        self.lock().push_back(waiting);
        self.filled.notify_one();
    }

    /// Serves the queue until the end.
    pub(crate) async fn run(self: Arc<GracePeriod>, end: CancellationToken) {
        while end.run_until_cancelled(self.serve()).await.is_some() {}
    }

    /// Lets those count whose time has come, then waits for the next one's.
    async fn serve(&self) {
        let due = {
            let mut queue = self.lock();
            let now = Instant::now();
            while let Some(waiting) = queue.pop_front_if(|waiting| waiting.until <= now) {
                if let Some(local_viewers) = waiting.local_viewers.upgrade() {
                    local_viewers.grace_over(waiting.viewer);
                }
            }
            queue.front().map(|waiting| waiting.until)
        };
        match due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => self.filled.notified().await,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
