//! [`Recorder`]: keeps one counter's past, told what the count is at which time.

use headcount_wire::history::{History, Peak, Span};
use serde::{Deserialize, Serialize};

use super::ring::{DAYS, MINUTES, QUARTERS, Ring, Running, Shape};

/// A clock that goes back by no more than this, in milliseconds, is waited for: what is recorded stays, and nothing is added until
/// that time comes again. Where it goes back further, it was wrong before, and what it has recorded of the future is forgotten.
pub(crate) const WAIT_FOR_CLOCK: u64 = 2 * 60 * 60_000;

/// The past of one counter, up to a time. All times are milliseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recorder {
    /// Up to when it is recorded.
    at: u64,
    /// The count since then. `None` if it is not known.
    count: Option<u64>,
    /// When it last became another one.
    changed: u64,
    minutes: Ring,
    quarters: Ring,
    days: Ring,
    /// The most of the day that `at` is in.
    today: Option<PeakAt>,
    peak: Option<PeakAt>,
}

/// A count, and when it was first reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeakAt {
    pub(crate) count: u64,
    pub(crate) at: u64,
}

/// What is known of a time that does not go over the end of a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slice {
    pub(crate) to: u64,
    pub(crate) held: Running,
    /// When the highest count was reached.
    pub(crate) highest_at: u64,
}

impl Recorder {
    /// A recorder of a counter of which nothing is known before `now`.
    pub(crate) fn new(now: u64) -> Recorder {
        Recorder {
            at: now,
            count: None,
            changed: now,
            minutes: Ring::new(),
            quarters: Ring::new(),
            days: Ring::new(),
            today: None,
            peak: None,
        }
    }

    /// One that was stored, up to a time. Its rings are those of minutes, quarters of an hour and days.
    pub(crate) fn stored(at: u64, rings: [Ring; 3], today: Option<PeakAt>, peak: Option<PeakAt>) -> Recorder {
        let [minutes, quarters, days] = rings;
        Recorder { at, count: None, changed: at, minutes, quarters, days, today, peak }
    }

    /// Adds what is known of a time that begins where the record ends.
    pub(crate) fn add(&mut self, Slice { to, held, highest_at }: Slice) {
        let from = self.at;
        if to < from {
            return;
        }
        self.at = to;
        if let Some(count) = held.highest {
            raise(&mut self.today, count, highest_at);
            raise(&mut self.peak, count, highest_at);
        }
        for (ring, shape) in self.rings() {
            ring.add(shape, from, to, held);
        }
        if to / DAYS.step > from / DAYS.step {
            self.today = None;
        }
    }

    /// When the count last became another one.
    pub(crate) fn changed(&self) -> u64 {
        self.changed
    }

    /// The count is this from now on; `None` if it is not known. It was what it is since the last call.
    pub(crate) fn record(&mut self, now: u64, count: Option<u64>) {
        self.advance(now);
        if self.count != count {
            (self.count, self.changed) = (count, now);
        }
        // By a clock that has gone back, there is no minute to write to.
        if let Some(count) = count.filter(|_| now >= self.at) {
            for (ring, _) in self.rings() {
                ring.touch(count);
            }
            raise(&mut self.today, count, now);
            raise(&mut self.peak, count, now);
        }
    }

    /// The count has been known until then, at most, and was not known since.
    pub(crate) fn known_until(&mut self, known: u64, now: u64) {
        if known < now {
            self.advance(known.max(self.at));
            let count = self.count.take();
            self.advance(now);
            self.count = count;
        }
    }

    /// Nothing has changed up to now.
    pub(crate) fn advance(&mut self, now: u64) {
        if now < self.at {
            if self.at - now > WAIT_FOR_CLOCK {
                let end = std::mem::replace(&mut self.at, now);
                for (ring, shape) in self.rings() {
                    ring.begin_again(shape, now, end);
                }
                self.today = None;
            }
            return;
        }
        let (from, count) = (std::mem::replace(&mut self.at, now), self.count);
        for (ring, shape) in self.rings() {
            ring.hold(shape, from, now, count);
        }
        let day = now / DAYS.step;
        if day > from / DAYS.step {
            self.today = count.map(|count| PeakAt { count, at: day * DAYS.step });
        }
    }

