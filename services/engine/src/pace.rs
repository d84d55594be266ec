//! When a feed may start its next pass: immediately after a quiet time, at the frame rate under constant change, and
//! never so often that its passes use more than one core, however many shards share them.

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

/// A pass that takes no longer than this needs no extra rest: one interval of the default frame rate.
const FAST_PASS: Duration = Duration::from_millis(100);

/// The longest rest for a pass that was slow without using the processor. A process that is frozen in the middle of a pass,
/// by a debugger, a hypervisor or SIGSTOP, would otherwise rest as long again after waking, and its viewers would see an
/// old number all that time. Other processes cannot slow a pass that much for long.
const MAX_EXCESS_REST: Duration = Duration::from_secs(5);

/// The lowest frame rate in frames per second: one an hour.
const MIN_FRAME_RATE: f64 = 1.0 / 3600.0;

/// The rate limit of one feed: a generic cell rate algorithm (GCRA) with a burst, and a rest after each pass.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// The time between two frames at the frame rate.
    interval: Duration,
    /// The time that those of a burst take at the frame rate.
    burst: Duration,
    /// The part of one more frame that a quiet time earns, random per feed and node. Without it all nodes that learn of the
    /// same change would run in step: on one machine, all work at once and then none. Zero without a burst: then the frame rate
    /// holds for any two frames.
    phase: Duration,
    /// GCRA's theoretical arrival time: when the next frame is allowed without a burst.
    next_without_burst: Instant,
    /// When the last pass started.
    pass_start: Instant,
    /// No pass starts before this; see [`finish_pass`](Self::finish_pass).
    rest_until: Instant,
}

impl Pace {
    /// `frame_rate` is in frames per second; `burst` is how many may follow each other immediately after a quiet time; `phase` is a
    /// random number from 0 to 1.
    pub(crate) fn new(frame_rate: f64, burst: NonZeroU8, phase: f64, now: Instant) -> Self {
        let interval = Duration::from_secs_f64(1.0 / frame_rate.max(MIN_FRAME_RATE));
        let burst = interval * u32::from(burst.get() - 1);
        let phase = if burst.is_zero() { Duration::ZERO } else { interval.mul_f64(phase) };
        Self { interval, burst, phase, next_without_burst: earlier(now, phase), pass_start: now, rest_until: now }
    }

    /// When the next pass may start. Valid only while no pass is in progress.
    pub(crate) fn due(&self) -> Instant {
        self.rest_until.max(earlier(self.next_without_burst, self.burst))
    }

    /// Called when a pass starts.
    pub(crate) fn start_pass(&mut self, now: Instant) {
        self.next_without_burst = self.next_without_burst.max(earlier(now, self.phase)) + self.interval;
        self.pass_start = now;
    }

    /// Called when a pass has visited its last viewer. `cpu_time` is the sum over all shards.
    ///
    /// A rest as long as `cpu_time` limits a feed to S/(S + 1) of a core for S shards that work in parallel: a half for
    /// one, less than one for any number. On a machine with other busy processes a pass takes longer than its CPU time;
    /// what exceeds [`FAST_PASS`] is rested as well, up to [`MAX_EXCESS_REST`], so that many nodes on one machine leave each
    /// other half of it.
    pub(crate) fn finish_pass(&mut self, now: Instant, cpu_time: Duration) {
        let excess = (now - self.pass_start).saturating_sub(FAST_PASS).min(MAX_EXCESS_REST);
        self.rest_until = now + cpu_time.max(excess);
    }
}

