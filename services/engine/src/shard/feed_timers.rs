//! Timers that a shard keeps for feeds whose next pass must wait for the pace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::feed_state::FeedState;

/// The timers of a shard, each with its feed, by time and the feed's id.
pub(super) struct FeedTimers<A>(BTreeMap<(Instant, u64), Arc<FeedState<A>>>);

impl<A> FeedTimers<A> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn set(&mut self, at: Instant, feed: Arc<FeedState<A>>) {
        self.0.insert((at, feed.id), feed);
    }

    /// When the next timer fires.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.0.first_key_value().map(|((at, _), _)| *at)
    }

    /// Fires all timers up to `now`.
    pub(super) fn fire_due(&mut self, now: Instant) {
        while let Some(timer) = self.0.first_entry()
            && timer.key().0 <= now
        {
            timer.remove().timer_fired(now);
        }
    }

    /// Fires all timers early, so that the feeds set them in another shard.
    pub(super) fn fire_all(&mut self, now: Instant) {
        while let Some((_, feed)) = self.0.pop_first() {
            feed.timer_fired(now);
        }
    }
}
