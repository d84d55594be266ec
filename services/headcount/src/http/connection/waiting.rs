//! Connections that have been accepted and whose first request is not answered: browsers open some ahead of a request, a load
//! balancer sends the PROXY header before it, and a request may wait for Redis or for its picture. A reload hands them over like
//! the listener's queue.

use std::net::SocketAddr;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpStream;

/// A connection whose first request is not answered.
pub(crate) struct WaitingConnection {
    /// The connection.
    pub(crate) stream: TcpStream,
    /// Its other end, which may be a proxy.
    pub(crate) peer: SocketAddr,
    /// All that has been read from it, a PROXY header included.
    pub(crate) read: Bytes,
}

/// Waiting connections whose task has ended.
#[derive(Default)]
pub(super) struct WaitingConnections(Mutex<Option<Vec<WaitingConnection>>>);

impl WaitingConnections {
    /// Keeps those that end from now on. Before that they are closed.
    pub(super) fn keep(&self) {
        self.0.lock().get_or_insert_default();
    }

    /// Whether they are kept.
    pub(super) fn are_kept(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Called when a waiting connection's task ends because the node does.
    pub(super) fn ended(&self, connection: WaitingConnection) {
        if let Some(kept) = &mut *self.0.lock() {
            kept.push(connection);
        }
    }

    /// Returns those that were kept.
    pub(super) fn take(&self) -> Vec<WaitingConnection> {
        self.0.lock().take().unwrap_or_default()
    }
}
