//! A feed as one shard shows it: its newest frame here, and its viewers here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headcount_wire::Frame;

use super::feed_viewers::FeedViewers;
use crate::feed_state::FeedState;

/// What goes to all viewers of a feed, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// None is on.
    None,
    /// The newest frame, since then.
    Frame(Instant),
    /// The feed's end.
    Ending,
}

/// One feed in one shard; there is one only while the shard has viewers of it.
pub(super) struct ShardFeed<A> {
    pub(super) schedule: Arc<FeedState<A>>,
    pub(super) frame: Frame,
    /// Made of `frame` when it is first needed.
    ending: Option<Bytes>,
    pub(super) roster: FeedViewers,
    pub(super) pass: Pass,
    /// The processor time that the shard has spent on the pass.
    pub(super) worked: Duration,
    /// When the last pass began: since then, what viewers have is at least so new.
    pub(super) shown_at: Instant,
    /// The feed has ended: who still comes gets one image and the end.
    pub(super) ended: bool,
}

impl<A> ShardFeed<A> {
    /// The shard `shard` gets its first viewer of the feed.
    pub(super) fn new(schedule: Arc<FeedState<A>>, shard: usize, now: Instant) -> Self {
        let (frame, ended) = match schedule.hold(shard) {
            Ok(frame) => (frame, false),
            Err(last) => (last, true),
        };
        let (roster, pass, worked) = (FeedViewers::default(), Pass::None, Duration::ZERO);
        Self { schedule, frame, ending: None, roster, pass, worked, shown_at: now, ended }
    }

    /// Begins to show the feed's newest frame.
    pub(super) fn begin(&mut self, now: Instant) {
        self.update();
        self.shown_at = now;
        self.pass = Pass::Frame(now);
        self.worked = Duration::ZERO;
        self.roster.begin();
    }

    /// Goes on with the newest frame, where one has come since the pass began.
    pub(super) fn renew(&mut self) {
        if let Some(newer) = self.schedule.newer() {
            self.frame = newer;
            self.ending = None;
        }
    }

    /// Begins to end the feed.
    pub(super) fn begin_ending(&mut self) {
        self.update();
        self.ended = true;
        self.pass = Pass::Ending;
        self.roster.begin();
    }

    /// The stream's last bytes.
    pub(super) fn ending(&mut self) -> Bytes {
        self.ending.get_or_insert_with(|| self.frame.ending()).clone()
    }

    fn update(&mut self) {
        self.frame = self.schedule.shown();
        self.ending = None;
    }
}
