//! Numbers the readings that this process makes by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::Reading;

/// The epoch and the latest version of this process's own readings. Shared by all of its counters, so that a counter
/// that is closed and opened again never goes back.
///
/// A version is the number of milliseconds since the epoch began, or one more than the latest: a count of the changes would
/// tell every counter's readers how often others change.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Versions {
    /// Microseconds since 1970. 0 if the readings hold this node's viewers only.
    epoch: u64,
    latest: AtomicU64,
}

impl Versions {
    /// With an epoch of 0, every reading is marked as stale: it holds this node's viewers only.
    pub(crate) fn new(epoch: u64) -> Versions {
        Versions { epoch, latest: AtomicU64::new(0) }
    }

    /// With the epoch of a process's own readings: a later process has a later one.
    pub(crate) fn of_this_process() -> Versions {
        Versions::new(microseconds_since_1970())
    }

    /// What a new process goes on with.
    pub(crate) fn state(&self) -> Versions {
        Versions { epoch: self.epoch, latest: AtomicU64::new(self.latest.load(Ordering::Relaxed)) }
    }

    /// The reading of a counter without viewers, under a new version once there has been a change.
    pub(crate) fn empty_reading(&self) -> Reading {
        let version = if self.latest.load(Ordering::Relaxed) == 0 { 0 } else { self.next() };
        self.reading(0, 0, version)
    }

    /// A reading with these numbers, under a new version.
    pub(crate) fn next_reading(&self, count: u64, visitors: u64) -> Reading {
        self.reading(count, visitors, self.next())
    }

    fn reading(&self, count: u64, visitors: u64, version: u64) -> Reading {
        let (epoch, stale) = (self.epoch, self.epoch == 0);
        Reading { count, visitors, epoch, version, as_of: SystemTime::now(), stale }
    }

    /// Later than all before, whatever the clock does.
    fn next(&self) -> u64 {
        let age = microseconds_since_1970().saturating_sub(self.epoch) / 1000;
        let next = |latest: u64| (latest + 1).max(age);
        self.latest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |latest| Some(next(latest))).map_or(0, next)
    }
}

fn microseconds_since_1970() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_tell_the_time_and_never_go_back() {
        let versions = Versions::new(microseconds_since_1970());
        assert_eq!(versions.empty_reading().version, 0, "nobody has come yet");
        let changed = versions.next_reading(1, 1).version;
        let mut latest = versions.next_reading(0, 0).version;
        assert!(latest > changed);
        std::thread::sleep(std::time::Duration::from_millis(50));
        let later = versions.empty_reading().version;
        assert!(later >= latest + 40, "{later} after {latest}: nothing has changed in between");
        latest = later;
        // Nor does a clock that goes back.
        let early = Versions::new(u64::MAX);
        for versions in [&versions, &early] {
            let first = versions.next_reading(1, 1).version;
            assert!(versions.next_reading(2, 1).version > first);
        }
        assert!(versions.empty_reading().version > latest);
    }
}
