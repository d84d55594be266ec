//! Numbers the readings that this process makes by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::Reading;

/// The epoch and the latest version of this process's own readings. Shared by all of its counters, so that a counter
/// that is closed and opened again never goes back.
#[derive(Debug)]
pub(crate) struct Versions {
    epoch: u64,
    latest: AtomicU64,
}

impl Versions {
    /// With an epoch of 0, every reading is marked as stale: it holds this node's viewers only.
    pub(crate) fn new(epoch: u64) -> Versions {
        Versions { epoch, latest: AtomicU64::new(0) }
    }

    /// The reading of a counter without viewers, under the latest version.
    pub(crate) fn empty_reading(&self) -> Reading {
        Reading {
            count: 0,
            visitors: 0,
            epoch: self.epoch,
            version: self.latest.load(Ordering::Relaxed),
            as_of: SystemTime::now(),
            stale: self.epoch == 0,
        }
    }

    /// A reading with these numbers, under a new version.
    pub(crate) fn next_reading(&self, count: u64, visitors: u64) -> Reading {
        let version = self.latest.fetch_add(1, Ordering::Relaxed) + 1;
        Reading { count, visitors, version, ..self.empty_reading() }
    }
}
