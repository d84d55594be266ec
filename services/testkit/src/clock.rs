//! The machine's monotonic clock as a number, so that times taken in several processes can be compared.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since some moment that is the same for all processes of this machine.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has a monotonic clock");
    u64::try_from(Duration::from(now).as_nanos()).expect("584 years of uptime have not passed")
}

/// The time from `earlier` to `later`, both from [`now_ns`]; zero where they are the other way round.
pub fn between(earlier: u64, later: u64) -> Duration {
    Duration::from_nanos(later.saturating_sub(earlier))
}
