//! What a node shows of a counter, made of replies and messages.
//!
//! Both carry published states. The view puts them in order, defers states that are lower only because registrations
//! are still coming back after a loss, and notices when published messages do not arrive.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::reply::{Message, State};
use super::scripts::Seen;
use crate::local_viewers::LocalViewers;
use crate::metrics::Metrics;
use crate::settings::Timing;

/// The view of one counter.
pub(super) struct CounterView {
    pub(super) local_viewers: Arc<LocalViewers>,
    /// Signalled when the counter's reporter should call Redis soon.
    pub(super) call_wanted: Notify,
    timing: Timing,
    metrics: Metrics,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The shown state. `None` before the first state from Redis.
    shown: Option<State>,
    /// A newer state, lower than the shown one, that is shown at this time if the missing viewers have not come back.
    deferred: Option<(State, Instant)>,
    /// When Redis last answered a call about this counter. Messages do not count: a node that receives messages but no
    /// replies may have lost its own registration.
    last_reply: Option<Instant>,
    /// When the last answered report was first sent: this node's lease runs from then.
    report_sent: Option<Instant>,
    /// Until when viewers may be missing because this node, or all nodes, could not renew their leases.
    recovering_until: Option<Instant>,
    delivery: Delivery,
}

/// What the subscription should have delivered, and what it has. Publications are ordered by (epoch, seq).
#[derive(Default)]
struct Delivery {
    /// Since when the channel is subscribed to. Before, nothing is expected.
    open_since: Option<Instant>,
    delivered: (u64, u64),
    /// The newest publication that a reply mentions.
    expected: (u64, u64),
    /// Since when an expected publication is missing.
    missing_since: Option<Instant>,
}

impl CounterView {
    pub(super) fn new(local_viewers: Arc<LocalViewers>, timing: Timing, metrics: Metrics) -> Arc<CounterView> {
        let known = Mutex::default();
        Arc::new(CounterView { local_viewers, call_wanted: Notify::new(), timing, metrics, known })
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
            Some(_) if delivery.expected > delivery.delivered => {
                delivery.missing_since.get_or_insert_with(Instant::now);
            }
            _ => {}
        }
        let now = Instant::now();
        known.recover_if_lease_may_have_ended(now, &self.timing);
        known.last_reply = Some(now);
        known.report_sent = report_sent.or(known.report_sent);
        self.accept(&mut known, state);
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

    /// Called when Redis no longer knows this node's session: its viewers, and perhaps those of other nodes, are
    /// missing until they are registered again.
    pub(super) fn lease_lost(&self) {
        self.known.lock().recover_until(Instant::now() + self.timing.settle);
    }

    /// Called regularly: shows a deferred state that is due, and marks a reading that nothing confirms as stale.
    pub(super) fn tick(&self) {
        let mut known = self.known.lock();
        let now = Instant::now();
        let is_due = |until: Instant| until <= now && !known.lease_may_have_ended(now, &self.timing);
        if let Some((state, _)) = known.deferred.filter(|(_, until)| is_due(*until)) {
            self.show(&mut known, state);
        }
        if self.is_stale(&known, now) {
            self.local_viewers.mark_stale();
        }
    }

    fn accept(&self, known: &mut Known, state: State) {
        let now = Instant::now();
        let Some(shown) = known.shown else { return self.show(known, state) };
        if state.order() <= shown.order() {
            if state.order() == shown.order() && known.deferred.is_none() && !self.is_stale(known, now) {
                self.local_viewers.confirm(SystemTime::now());
            }
            return;
        }
        let is_lower = state.count < shown.count || state.visitors < shown.visitors;
        match missing_until(known, &shown, &state, now).filter(|until| is_lower && *until > now) {
            Some(until) => known.deferred = Some((state, until)),
            None => self.show(known, state),
        }
    }

    fn show(&self, known: &mut Known, state: State) {
        let stale = self.is_stale(known, Instant::now());
        known.shown = Some(state);
        known.deferred = None;
        self.local_viewers.show_shared(state.reading(SystemTime::now(), stale));
    }

    fn is_stale(&self, known: &Known, now: Instant) -> bool {
        known.last_reply.is_some_and(|last_reply| now.duration_since(last_reply) >= self.timing.stale_after)
    }
}

impl Known {
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
        if let Some((_, deferred_until)) = &mut self.deferred {
            *deferred_until = until.max(*deferred_until);
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
    use std::time::Duration;

    use super::*;
    use crate::CounterName;
    use crate::versions::Versions;

    fn view() -> Arc<CounterView> {
        let name = CounterName::parse("online").unwrap();
        let local_viewers = Arc::new(LocalViewers::reported(name, Arc::new(Versions::new(0)), Metrics::default()));
        CounterView::new(local_viewers, Timing::default(), Metrics::default())
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
