//! The time between two attempts to connect.

use std::time::Duration;

/// First wait. Long enough that refused connections cost little, short enough to go unnoticed.
const FIRST: Duration = Duration::from_millis(50);

/// Longest wait: at least two attempts a second. The promised times after the return of Redis include one wait.
const LONGEST: Duration = Duration::from_millis(500);

/// Waits that double. Each is shortened at random by up to a half, so that nodes do not reconnect in step.
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next: FIRST }
    }

    /// Waits, and doubles the next wait.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.next.mul_f64(rand::random_range(0.5..1.0))).await;
        self.next = LONGEST.min(self.next * 2);
    }
}
