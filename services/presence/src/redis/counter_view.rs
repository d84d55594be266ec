//! What a node shows of a counter, made of replies and messages.
//!
//! Both carry published states. The view puts them in order, defers states that are lower only because registrations
//! are still coming back after a loss, and notices when published messages do not arrive.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::reply::{Message, State};
use super::scripts::Seen;
use crate::local_viewers::LocalViewers;
use crate::metrics::Metrics;
use crate::monotonic;
use crate::settings::Timing;

/// How much later than the end of its doubt a first state is shown: the call that decides it comes a little later.
const AFTER_DOUBT: Duration = Duration::from_millis(200);

/// The time after which something is checked again that is due and cannot be done yet.
const CHECK_AGAIN: Duration = Duration::from_millis(100);

/// The view of one counter.
pub(super) struct CounterView {
    pub(super) local_viewers: Arc<LocalViewers>,
    /// Signalled when the counter's reporter should call Redis soon.
    pub(super) call_wanted: Notify,
    /// Signalled when something is due earlier than [`tick`](CounterView::tick) has said.
    earlier: Notify,
    timing: Timing,
    metrics: Metrics,
    opened: Instant,
    known: Mutex<Known>,
}

/// What a view knows of its counter.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Known {
    /// The shown state. `None` before the first state from Redis.
    shown: Option<State>,
    deferred: Option<Deferred>,
    /// When Redis last answered a call about this counter. Messages do not count: a node that receives messages but no
    /// replies may have lost its own registration.
    #[serde(with = "monotonic::option")]
    last_reply: Option<Instant>,
    /// When the last answered report was first sent: this node's lease runs from then.
    #[serde(with = "monotonic::option")]
    report_sent: Option<Instant>,
    /// Until when leases that have run out may still be renewed: a first state is not shown before, because the nodes of
    /// those leases may have died long ago.
    #[serde(with = "monotonic::option")]
    in_doubt_until: Option<Instant>,
    /// Until when viewers may be missing because this node, or all nodes, could not renew their leases.
    #[serde(with = "monotonic::option")]
    recovering_until: Option<Instant>,
    /// Until when viewers of other nodes may be missing, though this node has never shown them: what is shown is stale.
    #[serde(skip)]
    others_missing_until: Option<Instant>,
    delivery: Delivery,
    /// Redis has said that it counts this node's viewers.
    counts_own: bool,
    /// A new process takes over: nothing more is shown.
    #[serde(skip)]
    is_paused: bool,
}

/// A state newer and lower than the shown one.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Deferred {
    state: State,
    /// When it is shown if the missing viewers have not come back.
    #[serde(with = "monotonic")]
    until: Instant,
}

/// What the subscription should have delivered, and what it has. Publications are ordered by (epoch, seq).
#[derive(Clone, Default, Serialize, Deserialize)]
struct Delivery {
    /// Since when the channel is subscribed to. Before, nothing is expected.
    #[serde(skip)]
    open_since: Option<Instant>,
    delivered: (u64, u64),
    /// The newest publication that a reply mentions.
    expected: (u64, u64),
    /// Since when an expected publication is missing.
    #[serde(skip)]
    missing_since: Option<Instant>,
}

impl CounterView {
    /// Goes on with what a former process knew of the counter, or with nothing.
    pub(super) fn new(
        local_viewers: Arc<LocalViewers>,
        timing: Timing,
        metrics: Metrics,
        mut known: Known,
    ) -> Arc<CounterView> {
        // The subscription is a new one.
        (known.delivery.open_since, known.delivery.missing_since) = (None, None);
        let (known, opened) = (Mutex::new(known), Instant::now());
        Arc::new(CounterView {
            local_viewers,
            call_wanted: Notify::new(),
            earlier: Notify::new(),
            timing,
            metrics,
            opened,
            known,
        })
    }

    /// Shows nothing from now on, and returns what a new process goes on with.
    pub(super) fn pause(&self) -> Known {
        let mut known = self.known.lock();
        let state = known.clone();
        known.is_paused = true;
        state
    }

