//! When a feed may show its next frame: at once after a quiet time, at the frame rate in a storm, and never so fast
//! that its passes take more than one core, however many shards work on them.

use std::time::{Duration, Instant};

/// Frames that may follow each other at once after a quiet time. A visitor who reloads a page is two changes, and both
/// should be seen at once.
const BURST: u32 = 3;

/// A pass that takes no longer holds nobody up: one interval of the default frame rate.
const BRISK: Duration = Duration::from_millis(100);

/// The lowest frame rate: one frame an hour.
const SLOWEST: f64 = 1.0 / 3600.0;

/// The clock of one feed.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// One frame's share of the frame rate.
    interval: Duration,
    /// A quiet time earns so much of one more frame. It differs from feed to feed and from node to node, or all nodes
    /// that hear of the same change would go on in step: on one machine, all at once and then none.
    phase: Duration,
    /// When all shares used so far are paid back, were there no burst.
    paid: Instant,
    /// When the last pass began.
    begun: Instant,
    /// No pass before this: see [`end`](Self::end).
    rested: Instant,
}

impl Pace {
    /// `phase`: from 0 to 1, at random.
    pub(crate) fn new(frame_rate: f64, phase: f64, now: Instant) -> Self {
        let interval = Duration::from_secs_f64(1.0 / frame_rate.max(SLOWEST));
        let phase = interval.mul_f64(phase);
        Self { interval, phase, paid: earlier(now, phase), begun: now, rested: now }
    }

    /// When the next pass may begin. Holds only while none is on.
    pub(crate) fn due(&self) -> Instant {
        let ahead = self.interval * (BURST - 1);
        self.rested.max(earlier(self.paid, ahead))
    }

    /// A pass has begun.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.paid = self.paid.max(earlier(now, self.phase)) + self.interval;
        self.begun = now;
    }

    /// The pass has reached its last viewer; the shards together spent `worked` of processor time on it.
    ///
    /// Resting for that long holds the share of a core at S/(S + 1) for S shards that work side by side: a half for
    /// one, and less than a whole for any number. Where the processors are wanted by others too, a pass takes longer
    /// than the work in it; what it took beyond [`BRISK`] is rested as well, so that many nodes on one machine leave
    /// each other half of what there is.
    pub(crate) fn end(&mut self, now: Instant, worked: Duration) {
        let late = (now - self.begun).saturating_sub(BRISK);
        self.rested = now + worked.max(late);
    }
}

/// So much before, or the same where the clock does not reach back so far.
fn earlier(instant: Instant, by: Duration) -> Instant {
    instant.checked_sub(by).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times, in milliseconds from the first, at which passes begin if there is always a new frame, and each takes
    /// all of `shards` shards `took` milliseconds.
    fn storm(frame_rate: f64, shards: u32, took: u64, passes: usize) -> Vec<u64> {
        storm_in_phase(0.0, frame_rate, shards, took, passes)
    }

    fn storm_in_phase(phase: f64, frame_rate: f64, shards: u32, took: u64, passes: usize) -> Vec<u64> {
        let start = Instant::now();
        let mut pace = Pace::new(frame_rate, phase, start);
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
    fn on_a_busy_machine_it_rests_as_long_as_the_pass_was_slow() {
        let start = Instant::now();
        for (took, rest) in [(80, 20), (100, 20), (150, 50), (2100, 2000)] {
            let mut pace = Pace::new(100.0, 0.0, start);
            pace.begin(start);
            let ended = start + Duration::from_millis(took);
            pace.end(ended, Duration::from_millis(20));
            assert_eq!(pace.due(), ended + Duration::from_millis(rest), "{took} ms");
        }
    }

    #[test]
    fn a_burst_goes_at_once_then_the_frame_rate_holds() {
        assert_eq!(storm(10.0, 1, 0, 6), [0, 0, 0, 100, 200, 300]);
        assert_eq!(storm(0.5, 1, 0, 5), [0, 0, 0, 2000, 4000]);
        assert_eq!(storm(0.0, 1, 0, 4), [0, 0, 0, 3_600_000]);
    }

    #[test]
    fn feeds_of_another_phase_are_not_in_step() {
        assert_eq!(storm_in_phase(0.5, 10.0, 1, 0, 6), [0, 0, 0, 50, 150, 250]);
        assert_eq!(storm_in_phase(0.9, 10.0, 1, 0, 6), [0, 0, 0, 10, 110, 210]);
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
        let mut pace = Pace::new(10.0, 0.0, start);
        let later = start + Duration::from_secs(60);
        for _ in 0..BURST {
            assert!(pace.due() <= later);
            pace.begin(later);
            pace.end(later, Duration::ZERO);
        }
        assert_eq!(pace.due(), later + Duration::from_millis(100));
    }
}
