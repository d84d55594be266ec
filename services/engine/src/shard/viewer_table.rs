//! The viewers of a shard. The slab, the feeds' lists, the list of lagging viewers and the poller's registrations change
//! only here, together.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Interest;
use slab::Slab;
use socket2::Socket;

use super::departing_sockets::DepartingSockets;
use super::feed_table::FeedTable;
use super::registrations::{EventSource, Registrations};
use super::shard_feed::Pass;
use super::viewer::{self, Lag, Progress, PushOutcome, Viewer};
use crate::feed_state::{FeedState, ShardInbox};
use crate::inbox::{Newcomer, Start};
use crate::metrics::{DepartureCause, Metrics, SendTotals};
use crate::settings::TurnOver;
use crate::socket::Input;
use crate::{Attachment, HeldViewer};

/// How often stalled viewers are looked for within the stall limit.
const STALL_CHECKS: u32 = 50;

/// The viewers of a shard, by key.
pub(super) struct ViewerTable<A> {
    viewers: Slab<Viewer<A>>,
    feeds: FeedTable<A>,
    /// Keys of the lagging viewers.
    lagging: Vec<u32>,
    registrations: Registrations,
    /// Notified of each viewer who leaves.
    inbox: Arc<ShardInbox<A>>,
    metrics: Metrics,
    stall_limit: Duration,
    next_stall_check: Instant,
    /// Viewers end because of a drain, and new ones are ended after their first frame.
    draining: bool,
}

impl<A: Attachment> ViewerTable<A> {
    pub(super) fn new(
        shard: usize,
        inbox: Arc<ShardInbox<A>>,
        registrations: Registrations,
        metrics: Metrics,
        stall_limit: Duration,
        now: Instant,
    ) -> Self {
        Self {
            viewers: Slab::new(),
            feeds: FeedTable::new(shard),
            lagging: Vec::new(),
            registrations,
            inbox,
            metrics,
            stall_limit,
            next_stall_check: now + stall_limit / STALL_CHECKS,
            draining: false,
        }
    }

    /// All keys are below this.
    pub(super) fn end_key(&self) -> usize {
        self.viewers.capacity()
    }

    /// Adds a viewer: writes its first frame and registers its socket.
    // Not inlined: `benches/instructions.rs` counts it by name.
    #[inline(never)]
    pub(super) fn join(&mut self, newcomer: Newcomer<A, FeedState<A>>, departing: &mut DepartingSockets, now: Instant) {
        let Newcomer { socket, start, mut attachment, permit, feed } = newcomer;
        let feed = self.feeds.find_or_add(feed, now);
        let mut totals = SendTotals::default();
        let frame = self.feeds[feed].frame().bytes();
        let (sent, first_frame, counted) = match start {
            Start::Head(head) => (viewer::send_first_frame(&socket, &head, frame, now, &mut totals), true, (0, 0)),
            Start::Resume(progress) => {
                let input_bytes = u16::try_from(progress.input_bytes).unwrap_or(u16::MAX);
                let counted = (input_bytes, progress.frames);
                (viewer::send_resumed(&socket, progress, frame, now, &mut totals), false, counted)
            }
        };
        let entry = self.viewers.vacant_entry();
        let key = entry.key();
        let registered = sent.and_then(|lag| {
            self.registrations.add(&socket, EventSource::Viewer(key), Interest::READABLE)?;
            Ok(lag)
        });
        let lag = match registered {
            Ok(lag) => lag,
            Err(error) => {
                tracing::debug!(%error, "a viewer left before its first frame");
                self.inbox.viewer_left();
                self.metrics.departed(DepartureCause::Reset);
                return self.feeds.remove_if_unused(feed);
            }
        };
        self.metrics.pushed(&totals);
        if first_frame && lag.is_none() {
            attachment.first_frame_sent();
        }
        let position = self.feeds[feed].add_viewer(key as u32);
        entry.insert(Viewer::new(socket, feed as u32, position, counted, attachment, permit));
        if let Some(lag) = lag {
            self.start_lag(key, lag);
        }
        if self.draining || self.feed_has_ended(key) {
            self.end(key, departing, now);
        }
    }

