//! [`Node`]: the whole program, run within this process, with connections to it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::responses::{self, Remainder};

/// A client of whom nothing is believed.
pub(crate) const UNTRUSTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// A load balancer whose connections begin with a PROXY header.
pub(crate) const TRUSTED_PROXY: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 1);

/// What takes longer hangs. Connections that are silent are closed by the node after half of it.
const PATIENCE: Duration = Duration::from_secs(10);

static NODE: LazyLock<Node> = LazyLock::new(Node::start);
static PANICKED: AtomicBool = AtomicBool::new(false);

/// A node that runs until the process ends.
pub(crate) struct Node {
    public: SocketAddr,
    admin: SocketAddr,
    /// Viewers that had come and gone when that was asked last.
    departed: AtomicU64,
}

/// What a node sent on a connection.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ended: ConnectionEnd,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// The node closed it.
    Closed,
    /// The node reset it: something was left unread, and so something may be left unsaid.
    Reset,
    /// A stream began, and was left.
    Left,
}

impl Node {
    /// The node, started by the first who asks.
    pub(crate) fn running() -> &'static Node {
        let node = &*NODE;
        assert!(!PANICKED.load(Ordering::Relaxed), "a thread of the node has panicked");
        node
    }

    fn start() -> Node {
        // Outside a fuzzer, which ends at any panic, a task's would go unseen.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICKED.store(true, Ordering::Relaxed);
            usual(panic);
        }));
        let [public, admin] = [(); 2].map(|()| {
            let free = TcpListener::bind((UNTRUSTED, 0)).and_then(|listener| listener.local_addr());
            free.expect("a free port")
        });
        let proxies = format!("{}/16", Ipv4Addr::new(127, 9, 0, 0));
        let (listen, listen_admin) = (public.to_string(), admin.to_string());
        let arguments = [
            "headcount",
            "serve",
            "--listen",
            &listen,
            "--admin",
            &listen_admin,
            "--proxy-protocol-from",
            &proxies,
            "--forwarded-from",
            "127.0.0.0/16",
            "--head-timeout",
            "5s",
            "--accept-rate",
            "1000000",
            "--shards",
            "1",
            "--max-looks",
            "64",
            "--log",
            "off",
        ];
        let arguments = arguments.map(std::ffi::OsString::from);
        std::thread::spawn(move || {
            let exit = headcount::run(arguments.into_iter());
            panic!("the node has ended: {exit:?}");
        });
        let node = Node { public, admin, departed: AtomicU64::new(0) };
        let begun = Instant::now();
        while TcpStream::connect(admin).is_err() || TcpStream::connect(public).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the node does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        node
    }

    /// Sends these bytes and hears what the node says, until it closes or begins a stream.
    pub(crate) fn exchange(&self, from: Ipv4Addr, bytes: &[u8]) -> Received {
        self.hear(self.send(from, bytes))
    }

    /// The same, but says that no more will come.
    pub(crate) fn exchange_and_shut_down(&self, from: Ipv4Addr, bytes: &[u8]) -> Received {
        let socket = self.send(from, bytes);
        // Not where the node has closed already.
        let _ = socket.shutdown(Shutdown::Write);
        self.hear(socket)
    }

    fn send(&self, from: Ipv4Addr, bytes: &[u8]) -> TcpStream {
        let mut socket = loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            if from != UNTRUSTED {
                socket.bind(&SocketAddr::from((from, 0)).into()).expect("any address of loopback is ours");
            }
            match socket.connect(&self.public.into()) {
                Ok(()) => break TcpStream::from(socket),
                // The fuzzer's clock.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the node does not accept: {error}"),
            }
        };
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // It may close before it has read all.
        let _ = socket.write_all(bytes);
        socket
    }

    fn hear(&self, mut socket: TcpStream) -> Received {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => return Received { bytes, ended: ConnectionEnd::Closed },
                Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                // The fuzzer's clock.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Received { bytes, ended: ConnectionEnd::Reset };
                }
                Err(error) => panic!("the connection hangs: {error} after {} bytes", bytes.len()),
            }
            if bytes.starts_with(b"HTTP/1.") && responses::read(&bytes).rest == Remainder::Stream {
                return Received { bytes, ended: ConnectionEnd::Left };
            }
        }
    }

    /// Waits until nobody is viewing any more, and says how many viewers have gone since this was asked last. So many are
    /// known to have been sent a stream; a node counts them a moment after.
    pub(crate) fn departed(&self, at_least: u64) -> u64 {
        let begun = Instant::now();
        loop {
            let metrics = self.metrics();
            let left = sum(&metrics, "headcount_viewers_by_state{") + sum(&metrics, "headcount_presence_viewers ");
            let departed = sum(&metrics, "headcount_departures_total{");
            let lately = departed - self.departed.load(Ordering::Relaxed);
            if left == 0 && lately >= at_least {
                self.departed.store(departed, Ordering::Relaxed);
                return lately;
            }
            assert!(begun.elapsed() < PATIENCE, "{left} viewers are left, {lately} have gone, not {at_least}");
        }
    }

    fn metrics(&self) -> String {
        let asked = || {
            let mut socket = TcpStream::connect(self.admin)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            socket.read_to_string(&mut text).map(|_| text)
        };
        loop {
            match asked() {
                Ok(text) => return text,
                // The fuzzer's clock.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the admin port does not answer: {error}"),
            }
        }
    }
}

/// The sum of all metrics whose lines begin so.
fn sum(metrics: &str, begin: &str) -> u64 {
    let values = metrics.lines().filter(|line| line.starts_with(begin)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<u64>().ok()).sum()
}
