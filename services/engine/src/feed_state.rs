//! One feed's newest frame, and when it is shown: the one place where the feed's clock ticks, for the viewers in all
//! shards and for whoever watches [`FeedHandle::frames`](crate::FeedHandle::frames).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headcount_wire::Frame;
use tokio::sync::watch;

use crate::inbox::Inbox;
use crate::pace::Pace;
use crate::viewer_limits::FeedLoad;

/// The mailboxes of all shards.
pub(crate) type Inboxes<A> = Arc<[Arc<Inbox<A>>]>;

/// What the feed's handles and the shards share.
pub(crate) struct FeedState<A> {
    /// Told apart by this in the shards; never used twice.
    pub(crate) id: u64,
    pub(crate) audience: Arc<FeedLoad>,
    inboxes: Inboxes<A>,
    /// The frame that the last pass began with.
    shown: watch::Sender<Frame>,
    plan: Mutex<PassControl>,
}

struct PassControl {
    pace: Pace,
    /// The newest frame that no pass has begun with yet. A newer one takes its place.
    next: Option<Frame>,
    /// Shards that have viewers of this feed.
    holders: Vec<bool>,
    /// Shards that have not finished the pass that is on.
    passing: usize,
    /// The processor time that those that have finished it spent on it.
    worked: Duration,
    /// A shard has been asked to come back when the pace allows the next pass.
    alarm_set: bool,
    ended: bool,
}

impl<A> FeedState<A> {
    pub(crate) fn new(id: u64, audience: Arc<FeedLoad>, inboxes: Inboxes<A>, pace: Pace, first: Frame) -> Arc<Self> {
        let holders = vec![false; inboxes.len()];
        let plan = PassControl {
            pace,
            next: None,
            holders,
            passing: 0,
            worked: Duration::ZERO,
            alarm_set: false,
            ended: false,
        };
        Arc::new(Self { id, audience, inboxes, shown: watch::Sender::new(first), plan: Mutex::new(plan) })
    }

    pub(crate) fn shown(&self) -> Frame {
        self.shown.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Frame> {
        self.shown.subscribe()
    }

    /// The shard with the fewest viewers.
    pub(crate) fn lightest(&self) -> &Arc<Inbox<A>> {
        self.inboxes.iter().min_by_key(|inbox| inbox.load()).expect("an engine has at least one shard")
    }

    /// What came while a pass is on. Those it has yet to visit need not see an older frame; those it has visited are
    /// shown this one, or one that is newer still, by the next pass.
    pub(crate) fn newer(&self) -> Option<Frame> {
        self.plan().next.clone()
    }

    /// Shows `frame` as soon as the pace allows.
    pub(crate) fn publish(self: &Arc<Self>, frame: Frame) {
        let mut plan = self.plan();
        plan.next = Some(frame);
        self.proceed(&mut plan, Instant::now());
    }

    /// The time that an alarm was set for has come.
    pub(crate) fn alarm(self: &Arc<Self>, now: Instant) {
        let mut plan = self.plan();
        plan.alarm_set = false;
        self.proceed(&mut plan, now);
    }

    /// A shard has its first viewer of this feed. Gives what it is to see, or `Err` with its last frame if the feed
    /// has ended.
    pub(crate) fn hold(&self, shard: usize) -> Result<Frame, Frame> {
        let mut plan = self.plan();
        plan.holders[shard] = true;
        if plan.ended { Err(self.shown()) } else { Ok(self.shown()) }
    }

    /// A shard's last viewer of this feed has gone.
    pub(crate) fn let_go(&self, shard: usize) {
        self.plan().holders[shard] = false;
    }

    /// A shard has finished its pass, and spent `worked` of processor time on it.
    pub(crate) fn passed(self: &Arc<Self>, now: Instant, worked: Duration) {
        let mut plan = self.plan();
        plan.passing -= 1;
        plan.worked += worked;
        if plan.passing == 0 {
            let worked = std::mem::take(&mut plan.worked);
            plan.pace.end(now, worked);
            self.proceed(&mut plan, now);
        }
    }

    /// The last handle has gone: nothing new will come. A frame that still waited for its time is shown as the last.
    pub(crate) fn end(self: &Arc<Self>) {
        let mut plan = self.plan();
        plan.ended = true;
        if let Some(last) = plan.next.take() {
            self.shown.send_replace(last);
        }
        for (inbox, _) in self.inboxes.iter().zip(&plan.holders).filter(|&(_, &holds)| holds) {
            inbox.end(Arc::clone(self));
        }
    }

    /// Begins the next pass, or sees to it that it will begin.
    fn proceed(self: &Arc<Self>, plan: &mut PassControl, now: Instant) {
        if plan.next.is_none() || plan.passing > 0 || plan.alarm_set {
            return;
        }
        let due = plan.pace.due();
        if due > now {
            let (before, from) = self.inboxes.split_at(self.id as usize % self.inboxes.len());
            plan.alarm_set = from.iter().chain(before).any(|keeper| keeper.alarm(due, Arc::clone(self)));
            return;
        }
        if let Some(frame) = plan.next.take() {
            self.shown.send_replace(frame);
            plan.pace.begin(now);
            for (inbox, _) in self.inboxes.iter().zip(&plan.holders).filter(|&(_, &holds)| holds) {
                plan.passing += usize::from(inbox.release(Arc::clone(self)));
            }
        }
    }

    fn plan(&self) -> MutexGuard<'_, PassControl> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
