//! Many streams over one HTTP/2 connection, as a browser opens them through a TLS proxy.

use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

use bytes::Bytes;
use headcount_drawing::{Count, Stamp, read_stamp};
use headcount_testkit::Node;
use headcount_wire::{BOUNDARY, Part, PartReader, opening};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Version,
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    exchange::get,
    node::{Holdings, PATIENCE, start, wait_for_count},
    raw_http2::RawHttp2,
    stream::{Stream as HttpStream, number},
};

/// Flow-control window of each stream, in bytes: room for the first frame.
const WINDOW: u32 = 2048;

/// Opens a connection. The second socket is a handle on the same connection, to break it.
pub(crate) async fn connect(node: &Node) -> (SendRequest<Empty<Bytes>>, std::net::TcpStream) {
    connect_after(node, "").await
}

/// Does the same, with a PROXY header first.
async fn connect_after(node: &Node, header: &str) -> (SendRequest<Empty<Bytes>>, std::net::TcpStream) {
    let mut socket = std::net::TcpStream::connect(node.address()).unwrap();
    socket.write_all(header.as_bytes()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let cable = socket.try_clone().unwrap();
    let io = TokioIo::new(TcpStream::from_std(socket).unwrap());
    let (sender, connection) =
        Builder::new(TokioExecutor::new()).initial_stream_window_size(WINDOW).handshake(io).await.unwrap();
    // Each stream reports how it ends.
    tokio::spawn(connection);
    (sender, cable)
}

/// A stream within a connection.
pub(crate) struct Stream {
    body: Incoming,
    parts: PartReader,
}

impl Stream {
    async fn open(sender: &mut SendRequest<Empty<Bytes>>, url: String) -> Stream {
        let request = Request::get(url).version(Version::HTTP_2).body(Empty::new()).unwrap();
        let response = timeout(PATIENCE, sender.send_request(request)).await.expect("an answer").unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
        assert!(!response.headers().contains_key("connection"), "HTTP/2 has no such header");
        Stream { body: response.into_body(), parts: PartReader::new(BOUNDARY) }
    }

    /// Returns the next picture's number, or `None` at the stream's clean end.
    pub(crate) async fn next(&mut self) -> Option<u64> {
        Some(number(&self.next_part().await?))
    }

    /// Returns the next picture, or `None` at the stream's clean end.
    pub(crate) async fn next_part(&mut self) -> Option<Bytes> {
        loop {
            if let Some(part) = self.parts.next_part().unwrap() {
                return Some(part);
            }
            match timeout(PATIENCE, self.body.frame()).await.expect("a frame") {
                Some(frame) => self.parts.push(&frame.unwrap().into_data().unwrap_or_default()),
                None => return None,
            }
        }
    }

    pub(crate) async fn wait_for(&mut self, count: u64) {
        while self.next().await.expect("the stream goes on") != count {}
    }
}

pub(crate) async fn open(sender: &mut SendRequest<Empty<Bytes>>, node: &Node, count: u32) -> Vec<Stream> {
    let mut streams = Vec::new();
    for number in 0..count {
        streams.push(Stream::open(sender, node.url(&format!("online.png?height={}", 20 + number))).await);
    }
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_streams_leave_with_their_connection() {
    let node = start([]);
    let before = Holdings::of(&node);
    let (mut sender, cable) = connect(&node).await;
    let mut streams = open(&mut sender, &node, 8).await;
    for stream in &mut streams {
        stream.wait_for(8).await;
    }
    assert_eq!(node.metric("headcount_connections_accepted_total").unwrap(), 1.0);
    // One stream leaves.
    drop(streams.pop());
    streams[0].wait_for(7).await;
    // The whole connection breaks.
    cable.shutdown(Shutdown::Both).unwrap();
    wait_for_count(&node, "online", 0);
    drop((streams, sender, cable));
    before.come_back(&node);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_streams_end_with_their_last_picture_marked() {
    let mut node = start(["--drain", "0s"]);
    let (mut sender, _cable) = connect(&node).await;
    let mut streams = open(&mut sender, &node, 4).await;
    streams[0].wait_for(4).await;
    let stopping = tokio::task::spawn_blocking(move || node.stop(PATIENCE).unwrap());
    for stream in &mut streams {
        let mut stamps: Vec<Stamp> = Vec::new();
        while let Some(part) = stream.next_part().await {
            stamps.push(read_stamp(&part).unwrap());
        }
        assert!(stream.parts.ended(), "{stamps:?}");
        let (last, live) = stamps.split_last().expect("a last picture");
        assert!(last.stale && live.iter().all(|stamp| !stamp.stale), "{stamps:?}");
        // The last streams may have seen others leave.
        assert!((1..=4).any(|count| last.count == Count::Exactly(count)), "a stream ended with {last}");
    }
    assert!(stopping.await.unwrap().success());
}

/// The body of a stream of text, to its end.
async fn text(sender: &mut SendRequest<Empty<Bytes>>, url: String) -> String {
    let request = Request::get(url).version(Version::HTTP_2).body(Empty::new()).unwrap();
    let response = timeout(PATIENCE, sender.send_request(request)).await.expect("an answer").unwrap();
    assert_eq!(response.status(), 200);
    let body = timeout(PATIENCE, response.into_body().collect()).await.expect("an end").unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_streams_of_text_are_kept_alive_and_end_as_their_format_says() {
    let mut node = start(["--drain", "0s", "--keepalive", "1s", "--document-updates", "2"]);
    let (mut sender, _cable) = connect(&node).await;
    let document = text(&mut sender, node.url("online/live.html")).await;
    assert!(document.contains(">1</b>") && document.ends_with("<!---->"), "it turns over: {document}");
    assert_eq!(node.reading("online").unwrap().count, 1, "it keeps its place");
    let events = node.url("online/events?count=no");
    let events = tokio::spawn(async move { text(&mut sender, events).await });
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let stopping = tokio::task::spawn_blocking(move || node.stop(PATIENCE).unwrap());
    let events = events.await.unwrap();
    assert!(events.starts_with("retry: ") && events.contains("\n\n:\n\n"), "{events}");
    let (_, last) = events.trim_end().rsplit_once("data: ").expect("events");
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["stale"], true, "{events}");
    assert!(stopping.await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_http2_stream_is_dropped_alone() {
    let node = start(["--stall-limit", "2s", "--keepalive", "1s"]);
    let (mut sender, _cable) = connect(&node).await;
    let mut streams = open(&mut sender, &node, 2).await;
    streams[0].wait_for(2).await;
    let silent = streams.pop().unwrap();
    // Keep-alives fill its window while the other stream is read.
    timeout(PATIENCE + PATIENCE, streams[0].wait_for(1)).await.expect("the stalled stream is dropped");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_at_most_its_limit_of_http2_streams() {
    let node = start(["--proxy-protocol-from", "127.0.0.0/8", "--max-address-streams", "3"]);
    let from = |address: &str| format!("PROXY TCP4 {address} 127.0.0.1 4711 80\r\n");
    let (mut sender, _cable) = connect_after(&node, &from("198.51.100.7")).await;
    let mut streams = open(&mut sender, &node, 3).await;
    streams[0].wait_for(3).await;
    // Over however many connections.
    let (mut second, _cable) = connect_after(&node, &from("198.51.100.7")).await;
    for sender in [&mut sender, &mut second] {
        let request = Request::get(node.url("online.png")).version(Version::HTTP_2).body(Empty::new()).unwrap();
        let answer = timeout(PATIENCE, sender.send_request(request)).await.expect("an answer").unwrap();
        assert_eq!(answer.status(), 429);
        assert!(answer.headers().contains_key("retry-after"));
        let sentence = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(sentence.ends_with(b".\n") && sentence.starts_with(b"Your network address has 3 streams"));
    }
    // Other addresses are not affected, and a viewer that leaves makes room.
    let (mut other, _cable) = connect_after(&node, &from("198.51.100.8")).await;
    let _others = open(&mut other, &node, 1).await;
    streams[0].wait_for(4).await;
    drop(streams.pop());
    streams[0].wait_for(3).await;
    let more = Stream::open(&mut second, node.url("online.png")).await;
    streams[0].wait_for(4).await;
    drop(more);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embed_codes_contain_the_authority() {
    let node = start([]);
    let (mut sender, _cable) = connect(&node).await;
    let request = Request::get(node.url("online")).version(Version::HTTP_2).body(Empty::new()).unwrap();
    let answer = timeout(PATIENCE, sender.send_request(request)).await.expect("an answer").unwrap();
    let page = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(page.contains(&format!("[img]http://{}/online.png[/img]", node.address())), "{page}");
}

/// A client whose stream has a window of `frames` frames and a few bytes of the next, and has received the first.
fn with_window_of(node: &Node, frames: usize) -> (RawHttp2, u32) {
    let frame = Part::new(&get(node, "/online/snapshot.png").body, "image/png").bytes().len();
    let window = opening("image/png").len() + frames * frame + 50;
    let mut client = RawHttp2::connect(node, u32::try_from(window).unwrap());
    let stream = client.get("/online.png").unwrap();
    let first = client.data(stream, PATIENCE, |data| data.len() >= opening("image/png").len() + frame - 10);
    assert!(!first.is_empty());
    (client, stream)
}

#[test]
fn an_http2_viewer_that_takes_nothing_is_gone_after_keepalive_and_stall_limit() {
    let node = start(["--stall-limit", "5s", "--keepalive", "5s"]);
    let mut witness = HttpStream::open(&node, "/online.png");
    witness.wait_for(1);
    // Room for the first frame and the one that includes the viewer itself.
    let begun = Instant::now();
    let (client, _) = with_window_of(&node, 2);
    witness.wait_for(2);
    witness.wait_for(1);
    println!("gone after {:.1?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(11), "gone after {:?}", begun.elapsed());
    drop(client);
}

#[test]
fn an_http2_viewer_that_reads_slowly_stays() {
    let node = start(["--stall-limit", "2s"]);
    let mut client = RawHttp2::connect(&node, 300);
    let stream = client.get("/online.png").unwrap();
    // The first frame takes longer than the stall limit, but never stands still that long.
    let begun = Instant::now();
    let mut received = client.data(stream, Duration::from_millis(700), |_| false);
    while begun.elapsed() < Duration::from_secs(5) {
        client.allow(stream, 150);
        let more = client.data(stream, Duration::from_millis(700), |_| false);
        assert!(!more.is_empty(), "the stream has ended after {:?}", begun.elapsed());
        received.extend(more);
    }
    let mut parts = PartReader::new(BOUNDARY);
    client.allow(stream, 1 << 20);
    received.extend(client.data(stream, Duration::from_millis(700), |_| false));
    parts.push(&received);
    assert_eq!(number(&parts.next_part().unwrap().expect("a frame")), 0);
    assert_eq!(node.reading("online").unwrap().count, 1, "it was dropped before its first frame");
}

#[test]
fn an_http2_viewer_that_resumes_gets_the_newest_frame() {
    let node = start([]);
    let (mut client, stream) = with_window_of(&node, 1);
    let mut others = vec![HttpStream::open(&node, "/online.png")];
    others[0].wait_for(2);
    for count in 3..9 {
        others.push(HttpStream::open(&node, "/online.png"));
        others[0].wait_for(count);
    }
    client.allow(stream, 1 << 20);
    let rest = client.data(stream, Duration::from_secs(1), |_| false);
    // It begins within a frame that was begun before.
    let mut parts = PartReader::new(BOUNDARY);
    parts.push(&opening("image/png"));
    parts.push(&rest);
    let mut numbers = Vec::new();
    while let Some(part) = parts.next_part().unwrap() {
        numbers.push(read_stamp(&part).ok());
    }
    assert_eq!(numbers.len(), 2, "the rest of one old frame and the newest: {numbers:?}");
    assert_eq!(numbers[1].map(|stamp| stamp.count), Some(Count::Exactly(8)));
}
