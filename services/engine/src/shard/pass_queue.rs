//! The passes in progress, done in slices so that a long pass does not delay the shard's other work.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::departing_sockets::DepartingSockets;
use super::viewer_table::ViewerTable;
use crate::Attachment;
use crate::feed_state::FeedState;

/// Viewers visited before the shard polls for events again: about 2.5 ms of sends. An empty poll costs well below a
/// thousandth of that.
const SLICE_VIEWERS: usize = 256;

/// The keys of the feeds with a pass in progress, each once.
#[derive(Debug, Default)]
pub(super) struct PassQueue(VecDeque<usize>);

impl PassQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Starts a pass with the feed's current frame.
    pub(super) fn start<A: Attachment>(
        &mut self,
        feed: &Arc<FeedState<A>>,
        viewers: &mut ViewerTable<A>,
        now: Instant,
    ) {
        match viewers.start_pass(feed, now) {
            Some(key) => self.0.push_back(key),
            // Its viewers here have left in the meantime.
            None => feed.pass_finished(now, Duration::ZERO),
        }
    }

    /// Starts to end the viewers of a feed that has ended.
    pub(super) fn start_ending<A: Attachment>(
        &mut self,
        feed: &FeedState<A>,
        viewers: &mut ViewerTable<A>,
        now: Instant,
    ) {
        self.0.extend(viewers.start_ending(feed, now));
    }

    /// Visits the next viewers.
    // Not inlined: `benches/instructions.rs` counts it by name.
    #[inline(never)]
    pub(super) fn run_slice<A: Attachment>(
        &mut self,
        viewers: &mut ViewerTable<A>,
        departing: &mut DepartingSockets,
        now: Instant,
    ) {
        if self.is_empty() {
            return;
        }
        let mut budget = SLICE_VIEWERS;
        let mut clock = thread_cpu_time();
        while budget > 0
            && let Some(feed) = self.0.pop_front()
        {
            budget = viewers.visit(feed, budget, departing, now);
            let before = std::mem::replace(&mut clock, thread_cpu_time());
            if !viewers.finish_visited_pass(feed, clock.saturating_sub(before)) {
                self.0.push_back(feed);
            }
        }
    }
}

/// The CPU time of this thread.
fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
