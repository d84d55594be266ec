//! How many viewers there may be, and how many there are: in all, and under each label.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::feed_handle::Rejection;
use crate::{FeedLabel, Settings};

/// The viewers of the whole engine.
#[derive(Debug)]
pub(crate) struct ViewerLimits {
    viewers: AtomicUsize,
    max_viewers: usize,
    max_viewers_per_counter: usize,
    tallies: Mutex<HashMap<FeedLabel, Weak<CounterLoad>>>,
}

/// The viewers under one label; all its feeds share it.
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
            tallies: Mutex::default(),
        })
    }

    pub(crate) fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }

    /// The tally of `label`, made where no feed has it yet.
    pub(crate) fn tally(self: &Arc<Self>, label: FeedLabel) -> Arc<CounterLoad> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = tallies.get(&label).and_then(Weak::upgrade) {
            return tally;
        }
        let tally =
            Arc::new(CounterLoad { label: label.clone(), viewers: AtomicUsize::new(0), limits: Arc::clone(self) });
        tallies.insert(label, Arc::downgrade(&tally));
        tally
    }

    /// The labels that have feeds, with their viewers.
    pub(crate) fn by_label(&self) -> Vec<(FeedLabel, usize)> {
        let tallies: Vec<_> = {
            let held = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
            held.values().filter_map(Weak::upgrade).collect()
        };
        tallies.iter().map(|tally| (tally.label.clone(), tally.viewers.load(Ordering::Relaxed))).collect()
    }
}

impl Drop for CounterLoad {
    fn drop(&mut self) {
        let mut tallies = self.limits.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        // A new tally may have taken the label meanwhile; that one stays.
        if tallies.get(&self.label).is_some_and(|held| held.strong_count() == 0) {
            tallies.remove(&self.label);
        }
    }
}

/// The viewers of one feed.
#[derive(Debug)]
pub(crate) struct FeedLoad {
    viewers: AtomicUsize,
    tally: Arc<CounterLoad>,
}

impl FeedLoad {
    pub(crate) fn new(tally: Arc<CounterLoad>) -> Arc<Self> {
        Arc::new(Self { viewers: AtomicUsize::new(0), tally })
    }

    pub(crate) fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }

    /// Why there is no room for one more viewer.
    pub(crate) fn refusal(&self) -> Option<Rejection> {
        let CounterLoad { viewers, limits, .. } = &*self.tally;
        if limits.viewers() >= limits.max_viewers {
            Some(Rejection::Full)
        } else if viewers.load(Ordering::Relaxed) >= limits.max_viewers_per_counter {
            Some(Rejection::CounterFull)
        } else {
            None
        }
    }
}

/// One viewer's place within the limits: counted from when it is taken until it is dropped.
#[derive(Debug)]
pub struct ViewerPermit(Arc<FeedLoad>);

impl ViewerPermit {
    pub(crate) fn take(audience: &Arc<FeedLoad>) -> Result<Self, Rejection> {
        let CounterLoad { viewers, limits, .. } = &*audience.tally;
        if limits.viewers.fetch_add(1, Ordering::Relaxed) >= limits.max_viewers {
            limits.viewers.fetch_sub(1, Ordering::Relaxed);
            return Err(Rejection::Full);
        }
        if viewers.fetch_add(1, Ordering::Relaxed) >= limits.max_viewers_per_counter {
            limits.viewers.fetch_sub(1, Ordering::Relaxed);
            viewers.fetch_sub(1, Ordering::Relaxed);
            return Err(Rejection::CounterFull);
        }
        audience.viewers.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Arc::clone(audience)))
    }
}

impl Drop for ViewerPermit {
    fn drop(&mut self) {
        let CounterLoad { viewers, limits, .. } = &*self.0.tally;
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
        viewers.fetch_sub(1, Ordering::Relaxed);
        limits.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}
