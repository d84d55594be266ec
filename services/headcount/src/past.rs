//! [`Past`]: the past of a counter as one feed's charts show it. It is read once a minute, and readings keep its last step up to
//! date in between.

use std::time::{Duration, SystemTime};

use headcount_drawing::{Chart, Look};
use headcount_presence::{CounterName, Presence, Reading};
use headcount_wire::history::{History, Peak, Span};

const MINUTE: Duration = Duration::from_secs(60);
/// After a minute has begun, it is read within this time, each feed at a moment of its own: the minute before has been recorded
/// by then, and not all charts are drawn at once.
const PHASES: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_secs(4);

/// The past of one counter.
pub(crate) struct Past {
    presence: Presence,
    counter: CounterName,
    span: Span,
    /// As it was read, and what readings have added. `None` if there is none.
    history: Option<History>,
    /// When it is to be read again.
    due: SystemTime,
    phase: Duration,
}

impl Past {
    /// Reads the past that a look shows. `None` if it shows none.
    pub(crate) async fn of_look(presence: &Presence, counter: &CounterName, look: &Look) -> Option<Self> {
        let mut past = Self::due_now(presence, counter, look)?;
        past.read().await;
        Some(past)
    }

    /// The past that a look shows, before it is read.
    pub(crate) fn due_now(presence: &Presence, counter: &CounterName, look: &Look) -> Option<Self> {
        Some(Self {
            presence: presence.clone(),
            counter: counter.clone(),
            span: look.span()?,
            history: None,
            due: SystemTime::UNIX_EPOCH,
            phase: rand::random_range(PHASES),
        })
    }

    /// Whether another minute has begun since it was read.
    pub(crate) fn is_due(&self) -> bool {
        SystemTime::now() >= self.due
    }

    /// Waits until it is due.
    pub(crate) async fn until_due(&self) {
        // The system's clock may be set: it is looked at again at least once a minute.
        while let Ok(rest) = self.due.duration_since(SystemTime::now()) {
            tokio::time::sleep(rest.min(MINUTE)).await;
            if rest.is_zero() {
                return;
            }
        }
    }

    /// Reads it anew. What was known before stays where nothing can be read.
    pub(crate) async fn read(&mut self) {
        if let Some(history) = self.presence.history(&self.counter, self.span).await {
            self.history = Some(history);
        }
        let now = SystemTime::now();
        let seconds = seconds(now) / MINUTE.as_secs() * MINUTE.as_secs();
        let next = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + MINUTE + self.phase;
        // Within the first moments of a minute, this one is still to come.
        self.due = if next.duration_since(now).is_ok_and(|rest| rest > MINUTE) { next - MINUTE } else { next };
    }

    /// Adds a reading to the last step.
    pub(crate) fn add(&mut self, reading: &Reading) {
        if let Some(history) = &mut self.history {
            add(history, reading, seconds(SystemTime::now()));
        }
    }

    /// What is drawn of it. Below `small`, numbers are hidden.
    pub(crate) fn chart(&self, small: u64) -> Option<Chart<'_>> {
        self.history.as_ref().map(|history| Chart { history, small })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Adds a reading to a history's last step, if that is still the present one. A number that nothing confirms is no peak.
fn add(history: &mut History, reading: &Reading, now: u64) {
    let end = history.start + history.points.len() as u64 * history.step_seconds;
    if reading.stale || now >= end {
        return;
    }
    history.count = reading.count;
    if let Some(last) = history.points.last_mut().and_then(Option::as_mut) {
        last.highest = last.highest.max(u32::try_from(reading.count).unwrap_or(u32::MAX));
    }
    for peak in [&mut history.peak_today, &mut history.peak] {
        if peak.is_none_or(|peak| peak.count < reading.count) && reading.count > 0 {
            *peak = Some(Peak { count: reading.count, at: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use headcount_wire::history::Point;

    use super::*;

    fn history() -> History {
        History {
            counter: "online".to_owned(),
            span: Span::Hour,
            now: 3599,
            count: 1,
            start: 0,
            step_seconds: 60,
            points: vec![Some(Point { highest: 2, mean: 1.0 }); 60],
            peak_today: Some(Peak { count: 5, at: 120 }),
            peak: Some(Peak { count: 9, at: 60 }),
        }
    }

    fn reading(count: u64, stale: bool) -> Reading {
        Reading { count, visitors: count, epoch: 1, version: 1, as_of: SystemTime::UNIX_EPOCH, stale }
    }

    #[test]
    fn readings_raise_the_last_step_and_the_peaks() {
        let mut past = history();
        add(&mut past, &reading(7, false), 3599);
        assert_eq!((past.count, past.points[59].map(|point| point.highest)), (7, Some(7)));
        assert_eq!(past.points[58].map(|point| point.highest), Some(2));
        assert_eq!(past.peak_today, Some(Peak { count: 7, at: 3599 }));
        assert_eq!(past.peak, Some(Peak { count: 9, at: 60 }));
        add(&mut past, &reading(3, false), 3599);
        assert_eq!((past.count, past.points[59].map(|point| point.highest)), (3, Some(7)));
    }

    #[test]
    fn neither_stale_numbers_nor_later_ones_are_peaks() {
        for (stale, now) in [(true, 3599), (false, 3600)] {
            let mut past = history();
            add(&mut past, &reading(70, stale), now);
            assert_eq!(past, history());
        }
    }
}
