//! A drain: ends all viewers of a shard, evenly spread over a time.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::departing_sockets::{DepartingSockets, LINGER};
use super::viewer_table::ViewerTable;
use crate::Attachment;
use crate::inbox::DrainOrder;

/// The interval between two steps of a drain.
const STEP: Duration = Duration::from_millis(10);

/// A drain in progress.
pub(super) struct Drain {
    start: Instant,
    spread: Duration,
    /// Viewers with smaller keys have been ended.
    next_key: usize,
    /// All keys were smaller when the drain started. Viewers who join later are ended at once.
    end_key: usize,
    /// Dropped when the drain is complete.
    done: Vec<mpsc::Sender<()>>,
}

impl Drain {
    pub(super) fn new(order: DrainOrder, end_key: usize, now: Instant) -> Self {
        Self { start: now, spread: order.spread, next_key: 0, end_key, done: vec![order.done] }
    }

    /// Adds another order. The earlier end applies.
    pub(super) fn add(&mut self, order: DrainOrder, now: Instant) {
        self.done.push(order.done);
        if now + order.spread < self.start + self.spread {
            (self.start, self.spread) = (now, order.spread);
        }
    }

    /// When the drain has something to do.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        if self.next_key < self.end_key {
            Some(now + STEP)
        } else {
            Some(self.deadline()).filter(|deadline| *deadline > now)
        }
    }

    /// Ends the viewers who are due. After the deadline, disconnects those that have not read their ending.
    pub(super) fn run<A: Attachment>(
        &mut self,
        viewers: &mut ViewerTable<A>,
        departing: &mut DepartingSockets,
        now: Instant,
    ) {
        let due = self.due_key(now);
        for key in self.next_key..due {
            viewers.end(key, departing, now);
        }
        self.next_key = due;
        if now >= self.deadline() {
            viewers.drop_lagging();
        }
    }

    /// Reports the drain as complete.
    pub(super) fn complete(&mut self) {
        self.done.clear();
    }

    fn deadline(&self) -> Instant {
        self.start + self.spread + LINGER
    }

    fn due_key(&self, now: Instant) -> usize {
        let elapsed = now.saturating_duration_since(self.start);
        if elapsed >= self.spread {
            return self.end_key;
        }
        let share = elapsed.div_duration_f64(self.spread);
        // A shortened drain starts over; it does not go back.
        ((self.end_key as f64 * share) as usize).max(self.next_key)
    }
}