    /// The shown state, as an argument of calls.
    pub(super) fn seen(&self) -> Seen {
        self.known.lock().shown.map(|state| state.seen()).unwrap_or_default()
    }

    /// Whether the subscription has delivered a newer publication than this state's.
    pub(super) fn has_newer_than(&self, state: &State) -> bool {
        self.known.lock().delivery.delivered > (state.epoch, state.seq)
    }

    /// Called with the state of each reply to a call that was sent at `sent`. `report_sent` is when the report was first
    /// sent if it renewed this node's lease.
    pub(super) fn reply_received(&self, state: State, sent: Instant, report_sent: Option<Instant>) {
        let mut known = self.known.lock();
        let publication = (state.epoch, state.seq);
        let delivery = &mut known.delivery;
        if state.seq > 0 && publication > delivery.expected {
            delivery.expected = publication;
        }
        match delivery.open_since {
            // What was published before the subscription took effect is never delivered.
            Some(since) if sent < since => delivery.delivered = delivery.delivered.max(delivery.expected),
            Some(_) if delivery.expected > delivery.delivered && delivery.missing_since.is_none() => {
                delivery.missing_since = Some(Instant::now());
                self.earlier.notify_one();
            }
            _ => {}
        }
        let now = Instant::now();
        known.recover_if_lease_may_have_ended(now, &self.timing);
        known.last_reply = Some(now);
        known.report_sent = report_sent.or(known.report_sent);
        known.counts_own |= report_sent.is_some();
        self.accept(&mut known, state);
    }

    /// Whether the shown state is the newest that this node knows of. Only then may the lease be renewed without a report.
    pub(super) fn is_settled(&self) -> bool {
        let known = self.known.lock();
        known.shown.is_some() && known.deferred.is_none() && known.counts_own
    }

    /// Called when Redis has renewed this node's lease by a call that was first sent at `sent`, and has the state that is
    /// shown.
    pub(super) fn lease_renewed(&self, sent: Instant) {
        let (now, mut known) = (Instant::now(), self.known.lock());
        known.recover_if_lease_may_have_ended(now, &self.timing);
        known.last_reply = Some(now);
        known.report_sent = Some(sent);
        if let Some(shown) = known.shown {
            self.accept(&mut known, shown);
        }
    }

    /// Called with each message.
    pub(super) fn message_received(&self, Message { state, report_now }: Message) {
        self.metrics.messages.inc();
        let mut known = self.known.lock();
        let newest_epoch = known.shown.map(|shown| shown.epoch.max(known.delivery.delivered.0));
        let delivery = &mut known.delivery;
        let publication = (state.epoch, state.seq);
        if publication > delivery.delivered {
            let (epoch, seq) = delivery.delivered;
            self.metrics.published.inc_by(if epoch == state.epoch { state.seq - seq } else { 1 });
            delivery.delivered = publication;
        }
        if delivery.delivered >= delivery.expected {
            delivery.missing_since = None;
        }
        let now = Instant::now();
        known.last_reply.get_or_insert(now);
        known.report_sent.get_or_insert(now);
        known.recover_if_lease_may_have_ended(now, &self.timing);
        if report_now {
            // Leases have run out: this message may come before the reply that says so.
            known.in_doubt_until = Some(now + self.timing.suspicion + AFTER_DOUBT);
        }
        self.accept(&mut known, state);
        // A new epoch means that Redis has lost data, perhaps this node's registration.
        if report_now || newest_epoch.is_some_and(|newest| newest < state.epoch) {
            self.call_wanted.notify_one();
        }
    }

    /// Called when the counter's channel is subscribed to. Earlier publications may never be delivered.
    pub(super) fn subscribed(&self) {
        {
            let delivery = &mut self.known.lock().delivery;
            if delivery.open_since.is_some() {
                return;
            }
            delivery.open_since = Some(Instant::now());
            delivery.delivered = delivery.delivered.max(delivery.expected);
        }
        // Only a call finds what was published between the last reply and now.
        self.call_wanted.notify_one();
    }

