//! The test harness: an engine whose attachments are counted, peers that check the streams they read, and waiting for a
//! condition.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headcount_engine::{Attachment, Engine, FeedHandle, FeedSettings, Frame, RejectedViewer, Settings};
use headcount_wire::{BOUNDARY, Part, PartReader, opening};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use socket2::{Domain, Socket, Type};

/// The longest wait for any condition; far above what any takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `condition` returns a value.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Runs a future on a runtime of its own, with the deadline.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(DEADLINE, future).await.expect("done within the deadline") })
}

/// How many attachments have had their first frame sent, and how many were dropped.
#[derive(Debug, Default)]
pub(crate) struct AttachmentCounts {
    pub(crate) first_frames: AtomicUsize,
    pub(crate) turned_over: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
}

/// An attachment that updates the counts.
#[derive(Debug)]
pub(crate) struct CountingAttachment {
    counts: Arc<AttachmentCounts>,
    first_frame_sent: bool,
    /// Blocks the shard until the sender is dropped. Panics if something is sent.
    blocks_until: Option<Receiver<()>>,
}

impl Attachment for CountingAttachment {
    fn first_frame_sent(&mut self) {
        assert!(!std::mem::replace(&mut self.first_frame_sent, true), "called twice");
        self.counts.first_frames.fetch_add(1, Ordering::SeqCst);
        if let Some(until) = self.blocks_until.take() {
            until.recv().expect_err("this test's attachment panics on purpose");
        }
    }

