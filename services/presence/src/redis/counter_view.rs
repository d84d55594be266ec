//! What a node shows of a counter, made of what replies and messages tell.
//!
//! Both tell published states; the view puts them in order, holds back those that are low only because registrations
//! are still coming back after a loss, and notices when messages that were published do not arrive.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::reply::State;
use super::scripts::Seen;
use crate::Reading;
use crate::local_viewers::LocalViewers;
use crate::metrics::Metrics;
use crate::settings::Timing;

/// One counter's view.
pub(super) struct CounterView {
    pub(super) local_viewers: Arc<LocalViewers>,
    /// The counter's reporter should speak to Redis soon.
    pub(super) wake_reporter: Notify,
    timing: Timing,
    metrics: Metrics,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What is shown. `None`: Redis has not told anything yet.
    shown: Option<State>,
    /// A newer state, lower than what is shown, that waits until this time for those who are missing in it.
    waiting: Option<(State, Instant)>,
    /// When Redis last answered about this counter. Messages do not count: who hears what others say, but has no answer to
    /// his own reports, is missing in what he hears.
    answered: Option<Instant>,
    /// When the last answered report was sent for the first time: this node's lease counts from there.
    asked: Option<Instant>,
    /// Until when viewers may be missing because this node, or all nodes, could not prolong their leases.
    recovering: Option<Instant>,
    subscription: Subscription,
}

/// What the subscription should have delivered, and has. Publications are ordered by (epoch, seq).
#[derive(Default)]
struct Subscription {
    /// It is open. Until then nothing is expected of it.
    open: bool,
    delivered: (u64, u64),
    /// The newest publication that a reply told of, and since when one is known that was not delivered.
    told: (u64, u64),
    missing_since: Option<Instant>,
}

impl CounterView {
    pub(super) fn new(local_viewers: Arc<LocalViewers>, timing: Timing, metrics: Metrics) -> Arc<CounterView> {
        Arc::new(CounterView { local_viewers, wake_reporter: Notify::new(), timing, metrics, known: Mutex::default() })
    }

    /// The state that is shown, as Redis wants to know it.
    pub(super) fn seen(&self) -> Seen {
        self.lock().shown.map(|state| state.seen()).unwrap_or_default()
    }

    /// Whether a publication newer than this state's has been delivered.
    pub(super) fn has_heard_after(&self, state: &State) -> bool {
        self.lock().subscription.delivered > (state.epoch, state.seq)
    }

    /// A reply told this state. `asked`: when that was said for the first time which prolonged this node's lease, if it did.
    pub(super) fn replied(&self, state: State, asked: Option<Instant>) {
        let mut known = self.lock();
        let publication = (state.epoch, state.seq);
        if state.seq > 0 && publication > known.subscription.told {
            known.subscription.told = publication;
        }
        let subscription = &mut known.subscription;
        if subscription.open && subscription.told > subscription.delivered {
            subscription.missing_since.get_or_insert_with(Instant::now);
        }
        let now = Instant::now();
        known.recover_from_silence(now, &self.timing);
        known.answered = Some(now);
        known.asked = asked.or(known.asked);
        self.accept(&mut known, state);
    }

    /// The subscription delivered this state.
    pub(super) fn delivered(&self, state: State) {
        self.metrics.messages.inc();
        let mut known = self.lock();
        let newest_epoch = known.shown.map(|shown| shown.epoch.max(known.subscription.delivered.0));
        let subscription = &mut known.subscription;
        let publication = (state.epoch, state.seq);
        if publication > subscription.delivered {
            let (epoch, seq) = subscription.delivered;
            self.metrics.published.inc_by(if epoch == state.epoch { state.seq - seq } else { 1 });
            subscription.delivered = publication;
        }
        if subscription.delivered >= subscription.told {
            subscription.missing_since = None;
        }
        let now = Instant::now();
        known.answered.get_or_insert(now);
        known.asked.get_or_insert(now);
        known.recover_from_silence(now, &self.timing);
        self.accept(&mut known, state);
        // A new epoch means that Redis has lost something, perhaps this node's registration.
        if newest_epoch.is_some_and(|newest| newest < state.epoch) {
            self.wake_reporter.notify_one();
        }
    }

    /// The counter's channel is subscribed to. What was published before may never come.
    pub(super) fn subscribed(&self) {
        {
            let subscription = &mut self.lock().subscription;
            if subscription.open {
                return;
            }
            subscription.open = true;
            subscription.delivered = subscription.delivered.max(subscription.told);
        }
        // Whatever was published between the last reply and now is only found by asking.
        self.wake_reporter.notify_one();
    }

