//! Idle connections: those that wait for a request. Their number is bounded. Above the bound, the one that has been idle
//! longest is closed, so that clients that connect and send nothing cannot lock others out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The table of idle connections.
pub(super) struct IdleConnections {
    max: usize,
    next: AtomicU64,
    /// Each connection's close signal, oldest first.
    table: Mutex<BTreeMap<u64, Arc<Notify>>>,
}

/// A connection's entry in the table. Removed when dropped.
pub(super) struct IdleSlot {
    connections: Arc<IdleConnections>,
    id: u64,
}

impl IdleConnections {
    /// Creates a table for at most `max` connections.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, next: AtomicU64::new(0), table: Mutex::default() })
    }

    /// Adds a connection as the youngest. `close` is notified when the connection must close to make room.
    pub(super) fn enter(self: &Arc<Self>, close: &Arc<Notify>) -> IdleSlot {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut table = self.table.lock();
        if table.len() >= self.max
            && let Some((_, oldest)) = table.pop_first()
        {
            oldest.notify_one();
        }
        table.insert(id, Arc::clone(close));
        IdleSlot { connections: Arc::clone(self), id }
    }
}

impl Drop for IdleSlot {
    fn drop(&mut self) {
        self.connections.table.lock().remove(&self.id);
    }
}

/// Tracks whether a connection is idle: it is in the table while no handler works on a request of it and it has no viewer. A
/// response that the client does not read does not protect its connection.
pub(super) struct IdleTracker {
    connections: Arc<IdleConnections>,
    close: Arc<Notify>,
    state: Mutex<IdleState>,
}

struct IdleState {
    /// Requests in progress.
    requests: usize,
    /// Whether there has been a request.
    requested: bool,
    /// Whether the connection ends, or leaves for the engine.
    left: bool,
    /// The entry in the table while there are none.
    slot: Option<IdleSlot>,
}

impl IdleTracker {
    /// Tracks a connection that is idle now, with its entry in the table and its close signal.
    pub(super) fn new(connections: Arc<IdleConnections>, close: Arc<Notify>, slot: IdleSlot) -> Arc<Self> {
        let state = IdleState { requests: 0, requested: false, left: false, slot: Some(slot) };
        Arc::new(Self { connections, close, state: Mutex::new(state) })
    }

    /// Waits until the connection must close to make room for others.
    pub(super) async fn must_close(&self) {
        self.close.notified().await;
    }

    /// Returns whether a request has begun.
    pub(super) fn has_been_requested(&self) -> bool {
        self.state.lock().requested
    }

    /// Records that a request has begun. It ends when the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        let mut state = self.state.lock();
        state.requests += 1;
        state.requested = true;
        let slot = state.slot.take();
        drop(state);
        drop(slot);
        RequestGuard(Arc::clone(self))
    }

    /// Returns a guard. Once it is dropped, the connection is out of the table and does not enter it again: the end of its
    /// last request must not push another connection out.
    pub(super) fn leave_on_drop(self: &Arc<Self>) -> LeaveGuard {
        LeaveGuard(Arc::clone(self))
    }
}

/// Takes a connection out of the table when dropped.
pub(super) struct LeaveGuard(Arc<IdleTracker>);

impl Drop for LeaveGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.left = true;
        let slot = state.slot.take();
        drop(state);
        drop(slot);
    }
}

/// A request in progress.
pub(super) struct RequestGuard(Arc<IdleTracker>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.requests -= 1;
        if state.requests == 0 && !state.left {
            state.slot = Some(self.0.connections.enter(&self.0.close));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_connection_makes_room() {
        let connections = IdleConnections::new(2);
        let closes: [Arc<Notify>; 3] = Default::default();
        let _first = connections.enter(&closes[0]);
        let second = connections.enter(&closes[1]);
        drop(second);
        let _second = connections.enter(&closes[1]);
        let _third = connections.enter(&closes[2]);
        closes[0].notified().await;
        assert_eq!(connections.table.lock().len(), 2);
    }

    #[tokio::test]
    async fn a_connection_that_leaves_pushes_nobody_out() {
        let connections = IdleConnections::new(1);
        let (close, other_close): (Arc<Notify>, Arc<Notify>) = Default::default();
        let slot = connections.enter(&close);
        let tracker = IdleTracker::new(Arc::clone(&connections), close, slot);
        let leaving = tracker.leave_on_drop();
        let request = tracker.begin_request();
        let _other = connections.enter(&other_close);
        drop(leaving);
        // The engine takes the socket: the request's handler ends now.
        drop(request);
        let closed = tokio::time::timeout(std::time::Duration::ZERO, other_close.notified()).await;
        assert!(closed.is_err(), "an idle connection was closed for one that leaves");
        assert_eq!(connections.table.lock().len(), 1);
    }
}
