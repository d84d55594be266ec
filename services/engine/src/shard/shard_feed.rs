//! One shard's side of a feed: the frame, the feed's viewers in this shard, and the pass in progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::feed_viewers::{FeedViewers, Moved};
use crate::Frame;
use crate::feed_state::FeedState;
use crate::settings::TurnOver;

/// What a pass sends to each of the feed's viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// The newest frame.
    Frame {
        /// When the pass started.
        start: Instant,
        /// The CPU time that this shard has spent on it.
        cpu_time: Duration,
    },
    /// The feed's ending.
    Ending,
}

/// A feed in one shard. It exists only while the shard has viewers of the feed or a pass over them.
pub(super) struct ShardFeed<A> {
    state: Arc<FeedState<A>>,
    frame: Frame,
    viewers: FeedViewers,
    pass: Option<Pass>,
    /// When the last pass over frames started: all viewers that do not lag have received a frame since.
    last_pass: Instant,
    ended: bool,
}

impl<A> ShardFeed<A> {
    /// Called for the first viewer of the feed in `shard`.
    pub(super) fn new(state: Arc<FeedState<A>>, shard: usize, now: Instant) -> Self {
        let (frame, ended) = state.add_shard(shard);
        Self { state, frame, viewers: FeedViewers::default(), pass: None, last_pass: now, ended }
    }

    pub(super) fn state(&self) -> &Arc<FeedState<A>> {
        &self.state
    }

    pub(super) fn frame(&self) -> &Frame {
        &self.frame
    }

    /// When the feed's streams end by themselves.
    #[inline]
    pub(super) fn turn_over(&self) -> Option<TurnOver> {
        self.state.turn_over
    }

    /// The stream's last bytes, of the newest frame: even if no pass has started with it yet.
    pub(super) fn ending(&mut self) -> Bytes {
        self.frame = self.state.newest();
        self.frame.ending().clone()
    }

    /// Whether viewers who join now are ended after their first frame.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether all viewers received a frame less than `fresh` ago.
    pub(super) fn is_fresh(&self, fresh: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.last_pass) < fresh
    }

    /// Whether the shard no longer needs the feed.
    pub(super) fn is_unused(&self) -> bool {
        self.viewers.is_empty() && self.pass.is_none()
    }

    /// Adds a viewer, who does not take part in the current pass. Returns its position.
    pub(super) fn add_viewer(&mut self, key: u32) -> u32 {
        self.viewers.add(key)
    }

    /// Removes the viewer at `position`. Returns the viewers whose position changes.
    pub(super) fn remove_viewer(&mut self, position: u32) -> Moved {
        self.viewers.remove(position)
    }

    /// Starts a pass with the feed's current frame.
    pub(super) fn start_pass(&mut self, now: Instant) {
        self.frame = self.state.current();
        self.last_pass = now;
        self.pass = Some(Pass::Frame { start: now, cpu_time: Duration::ZERO });
        self.viewers.start_pass();
    }

    /// Starts a pass that ends the feed's viewers. Replaces a pass over frames, because the ending belongs to the newest
    /// frame. Returns the replaced pass.
    pub(super) fn start_ending(&mut self, now: Instant) -> Option<Pass> {
        let replaced = self.finish_pass(now);
        self.frame = self.state.current();
        self.ended = true;
        self.viewers.start_pass();
        self.pass = Some(Pass::Ending);
        replaced
    }

    /// The pass in progress.
    pub(super) fn pass(&self) -> Option<Pass> {
        self.pass
    }

    /// Continues the pass with a newer frame, if one was published since it started.
    pub(super) fn update_frame(&mut self) {
        if let Some(newer) = self.state.pending() {
            self.frame = newer;
        }
    }

    /// The next viewer of the pass, who counts as visited from now on.
    pub(super) fn next_viewer(&mut self) -> Option<usize> {
        self.viewers.next().map(|key| key as usize)
    }

    /// Whether the pass has visited all viewers.
    pub(super) fn all_visited(&self) -> bool {
        self.viewers.all_visited()
    }

    /// Adds to the CPU time that this shard has spent on the pass.
    pub(super) fn add_cpu_time(&mut self, spent: Duration) {
        if let Some(Pass::Frame { cpu_time, .. }) = &mut self.pass {
            *cpu_time += spent;
        }
    }

    /// Finishes the pass. Returns it.
    pub(super) fn finish_pass(&mut self, now: Instant) -> Option<Pass> {
        let finished = self.pass.take();
        if let Some(Pass::Frame { cpu_time, .. }) = finished {
            self.state.pass_finished(now, cpu_time);
        }
        finished
    }
}
