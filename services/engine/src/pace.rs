//! When a feed may show its next frame: at once after a quiet time, at the frame rate in a storm, and never so fast
//! that its passes take more than one core, however many shards work on them.

use std::time::{Duration, Instant};

/// Frames that may follow each other at once after a quiet time. A visitor who reloads a page is two changes, and both
/// should be seen at once.
const BURST: u32 = 3;

/// The lowest frame rate: one frame an hour.
const SLOWEST: f64 = 1.0 / 3600.0;

/// The clock of one feed.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// One frame's share of the frame rate.
    interval: Duration,
    /// When all shares used so far are paid back, were there no burst.
    paid: Instant,
    /// No pass before this: the last one's end, and once more the time that all shards together spent on it.
    rested: Instant,
}

impl Pace {
    pub(crate) fn new(frame_rate: f64, now: Instant) -> Self {
        Self { interval: Duration::from_secs_f64(1.0 / frame_rate.max(SLOWEST)), paid: now, rested: now }
    }

    /// When the next pass may begin. Holds only while none is on.
    pub(crate) fn due(&self) -> Instant {
        let ahead = self.interval * (BURST - 1);
        self.rested.max(self.paid.checked_sub(ahead).unwrap_or(self.rested))
    }

    /// A pass has begun.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.paid = self.paid.max(now) + self.interval;
    }

    /// The pass has reached its last viewer; the shards together spent `worked` on it.
    ///
    /// Resting for that long holds the share of a core at S/(S + 1) for S shards that work side by side: a half for
    /// one, and less than a whole for any number.
    pub(crate) fn end(&mut self, now: Instant, worked: Duration) {
        self.rested = now + worked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times, in milliseconds from the first, at which passes begin if there is always a new frame, and each takes
    /// all of `shards` shards `took` milliseconds.
    fn storm(frame_rate: f64, shards: u32, took: u64, passes: usize) -> Vec<u64> {
        let start = Instant::now();
        let mut pace = Pace::new(frame_rate, start);
        let mut now = start;
        let mut begun = Vec::new();
        for _ in 0..passes {
            now = now.max(pace.due());
            begun.push((now - start).as_millis() as u64);
            pace.begin(now);
            let took = Duration::from_millis(took);
            now += took;
            pace.end(now, took * shards);
        }
        begun
    }

    #[test]
    fn a_burst_goes_at_once_then_the_frame_rate_holds() {
        assert_eq!(storm(10.0, 1, 0, 6), [0, 0, 0, 100, 200, 300]);
        assert_eq!(storm(0.5, 1, 0, 5), [0, 0, 0, 2000, 4000]);
        assert_eq!(storm(0.0, 1, 0, 4), [0, 0, 0, 3_600_000]);
    }

    #[test]
    fn a_long_pass_rests_as_long_as_was_worked_on_it() {
        assert_eq!(storm(10.0, 1, 150, 4), [0, 300, 600, 900]);
        assert_eq!(storm(10.0, 1, 20, 6), [0, 40, 80, 120, 200, 300]);
        assert_eq!(storm(10.0, 2, 60, 4), [0, 180, 360, 540]);
    }

    #[test]
    fn a_quiet_time_earns_a_burst_and_no_more() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, start);
        let later = start + Duration::from_secs(60);
        for _ in 0..BURST {
            assert!(pace.due() <= later);
            pace.begin(later);
            pace.end(later, Duration::ZERO);
        }
        assert_eq!(pace.due(), later + Duration::from_millis(100));
    }
}
