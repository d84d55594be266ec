//! What the tests share: an engine with an account of its attachments, peers that read their streams strictly, and waiting
//! for a condition.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headcount_engine::{Attachment, Engine, FeedHandle, RejectedViewer, Settings};
use headcount_wire::{BOUNDARY, Frame, PartReader, opening};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use socket2::{Domain, Socket, Type};

/// Longest wait for anything; far above what any of it takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `met` gives something.
pub(crate) fn wait_for<T>(what: &str, mut met: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(met) = met() {
            return met;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until `met` holds.
pub(crate) fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    wait_for(what, || met().then_some(()));
}

/// Runs a future on a runtime of its own, with the deadline.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(DEADLINE, future).await.expect("done within the deadline") })
}

/// What has become of the attachments.
#[derive(Debug, Default)]
pub(crate) struct AttachmentCounts {
    pub(crate) seated: AtomicUsize,
    pub(crate) gone: AtomicUsize,
}

/// A attachment that keeps the account.
#[derive(Debug)]
pub(crate) struct CountingAttachment {
    account: Arc<AttachmentCounts>,
    seated: bool,
    /// Its shard does nothing else until the other end is dropped, and panics if something is sent.
    holds_up: Option<Receiver<()>>,
}

impl Attachment for CountingAttachment {
    fn first_frame_sent(&mut self) {
        assert!(!std::mem::replace(&mut self.seated, true), "seated twice");
        self.account.seated.fetch_add(1, Ordering::SeqCst);
        if let Some(until) = self.holds_up.take() {
            until.recv().expect_err("a attachment of this test panics, on purpose");
        }
    }
}

impl Drop for CountingAttachment {
    fn drop(&mut self) {
        self.account.gone.fetch_add(1, Ordering::SeqCst);
    }
}

/// A frame that carries `number`, its image `image_bytes` long at least.
pub(crate) fn frame(number: u64, image_bytes: usize) -> Frame {
    let mut image = format!("number {number};").into_bytes();
    image.resize(image.len().max(image_bytes), b'.');
    Frame::new(&image, "image/png")
}

/// An engine, one feed of it, and a listener for the viewers' connections.
pub(crate) struct Harness {
    pub(crate) engine: Engine<CountingAttachment>,
    pub(crate) account: Arc<AttachmentCounts>,
    registry: Registry,
    listener: TcpListener,
}

impl Harness {
    pub(crate) fn new(settings: Settings) -> Self {
        let engine = Engine::start(settings).expect("an engine");
        let mut registry = Registry::default();
        engine.register_metrics(&mut registry);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        Self { engine, account: Arc::default(), registry, listener }
    }

    pub(crate) fn feed(&self, first: Frame) -> FeedHandle<CountingAttachment> {
        self.engine.open("online".into(), first)
    }

    pub(crate) fn attachment(&self) -> CountingAttachment {
        CountingAttachment { account: Arc::clone(&self.account), seated: false, holds_up: None }
    }

    /// A connection: the engine's end and the peer's, which has a receive buffer of its own size if one is given.
    pub(crate) fn connect(&self, receive_buffer: Option<usize>) -> (TcpStream, TcpStream) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("a receive buffer");
        }
        let address: SocketAddr = self.listener.local_addr().expect("the listener's address");
        socket.connect(&address.into()).expect("a connection");
        (self.listener.accept().expect("the connection").0, socket.into())
    }

    /// Brings a viewer to `feed`.
    pub(crate) fn join(&self, feed: &FeedHandle<CountingAttachment>, receive_buffer: Option<usize>) -> Peer {
        self.try_join(feed, receive_buffer).expect("room for a viewer")
    }

    /// Brings a viewer to `feed` that has its first image, and keeps its shard from anything more until the sender is
    /// dropped; sending makes the shard panic.
    pub(crate) fn hold_up(&self, feed: &FeedHandle<CountingAttachment>) -> (Peer, Sender<()>) {
        let (held, until) = channel();
        let mut attachment = self.attachment();
        attachment.holds_up = Some(until);
        let mut peer = self.bring(feed, None, attachment).expect("room for a viewer");
        wait_until("the first image comes", || {
            peer.read(usize::MAX);
            peer.newest().is_some()
        });
        (peer, held)
    }

    pub(crate) fn try_join(
        &self,
        feed: &FeedHandle<CountingAttachment>,
        receive_buffer: Option<usize>,
    ) -> Result<Peer, RejectedViewer<CountingAttachment>> {
        self.bring(feed, receive_buffer, self.attachment())
    }

    fn bring(
        &self,
        feed: &FeedHandle<CountingAttachment>,
        receive_buffer: Option<usize>,
        attachment: CountingAttachment,
    ) -> Result<Peer, RejectedViewer<CountingAttachment>> {
        let (ours, theirs) = self.connect(receive_buffer);
        feed.adopt(ours, head(), attachment)?;
        Ok(Peer::new(theirs))
    }

    /// A metric's value; 0 where it is not told.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let told = self.scrape();
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse::<f64>().expect("a number") as u64)
    }

    /// Whether the metrics hold `text`.
    pub(crate) fn tells(&self, text: &str) -> bool {
        self.scrape().contains(text)
    }

    fn scrape(&self) -> String {
        let mut told = String::new();
        text::encode(&mut told, &self.registry).expect("metrics");
        told
    }

    /// Viewers that have gone for `cause`.
    pub(crate) fn departed(&self, cause: &str) -> u64 {
        self.metric(&format!("departures_total{{cause=\"{cause}\"}}"))
    }

    pub(crate) fn gone(&self) -> usize {
        self.account.gone.load(Ordering::SeqCst)
    }

    pub(crate) fn first_frame_sent(&self) -> usize {
        self.account.seated.load(Ordering::SeqCst)
    }
}

