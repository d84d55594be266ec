//! What a node has read of Redis's clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::scripts::KnownClock;
use crate::monotonic;

/// By how much Redis's clock must differ from what this node's monotonic clock says, before it is taken for a step: no clock is
/// slewed so far between two replies.
const CLOCK_STEP: Duration = Duration::from_millis(500);

/// Redis's clock in a reply.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct ClockReading {
    /// Milliseconds.
    pub(super) at: u64,
    /// When the reply came.
    #[serde(with = "monotonic")]
    pub(super) read: Instant,
}

impl ClockReading {
    /// The clock in a reply that has come just now.
    pub(super) fn now(at: u64) -> ClockReading {
        ClockReading { at, read: Instant::now() }
    }

    /// Whether the clock was stepped since, by this node's monotonic clock: a call that was sent at `sent` has just been
    /// answered with `now`.
    pub(super) fn stepped(&self, now: u64, sent: Instant) -> bool {
        let advanced = Duration::from_millis(now.saturating_sub(self.at));
        advanced > self.read.elapsed() + CLOCK_STEP || advanced + CLOCK_STEP < sent.saturating_duration_since(self.read)
    }

    /// What this says of the clock now.
    pub(super) fn known(&self) -> KnownClock {
        KnownClock { at: self.at, age: self.read.elapsed() }
    }
}
