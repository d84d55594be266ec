//! [`DrawPace`]: how often one look may be drawn.

use std::time::Duration;

use tokio::time::Instant;

/// Drawings that may follow each other at once after a quiet time: as many as the engine sends at once (three), and one for the
/// part of a frame that its random phase may earn.
const BURST: u32 = 4;

/// Limits a look's drawings to the frame rate (a generic cell rate algorithm). The engine's pace is usually the later of
/// the two. It alone is not enough: while a pass is slow, it allows any number of frames that replace each other.
#[derive(Debug)]
pub(crate) struct DrawPace {
    interval: Duration,
    burst: u32,
    /// When the next drawing is allowed without a burst.
    next_without_burst: Instant,
}

impl DrawPace {
    /// `interval` is the time between two drawings at the frame rate.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, burst: BURST, next_without_burst: Instant::now() }
    }

    /// The same without bursts.
    pub(crate) fn steady(interval: Duration) -> Self {
        Self { burst: 1, ..Self::new(interval) }
    }

    /// When the next drawing is allowed.
    pub(crate) fn due(&self) -> Instant {
        let burst = self.interval * (self.burst - 1);
        self.next_without_burst.checked_sub(burst).unwrap_or(self.next_without_burst)
    }

    /// Called when a drawing starts.
    pub(crate) fn drawn(&mut self) {
        self.next_without_burst = self.next_without_burst.max(Instant::now()) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_the_frame_rate_holds() {
        let start = Instant::now();
        let mut pace = DrawPace::new(Duration::from_millis(100));
        let mut starts = Vec::new();
        for _ in 0..7 {
            tokio::time::sleep_until(pace.due()).await;
            starts.push(start.elapsed().as_millis());
            pace.drawn();
        }
        assert_eq!(starts, [0, 0, 0, 0, 100, 200, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_pace_has_no_burst() {
        let start = Instant::now();
        let mut pace = DrawPace::steady(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(9)).await;
        let mut starts = Vec::new();
        for _ in 0..3 {
            tokio::time::sleep_until(pace.due()).await;
            starts.push(start.elapsed().as_secs());
            pace.drawn();
        }
        assert_eq!(starts, [9, 10, 11]);
    }
}