    /// Discards a viewer's input, and removes the viewer if it has left.
    pub(super) fn on_readable(&mut self, key: usize) {
        let Some(viewer) = self.viewers.get_mut(key) else { return };
        match viewer.discard_input() {
            Ok(Input::Open) => {}
            Ok(Input::TooMuch) => self.depart(key, DepartureCause::Talkative),
            Ok(Input::Ended) => self.depart(key, DepartureCause::Closed),
            Err(error) => self.depart_broken(key, &error),
        }
    }

    /// Lets a lagging viewer catch up.
    pub(super) fn on_writable(&mut self, key: usize, departing: &mut DepartingSockets, now: Instant) {
        let Some(viewer) = self.viewers.get_mut(key) else { return };
        if viewer.lag().is_none() {
            return;
        }
        let mut totals = SendTotals::default();
        let progress = viewer.catch_up(&mut self.feeds[viewer.feed()], now, &mut totals);
        self.metrics.pushed(&totals);
        self.apply(key, progress, departing, now);
    }

    /// Ends a viewer, if it is still here: sends the ending, or lets it follow what the viewer has yet to take.
    pub(super) fn end(&mut self, key: usize, departing: &mut DepartingSockets, now: Instant) {
        let Some(viewer) = self.viewers.get_mut(key) else { return };
        let progress = viewer.end(&self.feeds[viewer.feed()].ending(), now);
        self.apply(key, progress, departing, now);
    }

    /// Whether there is a viewer with this key who comes back when its stream has ended.
    pub(super) fn comes_back(&self, key: usize) -> bool {
        self.viewers.get(key).is_some_and(|viewer| self.feeds[viewer.feed()].turn_over().is_some())
    }

    /// Sends the viewers with the given keys what keeps their streams alive, unless the feed is fresh: it sent a frame to all
    /// viewers less than `fresh` ago.
    pub(super) fn repeat_frames(
        &mut self,
        keys: impl Iterator<Item = usize>,
        fresh: Duration,
        departing: &mut DepartingSockets,
        now: Instant,
    ) {
        let mut totals = SendTotals::default();
        for key in keys {
            let Some(viewer) = self.viewers.get(key) else { continue };
            let feed = &self.feeds[viewer.feed()];
            if viewer.lag().is_none() && !feed.is_fresh(fresh, now) {
                let (frame, turn_over) = (feed.frame().clone(), feed.turn_over());
                match turn_over {
                    None => self.push(key, frame.keepalive(), now, &mut totals),
                    Some(turn_over) => {
                        self.push_counted(key, frame.keepalive(), turn_over, departing, now, &mut totals);
                    }
                }
            }
        }
        self.metrics.repeated(&totals);
    }

    /// Takes all viewers out of the table, except those whose stream is ending.
    pub(super) fn take_all(&mut self, now: Instant) -> Vec<HeldViewer<A>> {
        self.viewers
            .drain()
            .filter_map(|viewer| {
                // Otherwise the socket could not be registered again while it is open.
                if let Err(error) = self.registrations.remove(viewer.socket()) {
                    tracing::debug!(%error, "a viewer's socket cannot be held");
                    return None;
                }
                viewer.hold(now)
            })
            .collect()
    }

    /// From now on, viewers end because of a drain, and new ones are ended after their first frame.
    pub(super) fn start_drain(&mut self) {
        self.draining = true;
    }

    /// When [`drop_stalled`](Self::drop_stalled) has something to do.
    pub(super) fn next_stall_check(&self) -> Option<Instant> {
        (!self.lagging.is_empty()).then_some(self.next_stall_check)
    }

    /// Removes the lagging viewers that have taken nothing for the stall limit.
    pub(super) fn drop_stalled(&mut self, now: Instant) {
        if now < self.next_stall_check {
            return;
        }
        self.next_stall_check = now + self.stall_limit / STALL_CHECKS;
        let mut index = 0;
        while let Some(&key) = self.lagging.get(index) {
            let lag = self.viewers[key as usize].lag().expect("a listed viewer lags");
            if now.saturating_duration_since(lag.last_progress) >= self.stall_limit {
                // Another viewer takes its place in the list.
                self.depart(key as usize, DepartureCause::Stalled);
            } else {
                index += 1;
            }
        }
    }

