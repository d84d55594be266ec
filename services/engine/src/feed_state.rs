//! A feed's state as its handles and the shards share it: the newest frame, the pace, and the pass in progress.
//!
//! It decides when a pass starts, both for the viewers of all shards and for subscribers of
//! [`FeedHandle::frames`](crate::FeedHandle::frames).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Frame;
use crate::inbox::Inbox;
use crate::pace::Pace;
use crate::settings::TurnOver;
use crate::viewer_limits::FeedLoad;

/// The inbox of one shard.
pub(crate) type ShardInbox<A> = Inbox<A, FeedState<A>>;

/// The inboxes of all shards, by their index.
pub(crate) type Inboxes<A> = Arc<[Arc<ShardInbox<A>>]>;

/// One feed.
pub(crate) struct FeedState<A> {
    /// Identifies the feed in the shards; never reused.
    pub(crate) id: u64,
    /// When its streams end by themselves.
    pub(crate) turn_over: Option<TurnOver>,
    load: Arc<FeedLoad>,
    inboxes: Inboxes<A>,
    /// The frame that the last pass started with.
    current: watch::Sender<Frame>,
    passes: Mutex<PassControl>,
}

/// When passes start and end.
struct PassControl {
    pace: Pace,
    /// The newest frame, if no pass has started with it yet.
    pending: Option<Frame>,
    /// By shard: whether it has viewers of this feed.
    has_viewers: Vec<bool>,
    /// Shards that have not finished the current pass.
    unfinished_shards: usize,
    /// The CPU time of the shards that have finished the current pass.
    cpu_time: Duration,
    /// A shard holds a timer for the start of the next pass.
    timer_set: bool,
    ended: bool,
}

impl<A> FeedState<A> {
    pub(crate) fn new(
        id: u64,
        load: Arc<FeedLoad>,
        inboxes: Inboxes<A>,
        pace: Pace,
        turn_over: Option<TurnOver>,
        first: Frame,
    ) -> Arc<Self> {
        let passes = PassControl {
            pace,
            pending: None,
            has_viewers: vec![false; inboxes.len()],
            unfinished_shards: 0,
            cpu_time: Duration::ZERO,
            timer_set: false,
            ended: false,
        };
        let current = watch::Sender::new(first);
        Arc::new(Self { id, turn_over, load, inboxes, current, passes: Mutex::new(passes) })
    }

    /// The feed's share of the viewer limits.
    pub(crate) fn load(&self) -> &Arc<FeedLoad> {
        &self.load
    }

    /// The frame that the last pass started with.
    pub(crate) fn current(&self) -> Frame {
        self.current.borrow().clone()
    }

    /// Watches [`current`](Self::current).
    pub(crate) fn subscribe(&self) -> watch::Receiver<Frame> {
        self.current.subscribe()
    }

    /// The newest frame, even if no pass has started with it yet. Streams end with it.
    pub(crate) fn newest(&self) -> Frame {
        self.pending().unwrap_or_else(|| self.current())
    }

    /// A frame newer than the current one, if any. A pass in progress continues with it; viewers it has already visited
    /// receive it, or a newer one, in the next pass.
    pub(crate) fn pending(&self) -> Option<Frame> {
        self.passes.lock().pending.clone()
    }

    /// The inbox of the shard with the fewest viewers.
    pub(crate) fn least_loaded(&self) -> &Arc<ShardInbox<A>> {
        self.inboxes.iter().min_by_key(|inbox| inbox.load()).expect("an engine has at least one shard")
    }

    /// Starts a pass with `frame` as soon as the pace allows.
    pub(crate) fn publish(self: &Arc<Self>, frame: Frame) {
        let mut passes = self.passes.lock();
        passes.pending = Some(frame);
        self.start_pass_if_due(&mut passes, Instant::now());
    }

    /// Gives the newest frame another ending. Nothing is sent.
    pub(crate) fn set_ending(&self, ending: Bytes) {
        let mut passes = self.passes.lock();
        match &mut passes.pending {
            Some(frame) => *frame = frame.clone().with_ending(ending),
            // Not a change: who watches it has nothing to send.
            None => drop(self.current.send_if_modified(|frame| {
                *frame = frame.clone().with_ending(ending);
                false
            })),
        }
    }

    /// When the pace allows the next pass. A pass in progress may put it off further.
    pub(crate) fn next_frame_due(&self) -> Instant {
        self.passes.lock().pace.due()
    }

    /// Called when the timer fires that [`Inbox::set_timer`] was asked for.
    pub(crate) fn timer_fired(self: &Arc<Self>, now: Instant) {
        let mut passes = self.passes.lock();
        passes.timer_set = false;
        self.start_pass_if_due(&mut passes, now);
    }

    /// Called when a shard gets its first viewer of this feed. Returns the current frame and whether the feed has ended.
    pub(crate) fn add_shard(&self, shard: usize) -> (Frame, bool) {
        let mut passes = self.passes.lock();
        passes.has_viewers[shard] = true;
        (self.current(), passes.ended)
    }

    /// Called when a shard's last viewer of this feed has left.
    pub(crate) fn remove_shard(&self, shard: usize) {
        self.passes.lock().has_viewers[shard] = false;
    }

    /// Called when a shard has finished the current pass and spent `cpu_time` on it.
    pub(crate) fn pass_finished(self: &Arc<Self>, now: Instant, cpu_time: Duration) {
        let mut passes = self.passes.lock();
        passes.unfinished_shards -= 1;
        passes.cpu_time += cpu_time;
        if passes.unfinished_shards == 0 {
            let cpu_time = std::mem::take(&mut passes.cpu_time);
            passes.pace.finish_pass(now, cpu_time);
            self.start_pass_if_due(&mut passes, now);
        }
    }

    /// Called when the last handle is dropped. A pending frame becomes the last one, without waiting for the pace.
    pub(crate) fn end(self: &Arc<Self>) {
        let mut passes = self.passes.lock();
        passes.ended = true;
        if let Some(last) = passes.pending.take() {
            self.current.send_replace(last);
        }
        for inbox in self.inboxes_with_viewers(&passes.has_viewers) {
            inbox.end_feed(Arc::clone(self));
        }
    }

    /// Starts the next pass, or sets a timer for it.
    fn start_pass_if_due(self: &Arc<Self>, passes: &mut PassControl, now: Instant) {
        if passes.pending.is_none() || passes.unfinished_shards > 0 || passes.timer_set {
            return;
        }
        let due = passes.pace.due();
        if due > now {
            // Spread over the shards by id; the next shard takes over from one that has stopped.
            let (before, from) = self.inboxes.split_at(self.id as usize % self.inboxes.len());
            passes.timer_set = from.iter().chain(before).any(|inbox| inbox.set_timer(due, Arc::clone(self)));
            return;
        }
        if let Some(frame) = passes.pending.take() {
            self.current.send_replace(frame);
            passes.pace.start_pass(now);
            let started = self.inboxes_with_viewers(&passes.has_viewers);
            passes.unfinished_shards = started.filter(|inbox| inbox.start_pass(Arc::clone(self))).count();
        }
    }

    fn inboxes_with_viewers(&self, has_viewers: &[bool]) -> impl Iterator<Item = &Arc<ShardInbox<A>>> {
        self.inboxes.iter().zip(has_viewers).filter(|&(_, &has_viewers)| has_viewers).map(|(inbox, _)| inbox)
    }
}
