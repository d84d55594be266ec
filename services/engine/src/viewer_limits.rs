//! The limits on the number of viewers, and the counts: of the engine, of each label, and of each feed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::{FeedLabel, Rejection, Settings};

/// The viewers of the engine and its limits.
#[derive(Debug)]
pub(crate) struct ViewerLimits {
    viewers: AtomicUsize,
    max_viewers: usize,
    max_viewers_per_counter: usize,
    counters: Mutex<HashMap<FeedLabel, Weak<CounterLoad>>>,
}

/// The viewers under one label, shared by its feeds.
#[derive(Debug)]
pub(crate) struct CounterLoad {
    label: FeedLabel,
    viewers: AtomicUsize,
    limits: Arc<ViewerLimits>,
}

impl ViewerLimits {
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            viewers: AtomicUsize::new(0),
            max_viewers: settings.max_viewers,
            max_viewers_per_counter: settings.max_viewers_per_counter,
            counters: Mutex::default(),
        })
    }

    pub(crate) fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }

    /// The load of `label`, created if no feed has the label yet.
    pub(crate) fn counter(self: &Arc<Self>, label: FeedLabel) -> Arc<CounterLoad> {
        let mut counters = self.counters.lock();
        if let Some(counter) = counters.get(&label).and_then(Weak::upgrade) {
            return counter;
        }
        let counter =
            Arc::new(CounterLoad { label: label.clone(), viewers: AtomicUsize::new(0), limits: Arc::clone(self) });
        counters.insert(label, Arc::downgrade(&counter));
        counter
    }

    /// Checks whether there is room for one more viewer under `label`.
    pub(crate) fn check(&self, label: &FeedLabel) -> Result<(), Rejection> {
        if self.viewers() >= self.max_viewers {
            return Err(Rejection::Full);
        }
        // Dropped after the lock is released, because dropping the last `Arc` takes the lock.
        let counter = self.counters.lock().get(label).and_then(Weak::upgrade);
        let viewers = counter.map_or(0, |counter| counter.viewers.load(Ordering::Relaxed));
        if viewers >= self.max_viewers_per_counter { Err(Rejection::CounterFull) } else { Ok(()) }
    }

    /// All labels that have a feed or a viewer, with their numbers of viewers.
    pub(crate) fn by_label(&self) -> Vec<(FeedLabel, usize)> {
        // Upgraded first and dropped after the lock is released, because dropping the last `Arc` takes the lock.
        let counters: Vec<_> = self.counters.lock().values().filter_map(Weak::upgrade).collect();
        counters.iter().map(|counter| (counter.label.clone(), counter.viewers.load(Ordering::Relaxed))).collect()
    }
}

impl Drop for CounterLoad {
    fn drop(&mut self) {
        let mut counters = self.limits.counters.lock();
        // Another load may have been created for the label in the meantime; it stays.
        if counters.get(&self.label).is_some_and(|counter| counter.strong_count() == 0) {
            counters.remove(&self.label);
        }
    }
}

/// The viewers of one feed.
#[derive(Debug)]
pub(crate) struct FeedLoad {
    viewers: AtomicUsize,
    counter: Arc<CounterLoad>,
}

impl FeedLoad {
    pub(crate) fn new(counter: Arc<CounterLoad>) -> Arc<Self> {
        Arc::new(Self { viewers: AtomicUsize::new(0), counter })
    }

    pub(crate) fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }
}

/// One viewer's permit under the limits. It counts until it is dropped.
#[derive(Debug)]
pub struct ViewerPermit(Arc<FeedLoad>);

impl ViewerPermit {
    pub(crate) fn acquire(feed: &Arc<FeedLoad>) -> Result<Self, Rejection> {
        let CounterLoad { viewers, limits, .. } = &*feed.counter;
        if limits.viewers.fetch_add(1, Ordering::Relaxed) >= limits.max_viewers {
            limits.viewers.fetch_sub(1, Ordering::Relaxed);
            return Err(Rejection::Full);
        }
        if viewers.fetch_add(1, Ordering::Relaxed) >= limits.max_viewers_per_counter {
            limits.viewers.fetch_sub(1, Ordering::Relaxed);
            viewers.fetch_sub(1, Ordering::Relaxed);
            return Err(Rejection::CounterFull);
        }
        feed.viewers.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Arc::clone(feed)))
    }

    /// Counts a viewer that no limit applies to.
    pub(crate) fn acquire_beyond_limits(feed: &Arc<FeedLoad>) -> Self {
        let CounterLoad { viewers, limits, .. } = &*feed.counter;
        limits.viewers.fetch_add(1, Ordering::Relaxed);
        viewers.fetch_add(1, Ordering::Relaxed);
        feed.viewers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(feed))
    }
}

impl Drop for ViewerPermit {
    fn drop(&mut self) {
        let CounterLoad { viewers, limits, .. } = &*self.0.counter;
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
        viewers.fetch_sub(1, Ordering::Relaxed);
        limits.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}