    /// What is known, up to where it is recorded.
    pub(crate) fn history(&self, counter: &str, span: Span, count: u64) -> History {
        let (ring, shape) = match span {
            Span::Hour | Span::Day => (&self.minutes, MINUTES),
            Span::Month => (&self.quarters, QUARTERS),
            Span::Year | Span::All => (&self.days, DAYS),
        };
        let points = ring.points(shape, self.at, span.points());
        let step_seconds = span.step_seconds();
        let now = self.at / 1000;
        let peak = |peak: Option<PeakAt>| peak.map(|PeakAt { count, at }| Peak { count, at: at / 1000 });
        History {
            counter: counter.to_owned(),
            span,
            now,
            count,
            start: (now / step_seconds + 1).saturating_sub(points.len() as u64) * step_seconds,
            step_seconds,
            points,
            peak_today: peak(self.today),
            peak: peak(self.peak),
        }
    }

    fn rings(&mut self) -> [(&mut Ring, Shape); 3] {
        [(&mut self.minutes, MINUTES), (&mut self.quarters, QUARTERS), (&mut self.days, DAYS)]
    }
}

fn raise(peak: &mut Option<PeakAt>, count: u64, at: u64) {
    if peak.is_none_or(|peak| count > peak.count) {
        *peak = Some(PeakAt { count, at });
    }
}

#[cfg(test)]
mod tests {
    use headcount_wire::history::Point;

    use super::*;

    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;
    const DAY: u64 = DAYS.step;
    /// Midnight, UTC.
    const BEGIN: u64 = 20_000 * DAY;

    fn last(recorder: &Recorder, span: Span, points: usize) -> Vec<Option<(u32, f64)>> {
        let history = recorder.history("online", span, 0);
        assert_eq!(history.points.len(), span.points());
        assert_eq!(history.start % history.step_seconds, 0);
        let end = history.start + history.points.len() as u64 * history.step_seconds;
        assert!((end - history.step_seconds..end).contains(&history.now), "{history:?}");
        history.points[history.points.len() - points..].iter().map(|point| point.map(<(u32, f64)>::from)).collect()
    }

    #[test]
    fn the_mean_is_over_time_and_the_highest_over_moments() {
        let mut recorder = Recorder::new(BEGIN);
        recorder.record(BEGIN, Some(0));
        recorder.record(BEGIN + 30 * SECOND, Some(10));
        recorder.record(BEGIN + 45 * SECOND, Some(99));
        recorder.record(BEGIN + 45 * SECOND, Some(4));
        assert_eq!(last(&recorder, Span::Hour, 2), [None, Some((99, 3.33))]);
        recorder.advance(BEGIN + 3 * MINUTE + 30 * SECOND);
        let minute = Some((99, (10.0 * 15.0 + 4.0 * 15.0) / 60.0));
        assert_eq!(last(&recorder, Span::Hour, 5), [None, minute, Some((4, 4.0)), Some((4, 4.0)), Some((4, 4.0))]);
        assert_eq!(last(&recorder, Span::Month, 2), [None, Some((99, 3.86))]);
        let history = recorder.history("online", Span::Year, 4);
        assert_eq!(history.peak, Some(Peak { count: 99, at: (BEGIN + 45 * SECOND) / 1000 }));
        assert_eq!(history.peak_today, history.peak);
        assert_eq!(history.points.iter().flatten().collect::<Vec<_>>(), [&Point { highest: 99, mean: 3.86 }]);
    }

    #[test]
    fn unknown_is_not_zero() {
        let mut recorder = Recorder::new(BEGIN + 5 * SECOND);
        recorder.record(BEGIN + 5 * SECOND, Some(0));
        recorder.record(BEGIN + 2 * MINUTE, None);
        recorder.record(BEGIN + 4 * MINUTE + 30 * SECOND, Some(7));
        recorder.advance(BEGIN + 6 * MINUTE);
        let zero = Some((0, 0.0));
        let seven = Some((7, 7.0));
        assert_eq!(last(&recorder, Span::Day, 8), [None, zero, zero, None, None, seven, seven, None]);
    }

