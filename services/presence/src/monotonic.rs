//! Instants in a state that a new process takes over, as nanoseconds of the system's monotonic clock: `execve` does not
//! stop that clock. For `#[serde(with = "monotonic")]`.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Deserializer, Serializer};
use tokio::time::Instant;

/// Furthest from now that a read instant is: longer than any time that presence measures, the life of the visitors' key
/// (24 h) included. So sums with it stay in range, whatever was written.
const FURTHEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub(crate) fn serialize<S: Serializer>(instant: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(to_nanoseconds(*instant))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
    u64::deserialize(deserializer).map(from_nanoseconds)
}

/// The same for an optional instant.
pub(crate) mod option {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(instant: &Option<Instant>, serializer: S) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => serializer.serialize_some(&to_nanoseconds(*instant)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Instant>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(from_nanoseconds))
    }
}

fn to_nanoseconds(instant: Instant) -> u64 {
    let (now, clock) = (Instant::now(), clock());
    if instant >= now {
        clock.saturating_add(nanoseconds(instant - now))
    } else {
        clock.saturating_sub(nanoseconds(now - instant))
    }
}

fn from_nanoseconds(at: u64) -> Instant {
    let (now, clock) = (Instant::now(), clock());
    let distance = Duration::from_nanos(at.abs_diff(clock)).min(FURTHEST);
    let instant = if at >= clock { now.checked_add(distance) } else { now.checked_sub(distance) };
    instant.unwrap_or(now)
}

/// The clock that [`Instant`] reads on Linux.
fn clock() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    let second = u64::try_from(tv_sec).unwrap_or_default();
    second.saturating_mul(1_000_000_000).saturating_add(u64::try_from(tv_nsec).unwrap_or_default())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_stays_where_it_is() {
        let now = Instant::now();
        for instant in [now - Duration::from_secs(8), now, now + Duration::from_secs(86_400)] {
            let read = from_nanoseconds(to_nanoseconds(instant));
            let moved = read.max(instant) - read.min(instant);
            // The test's thread may have to wait between two readings of the clocks.
            assert!(moved < Duration::from_millis(50), "moved by {moved:?}");
        }
    }

    #[test]
    fn the_time_between_writing_and_reading_counts() {
        let written = to_nanoseconds(Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        assert!(from_nanoseconds(written).elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn nonsense_is_no_further_than_a_week() {
        for nonsense in [0, 1, u64::MAX / 2, u64::MAX] {
            let read = from_nanoseconds(nonsense);
            assert!(read <= Instant::now() + FURTHEST && read.elapsed() <= FURTHEST * 2);
        }
    }
}
