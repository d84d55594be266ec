//! A counter's handle, and the registry of those that are live on this node.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::address_limiter::AddressLimiter;
use crate::grace_period::GracePeriod;
use crate::local_viewers::LocalViewers;
use crate::metrics::Metrics;
use crate::{AdmissionError, CounterName, Reading};

/// How long [`Counter::settled`] waits for the first state that is everybody's. Redis answers within a few
/// milliseconds or is away, and then a picture of what this node knows is better than none.
const SETTLED_WITHIN: Duration = Duration::from_millis(500);

/// A counter that is live on this node: as long as a clone of the handle, or a registration at it, lives.
#[derive(Clone)]
pub struct Counter(pub(crate) Arc<LiveCounter>);

/// What keeps a counter live; the last one to let go of it closes the counter on this node.
pub(crate) struct LiveCounter {
    pub(crate) local_viewers: Arc<LocalViewers>,
    pub(crate) registry: Arc<CounterRegistry>,
}

/// Every counter that is live on this node.
pub(crate) struct CounterRegistry {
    counters: Mutex<HashMap<CounterName, Weak<LiveCounter>>>,
    max_counters: usize,
    pub(crate) grace: Arc<GracePeriod>,
    pub(crate) limiter: Arc<AddressLimiter>,
    metrics: Metrics,
}

impl Counter {
    /// The counter's name.
    pub fn name(&self) -> &CounterName {
        &self.0.local_viewers.name
    }

    /// The newest reading, now and whenever it changes. Does not keep the counter live by itself.
    pub fn watch(&self) -> watch::Receiver<Reading> {
        self.0.local_viewers.watch()
    }

    /// The first reading that is everybody's: at once if there has been one, otherwise what there is after 500 ms,
    /// marked as stale.
    pub async fn settled(&self) -> Reading {
        let mut readings = self.watch();
        let known = readings.wait_for(|reading| reading.epoch > 0);
        match tokio::time::timeout(SETTLED_WITHIN, known).await {
            Ok(Ok(reading)) => *reading,
            _ => self.0.local_viewers.reading(),
        }
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(self.name()).finish()
    }
}

impl CounterRegistry {
    pub(crate) fn new(
        max_counters: usize,
        grace: Arc<GracePeriod>,
        limiter: Arc<AddressLimiter>,
        metrics: Metrics,
    ) -> Arc<CounterRegistry> {
        Arc::new(CounterRegistry { counters: Mutex::default(), max_counters, grace, limiter, metrics })
    }

    /// The live counter of this name; `open` makes its local_viewers if it is not live yet.
    pub(crate) fn counter(
        self: &Arc<CounterRegistry>,
        name: &CounterName,
        open: impl FnOnce() -> Arc<LocalViewers>,
    ) -> Result<Counter, AdmissionError> {
        let mut counters = self.lock();
        if let Some(live) = counters.get(name).and_then(Weak::upgrade) {
            return Ok(Counter(live));
        }
        if counters.len() >= self.max_counters {
            return Err(AdmissionError::TooManyCounters { limit: self.max_counters });
        }
        let live = Arc::new(LiveCounter { local_viewers: open(), registry: Arc::clone(self) });
        counters.insert(name.clone(), Arc::downgrade(&live));
        self.metrics.counters.inc();
        Ok(Counter(live))
    }

    /// The live counter of this name, if it is.
    pub(crate) fn find(&self, name: &CounterName) -> Option<Counter> {
        self.lock().get(name).and_then(Weak::upgrade).map(Counter)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CounterName, Weak<LiveCounter>>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LiveCounter {
    fn drop(&mut self) {
        let mut counters = self.registry.lock();
        // Between the last handle's end and this lock, somebody may have opened the counter anew.
        if counters.get(&self.local_viewers.name).is_some_and(|live| live.strong_count() == 0) {
            counters.remove(&self.local_viewers.name);
        }
        self.registry.metrics.counters.dec();
        self.local_viewers.close();
    }
}