    #[test]
    fn a_count_that_was_known_for_a_while_only() {
        let mut recorder = Recorder::new(BEGIN);
        recorder.record(BEGIN, Some(5));
        recorder.known_until(BEGIN + 90 * SECOND, BEGIN + 4 * MINUTE);
        recorder.advance(BEGIN + 5 * MINUTE + SECOND);
        let five = Some((5, 5.0));
        assert_eq!(last(&recorder, Span::Day, 6), [five, five, None, None, five, five]);
    }

    #[test]
    fn the_peak_of_a_day_begins_at_midnight() {
        let mut recorder = Recorder::new(BEGIN);
        recorder.record(BEGIN + DAY - MINUTE, Some(9));
        recorder.record(BEGIN + DAY - SECOND, Some(3));
        recorder.advance(BEGIN + DAY + MINUTE);
        let history = recorder.history("online", Span::Hour, 3);
        assert_eq!(history.peak_today, Some(Peak { count: 3, at: (BEGIN + DAY) / 1000 }));
        assert_eq!(history.peak, Some(Peak { count: 9, at: (BEGIN + DAY - MINUTE) / 1000 }));
        recorder.record(BEGIN + DAY + 2 * MINUTE, Some(4));
        let history = recorder.history("online", Span::Hour, 4);
        assert_eq!(history.peak_today, Some(Peak { count: 4, at: (BEGIN + DAY + 2 * MINUTE) / 1000 }));
    }

    #[test]
    fn a_ring_is_as_long_as_its_span() {
        let mut recorder = Recorder::new(BEGIN);
        for minute in 0..3 * 1440_u64 {
            recorder.record(BEGIN + minute * MINUTE, Some(minute));
        }
        let points = last(&recorder, Span::Day, 1440);
        let should: Vec<_> = (2 * 1440..3 * 1440_u32).map(|minute| Some((minute, f64::from(minute)))).collect();
        assert_eq!(points, should);
        assert_eq!(
            last(&recorder, Span::All, 3).iter().flatten().map(|it| it.0).collect::<Vec<_>>(),
            [1439, 2879, 4319]
        );
    }

    #[test]
    fn a_leap_of_a_year_is_bounded_and_a_wrong_future_is_forgotten() {
        let mut recorder = Recorder::new(BEGIN);
        recorder.record(BEGIN, Some(5));
        let year = BEGIN + 365 * DAY;
        recorder.known_until(BEGIN + MINUTE, year);
        recorder.record(year, Some(5));
        recorder.advance(year + 10 * MINUTE);
        assert_eq!(last(&recorder, Span::Day, 1440).iter().flatten().count(), 10);
        assert_eq!(last(&recorder, Span::All, 366)[0], Some((5, 5.0)));
        assert!(last(&recorder, Span::All, 365)[..364].iter().all(Option::is_none));
        // Back again: neither the year nor the minutes at its end have been.
        let back = BEGIN + 30 * MINUTE;
        recorder.record(back, Some(6));
        recorder.advance(back + 2 * MINUTE);
        let six = Some((6, 6.0));
        assert_eq!(last(&recorder, Span::Day, 1440).iter().flatten().count(), 2);
        assert_eq!(last(&recorder, Span::Day, 4), [None, six, six, None]);
        assert!(last(&recorder, Span::All, 1829).iter().rev().skip(1).all(Option::is_none));
    }

    #[test]
    fn a_clock_that_goes_back_by_an_hour_rewrites_nothing() {
        let mut recorder = Recorder::new(BEGIN);
        recorder.record(BEGIN, Some(5));
        recorder.advance(BEGIN + 90 * MINUTE);
        let before = recorder.clone();
        recorder.record(BEGIN + 30 * MINUTE, Some(1_000));
        recorder.record(BEGIN + 31 * MINUTE, Some(8));
        assert_eq!(Recorder { count: Some(5), changed: before.changed, ..recorder.clone() }, before);
        recorder.advance(BEGIN + 91 * MINUTE);
        assert_eq!(last(&recorder, Span::Hour, 3), [Some((5, 5.0)), Some((8, 8.0)), None]);
    }
}