/// `instant - by`, or `instant` if the clock does not reach back that far.
fn earlier(instant: Instant, by: Duration) -> Instant {
    instant.checked_sub(by).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::BURST;

    /// The start times, in milliseconds from the first, of passes that always have a new frame and each take all of
    /// `shards` shards `pass_ms`.
    fn pass_starts(frame_rate: f64, shards: u32, pass_ms: u64, passes: usize) -> Vec<u64> {
        pass_starts_with_phase(0.0, frame_rate, shards, pass_ms, passes)
    }

    fn pass_starts_with_phase(phase: f64, frame_rate: f64, shards: u32, pass_ms: u64, passes: usize) -> Vec<u64> {
        let start = Instant::now();
        let mut pace = Pace::new(frame_rate, BURST, phase, start);
        let mut now = start;
        let mut starts = Vec::new();
        for _ in 0..passes {
            now = now.max(pace.due());
            starts.push((now - start).as_millis() as u64);
            pace.start_pass(now);
            let duration = Duration::from_millis(pass_ms);
            now += duration;
            pace.finish_pass(now, duration * shards);
        }
        starts
    }

    #[test]
    fn on_a_busy_machine_it_rests_as_long_as_the_pass_was_slow() {
        let start = Instant::now();
        for (pass_ms, rest_ms) in [(80, 20), (100, 20), (150, 50), (2100, 2000)] {
            let mut pace = Pace::new(100.0, BURST, 0.0, start);
            pace.start_pass(start);
            let end = start + Duration::from_millis(pass_ms);
            pace.finish_pass(end, Duration::from_millis(20));
            assert_eq!(pace.due(), end + Duration::from_millis(rest_ms), "{pass_ms} ms");
        }
    }

    #[test]
    fn a_frozen_process_does_not_rest_as_long_as_it_was_frozen() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, BURST, 0.0, start);
        pace.start_pass(start);
        let end = start + Duration::from_secs(60);
        pace.finish_pass(end, Duration::from_millis(20));
        assert!(pace.due() <= end + Duration::from_secs(5), "a rest of {:?}", pace.due() - end);
        // Processor time is always rested.
        pace.start_pass(end);
        pace.finish_pass(end, Duration::from_secs(8));
        assert_eq!(pace.due(), end + Duration::from_secs(8));
    }

    #[test]
    fn after_a_burst_the_frame_rate_holds() {
        assert_eq!(pass_starts(10.0, 1, 0, 6), [0, 0, 0, 100, 200, 300]);
        assert_eq!(pass_starts(0.5, 1, 0, 5), [0, 0, 0, 2000, 4000]);
        assert_eq!(pass_starts(0.0, 1, 0, 4), [0, 0, 0, 3_600_000]);
    }

    #[test]
    fn feeds_with_different_phases_do_not_run_in_step() {
        assert_eq!(pass_starts_with_phase(0.5, 10.0, 1, 0, 6), [0, 0, 0, 50, 150, 250]);
        assert_eq!(pass_starts_with_phase(0.9, 10.0, 1, 0, 6), [0, 0, 0, 10, 110, 210]);
    }

    #[test]
    fn without_a_burst_the_frame_rate_holds_for_any_two() {
        let start = Instant::now();
        let mut pace = Pace::new(2.0, NonZeroU8::MIN, 0.9, start);
        let mut now = start + Duration::from_secs(60);
        assert!(pace.due() <= now);
        for _ in 0..3 {
            pace.start_pass(now);
            pace.finish_pass(now, Duration::ZERO);
            assert_eq!(pace.due(), now + Duration::from_millis(500));
            now = pace.due();
        }
    }

    #[test]
    fn a_long_pass_is_followed_by_a_rest_of_its_cpu_time() {
        assert_eq!(pass_starts(10.0, 1, 150, 4), [0, 300, 600, 900]);
        assert_eq!(pass_starts(10.0, 1, 20, 6), [0, 40, 80, 120, 200, 300]);
        assert_eq!(pass_starts(10.0, 2, 60, 4), [0, 180, 360, 540]);
    }

    #[test]
    fn a_quiet_time_earns_one_burst_and_no_more() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, BURST, 0.0, start);
        let later = start + Duration::from_secs(60);
        for _ in 0..BURST.get() {
            assert!(pace.due() <= later);
            pace.start_pass(later);
            pace.finish_pass(later, Duration::ZERO);
        }
        assert_eq!(pace.due(), later + Duration::from_millis(100));
    }
}
