//! Idle connections: those that wait for a request. Their number is bounded. Above the bound, the one that has been idle
//! longest is closed, so that clients that connect and send nothing cannot lock others out.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
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

/// Tracks whether a connection is idle: it is in the table while it has no request in progress.
pub(super) struct IdleTracker {
    connections: Arc<IdleConnections>,
    close: Arc<Notify>,
    state: Mutex<IdleState>,
}

struct IdleState {
    /// Requests in progress.
    requests: usize,
    /// The entry in the table while there are none.
    slot: Option<IdleSlot>,
}

impl IdleTracker {
    /// Tracks a connection that is idle now, with its entry in the table and its close signal.
    pub(super) fn new(connections: Arc<IdleConnections>, close: Arc<Notify>, slot: IdleSlot) -> Arc<Self> {
        Arc::new(Self { connections, close, state: Mutex::new(IdleState { requests: 0, slot: Some(slot) }) })
    }

    /// Waits until the connection must close to make room for others.
    pub(super) async fn must_close(&self) {
        self.close.notified().await;
    }

    /// Records that a request has begun. It ends when the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        let mut state = self.state.lock();
        state.requests += 1;
        let slot = state.slot.take();
        drop(state);
        drop(slot);
        RequestGuard(Arc::clone(self))
    }
}

/// A request in progress.
pub(super) struct RequestGuard(Arc<IdleTracker>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.requests -= 1;
        if state.requests == 0 {
            state.slot = Some(self.0.connections.enter(&self.0.close));
        }
    }
}

/// A response's body that keeps its request's guard until the body has been sent.
pub(super) struct GuardedBody {
    body: Body,
    _guard: RequestGuard,
}

impl GuardedBody {
    /// Keeps `guard` until the body is dropped.
    pub(super) fn new(body: Body, guard: RequestGuard) -> Self {
        Self { body, _guard: guard }
    }
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
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
}
