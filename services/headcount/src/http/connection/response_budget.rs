//! [`ResponseBudget`]: how many bytes of responses may wait in memory for clients that have yet to read them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes that wait on one connection. Two of the largest pictures, or a hundred usual ones.
pub(super) const MAX_CONNECTION_BYTES: usize = 1 << 20;
/// Most bytes that wait on a node.
const MAX_BYTES: usize = 64 << 20;

/// The bytes of a node's responses that wait to be read, and their bound.
#[derive(Debug, Default)]
pub(super) struct ResponseBudget {
    waiting: AtomicUsize,
}

/// A response's share of the budget, until dropped.
#[derive(Debug)]
pub(super) struct ReservedBytes {
    budget: Arc<ResponseBudget>,
    /// The response's length.
    pub(super) bytes: usize,
}

impl ResponseBudget {
    /// Reserves memory for a response. Returns `None` if too many bytes wait already.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<ReservedBytes> {
        let reserved = ReservedBytes { budget: Arc::clone(self), bytes };
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        (before.saturating_add(bytes) <= MAX_BYTES).then_some(reserved)
    }
}

impl Drop for ReservedBytes {
    fn drop(&mut self) {
        self.budget.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_budget_rejects_until_responses_are_gone() {
        let budget = Arc::new(ResponseBudget::default());
        let first = budget.reserve(MAX_BYTES - 1).expect("room");
        assert!(budget.reserve(2).is_none());
        let second = budget.reserve(1).expect("room for one byte");
        drop(first);
        assert!(budget.reserve(MAX_BYTES - 1).is_some());
        drop(second);
        assert_eq!(budget.waiting.load(Ordering::Relaxed), 0);
    }
}
