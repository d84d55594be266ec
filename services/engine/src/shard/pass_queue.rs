//! ShardFeed frames: the passes over a feed's viewers, in slices, so that a long pass holds nothing else up; and the
//! repeats that keep quiet streams alive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::Shard;
use super::keepalive_rotation::SLOTS;
use super::shard_feed::Pass;
use super::viewer::PushOutcome;
use crate::Attachment;
use crate::feed_state::FeedState;
use crate::metrics::SendTotals;

/// Viewers that are visited before the shard looks up from its passes: about 2.5 ms of sends. What is lost by looking
/// up is one empty poll, well below a thousandth of that.
const SLICE: usize = 256;

impl<A: Attachment> Shard<A> {
    /// Begins the pass that `schedule` has released.
    pub(super) fn begin_pass(&mut self, schedule: &Arc<FeedState<A>>, now: Instant) {
        match self.feed_keys.get(&schedule.id) {
            Some(&feed) => {
                self.feeds[feed].begin(now);
                self.passes.push_back(feed);
            }
            // Its viewers here have all gone meanwhile.
            None => schedule.passed(now, Duration::ZERO),
        }
    }

    /// Begins to end the viewers of a feed that has ended.
    pub(super) fn begin_ending(&mut self, schedule: &Arc<FeedState<A>>, now: Instant) {
        let Some(&feed) = self.feed_keys.get(&schedule.id) else { return };
        let showing = &mut self.feeds[feed];
        match showing.pass {
            // The pass goes on as one of the end, which carries the newest image too.
            Pass::Frame(_) => schedule.passed(now, showing.worked),
            Pass::None => self.passes.push_back(feed),
            Pass::Ending => {}
        }
        showing.begin_ending();
    }

    /// Visits the next viewers of the passes that are on.
    // Kept apart for the instruction counts.
    #[inline(never)]
    pub(super) fn slice(&mut self, now: Instant) {
        if self.passes.is_empty() {
            return;
        }
        let mut budget = SLICE;
        let mut clock = processor_time();
        while budget > 0
            && let Some(feed) = self.passes.pop_front()
        {
            match self.feeds[feed].pass {
                Pass::Frame(began) => {
                    self.feeds[feed].renew();
                    budget = self.show_some(feed, budget, now);
                    let since = std::mem::replace(&mut clock, processor_time());
                    self.feeds[feed].worked += clock.saturating_sub(since);
                    if self.feeds[feed].roster.visited() {
                        self.finish_pass(feed, began);
                        continue;
                    }
                }
                Pass::Ending => {
                    while budget > 0
                        && let Some(viewer) = self.feeds[feed].roster.next()
                    {
                        self.end_viewer(viewer as usize, now);
                        budget -= 1;
                    }
                    if self.feeds[feed].roster.visited() {
                        self.feeds[feed].pass = Pass::None;
                        self.drop_if_empty(feed);
                        continue;
                    }
                }
                Pass::None => continue,
            }
            self.passes.push_back(feed);
        }
    }

    fn show_some(&mut self, feed: usize, budget: usize, now: Instant) -> usize {
        let frame = self.feeds[feed].frame.clone();
        let mut tally = SendTotals::default();
        let mut left = budget;
        while left > 0
            && let Some(viewer) = self.feeds[feed].roster.next()
        {
            left -= 1;
            self.show(viewer as usize, frame.bytes(), now, &mut tally);
        }
        self.metrics.pushed(&tally);
        left
    }

    // A call for each viewer would be an eighth of the work.
    #[inline(always)]
    fn show(&mut self, key: usize, frame: &bytes::Bytes, now: Instant, tally: &mut SendTotals) {
        match self.viewers[key].show(frame, now, tally) {
            PushOutcome::Settled => {}
            PushOutcome::FellBehind(behind) => self.fall_behind(key, behind),
            PushOutcome::Broken(error) => self.depart_broken(key, &error),
        }
    }

    fn finish_pass(&mut self, feed: usize, began: Instant) {
        let now = Instant::now();
        self.metrics.passes.observe((now - began).as_secs_f64());
        let showing = &mut self.feeds[feed];
        showing.pass = Pass::None;
        showing.schedule.passed(now, showing.worked);
        self.drop_if_empty(feed);
    }

    /// Shows the viewers whose turn has come their frame again, unless their feed has just shown it to all.
    pub(super) fn keep_alive(&mut self, now: Instant) {
        let mut tally = SendTotals::default();
        while let Some(place) = self.wheel.turn(now) {
            for key in (place..self.viewers.capacity()).step_by(SLOTS) {
                let Some(viewer) = self.viewers.get(key) else { continue };
                let showing = &self.feeds[viewer.feed as usize];
                if viewer.behind.is_some() || now.saturating_duration_since(showing.shown_at) < self.fresh {
                    continue;
                }
                let frame = showing.frame.clone();
                self.show(key, frame.bytes(), now, &mut tally);
            }
        }
        self.metrics.repeated(&tally);
    }
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// How the keep-alive interval is made up: every viewer has its turn once in a round, and is passed over if its feed
/// showed a frame a moment before. So the longest wait is a round and that moment, which is the interval.
pub(super) fn round_and_fresh(keepalive: Duration) -> (Duration, Duration) {
    let fresh = keepalive / 5;
    (keepalive - fresh, fresh)
}
