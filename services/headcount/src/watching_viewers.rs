//! [`WatchingViewers`]: how many viewers of each counter look without counting.

use std::collections::HashMap;

use headcount_presence::CounterName;
use parking_lot::Mutex;

/// The viewers on this node who look without counting, by counter. There are few: owners' dashboards.
#[derive(Debug, Default)]
pub(crate) struct WatchingViewers(Mutex<HashMap<CounterName, usize>>);

impl WatchingViewers {
    /// Called when one has been admitted.
    pub(crate) fn joined(&self, counter: &CounterName) {
        *self.0.lock().entry(counter.clone()).or_default() += 1;
    }

    /// Called when one has left.
    pub(crate) fn left(&self, counter: &CounterName) {
        let mut viewers = self.0.lock();
        if let Some(of_counter) = viewers.get_mut(counter) {
            *of_counter -= 1;
            if *of_counter == 0 {
                viewers.remove(counter);
            }
        }
    }

    /// How many there are of a counter.
    pub(crate) fn of(&self, counter: &CounterName) -> usize {
        self.0.lock().get(counter).copied().unwrap_or(0)
    }
}
