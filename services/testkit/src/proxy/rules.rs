//! What a [`Proxy`](super::Proxy) does to the bytes that pass, and the state that its threads share.

use std::{
    net::{Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

/// A direction through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the node to Redis.
    ToServer,
    /// From Redis to the node.
    ToClient,
}

/// Faults of script calls (`EVALSHA`, `EVAL`, `FCALL`), each with its own probability from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScriptFaults {
    /// The call is sent twice in a row.
    pub duplicate: f64,
    /// The call is sent again, up to `max_delay` later.
    pub repeat: f64,
    /// The call is delayed by up to `max_delay`; later calls overtake it.
    pub reorder: f64,
    /// Redis runs the call, but the connection is closed before the reply: the node tries again.
    pub lose_reply: f64,
    /// Longest delay of a repeated or reordered call.
    pub max_delay: Duration,
    /// Seed of the choices; the same seed makes the same choices for the same calls.
    pub seed: u64,
}

/// What the proxy does to the bytes that pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// New connections are closed at once.
    pub(super) refuse: bool,
    pub(super) to_server: PathRules,
    pub(super) to_client: PathRules,
    /// Messages to subscribers are dropped; everything else on their connections passes.
    pub(super) drop_messages: bool,
    pub(super) script_faults: Option<ScriptFaults>,
}

/// What happens to the bytes in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PathRules {
    pub(super) delay: Duration,
    /// Nothing passes; the bytes are queued until this ends, as TCP would do.
    pub(super) held: bool,
}

impl Rules {
    pub(super) fn path(&mut self, direction: Direction) -> &mut PathRules {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) upstream: SocketAddr,
    pub(super) rules: Mutex<Rules>,
    /// Both sockets of each open connection, by its number.
    pub(super) open: Mutex<Vec<(u64, TcpStream, TcpStream)>>,
    /// Connections that were accepted: the number of the next one.
    pub(super) accepted: AtomicU64,
    /// Nothing passes on connections with a lower number.
    pub(super) lost_below: AtomicU64,
    pub(super) disturbed: AtomicU64,
    pub(super) stopped: AtomicBool,
}

impl Shared {
    pub(super) fn rules(&self) -> Rules {
        *self.rules.lock()
    }

    pub(super) fn path(&self, direction: Direction) -> PathRules {
        *self.rules().path(direction)
    }

    pub(super) fn is_lost(&self, number: u64) -> bool {
        number < self.lost_below.load(Ordering::Relaxed)
    }

    pub(super) fn close_connections(&self) {
        for (_, client, server) in self.open.lock().iter() {
            // Fails if the connection has ended already.
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}