    /// The subscription is gone.
    pub(super) fn unsubscribed(&self) {
        let mut known = self.lock();
        known.subscription.open = false;
        known.subscription.missing_since = None;
    }

    /// Whether a publication has been missing for too long.
    pub(super) fn misses_messages(&self) -> bool {
        let limit = self.timing.response_timeout;
        self.lock().subscription.missing_since.is_some_and(|since| since.elapsed() >= limit)
    }

    /// This node's registration has ended without its doing: until it, and perhaps others, have registered again, their
    /// viewers are missing.
    pub(super) fn lapsed(&self) {
        self.lock().recover_until(Instant::now() + self.timing.settle);
    }

    /// Time passes: what has waited long enough is shown, what nothing confirms is marked.
    pub(super) fn tick(&self) {
        let mut known = self.lock();
        let now = Instant::now();
        let waiting = known.waiting.filter(|(_, until)| *until <= now && !known.may_have_lapsed(now, &self.timing));
        if let Some((state, _)) = waiting {
            self.show(&mut known, state);
        }
        if known.silence(now) >= self.timing.stale_after {
            self.local_viewers.mark_stale();
        }
    }

    fn accept(&self, known: &mut Known, state: State) {
        let now = Instant::now();
        let is_stale = known.silence(now) >= self.timing.stale_after;
        let Some(shown) = known.shown else { return self.show(known, state) };
        if state.order() <= shown.order() {
            if state.order() == shown.order() && known.waiting.is_none() && !is_stale {
                self.local_viewers.confirm(SystemTime::now());
            }
            return;
        }
        let is_lower = state.count < shown.count || state.visitors < shown.visitors;
        match missing_until(known, &shown, &state, now).filter(|until| is_lower && *until > now) {
            Some(until) => known.waiting = Some((state, until)),
            None => self.show(known, state),
        }
    }

