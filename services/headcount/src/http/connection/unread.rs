//! [`UnreadResponses`]: a connection's responses that its client has yet to read. One that makes no progress for the stall
//! limit ends the connection.
//!
//! A timer in the response's body would not do: hyper does not poll an HTTP/2 body while bytes that it has taken from it wait
//! for the client's window.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::response_budget::{ConnectionBudget, ResponseBudget};

/// The entry of the socket itself, while it takes no bytes.
const SOCKET: u64 = 0;

/// The unread responses of a connection.
pub(super) struct UnreadResponses {
    budget: ConnectionBudget,
    stall_limit: Duration,
    state: Mutex<State>,
    /// Whether `state` has an entry for the socket.
    socket_blocked: AtomicBool,
    /// Notified when the first entry is added.
    added: Notify,
}

#[derive(Default)]
struct State {
    last_id: u64,
    /// When each response last made progress.
    progress: HashMap<u64, Instant>,
}

/// A response that waits to be read, until dropped.
pub(super) struct UnreadResponse {
    responses: Arc<UnreadResponses>,
    id: u64,
    /// Its length.
    bytes: usize,
}

impl UnreadResponses {
    /// Creates an empty table for a connection.
    pub(super) fn new(budget: &Arc<ResponseBudget>, stall_limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            budget: budget.connection(),
            stall_limit,
            state: Mutex::default(),
            socket_blocked: AtomicBool::new(false),
            added: Notify::new(),
        })
    }

    /// Adds a response of this many bytes. Returns `None` if too many bytes wait already, on the connection or on the node.
    pub(super) fn add(self: &Arc<Self>, bytes: usize) -> Option<UnreadResponse> {
        if !self.budget.reserve(bytes) {
            return None;
        }
        let mut state = self.state.lock();
        state.last_id += 1;
        let id = state.last_id;
        state.progress.insert(id, Instant::now());
        drop(state);
        self.added.notify_one();
        Some(UnreadResponse { responses: Arc::clone(self), id, bytes })
    }

    /// Called with each attempt to write to the socket.
    pub(super) fn socket_written(&self, blocked: bool) {
        if self.socket_blocked.load(Ordering::Relaxed) == blocked {
            return;
        }
        self.socket_blocked.store(blocked, Ordering::Relaxed);
        if blocked {
            self.state.lock().progress.insert(SOCKET, Instant::now());
            self.added.notify_one();
        } else {
            self.state.lock().progress.remove(&SOCKET);
        }
    }

    /// Waits until the connection must close because too many bytes wait on the node, and most of them here.
    pub(super) async fn must_make_room(&self) {
        self.budget.must_close().await;
    }

    /// Waits until a response has made no progress for the stall limit.
    pub(super) async fn stalled(&self) {
        loop {
            let oldest = self.state.lock().progress.values().min().copied();
            let Some(oldest) = oldest else {
                self.added.notified().await;
                continue;
            };
            let deadline = oldest + self.stall_limit;
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

impl UnreadResponse {
    /// Called when bytes of the response have been written to the socket.
    pub(super) fn progressed(&self) {
        if let Some(progress) = self.responses.state.lock().progress.get_mut(&self.id) {
            *progress = Instant::now();
        }
    }
}

impl Drop for UnreadResponse {
    fn drop(&mut self) {
        self.responses.state.lock().progress.remove(&self.id);
        self.responses.budget.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL_LIMIT: Duration = Duration::from_secs(25);

    fn unread() -> Arc<UnreadResponses> {
        UnreadResponses::new(&Arc::default(), STALL_LIMIT)
    }

    async fn stalls_within(unread: &UnreadResponses, time: Duration) -> bool {
        tokio::time::timeout(time, unread.stalled()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_without_progress_stalls() {
        let unread = unread();
        assert!(!stalls_within(&unread, STALL_LIMIT * 2).await, "nothing is unread");
        let response = unread.add(100).expect("room");
        for _ in 0..4 {
            assert!(!stalls_within(&unread, STALL_LIMIT / 2).await);
            response.progressed();
        }
        let other = unread.add(100).expect("room");
        assert!(stalls_within(&unread, STALL_LIMIT).await);
        drop((response, other));
        assert!(!stalls_within(&unread, STALL_LIMIT * 2).await, "both have been read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_takes_nothing_stalls() {
        let unread = unread();
        unread.socket_written(true);
        assert!(!stalls_within(&unread, STALL_LIMIT / 2).await);
        unread.socket_written(false);
        assert!(!stalls_within(&unread, STALL_LIMIT * 2).await);
        unread.socket_written(true);
        assert!(stalls_within(&unread, STALL_LIMIT).await);
    }
}