    fn turned_over(self) {
        assert!(self.first_frame_sent, "before its first frame");
        self.counts.turned_over.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for CountingAttachment {
    fn drop(&mut self) {
        self.counts.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// A frame with `number` whose image has at least `image_bytes` bytes.
pub(crate) fn frame(number: u64, image_bytes: usize) -> Frame {
    let part = Part::new(&image(number, image_bytes), "image/png");
    Frame::new(part.bytes().clone()).with_ending(part.ending())
}

/// What a stream ends with whose last image is that of `number`.
pub(crate) fn ending(number: u64, image_bytes: usize) -> Bytes {
    Part::new(&image(number, image_bytes), "image/png").ending()
}

fn image(number: u64, image_bytes: usize) -> Vec<u8> {
    let mut image = format!("number {number};").into_bytes();
    image.resize(image.len().max(image_bytes), b'.');
    image
}

/// An engine, its metrics, and a listener for the viewers' connections.
pub(crate) struct Harness {
    pub(crate) engine: Engine<CountingAttachment>,
    pub(crate) counts: Arc<AttachmentCounts>,
    registry: Registry,
    listener: TcpListener,
}

impl Harness {
    pub(crate) fn new(settings: Settings) -> Self {
        let engine = Engine::start(settings).expect("an engine");
        let mut registry = Registry::default();
        engine.register_metrics(&mut registry);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        Self { engine, counts: Arc::default(), registry, listener }
    }

    pub(crate) fn feed(&self, first: Frame) -> FeedHandle<CountingAttachment> {
        self.engine.open("online".into(), FeedSettings::default(), first)
    }

    /// An engine with a feed, and its only viewer, who has the first frame, number 0.
    pub(crate) fn with_viewer(
        settings: Settings,
        receive_buffer: Option<usize>,
    ) -> (Self, FeedHandle<CountingAttachment>, Peer) {
        let harness = Self::new(settings);
        let feed = harness.feed(frame(0, 0));
        let mut peer = harness.join(&feed, receive_buffer);
        peer.read_to(0);
        (harness, feed, peer)
    }

    pub(crate) fn attachment(&self) -> CountingAttachment {
        CountingAttachment { counts: Arc::clone(&self.counts), first_frame_sent: false, blocks_until: None }
    }

    /// Opens a connection. Returns the engine's end and the peer's end; `receive_buffer` is the size of the peer's, in bytes.
    pub(crate) fn connect(&self, receive_buffer: Option<usize>) -> (TcpStream, TcpStream) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("a receive buffer");
        }
        let address: SocketAddr = self.listener.local_addr().expect("the listener's address");
        socket.connect(&address.into()).expect("a connection");
        (self.listener.accept().expect("the connection").0, socket.into())
    }

    /// Adds a viewer to `feed`.
    pub(crate) fn join(&self, feed: &FeedHandle<CountingAttachment>, receive_buffer: Option<usize>) -> Peer {
        self.try_join(feed, receive_buffer).expect("room for a viewer")
    }

    /// Adds a viewer to `feed` that receives its first frame and then blocks its shard until the sender is dropped. Sending
    /// makes the shard panic.
    pub(crate) fn join_and_block(&self, feed: &FeedHandle<CountingAttachment>) -> (Peer, Sender<()>) {
        let (unblock, until) = channel();
        let mut attachment = self.attachment();
        attachment.blocks_until = Some(until);
        let mut peer = self.adopt(feed, None, attachment).expect("room for a viewer");
        wait_until("the first frame arrives", || {
            peer.read(usize::MAX);
            peer.newest().is_some()
        });
        (peer, unblock)
    }

    pub(crate) fn try_join(
        &self,
        feed: &FeedHandle<CountingAttachment>,
        receive_buffer: Option<usize>,
    ) -> Result<Peer, RejectedViewer<CountingAttachment>> {
        self.adopt(feed, receive_buffer, self.attachment())
    }

    pub(crate) fn adopt(
        &self,
        feed: &FeedHandle<CountingAttachment>,
        receive_buffer: Option<usize>,
        attachment: CountingAttachment,
    ) -> Result<Peer, RejectedViewer<CountingAttachment>> {
        let (ours, theirs) = self.connect(receive_buffer);
        feed.adopt(ours, head(), attachment)?;
        Ok(Peer::new(theirs))
    }

    /// A metric's value; 0 if it is not exported.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.scrape();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse::<f64>().expect("a number") as u64)
    }

    /// Whether the exported metrics contain `text`.
    pub(crate) fn metrics_contain(&self, text: &str) -> bool {
        self.scrape().contains(text)
    }

    fn scrape(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("metrics");
        text
    }

    /// The number of viewers that have left for `cause`.
    pub(crate) fn departures(&self, cause: &str) -> u64 {
        self.metric(&format!("departures_total{{cause=\"{cause}\"}}"))
    }

    pub(crate) fn attachments_dropped(&self) -> usize {
        self.counts.dropped.load(Ordering::SeqCst)
    }

    pub(crate) fn turned_over(&self) -> usize {
        self.counts.turned_over.load(Ordering::SeqCst)
    }

    pub(crate) fn first_frames(&self) -> usize {
        self.counts.first_frames.load(Ordering::SeqCst)
    }
}

/// Publishes `frame` and waits until a pass starts with it, which is after the end of the pass before.
pub(crate) fn publish_and_wait(feed: &FeedHandle<CountingAttachment>, frame: &Frame) {
    let frames = feed.frames();
    feed.publish(frame.clone());
    wait_until("a pass starts with the published frame", || *frames.borrow() == *frame);
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
    /// With a reset.
    Reset,
}

/// A viewer's end of a connection. It checks that it reads a stream of whole parts whose numbers never decrease.
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

    /// Reads at most `limit` available bytes. Returns how many.
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
                    let image = std::str::from_utf8(&part).expect("an image of the tests");
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

    /// Reads until `number` arrives.
    pub(crate) fn read_to(&mut self, number: u64) {
        wait_until(&format!("number {number} arrives"), || {
            self.read(usize::MAX);
            assert_eq!(self.end, None, "before {number} arrived");
            self.newest() == Some(number)
        });
    }

    /// Reads to the stream's end.
    pub(crate) fn read_to_end(&mut self) -> End {
        wait_for("the stream ends", || {
            self.read(usize::MAX);
            self.end
        })
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        let socket = Socket::from(self.socket);
        socket.set_linger(Some(Duration::ZERO)).expect("no lingering");
    }
}