    fn show(&self, known: &mut Known, state: State) {
        let stale = known.silence(Instant::now()) >= self.timing.stale_after;
        known.shown = Some(state);
        known.waiting = None;
        self.local_viewers.show(Reading {
            count: state.count,
            visitors: state.visitors,
            epoch: state.epoch,
            version: state.version,
            as_of: SystemTime::now(),
            stale,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// How long Redis has answered nothing.
    fn silence(&self, now: Instant) -> Duration {
        self.answered.map_or(Duration::ZERO, |answered| now.duration_since(answered))
    }

    /// Whether this node's lease may have run out. Redis counts it from when the report was sent, by what its last answer
    /// told of the time; that answer was on its way for a response timeout at most.
    fn may_have_lapsed(&self, now: Instant, timing: &Timing) -> bool {
        self.asked.is_some_and(|asked| now.duration_since(asked) + timing.response_timeout >= timing.lease)
    }

    /// When its lease may have run out this node's viewers may be missing, and those of others as well.
    fn recover_from_silence(&mut self, now: Instant, timing: &Timing) {
        if self.may_have_lapsed(now, timing) {
            self.recover_until(now + timing.settle);
        }
    }

    fn recover_until(&mut self, until: Instant) {
        self.recovering = Some(until);
        if let Some((_, waits)) = &mut self.waiting {
            *waits = until.max(*waits);
        }
    }
}

/// Until when viewers may be missing in a state through no act of their own.
fn missing_until(known: &Known, shown: &State, state: &State, now: Instant) -> Option<Instant> {
    let settling = (!state.settling.is_zero() && state.epoch > shown.epoch).then(|| now + state.settling);
    settling.max(known.recovering)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CounterName;
    use crate::local_viewers::Versions;

    fn view() -> Arc<CounterView> {
        let name = CounterName::parse("online").unwrap();
        let local_viewers = Arc::new(LocalViewers::shared(name, Arc::new(Versions::new(0)), Metrics::default()));
        CounterView::new(local_viewers, Timing::default(), Metrics::default())
    }

    fn state(epoch: u64, version: u64, count: u64) -> State {
        State { epoch, version, count, visitors: count, seq: version, settling: Duration::ZERO }
    }

    fn shown(view: &CounterView) -> (u64, u64, u64) {
        let reading = view.local_viewers.reading();
        (reading.epoch, reading.version, reading.count)
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_state_changes_nothing() {
        let view = view();
        view.delivered(state(5, 3, 30));
        view.replied(state(5, 2, 20), Some(Instant::now()));
        view.delivered(state(4, 9, 90));
        assert_eq!(shown(&view), (5, 3, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_loss_a_lower_number_waits_until_it_has_settled() {
        let view = view();
        view.replied(state(5, 3, 30), Some(Instant::now()));
        let settling = Duration::from_secs(3);
        view.delivered(State { settling, ..state(6, 1, 2) });
        assert_eq!(shown(&view), (5, 3, 30), "28 viewers are only not registered again yet");
        view.delivered(State { settling, ..state(6, 2, 30) });
        assert_eq!(shown(&view), (6, 2, 30), "all are back");
        view.delivered(State { settling, ..state(7, 1, 10) });
        tokio::time::advance(settling).await;
        view.tick();
        assert_eq!(shown(&view), (7, 1, 10), "20 have really gone");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_long_silence_a_lower_number_waits_too() {
        let view = view();
        view.replied(state(5, 3, 30), Some(Instant::now()));
        tokio::time::advance(Timing::default().lease).await;
        view.delivered(state(5, 4, 1));
        assert_eq!(shown(&view), (5, 3, 30));
        view.delivered(state(5, 5, 31));
        assert_eq!(shown(&view), (5, 5, 31));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nothing_confirms_is_marked_stale() {
        let view = view();
        view.replied(state(5, 3, 30), Some(Instant::now()));
        tokio::time::advance(Timing::default().stale_after - Duration::from_millis(1)).await;
        view.tick();
        assert!(!view.local_viewers.reading().stale);
        tokio::time::advance(Duration::from_millis(1)).await;
        view.tick();
        assert!(view.local_viewers.reading().stale);
        assert_eq!(shown(&view), (5, 3, 30), "the number stays");
        view.replied(state(5, 3, 30), Some(Instant::now()));
        assert!(!view.local_viewers.reading().stale);
    }

    #[tokio::test(start_paused = true)]
    async fn who_hears_but_is_not_answered_keeps_the_number_and_marks_it() {
        let view = view();
        view.replied(state(5, 3, 30), Some(Instant::now()));
        for version in 4..8 {
            tokio::time::advance(Timing::default().lease).await;
            view.delivered(state(5, version, 10));
            view.tick();
            tokio::time::advance(Timing::default().settle).await;
            view.tick();
            assert_eq!(shown(&view), (5, 3, 30), "20 are here, and Redis may not know of them");
            assert!(view.local_viewers.reading().stale);
        }
        view.replied(state(5, 7, 10), Some(Instant::now()));
        view.tick();
        assert_eq!(shown(&view), (5, 3, 30), "they are about to be registered");
        view.replied(state(5, 8, 30), Some(Instant::now()));
        assert_eq!(shown(&view), (5, 8, 30));
        assert!(!view.local_viewers.reading().stale);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_may_end_before_its_time_is_over_here() {
        let view = view();
        let timing = Timing::default();
        let asked = Instant::now();
        // Answered at the third attempt: the lease counts from the first.
        tokio::time::advance(timing.response_timeout * 2).await;
        view.replied(state(5, 3, 30), Some(asked));
        tokio::time::advance(timing.lease - timing.response_timeout * 3).await;
        view.delivered(state(5, 4, 10));
        assert_eq!(shown(&view), (5, 3, 30), "20 are here, and their lease may have run out already");
        tokio::time::advance(timing.settle).await;
        view.tick();
        assert_eq!(shown(&view), (5, 3, 30));
        view.replied(state(5, 4, 10), Some(Instant::now()));
        tokio::time::advance(timing.settle).await;
        view.tick();
        assert_eq!(shown(&view), (5, 4, 10), "they have gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_a_reply_tells_of_and_that_does_not_come_is_missed() {
        let view = view();
        view.subscribed();
        view.replied(state(5, 3, 30), Some(Instant::now()));
        assert!(!view.misses_messages());
        tokio::time::advance(Timing::default().response_timeout).await;
        assert!(view.misses_messages());
        view.delivered(state(5, 3, 30));
        assert!(!view.misses_messages());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_missed_of_a_subscription_that_is_new() {
        let view = view();
        view.replied(state(5, 3, 30), Some(Instant::now()));
        view.subscribed();
        view.replied(state(5, 3, 30), Some(Instant::now()));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!view.misses_messages());
    }
}
