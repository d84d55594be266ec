//! [`ResponseBudget`]: how many bytes of responses may wait in memory for clients that have yet to read them. If there are too
//! many, the connection with most of them is closed, so that clients that read nothing cannot keep others from an answer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Most bytes that wait on one connection. Two of the largest pictures, or a hundred usual ones.
pub(super) const MAX_CONNECTION_BYTES: usize = 1 << 20;
/// Most bytes that wait on a node.
const MAX_BYTES: usize = 64 << 20;

/// The bytes of a node's responses that wait to be read, and their bound.
#[derive(Debug, Default)]
pub(super) struct ResponseBudget(Mutex<Connections>);

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    /// Bytes that wait on all of them.
    bytes: usize,
    /// Those that have bytes waiting.
    waiting: HashMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    /// Cancelled when the connection must close.
    close: CancellationToken,
}

/// A connection's share of the budget.
#[derive(Debug)]
pub(super) struct ConnectionBudget {
    budget: Arc<ResponseBudget>,
    id: u64,
    close: CancellationToken,
}

impl ResponseBudget {
    /// Adds a connection, of which nothing waits.
    pub(super) fn connection(self: &Arc<Self>) -> ConnectionBudget {
        let mut connections = self.0.lock();
        connections.next += 1;
        ConnectionBudget { budget: Arc::clone(self), id: connections.next, close: CancellationToken::new() }
    }
}

impl ConnectionBudget {
    /// Reserves memory for a response. Returns false if the connection has too many bytes waiting, or if the node has and no
    /// other connection has more than this one. One response always fits into a connection.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let connections = &mut *self.budget.0.lock();
        if self.close.is_cancelled() {
            return false;
        }
        let own = connections.waiting.get(&self.id).map_or(0, |waiting| waiting.bytes);
        if own > 0 && own.saturating_add(bytes) > MAX_CONNECTION_BYTES {
            return false;
        }
        while connections.bytes.saturating_add(bytes) > MAX_BYTES {
            if !connections.close_largest(own) {
                return false;
            }
        }
        if bytes > 0 {
            connections.bytes += bytes;
            let close = || Waiting { bytes: 0, close: self.close.clone() };
            connections.waiting.entry(self.id).or_insert_with(close).bytes += bytes;
        }
        true
    }

    /// Gives back what was reserved for a response.
    pub(super) fn release(&self, bytes: usize) {
        let connections = &mut *self.budget.0.lock();
        // It is no longer there if the connection must close.
        if let Some(waiting) = connections.waiting.get_mut(&self.id) {
            waiting.bytes -= bytes;
            connections.bytes -= bytes;
            if waiting.bytes == 0 {
                connections.waiting.remove(&self.id);
            }
        }
    }

    /// Waits until the connection must close to make room for others.
    pub(super) async fn must_close(&self) {
        self.close.cancelled().await;
    }
}

impl Connections {
    /// Closes the connection with most waiting bytes, if it has more than this. Its memory counts as free from now on.
    fn close_largest(&mut self, than: usize) -> bool {
        let largest = self.waiting.iter().max_by_key(|(_, waiting)| waiting.bytes);
        let Some((&id, _)) = largest.filter(|(_, waiting)| waiting.bytes > than) else { return false };
        if let Some(waiting) = self.waiting.remove(&id) {
            self.bytes -= waiting.bytes;
            waiting.close.cancel();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closes(connection: &ConnectionBudget) -> bool {
        connection.close.is_cancelled()
    }

    #[test]
    fn a_connection_has_a_bound_but_one_response_always_fits() {
        let budget = Arc::new(ResponseBudget::default());
        let connection = budget.connection();
        assert!(connection.reserve(2 * MAX_CONNECTION_BYTES), "the only one");
        assert!(!connection.reserve(1));
        connection.release(2 * MAX_CONNECTION_BYTES);
        assert!(connection.reserve(MAX_CONNECTION_BYTES / 2) && connection.reserve(MAX_CONNECTION_BYTES / 2));
        assert!(!connection.reserve(1));
    }

    #[test]
    fn the_connection_with_most_bytes_makes_room() {
        let budget = Arc::new(ResponseBudget::default());
        let full = MAX_BYTES / MAX_CONNECTION_BYTES;
        let greedy: Vec<_> = (0..full).map(|_| budget.connection()).collect();
        assert!(greedy.iter().all(|connection| connection.reserve(MAX_CONNECTION_BYTES)));
        let (modest, newcomer) = (budget.connection(), budget.connection());
        assert!(modest.reserve(1000));
        assert!(newcomer.reserve(2 * MAX_CONNECTION_BYTES));
        // One has made room for both, so that two more do for it.
        assert_eq!(greedy.iter().filter(|connection| closes(connection)).count(), 3);
        assert!(greedy.iter().all(|connection| !connection.reserve(1)), "closing, or full");
        assert!(!closes(&modest) && !closes(&newcomer));
        assert!(budget.0.lock().bytes <= MAX_BYTES);
        // What had to close gives nothing back a second time.
        newcomer.release(2 * MAX_CONNECTION_BYTES);
        modest.release(1000);
        greedy.iter().for_each(|connection| connection.release(MAX_CONNECTION_BYTES));
        let connections = budget.0.lock();
        assert_eq!((connections.bytes, connections.waiting.len()), (0, 0));
    }

    #[test]
    fn who_has_most_makes_room_for_nobody_else() {
        let budget = Arc::new(ResponseBudget::default());
        let largest = budget.connection();
        assert!(largest.reserve(MAX_BYTES));
        assert!(!largest.reserve(1));
        assert!(!closes(&largest));
    }
}
