//! [`KeyLocks`]: a lock for each key, as long as somebody holds it or waits for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The locks.
#[derive(Debug)]
pub(crate) struct KeyLocks<K>(Mutex<HashMap<K, Arc<AsyncMutex<()>>>>);

/// A key's lock, held until dropped.
pub(crate) struct KeyGuard<'a, K: Eq + Hash> {
    // Dropped before the use, which counts the references.
    _held: OwnedMutexGuard<()>,
    _in_use: LockInUse<'a, K>,
}

/// A reference to a key's lock. The last one removes it from the table.
struct LockInUse<'a, K: Eq + Hash> {
    locks: &'a KeyLocks<K>,
    key: &'a K,
    /// `None` only while it is dropped.
    lock: Option<Arc<AsyncMutex<()>>>,
}

impl<K> Default for KeyLocks<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> KeyLocks<K> {
    /// Waits for the key's lock.
    pub(crate) async fn lock<'a>(&'a self, key: &'a K) -> KeyGuard<'a, K> {
        let lock = Arc::clone(self.0.lock().entry(key.clone()).or_default());
        let in_use = LockInUse { locks: self, key, lock: Some(Arc::clone(&lock)) };
        KeyGuard { _held: lock.lock_owned().await, _in_use: in_use }
    }
}

impl<K: Eq + Hash> Drop for LockInUse<'_, K> {
    fn drop(&mut self) {
        let mut locks = self.locks.0.lock();
        // Under the table's lock: of two that end together, the second sees that the first has gone.
        self.lock = None;
        if locks.get(self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Waker};
    use std::thread;

    use super::*;

    #[test]
    fn no_lock_stays_when_its_last_two_users_end_together() {
        let locks = &KeyLocks::default();
        let keys: &Vec<u32> = &(0..20_000).collect();
        let arrived = &AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    for (round, key) in keys.iter().enumerate() {
                        // One of the two has the lock, the other one waits for it.
                        let mut locking = Box::pin(locks.lock(key));
                        let locked = locking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        arrived.fetch_add(1, Ordering::SeqCst);
                        while arrived.load(Ordering::SeqCst) < 2 * (round + 1) {
                            thread::yield_now();
                        }
                        drop((locked, locking));
                    }
                });
            }
        });
        assert_eq!(locks.0.lock().len(), 0, "locks that nobody holds");
    }

    #[tokio::test]
    async fn one_at_a_time_has_the_lock_of_a_key() {
        let locks = KeyLocks::default();
        let first = locks.lock(&1).await;
        let other = locks.lock(&2).await;
        let mut waiting = Box::pin(locks.lock(&1));
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), &mut waiting).await;
        assert!(early.is_err(), "two have the lock");
        drop(first);
        drop(waiting.await);
        drop(other);
        assert!(locks.0.lock().is_empty());
    }
}
