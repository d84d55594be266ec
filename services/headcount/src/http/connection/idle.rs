//! The connections that wait for a request. Their number is bounded: past the bound the one that has waited longest is
//! closed, so that those who open connections and send nothing lock out themselves, not others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The table of waiting connections.
pub(in crate::http) struct IdleConnections {
    most: usize,
    next: AtomicU64,
    /// By age: the oldest first.
    table: Mutex<BTreeMap<u64, Arc<Notify>>>,
}

/// A place in the table; gives it up when dropped.
pub(in crate::http) struct IdleSlot {
    waiting: Arc<IdleConnections>,
    age: u64,
}

impl IdleConnections {
    /// A table for at most `most` connections.
    pub(in crate::http) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, next: AtomicU64::new(0), table: Mutex::default() })
    }

    /// Enters a connection as the youngest. `close` is notified when it must make room.
    pub(in crate::http) fn enter(self: &Arc<Self>, close: &Arc<Notify>) -> IdleSlot {
        let age = self.next.fetch_add(1, Ordering::Relaxed);
        let mut table = self.lock();
        if table.len() >= self.most
            && let Some((_, oldest)) = table.pop_first()
        {
            oldest.notify_one();
        }
        table.insert(age, Arc::clone(close));
        IdleSlot { waiting: Arc::clone(self), age }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Notify>>> {
        // Nothing panics while it is held.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for IdleSlot {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.age);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_makes_room() {
        let waiting = IdleConnections::new(2);
        let closes: [Arc<Notify>; 3] = Default::default();
        let _first = waiting.enter(&closes[0]);
        let second = waiting.enter(&closes[1]);
        drop(second);
        let _second = waiting.enter(&closes[1]);
        let _third = waiting.enter(&closes[2]);
        closes[0].notified().await;
        assert_eq!(waiting.lock().len(), 2);
    }
}
