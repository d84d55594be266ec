//! Idle connections: those that wait for a request. Their number is bounded, and that of one address can be. Above a bound, the
//! one that has been idle longest is closed, so that clients that connect and send nothing cannot lock others out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headcount_presence::Network;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The table of idle connections.
pub struct IdleConnections {
    max: usize,
    max_of_address: usize,
    next: AtomicU64,
    /// Oldest first.
    table: Mutex<BTreeMap<u64, IdleConnection>>,
}

struct IdleConnection {
    /// `None` if no bound of its own applies to its address.
    address: Option<Network>,
    /// Notified when it must close.
    close: Arc<Notify>,
}

/// A connection's entry in the table. Removed when dropped.
pub struct IdleSlot {
    connections: Arc<IdleConnections>,
    id: u64,
}

impl IdleConnections {
    /// Creates a table for at most `max` connections, and at most `max_of_address` of an address that is named.
    pub fn new(max: usize, max_of_address: usize) -> Arc<Self> {
        Arc::new(Self { max, max_of_address, next: AtomicU64::new(0), table: Mutex::default() })
    }

    /// Adds a connection as the youngest. `close` is notified when the connection must close to make room. It makes room for
    /// another of its `address` if that has too many; `None` if the address is not known, or no bound of its own applies to it.
    pub fn enter(self: &Arc<Self>, address: Option<Network>, close: &Arc<Notify>) -> IdleSlot {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut table = self.table.lock();
        let surplus = self.surplus(&table, address);
        if let Some(surplus) = surplus.and_then(|id| table.remove(&id)) {
            surplus.close.notify_one();
        }
        table.insert(id, IdleConnection { address, close: Arc::clone(close) });
        IdleSlot { connections: Arc::clone(self), id }
    }

    /// The connection that must make room for one more of an address.
    fn surplus(&self, table: &BTreeMap<u64, IdleConnection>, address: Option<Network>) -> Option<u64> {
        if address.is_some() {
            let mut own = table.iter().filter(|(_, connection)| connection.address == address).map(|(id, _)| *id);
            let oldest = own.next();
            if oldest.is_some() && own.count() + 1 >= self.max_of_address {
                return oldest;
            }
        }
        let oldest = (table.len() >= self.max).then(|| table.keys().next().copied());
        oldest.flatten()
    }
}

impl Drop for IdleSlot {
    fn drop(&mut self) {
        self.connections.table.lock().remove(&self.id);
    }
}

/// Tracks whether a connection is idle: it is in the table while no handler works on a request of it and it has no viewer. A
/// response that the client does not read does not protect its connection.
pub struct IdleTracker {
    connections: Arc<IdleConnections>,
    address: Option<Network>,
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
    pub fn new(
        connections: Arc<IdleConnections>,
        address: Option<Network>,
        close: Arc<Notify>,
        slot: IdleSlot,
    ) -> Arc<Self> {
        let state = IdleState { requests: 0, requested: false, left: false, slot: Some(slot) };
        Arc::new(Self { connections, address, close, state: Mutex::new(state) })
    }

    /// Waits until the connection must close to make room for others.
    pub async fn must_close(&self) {
        self.close.notified().await;
    }

    /// Returns whether a request has begun.
    pub fn has_been_requested(&self) -> bool {
        self.state.lock().requested
    }

    /// Records that a request has begun. It ends when the guard is dropped.
    pub fn begin_request(self: &Arc<Self>) -> RequestGuard {
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
    pub fn leave_on_drop(self: &Arc<Self>) -> LeaveGuard {
        LeaveGuard(Arc::clone(self))
    }
}

/// Takes a connection out of the table when dropped.
pub struct LeaveGuard(Arc<IdleTracker>);

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
pub struct RequestGuard(Arc<IdleTracker>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.requests -= 1;
        if state.requests == 0 && !state.left {
            state.slot = Some(self.0.connections.enter(self.0.address, &self.0.close));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_connection_makes_room() {
        let connections = IdleConnections::new(2, 2);
        let closes: [Arc<Notify>; 3] = Default::default();
        let _first = connections.enter(None, &closes[0]);
        let second = connections.enter(None, &closes[1]);
        drop(second);
        let _second = connections.enter(None, &closes[1]);
        let _third = connections.enter(None, &closes[2]);
        closes[0].notified().await;
        assert_eq!(connections.table.lock().len(), 2);
    }

    #[tokio::test]
    async fn an_address_makes_room_for_itself() {
        let connections = IdleConnections::new(4, 2);
        let [greedy, modest] =
            ["203.0.113.1", "203.0.113.2"].map(|ip| Some(Network::of(ip.parse().expect("an address"))));
        let closes: [Arc<Notify>; 5] = Default::default();
        let mut slots: Vec<_> = [modest, None, greedy, greedy]
            .into_iter()
            .zip(&closes)
            .map(|(address, close)| connections.enter(address, close))
            .collect();
        slots.push(connections.enter(greedy, &closes[4]));
        closes[2].notified().await;
        assert_eq!(connections.table.lock().len(), 4);
        // At the bound of all, the oldest goes.
        slots.push(connections.enter(None, &closes[2]));
        closes[0].notified().await;
    }

    #[tokio::test]
    async fn a_connection_that_leaves_pushes_nobody_out() {
        let connections = IdleConnections::new(1, 1);
        let (close, other_close): (Arc<Notify>, Arc<Notify>) = Default::default();
        let slot = connections.enter(None, &close);
        let tracker = IdleTracker::new(Arc::clone(&connections), None, close, slot);
        let leaving = tracker.leave_on_drop();
        let request = tracker.begin_request();
        let _other = connections.enter(None, &other_close);
        drop(leaving);
        // The engine takes the socket: the request's handler ends now.
        drop(request);
        let closed = tokio::time::timeout(std::time::Duration::ZERO, other_close.notified()).await;
        assert!(closed.is_err(), "an idle connection was closed for one that leaves");
        assert_eq!(connections.table.lock().len(), 1);
    }
}