    /// Whether the counter's channel is subscribed to.
    pub(super) fn is_subscribed(&self) -> bool {
        self.known.lock().delivery.open_since.is_some()
    }

    /// Called when the subscription has ended.
    pub(super) fn unsubscribed(&self) {
        let delivery = &mut self.known.lock().delivery;
        delivery.open_since = None;
        delivery.missing_since = None;
    }

    /// Whether an expected publication has been missing for a response timeout.
    pub(super) fn misses_messages(&self) -> bool {
        let limit = self.timing.response_timeout;
        self.known.lock().delivery.missing_since.is_some_and(|since| since.elapsed() >= limit)
    }

    /// Whether this node's lease may have run out since Redis last renewed it.
    pub(super) fn lease_may_have_ended(&self) -> bool {
        self.known.lock().lease_may_have_ended(Instant::now(), &self.timing)
    }

    /// Called when Redis no longer knows this node's session: its viewers, and perhaps those of other nodes, are
    /// missing until they are registered again.
    pub(super) fn lease_lost(&self) {
        self.known.lock().recover_until(Instant::now() + self.timing.settle);
    }

    /// Called before [`reply_received`](CounterView::reply_received) if leases have run out that may be renewed for so
    /// long.
    pub(super) fn in_doubt(&self, doubt: Duration) {
        self.known.lock().in_doubt_until = Some(Instant::now() + doubt + AFTER_DOUBT);
    }

    /// Called before the first state is received if Redis has lost its data, until when viewers of other nodes may be missing.
    pub(super) fn others_missing(&self, until: Instant) {
        self.known.lock().others_missing_until = Some(until);
    }

    /// Shows a deferred state when it is due, marks a reading that nothing confirms as stale, and calls `is_dead` when the
    /// subscription does not deliver what it should. Until cancelled.
    pub(super) async fn keep_time(&self, is_dead: impl Fn()) {
        loop {
            let next = self.tick();
            if self.misses_messages() {
                is_dead();
            }
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.earlier.notified() => {}
            }
        }
    }

    /// Shows a deferred state that is due, and marks a reading that nothing confirms as stale. Returns when this is to be
    /// called again, if `earlier` is not signalled before.
    pub(super) fn tick(&self) -> Instant {
        let mut known = self.known.lock();
        let now = Instant::now();
        // Nothing that is not signalled is due earlier: a reading is confirmed now at the earliest.
        let mut next = now + self.timing.stale_after;
        if known.is_paused {
            return next;
        }
        if let Some(Deferred { state, until }) = known.deferred {
            if until <= now && !known.lease_may_have_ended(now, &self.timing) {
                self.show(&mut known, state);
            } else {
                // What may have ended is registered again any moment.
                next = next.min(until.max(now + CHECK_AGAIN));
            }
        }
        if self.is_stale(&known, now) {
            self.local_viewers.mark_stale();
        } else if let Some(last_reply) = known.last_reply {
            next = next.min(last_reply + self.timing.stale_after);
        }
        if let Some(since) = known.delivery.missing_since {
            next = next.min((since + self.timing.response_timeout).max(now + CHECK_AGAIN));
        }
        next
    }

    fn accept(&self, known: &mut Known, state: State) {
        if known.is_paused {
            return;
        }
        let now = Instant::now();
        if known.deferred.is_some_and(|deferred| state.order() < deferred.state.order()) {
            return;
        }
        let Some(shown) = known.shown else {
            if self.is_too_early(known, &state) {
                return;
            }
            return match known.in_doubt_until.filter(|until| *until > now) {
                Some(until) => self.defer(known, state, until),
                None => self.show(known, state),
            };
        };
        if state.order() <= shown.order() {
            if state.order() < shown.order() {
                return;
            }
            if state.seen() != shown.seen() {
                // After a failover, other writes were published under the same version. The call begins an epoch.
                self.call_wanted.notify_one();
            } else if known.deferred.is_none() && !self.is_stale(known, now) {
                self.local_viewers.confirm(SystemTime::now());
            }
            return;
        }
        let is_lower = state.count < shown.count || state.visitors < shown.visitors;
        match missing_until(known, &shown, &state, now).filter(|until| is_lower && *until > now) {
            Some(until) => self.defer(known, state, until),
            None => self.show(known, state),
        }
    }

    fn defer(&self, known: &mut Known, state: State, until: Instant) {
        known.deferred = Some(Deferred { state, until });
        self.earlier.notify_one();
    }

    fn show(&self, known: &mut Known, state: State) {
        let stale = self.is_stale(known, Instant::now());
        known.shown = Some(state);
        known.deferred = None;
        self.local_viewers.show_shared(state.reading(SystemTime::now(), stale));
    }

    /// Whether a first state would lack this node's viewers, which are about to be registered, or whose registration is about
    /// to be published.
    fn is_too_early(&self, known: &Known, state: &State) -> bool {
        let own = self.local_viewers.count() as u64;
        own > 0 && (!known.counts_own || state.count < own) && self.opened.elapsed() < self.timing.settle
    }

    fn is_stale(&self, known: &Known, now: Instant) -> bool {
        known.last_reply.is_some_and(|last_reply| now.duration_since(last_reply) >= self.timing.stale_after)
            || known.others_missing_until.is_some_and(|until| now < until)
    }
}

