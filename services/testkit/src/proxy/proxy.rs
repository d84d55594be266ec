//! [`Proxy`]: stands between a node and its Redis and spoils what goes through: cuts, holds, delays, swallows what is
//! published, and doubles, holds back or loses the answers of scripts.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    relay::Relay,
    replies::ReplyMatcher,
    rules::{Direction, Rules, ScriptFaults, Shared},
};

/// Whether the proxy knows what goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Resp,
    Unknown,
}

/// A TCP proxy on a port of its own.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy for Redis clients of the server at `upstream`.
    ///
    /// # Errors
    /// If there is no port or no thread for it.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::speaking(Protocol::Resp, upstream)
    }

    /// A proxy for any bytes: it can cut, hold and delay them.
    ///
    /// # Errors
    /// If there is no port or no thread for it.
    pub fn raw(upstream: SocketAddr) -> io::Result<Self> {
        Self::speaking(Protocol::Unknown, upstream)
    }

    fn speaking(protocol: Protocol, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            rules: Mutex::default(),
            open: Mutex::default(),
            disturbed: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::Builder::new().name("proxy".into()).spawn(move || accept(&listener, &accepting, protocol))?;
        Ok(Self { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for a node's `--redis`.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Closes all connections, and each new one, until it is healed.
    pub fn cut(&self) {
        self.change(|rules| rules.shut = true);
        self.shared.close_connections();
    }

    /// Closes all connections; new ones are let through.
    pub fn close_connections(&self) {
        self.shared.close_connections();
    }

    /// Lets nothing through in one direction, without closing anything, as a network does that loses every packet:
    /// what was sent meanwhile arrives when it is healed.
    pub fn hold(&self, direction: Direction) {
        self.change(|rules| rules.way_mut(direction).held = true);
    }

    /// Lets nothing through in either direction.
    pub fn hold_both(&self) {
        self.hold(Direction::ToServer);
        self.hold(Direction::ToClient);
    }

    /// Delays everything in one direction.
    pub fn delay(&self, direction: Direction, by: Duration) {
        self.change(|rules| rules.way_mut(direction).delay = by);
    }

    /// Drops what is published to subscribers; their connections stay open, and what they ask is answered.
    pub fn drop_messages(&self) {
        self.change(|rules| rules.drop_messages = true);
    }

    /// Doubles, holds back, and cuts off script calls at random.
    pub fn disturb_scripts(&self, script_faults: ScriptFaults) {
        self.change(|rules| rules.script_faults = Some(script_faults));
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.change(|rules| *rules = Rules::default());
    }

    /// Script calls that were doubled, echoed, held back or cut off so far.
    pub fn disturbed(&self) -> u64 {
        self.shared.disturbed.load(Ordering::Relaxed)
    }

    /// Connections open through it.
    pub fn connections(&self) -> usize {
        self.shared.open.lock().expect("nobody panics with it").len()
    }

    /// From now on, new connections go to another server.
    pub fn retarget(&self, upstream: SocketAddr) {
        *self.shared.upstream.lock().expect("nobody panics with it") = upstream;
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.shared.rules.lock().expect("nobody panics with it"));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.close_connections();
        // Wakes the thread that accepts; it looks whether it should stop.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, protocol: Protocol) {
    for (number, client) in (0..).zip(listener.incoming()) {
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = client else { continue };
        if shared.rules().shut {
            continue;
        }
        // A client whose server is away, or for which there are no descriptors left, sees its connection closed.
        let _ = join(client, shared, protocol, number);
    }
}

/// Connects a client through to the server, with a thread for each direction.
fn join(client: TcpStream, shared: &Arc<Shared>, protocol: Protocol, number: u64) -> io::Result<()> {
    let upstream = *shared.upstream.lock().expect("nobody panics with it");
    let server = TcpStream::connect_timeout(&upstream, Duration::from_secs(2))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.open.lock().expect("nobody panics with it").push((number, client.try_clone()?, server.try_clone()?));
    let exchange = (protocol == Protocol::Resp).then(|| Arc::new(ReplyMatcher::new(Arc::clone(shared), number)));
    for direction in [Direction::ToServer, Direction::ToClient] {
        let (from, to) = match direction {
            Direction::ToServer => (client.try_clone()?, server.try_clone()?),
            Direction::ToClient => (server.try_clone()?, client.try_clone()?),
        };
        let lane = Relay::new(direction, from, to, Arc::clone(shared), exchange.clone());
        let shared = Arc::clone(shared);
        thread::Builder::new().name("proxy lane".into()).spawn(move || {
            lane.run();
            shared.open.lock().expect("nobody panics with it").retain(|(open, ..)| *open != number);
        })?;
    }
    Ok(())
}
