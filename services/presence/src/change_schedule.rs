//! The time between the start of a registration and its counting.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::local_viewers::LocalViewers;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;

/// Makes each viewer count one grace period after its registration has started.
pub(crate) struct ChangeSchedule {
    length: Duration,
    /// Pending viewers, earliest first: the length is the same for all.
    queue: Mutex<VecDeque<Pending>>,
    /// Signalled when a viewer has been queued.
    queued: Notify,
}

struct Pending {
    until: Instant,
    local_viewers: Weak<LocalViewers>,
    viewer: ViewerId,
}

impl ChangeSchedule {
    pub(crate) fn new(length: Duration) -> Arc<ChangeSchedule> {
        Arc::new(ChangeSchedule { length, queue: Mutex::default(), queued: Notify::new() })
    }

    /// Whether viewers wait at all, and [`run`](ChangeSchedule::run) is needed.
    pub(crate) fn is_enabled(&self) -> bool {
        !self.length.is_zero()
    }

    /// Starts the viewer's grace period. Without one the viewer counts at once.
    pub(crate) fn start(&self, local_viewers: &Arc<LocalViewers>, viewer: ViewerId, visitor: Visitor) {
        if !self.is_enabled() {
            return local_viewers.join(viewer, visitor);
        }
        if !local_viewers.add_pending(viewer, visitor) {
            return;
        }
        let until = Instant::now() + self.length;
        self.queue.lock().push_back(Pending { until, local_viewers: Arc::downgrade(local_viewers), viewer });
        self.queued.notify_one();
    }

    /// Serves the queue until cancelled.
    pub(crate) async fn run(self: Arc<ChangeSchedule>, end: CancellationToken) {
        while end.run_until_cancelled(self.join_due()).await.is_some() {}
    }

    /// Makes the viewers count whose grace period is over, then waits until the next one's is.
    async fn join_due(&self) {
        let next = {
            let mut queue = self.queue.lock();
            let now = Instant::now();
            while let Some(pending) = queue.pop_front_if(|pending| pending.until <= now) {
                if let Some(local_viewers) = pending.local_viewers.upgrade() {
                    local_viewers.join_pending(pending.viewer);
                }
            }
            queue.front().map(|pending| pending.until)
        };
        match next {
            Some(until) => tokio::time::sleep_until(until).await,
            None => self.queued.notified().await,
        }
    }
}
