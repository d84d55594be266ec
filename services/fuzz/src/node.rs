//! [`Node`]: the whole program, run within this process, and connections to it.

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

use crate::responses::{self, ConnectionEnd, Received, Remainder};

/// Address of a client that is not a trusted proxy.
pub(crate) const UNTRUSTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// Address of a load balancer whose connections begin with a PROXY header.
pub(crate) const TRUSTED_PROXY: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 1);

/// What takes longer hangs. The node closes silent connections after half of it.
const TIMEOUT: Duration = Duration::from_secs(10);

static NODE: LazyLock<Node> = LazyLock::new(Node::start);
static PANICKED: AtomicBool = AtomicBool::new(false);

/// A node that runs until the process ends.
pub(crate) struct Node {
    public: SocketAddr,
    admin: SocketAddr,
    /// Viewers that had come and gone at the last call of [`Node::departed`].
    departed: AtomicU64,
}

impl Node {
    /// Returns the node. The first call starts it.
    pub(crate) fn running() -> &'static Node {
        let node = &*NODE;
        assert!(!PANICKED.load(Ordering::Relaxed), "a thread of the node has panicked");
        node
    }

    fn start() -> Node {
        // Without a fuzzer, which ends at any panic, a panic in a task would go unnoticed.
        let default_hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICKED.store(true, Ordering::Relaxed);
            default_hook(panic);
        }));
        let [public, admin] = [(); 2].map(|()| {
            let free = TcpListener::bind((UNTRUSTED, 0)).and_then(|listener| listener.local_addr());
            free.expect("a free port")
        });
        let arguments = format!(
            "headcount serve --listen {public} --admin {admin} --proxy-protocol-from 127.9.0.0/16 --forwarded-from 127.0.0.0/16 \
             --head-timeout 5s --accept-rate 1000000 --shards 1 --max-looks 64 --log off"
        );
        std::thread::spawn(move || {
            let exit = headcount::run(arguments.split(' ').map(Into::into));
            panic!("the node has ended: {exit:?}");
        });
        let node = Node { public, admin, departed: AtomicU64::new(0) };
        let begun = Instant::now();
        while TcpStream::connect(admin).is_err() || TcpStream::connect(public).is_err() {
            assert!(begun.elapsed() < TIMEOUT, "the node does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        node
    }

    /// Sends bytes and returns what the node sends until it closes the connection or begins a stream.
    pub(crate) fn exchange(&self, from: Ipv4Addr, bytes: &[u8]) -> Received {
        self.receive(self.send(from, bytes))
    }

    /// Does the same, but shuts down the sending side.
    pub(crate) fn exchange_and_shut_down(&self, from: Ipv4Addr, bytes: &[u8]) -> Received {
        let socket = self.send(from, bytes);
        // Fails if the node has closed already.
        let _ = socket.shutdown(Shutdown::Write);
        self.receive(socket)
    }

    fn send(&self, from: Ipv4Addr, bytes: &[u8]) -> TcpStream {
        let mut socket = loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            if from != UNTRUSTED {
                socket.bind(&SocketAddr::from((from, 0)).into()).expect("any address of loopback is ours");
            }
            match socket.connect(&self.public.into()) {
                Ok(()) => break TcpStream::from(socket),
                // The fuzzer's timer signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the node does not accept: {error}"),
            }
        };
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        // The node may close before it has read everything.
        let _ = socket.write_all(bytes);
        socket
    }

    fn receive(&self, mut socket: TcpStream) -> Received {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => return Received { bytes, end: ConnectionEnd::Closed },
                Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                // The fuzzer's timer signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Received { bytes, end: ConnectionEnd::Reset };
                }
                Err(error) => panic!("the connection hangs: {error} after {} bytes", bytes.len()),
            }
            if bytes.starts_with(b"HTTP/1.") && responses::read(&bytes).remainder == Remainder::Stream {
                return Received { bytes, end: ConnectionEnd::LeftStream };
            }
        }
    }

    /// Waits until the node has no viewers and at least `at_least` have left since the last call. Returns how many have left.
    /// The node's metrics count a viewer shortly after its stream has begun.
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
            assert!(begun.elapsed() < TIMEOUT, "{left} viewers remain, {lately} have left, not {at_least}");
        }
    }

    fn metrics(&self) -> String {
        let request = || {
            let mut socket = TcpStream::connect(self.admin)?;
            socket.set_read_timeout(Some(TIMEOUT))?;
            socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            socket.read_to_string(&mut text).map(|_| text)
        };
        loop {
            match request() {
                Ok(text) => return text,
                // The fuzzer's timer signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the admin port does not answer: {error}"),
            }
        }
    }
}

/// Returns the sum of all metrics whose lines begin with `prefix`.
fn sum(metrics: &str, prefix: &str) -> u64 {
    let values = metrics.lines().filter(|line| line.starts_with(prefix)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<u64>().ok()).sum()
}