    /// Removes all lagging viewers.
    pub(super) fn drop_lagging(&mut self) {
        while let Some(&key) = self.lagging.last() {
            self.depart(key as usize, DepartureCause::Stalled);
        }
    }

    /// Starts a pass with the feed's current frame. Returns the feed's key if it has viewers here.
    pub(super) fn start_pass(&mut self, feed: &FeedState<A>, now: Instant) -> Option<usize> {
        let key = self.feeds.find(feed)?;
        self.feeds[key].start_pass(now);
        Some(key)
    }

    /// Starts a pass that ends the feed's viewers. Returns the feed's key if it had no pass in progress.
    pub(super) fn start_ending(&mut self, feed: &FeedState<A>, now: Instant) -> Option<usize> {
        let key = self.feeds.find(feed)?;
        self.feeds[key].start_ending(now).is_none().then_some(key)
    }

    /// Visits the next viewers of the feed's pass, at most `budget` of them. Returns what is left of the budget.
    pub(super) fn visit(
        &mut self,
        feed: usize,
        budget: usize,
        departing: &mut DepartingSockets,
        now: Instant,
    ) -> usize {
        if self.feeds[feed].pass() == Some(Pass::Ending) {
            self.visit_ending(feed, budget, departing, now)
        } else {
            self.visit_frame(feed, budget, departing, now)
        }
    }

    fn visit_frame(&mut self, feed: usize, mut budget: usize, departing: &mut DepartingSockets, now: Instant) -> usize {
        self.feeds[feed].update_frame();
        let (frame, turn_over) = (self.feeds[feed].frame().clone(), self.feeds[feed].turn_over());
        let bytes = frame.bytes();
        let mut totals = SendTotals::default();
        // Two loops: most streams do not turn over, and need not count their frames.
        match turn_over {
            None => {
                while budget > 0
                    && let Some(viewer) = self.feeds[feed].next_viewer()
                {
                    budget -= 1;
                    self.push(viewer, bytes, now, &mut totals);
                }
            }
            Some(turn_over) => {
                while budget > 0
                    && let Some(viewer) = self.feeds[feed].next_viewer()
                {
                    budget -= 1;
                    self.push_counted(viewer, bytes, turn_over, departing, now, &mut totals);
                }
            }
        }
        self.metrics.pushed(&totals);
        budget
    }

    fn visit_ending(
        &mut self,
        feed: usize,
        mut budget: usize,
        departing: &mut DepartingSockets,
        now: Instant,
    ) -> usize {
        while budget > 0
            && let Some(viewer) = self.feeds[feed].next_viewer()
        {
            budget -= 1;
            self.end(viewer, departing, now);
        }
        budget
    }

    /// Adds to the CPU time of the feed's pass. Finishes the pass if it has visited all viewers, and returns whether it has.
    pub(super) fn finish_visited_pass(&mut self, feed: usize, cpu_time: Duration) -> bool {
        self.feeds[feed].add_cpu_time(cpu_time);
        if !self.feeds[feed].all_visited() {
            return false;
        }
        let now = Instant::now();
        if let Some(Pass::Frame { start, .. }) = self.feeds[feed].finish_pass(now) {
            self.metrics.pass_finished(now - start);
        }
        self.feeds.remove_if_unused(feed);
        true
    }

    /// Writes a frame to a viewer.
    // Inlined: a call for each viewer would be an eighth of the work.
    #[inline(always)]
    fn push(&mut self, key: usize, frame: &Bytes, now: Instant, totals: &mut SendTotals) {
        match self.viewers[key].push(frame, now, totals) {
            PushOutcome::Done => {}
            PushOutcome::FellBehind(lag) => self.start_lag(key, lag),
            PushOutcome::Broken(error) => self.depart_broken(key, &error),
        }
    }

    /// Writes a frame to a viewer, and counts it. Ends the viewer's stream without another byte if it has had its number of
    /// frames, unless it is gone or lags.
    fn push_counted(
        &mut self,
        key: usize,
        frame: &Bytes,
        turn_over: TurnOver,
        departing: &mut DepartingSockets,
        now: Instant,
        totals: &mut SendTotals,
    ) {
        self.viewers[key].count_frame();
        self.push(key, frame, now, totals);
        if self.viewers.get(key).is_some_and(|viewer| viewer.is_to_turn_over(turn_over, key)) {
            let (socket, attachment) = self.remove(key, DepartureCause::TurnedOver);
            departing.add(socket, now);
            attachment.turned_over();
        }
    }

