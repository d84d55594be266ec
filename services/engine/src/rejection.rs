//! Why the engine rejects a viewer, and what its owner gets back.

use std::io;
use std::net::TcpStream;

/// Why a viewer was rejected.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The engine has reached [`Settings::max_viewers`](crate::Settings::max_viewers).
    #[error("the node holds as many viewers as it may")]
    Full,
    /// The label has reached [`Settings::max_viewers_per_counter`](crate::Settings::max_viewers_per_counter).
    #[error("the counter holds as many viewers as it may")]
    CounterFull,
    /// Viewers arrive faster than the shards add them.
    #[error("too many viewers come at once")]
    Busy,
    /// The engine is being drained or was dropped.
    #[error("the node is shutting down")]
    Draining,
    /// The socket is unusable; most likely its peer has already left.
    #[error("the socket cannot be used")]
    Socket(#[source] io::Error),
}

/// A rejected viewer, returned to the caller. The socket is open and non-blocking, and nothing has been written to it.
#[derive(Debug)]
pub struct RejectedViewer<A> {
    /// The viewer's socket.
    pub socket: TcpStream,
    /// The viewer's attachment.
    pub attachment: A,
    /// The reason.
    pub rejection: Rejection,
}
