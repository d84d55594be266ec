//! The counters that are live on this node.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::address_limiter::AddressLimiter;
use crate::change_schedule::ChangeSchedule;
use crate::local_viewers::LocalViewers;
use crate::metrics::Metrics;
use crate::{AdmissionError, CounterName};

/// All live counters of this node, by name.
pub(crate) struct CounterRegistry {
    counters: Mutex<HashMap<CounterName, Weak<LiveCounter>>>,
    max_counters: usize,
    pub(crate) change_schedule: Arc<ChangeSchedule>,
    pub(crate) limiter: Arc<AddressLimiter>,
    metrics: Metrics,
}

/// A live counter. Dropping the last reference closes it on this node.
pub(crate) struct LiveCounter {
    pub(crate) local_viewers: Arc<LocalViewers>,
    pub(crate) registry: Arc<CounterRegistry>,
}

impl CounterRegistry {
    pub(crate) fn new(
        max_counters: usize,
        change_schedule: Arc<ChangeSchedule>,
        limiter: Arc<AddressLimiter>,
        metrics: Metrics,
    ) -> Arc<CounterRegistry> {
        Arc::new(CounterRegistry { counters: Mutex::default(), max_counters, change_schedule, limiter, metrics })
    }

    /// Returns the live counter of this name, and opens it with `open` if there is none. Fails if the node has
    /// `max_counters` already.
    pub(crate) fn open(
        self: &Arc<CounterRegistry>,
        name: &CounterName,
        open: impl FnOnce() -> Arc<LocalViewers>,
    ) -> Result<Arc<LiveCounter>, AdmissionError> {
        let mut counters = self.counters.lock();
        if let Some(live) = counters.get(name).and_then(Weak::upgrade) {
            return Ok(live);
        }
        if counters.len() >= self.max_counters {
            return Err(AdmissionError::TooManyCounters { limit: self.max_counters });
        }
        let live = Arc::new(LiveCounter { local_viewers: open(), registry: Arc::clone(self) });
        counters.insert(name.clone(), Arc::downgrade(&live));
        self.metrics.counters.inc();
        Ok(live)
    }

    /// Returns all live counters.
    pub(crate) fn all(&self) -> Vec<Arc<LiveCounter>> {
        self.counters.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Returns the live counter of this name, or `None` if it is not live.
    pub(crate) fn find(&self, name: &CounterName) -> Option<Arc<LiveCounter>> {
        self.counters.lock().get(name).and_then(Weak::upgrade)
    }
}

impl Drop for LiveCounter {
    fn drop(&mut self) {
        let mut counters = self.registry.counters.lock();
        // The counter may have been opened again between the drop of the last reference and this lock.
        if counters.get(&self.local_viewers.name).is_some_and(|live| live.strong_count() == 0) {
            counters.remove(&self.local_viewers.name);
        }
        self.registry.metrics.counters.dec();
        self.local_viewers.close();
    }
}
