//! The time between two attempts.

use std::time::Duration;

/// First wait. Long enough that a refused connection costs nothing, short enough to go unnoticed.
const FIRST: Duration = Duration::from_millis(50);

/// Longest wait: Redis is tried at least twice a second, for ever. What is promised after its return includes one.
const LONGEST: Duration = Duration::from_millis(500);

/// Waits that double, each shortened by chance to as little as half, so that nodes do not come back in step.
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next: FIRST }
    }

    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.next.mul_f64(rand::random_range(0.5..1.0))).await;
        self.next = LONGEST.min(self.next * 2);
    }
}