/// Publishes `frame` and waits until a pass begins with it, which none does before the one before it has ended.
pub(crate) fn show(feed: &FeedHandle<CountingAttachment>, frame: &Frame) {
    let frames = feed.frames();
    feed.publish(frame.clone());
    wait_until("a published frame is shown", || *frames.borrow() == *frame);
}

fn head() -> Bytes {
    [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &opening("image/png")].concat().into()
}

/// How a stream ended, as its peer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With the closing boundary and a FIN.
    Clean,
    /// With a FIN, but without a closing boundary.
    CutOff,
    Reset,
}

/// A viewer's end of the connection. Every byte that it reads must be of a stream of whole parts, in whose images the
/// numbers never go back.
pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    reader: PartReader,
    head_left: usize,
    pub(crate) numbers: Vec<u64>,
    pub(crate) end: Option<End>,
}

impl Peer {
    fn new(socket: TcpStream) -> Self {
        socket.set_nonblocking(true).expect("a non-blocking socket");
        let head_left = head().len() - opening("image/png").len();
        Self { socket, reader: PartReader::new(BOUNDARY), head_left, numbers: Vec::new(), end: None }
    }

    /// Reads what has come, `limit` bytes at most, and gives how many it was.
    pub(crate) fn read(&mut self, limit: usize) -> usize {
        let mut buffer = vec![0; limit.min(64 << 10)];
        match self.socket.read(&mut buffer) {
            Ok(0) => {
                self.end = Some(if self.reader.ended() { End::Clean } else { End::CutOff });
                0
            }
            Ok(bytes) => {
                let head = self.head_left.min(bytes);
                self.head_left -= head;
                self.reader.push(&buffer[head..bytes]);
                while let Some(part) = self.reader.next_part().expect("a stream of whole parts") {
                    let image = std::str::from_utf8(&part.body).expect("an image of the tests");
                    let number = image.strip_prefix("number ").and_then(|rest| rest.split_once(';'));
                    let number = number.expect("an image of the tests").0.parse().expect("a number");
                    assert!(
                        self.numbers.last().is_none_or(|last| *last <= number),
                        "{number} after {:?}",
                        self.numbers
                    );
                    self.numbers.push(number);
                }
                bytes
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.end = Some(End::Reset);
                0
            }
        }
    }

    pub(crate) fn newest(&self) -> Option<u64> {
        self.numbers.last().copied()
    }

    /// Reads until `number` has come.
    pub(crate) fn read_to(&mut self, number: u64) {
        wait_until(&format!("number {number} comes"), || {
            self.read(usize::MAX);
            assert_eq!(self.end, None, "before {number} came");
            self.newest() == Some(number)
        });
    }

    /// Reads to the stream's end.
    pub(crate) fn read_out(&mut self) -> End {
        wait_for("the stream ends", || {
            self.read(usize::MAX);
            self.end
        })
    }

    /// Goes with a reset.
    pub(crate) fn reset(self) {
        let socket = Socket::from(self.socket);
        socket.set_linger(Some(Duration::ZERO)).expect("no lingering");
    }
}
