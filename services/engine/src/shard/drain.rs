//! A drain: ends all viewers of a shard, evenly spread over a time; those who come back by themselves at its end.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::departing_sockets::{DepartingSockets, LINGER};
use super::viewer_table::ViewerTable;
use crate::inbox::DrainOrder;
use crate::{Attachment, TurnOver};

/// The interval between two steps of a drain.
const STEP: Duration = Duration::from_millis(10);

/// A drain in progress.
pub(super) struct Drain {
    start: Instant,
    spread: Duration,
    /// Viewers with smaller keys have been ended, but for those who come back.
    next_key: usize,
    /// Of those who come back, viewers with smaller keys have been ended.
    next_to_return: usize,
    /// All keys were smaller when the drain started. Viewers who join later are ended at once.
    end_key: usize,
    /// Dropped when the drain is complete.
    done: Vec<mpsc::Sender<()>>,
}

impl Drain {
    pub(super) fn new(order: DrainOrder, end_key: usize, now: Instant) -> Self {
        Self { start: now, spread: order.spread, next_key: 0, next_to_return: 0, end_key, done: vec![order.done] }
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
        if self.next_to_return < self.end_key {
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
        let due = self.due_key(now, Duration::ZERO).max(self.next_key);
        for key in self.next_key..due {
            if !viewers.comes_back(key) {
                viewers.end(key, departing, now);
            }
        }
        let to_return = self.due_key(now, TurnOver::drain_delay(self.spread)).max(self.next_to_return);
        for key in self.next_to_return..to_return {
            if viewers.comes_back(key) {
                viewers.end(key, departing, now);
            }
        }
        (self.next_key, self.next_to_return) = (due, to_return);
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

    /// All smaller keys are due, of viewers who are ended from `delay` on. A shortened drain starts over.
    fn due_key(&self, now: Instant, delay: Duration) -> usize {
        let elapsed = now.saturating_duration_since(self.start);
        if elapsed >= self.spread {
            return self.end_key;
        }
        let share = elapsed.saturating_sub(delay).div_duration_f64(self.spread - delay);
        (self.end_key as f64 * share) as usize
    }
}
