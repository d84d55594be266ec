//! [`Proxy`]: stands between a node and its Redis and disturbs what passes: it closes, holds and delays, drops published
//! messages, and duplicates, reorders or loses script calls.

mod relay;
mod replies;
mod rules;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use relay::Relay;
use replies::ReplyMatcher;
pub use rules::{Direction, ScriptFaults};
use rules::{Rules, Shared};

/// Whether the proxy understands what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Resp,
    Unknown,
}

/// A TCP proxy on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy for Redis clients of the server at `upstream`.
    ///
    /// # Errors
    /// If there is no port or thread for it.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::listen(Protocol::Resp, upstream)
    }

    /// A proxy for any bytes: it can only close, hold and delay.
    ///
    /// # Errors
    /// If there is no port or thread for it.
    pub fn raw(upstream: SocketAddr) -> io::Result<Self> {
        Self::listen(Protocol::Unknown, upstream)
    }

    fn listen(protocol: Protocol, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            rules: Mutex::default(),
            open: Mutex::default(),
            accepted: AtomicU64::new(0),
            lost_below: AtomicU64::new(0),
            disturbed: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::Builder::new().name("proxy".into()).spawn(move || accept(&listener, &accepting, protocol))?;
        Ok(Self { address, shared })
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for a node's `--redis`.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Closes all connections, and each new one, until [`heal`](Self::heal).
    pub fn cut(&self) {
        self.shared.rules.lock().refuse = true;
        self.shared.close_connections();
    }

    /// Lets nothing pass in one direction and closes nothing, like a network that loses every packet. What is sent
    /// meanwhile arrives after [`heal`](Self::heal).
    pub fn hold(&self, direction: Direction) {
        self.shared.rules.lock().path(direction).held = true;
    }

    /// Lets nothing pass in either direction.
    pub fn hold_both(&self) {
        self.hold(Direction::ToServer);
        self.hold(Direction::ToClient);
    }

    /// Lets nothing pass on the connections that are open now, for ever, and closes none of them; new ones work. A firewall that
    /// forgets idle connections does that.
    pub fn lose_connections(&self) {
        self.shared.lost_below.store(self.shared.accepted.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Delays everything in one direction.
    pub fn delay(&self, direction: Direction, by: Duration) {
        self.shared.rules.lock().path(direction).delay = by;
    }

    /// Drops what is published to subscribers; their connections stay open, and their requests get replies.
    pub fn drop_messages(&self) {
        self.shared.rules.lock().drop_messages = true;
    }

    /// Duplicates, reorders and loses script calls at random.
    pub fn disturb_scripts(&self, faults: ScriptFaults) {
        self.shared.rules.lock().script_faults = Some(faults);
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        *self.shared.rules.lock() = Rules::default();
    }

    /// The number of faults of script calls so far.
    pub fn disturbed(&self) -> u64 {
        self.shared.disturbed.load(Ordering::Relaxed)
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.shared.open.lock().len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.close_connections();
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, protocol: Protocol) {
    for (number, client) in (0..).zip(listener.incoming()) {
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        shared.accepted.store(number + 1, Ordering::Relaxed);
        let Ok(client) = client else { continue };
        if shared.rules().refuse {
            continue;
        }
        // Without a server or a free descriptor, the client's connection is closed.
        let _ = join(client, shared, protocol, number);
    }
}

/// Connects a client with the server, with a thread for each direction.
fn join(client: TcpStream, shared: &Arc<Shared>, protocol: Protocol, number: u64) -> io::Result<()> {
    let server = TcpStream::connect_timeout(&shared.upstream, Duration::from_secs(2))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.open.lock().push((number, client.try_clone()?, server.try_clone()?));
    let replies = (protocol == Protocol::Resp).then(|| Arc::new(ReplyMatcher::new(Arc::clone(shared), number)));
    for direction in [Direction::ToServer, Direction::ToClient] {
        let (from, to) = match direction {
            Direction::ToServer => (client.try_clone()?, server.try_clone()?),
            Direction::ToClient => (server.try_clone()?, client.try_clone()?),
        };
        let relay = Relay::new(direction, number, from, to, Arc::clone(shared), replies.clone());
        let shared = Arc::clone(shared);
        thread::Builder::new().name("proxy relay".into()).spawn(move || {
            relay.run();
            shared.open.lock().retain(|(open, ..)| *open != number);
        })?;
    }
    Ok(())
}