impl Known {
    /// What is left if Redis may be another one: what is shown, and how old it is.
    pub(super) fn at_another_address(&self) -> Known {
        Known { last_reply: self.last_reply, ..Known::default() }
    }

    /// Whether this node's lease may have run out. Redis counts it from when the report was sent, by the clock in its
    /// last reply; that reply was on its way for at most a response timeout.
    fn lease_may_have_ended(&self, now: Instant, timing: &Timing) -> bool {
        self.report_sent.is_some_and(|sent| now.duration_since(sent) + timing.response_timeout >= timing.lease)
    }

    /// When this node's lease may have run out, its viewers may be missing, and those of other nodes as well.
    fn recover_if_lease_may_have_ended(&mut self, now: Instant, timing: &Timing) {
        if self.lease_may_have_ended(now, timing) {
            self.recover_until(now + timing.settle);
        }
    }

    fn recover_until(&mut self, until: Instant) {
        self.recovering_until = Some(until);
        if let Some(deferred) = &mut self.deferred {
            deferred.until = until.max(deferred.until);
        }
    }
}

/// Until when viewers that have not left may be missing in the state.
fn missing_until(known: &Known, shown: &State, state: &State, now: Instant) -> Option<Instant> {
    let settling = (!state.settling.is_zero() && state.epoch > shown.epoch).then(|| now + state.settling);
    settling.max(known.recovering_until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CounterName;
    use crate::versions::Versions;

    fn view() -> Arc<CounterView> {
        let name = CounterName::parse("online").unwrap();
        let local_viewers = Arc::new(LocalViewers::reported(name, Arc::new(Versions::new(0)), Metrics::default()));
        CounterView::new(local_viewers, Timing::default(), Metrics::default(), Known::default())
    }

    fn state(epoch: u64, version: u64, count: u64) -> State {
        State { epoch, version, count, visitors: count, seq: version, settling: Duration::ZERO }
    }

    fn message(state: State) -> Message {
        Message { state, report_now: false }
    }

    fn shown(view: &CounterView) -> (u64, u64, u64) {
        let reading = view.local_viewers.reading();
        (reading.epoch, reading.version, reading.count)
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_state_changes_nothing() {
        let view = view();
        view.message_received(message(state(5, 3, 30)));
        view.reply_received(state(5, 2, 20), Instant::now(), Some(Instant::now()));
        view.message_received(message(state(4, 9, 90)));
        assert_eq!(shown(&view), (5, 3, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_shown_without_the_viewers_of_this_node() {
        let view = view();
        view.local_viewers.join(crate::viewer_id::ViewerId(1), crate::visitor::Visitor(1));
        view.message_received(message(state(5, 3, 30)));
        view.reply_received(state(5, 3, 30), Instant::now(), None);
        let (epoch, _, count) = shown(&view);
        assert_eq!((epoch, count), (0, 1), "this node's own");
        view.reply_received(state(5, 4, 31), Instant::now(), Some(Instant::now()));
        assert_eq!(shown(&view), (5, 4, 31));
        // Where it cannot be registered, the others' number is better than none.
        let view = self::view();
        view.local_viewers.join(crate::viewer_id::ViewerId(1), crate::visitor::Visitor(1));
        tokio::time::advance(Timing::default().settle).await;
        view.message_received(message(state(5, 3, 30)));
        assert_eq!(shown(&view), (5, 3, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_loss_a_lower_number_is_deferred_until_the_epoch_has_settled() {
        let view = view();
        view.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        let settling = Duration::from_secs(3);
        view.message_received(message(State { settling, ..state(6, 1, 2) }));
        assert_eq!(shown(&view), (5, 3, 30), "28 viewers are not registered again yet");
        view.message_received(message(State { settling, ..state(6, 2, 30) }));
        assert_eq!(shown(&view), (6, 2, 30), "all are back");
        view.message_received(message(State { settling, ..state(7, 1, 10) }));
        tokio::time::advance(settling).await;
        view.tick();
        assert_eq!(shown(&view), (7, 1, 10), "20 have left");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_long_silence_a_lower_number_is_deferred() {
        let view = view();
        view.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        tokio::time::advance(Timing::default().lease).await;
        view.message_received(message(state(5, 4, 1)));
        assert_eq!(shown(&view), (5, 3, 30));
        view.message_received(message(state(5, 5, 31)));
        assert_eq!(shown(&view), (5, 5, 31));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unconfirmed_reading_is_marked_stale() {
        let view = view();
        view.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        tokio::time::advance(Timing::default().stale_after - Duration::from_millis(1)).await;
        view.tick();
        assert!(!view.local_viewers.reading().stale);
        tokio::time::advance(Duration::from_millis(1)).await;
        view.tick();
        assert!(view.local_viewers.reading().stale);
        assert_eq!(shown(&view), (5, 3, 30), "the number stays");
        view.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        assert!(!view.local_viewers.reading().stale);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_without_replies_keep_the_number_and_mark_it_stale() {
        let view = view();
        view.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        for version in 4..8 {
            tokio::time::advance(Timing::default().lease).await;
            view.message_received(message(state(5, version, 10)));
            view.tick();
            tokio::time::advance(Timing::default().settle).await;
            view.tick();
            assert_eq!(shown(&view), (5, 3, 30), "20 are on this node, and Redis may have lost them");
            assert!(view.local_viewers.reading().stale);
        }
        view.reply_received(state(5, 7, 10), Instant::now(), Some(Instant::now()));
        view.tick();
        assert_eq!(shown(&view), (5, 3, 30), "they are about to be registered again");
        view.reply_received(state(5, 8, 30), Instant::now(), Some(Instant::now()));
        assert_eq!(shown(&view), (5, 8, 30));
        assert!(!view.local_viewers.reading().stale);
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_state_does_not_replace_a_deferred_one() {
        let view = view();
        view.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        let settling = Duration::from_millis(1_500);
        view.message_received(message(State { settling, ..state(6, 3, 20) }));
        view.reply_received(State { settling, ..state(6, 2, 30) }, Instant::now(), Some(Instant::now()));
        assert_eq!(shown(&view), (5, 3, 30));
        tokio::time::advance(settling).await;
        view.tick();
        assert_eq!(shown(&view), (6, 3, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn another_number_under_the_same_version_is_asked_about() {
        let view = view();
        view.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        view.message_received(message(state(5, 3, 29)));
        assert_eq!(shown(&view), (5, 3, 30));
        tokio::time::timeout(Duration::from_secs(1), view.call_wanted.notified()).await.expect("a call");
        view.message_received(message(state(5, 3, 30)));
        assert!(tokio::time::timeout(Duration::from_secs(1), view.call_wanted.notified()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_state_waits_for_leases_that_have_run_out() {
        let view = view();
        let doubt = Timing::default().suspicion;
        view.in_doubt(doubt);
        view.reply_received(state(5, 3, 30), Instant::now(), None);
        view.tick();
        assert_eq!(shown(&view), (0, 0, 0));
        tokio::time::advance(doubt).await;
        view.tick();
        assert_eq!(shown(&view), (0, 0, 0), "the call that decides is on its way");
        view.reply_received(state(5, 4, 0), Instant::now(), None);
        tokio::time::advance(doubt).await;
        view.tick();
        assert_eq!(shown(&view), (5, 4, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_runs_from_the_first_attempt_of_the_report() {
        let view = view();
        let timing = Timing::default();
        let first_sent = Instant::now();
        // Answered at the third attempt: the lease runs from the first.
        tokio::time::advance(timing.response_timeout * 2).await;
        view.reply_received(state(5, 3, 30), Instant::now(), Some(first_sent));
        tokio::time::advance(timing.lease - timing.response_timeout * 3).await;
        view.message_received(message(state(5, 4, 10)));
        assert_eq!(shown(&view), (5, 3, 30), "20 are on this node, and their lease may have run out");
        tokio::time::advance(timing.settle).await;
        view.tick();
        assert_eq!(shown(&view), (5, 3, 30));
        view.reply_received(state(5, 4, 10), Instant::now(), Some(Instant::now()));
        tokio::time::advance(timing.settle).await;
        view.tick();
        assert_eq!(shown(&view), (5, 4, 10), "they have left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_process_shows_the_same_and_goes_on() {
        let former = view();
        former.subscribed();
        former.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        let settling = Duration::from_secs(3);
        former.message_received(message(State { settling, ..state(6, 1, 2) }));
        tokio::time::advance(Duration::from_secs(1)).await;
        let known = rmp_serde::to_vec(&former.pause()).unwrap();
        former.message_received(message(state(6, 2, 31)));
        tokio::time::advance(Duration::from_secs(1)).await;
        former.tick();
        assert_eq!(shown(&former), (5, 3, 30), "the former process shows nothing more");

        let name = CounterName::parse("online").unwrap();
        let local_viewers = Arc::new(LocalViewers::reported(name, Arc::new(Versions::new(0)), Metrics::default()));
        local_viewers.resume(former.local_viewers.state());
        let known = rmp_serde::from_slice(&known).unwrap();
        let view = CounterView::new(local_viewers, Timing::default(), Metrics::default(), known);
        assert_eq!((shown(&view), view.seen()), ((5, 3, 30), former.seen()));
        view.message_received(message(state(5, 2, 20)));
        assert_eq!(shown(&view), (5, 3, 30), "an older state");
        // The wait for the missing viewers goes on where it was.
        tokio::time::advance(Duration::from_millis(1_900)).await;
        view.tick();
        assert_eq!(shown(&view), (5, 3, 30));
        tokio::time::advance(Duration::from_millis(200)).await;
        view.tick();
        assert_eq!(shown(&view), (6, 1, 2));
        tokio::time::advance(Timing::default().stale_after).await;
        view.tick();
        assert!(view.local_viewers.reading().stale && !view.misses_messages());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_a_reply_mentions_is_missed_until_it_comes() {
        let view = view();
        view.subscribed();
        view.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        assert!(!view.misses_messages());
        tokio::time::advance(Timing::default().response_timeout).await;
        assert!(view.misses_messages());
        view.message_received(message(state(5, 3, 30)));
        assert!(!view.misses_messages());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_subscription_misses_nothing() {
        let view = view();
        view.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        view.subscribed();
        view.reply_received(state(5, 3, 30), Instant::now(), Some(Instant::now()));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!view.misses_messages());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_to_a_call_from_before_the_subscription_expects_no_message() {
        let view = view();
        let sent = Instant::now();
        tokio::time::advance(Duration::from_millis(10)).await;
        view.subscribed();
        view.reply_received(state(5, 3, 30), sent, Some(sent));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!view.misses_messages(), "what was published before is never delivered");
    }
}
