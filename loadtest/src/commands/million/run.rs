//! [`Run`]: all that runs while a million viewers are held.

use std::time::Instant;

use headcount_testkit::{Node, RedisServer, Snapshot, Viewers};

use super::super::history::History;

/// The counter that all viewers watch.
pub(super) const COUNTER: &str = "online";

/// All that runs, and what was seen of it.
pub(super) struct Run {
    pub(super) redis: RedisServer,
    pub(super) nodes: Vec<Node>,
    pub(super) viewers: Viewers,
    pub(super) begun: Instant,
    pub(super) history: History,
}

impl Run {
    /// Records the state of the viewers.
    pub(super) fn record(&mut self, snapshot: &Snapshot) {
        self.history.at(self.begun.elapsed().as_secs_f64(), snapshot);
    }
}
