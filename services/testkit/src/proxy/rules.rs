//! What a [`Proxy`](super::Proxy) does to the bytes that pass, and the state that its threads share.

use std::{
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

/// The way of bytes through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the node to Redis.
    ToServer,
    /// From Redis to the node.
    ToClient,
}

/// What happens to script calls (`EVALSHA`, `EVAL`, `FCALL`), each with its own probability from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScriptFaults {
    /// The call is sent twice in a row.
    pub double: f64,
    /// A copy of the call is sent once more, up to `later` after it.
    pub echo: f64,
    /// The call is held back for up to `later`; those after it overtake it.
    pub hold_back: f64,
    /// Redis does what is asked, but the connection is cut before the answer: the node will try again.
    pub lose_answer: f64,
    /// See above.
    pub later: Duration,
    /// Makes the choices; the same seed makes the same ones for the same calls.
    pub seed: u64,
}

/// How the proxy treats what comes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// New connections are closed at once.
    pub(super) shut: bool,
    pub(super) to_server: PathRules,
    pub(super) to_client: PathRules,
    /// Messages to subscribers are dropped; everything else on their connections goes through.
    pub(super) drop_messages: bool,
    pub(super) script_faults: Option<ScriptFaults>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PathRules {
    pub(super) delay: Duration,
    /// Nothing goes through; what came meanwhile goes through later, as TCP would have it.
    pub(super) held: bool,
}

impl Rules {
    pub(super) fn way(&self, direction: Direction) -> PathRules {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }

    pub(super) fn way_mut(&mut self, direction: Direction) -> &mut PathRules {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) upstream: Mutex<SocketAddr>,
    pub(super) rules: Mutex<Rules>,
    /// Both sockets of each connection, to cut them.
    pub(super) open: Mutex<Vec<(u64, TcpStream, TcpStream)>>,
    pub(super) disturbed: AtomicU64,
    pub(super) stopped: AtomicBool,
}

impl Shared {
    pub(super) fn rules(&self) -> Rules {
        *self.rules.lock().expect("nobody panics with it")
    }

    pub(super) fn close_connections(&self) {
        for (_, client, server) in self.open.lock().expect("nobody panics with it").iter() {
            // One that is gone already is as cut as it should be.
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}