    /// Applies a viewer's progress to the lists and the poller.
    fn apply(&mut self, key: usize, progress: Progress, departing: &mut DepartingSockets, now: Instant) {
        match progress {
            Progress::Lagging => {}
            Progress::Live => self.end_lag(key),
            Progress::FellBehind(lag) => self.start_lag(key, lag),
            Progress::Ended => {
                let cause = if self.draining { DepartureCause::Drained } else { DepartureCause::FeedEnded };
                departing.add(self.remove(key, cause).0, now);
            }
            Progress::Broken(error) => self.depart_broken(key, &error),
        }
    }

    fn start_lag(&mut self, key: usize, mut lag: Box<Lag>) {
        lag.position = self.lagging.len() as u32;
        self.lagging.push(key as u32);
        self.metrics.lag_started();
        let viewer = &mut self.viewers[key];
        viewer.set_lag(lag);
        // If the socket has become writable since the send, this causes an event.
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registrations.change(viewer.socket(), EventSource::Viewer(key), interest) {
            self.depart_broken(key, &error);
        }
    }

    fn end_lag(&mut self, key: usize) {
        self.remove_lag(key);
        let socket = self.viewers[key].socket();
        if let Err(error) = self.registrations.change(socket, EventSource::Viewer(key), Interest::READABLE) {
            self.depart_broken(key, &error);
        }
    }

    fn remove_lag(&mut self, key: usize) {
        let Some(lag) = self.viewers[key].take_lag() else { return };
        self.metrics.lag_ended();
        self.lagging.swap_remove(lag.position as usize);
        if let Some(&moved) = self.lagging.get(lag.position as usize)
            && let Some(other) = self.viewers[moved as usize].lag_mut()
        {
            other.position = lag.position;
        }
    }

    /// Whether the viewer is still here and its feed has ended.
    fn feed_has_ended(&self, key: usize) -> bool {
        self.viewers.get(key).is_some_and(|viewer| self.feeds[viewer.feed()].has_ended())
    }

    /// Removes a viewer whose connection is broken.
    fn depart_broken(&mut self, key: usize, error: &io::Error) {
        let cause = self.viewers[key].departure_cause(error);
        self.depart(key, cause);
    }

    /// Removes a viewer and closes its socket.
    fn depart(&mut self, key: usize, cause: DepartureCause) {
        let (socket, attachment) = self.remove(key, cause);
        drop(attachment);
        if matches!(cause, DepartureCause::Stalled | DepartureCause::Talkative) {
            // A reset, because a FIN would wait behind the data that the peer does not read.
            if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
                tracing::debug!(%error, "a viewer's socket could not be set to reset");
            }
        }
    }

    /// Removes a viewer from all lists. Returns its socket and its attachment.
    fn remove(&mut self, key: usize, cause: DepartureCause) -> (Socket, A) {
        self.remove_lag(key);
        let viewer = self.viewers.remove(key);
        let feed = viewer.feed();
        for (moved, position) in self.feeds[feed].remove_viewer(viewer.position).into_iter().flatten() {
            self.viewers[moved as usize].position = position;
        }
        self.inbox.viewer_left();
        self.metrics.departed(cause);
        self.feeds.remove_if_unused(feed);
        viewer.into_parts()
    }
}

// Without bounds, because dropping a shard uses them.
impl<A> ViewerTable<A> {
    pub(super) fn len(&self) -> usize {
        self.viewers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.viewers.is_empty()
    }

    /// Counts all viewers as departed because the engine was dropped.
    pub(super) fn count_dropped(&self) {
        self.viewers.iter().for_each(|_| self.metrics.departed(DepartureCause::Dropped));
    }

    /// Reports all passes as finished, so that the other shards do not wait for this one.
    pub(super) fn abandon_passes(&mut self, now: Instant) {
        for feed in self.feeds.iter_mut() {
            feed.finish_pass(now);
        }
    }
}
