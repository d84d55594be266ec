//! Many streams over one HTTP/2 connection, as a browser opens them through a TLS proxy.

use std::{io::Write, net::Shutdown};

use bytes::Bytes;
use headcount_testkit::Node;
use headcount_wire::{BOUNDARY, PartReader};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Version,
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    node::{Holdings, PATIENCE, start, wait_for_count},
    stream::number,
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
        loop {
            if let Some(part) = self.parts.next_part().unwrap() {
                return Some(number(&part));
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
async fn http2_streams_end_with_their_last_picture() {
    let mut node = start(["--drain", "0s"]);
    let (mut sender, _cable) = connect(&node).await;
    let mut streams = open(&mut sender, &node, 4).await;
    streams[0].wait_for(4).await;
    let stopping = tokio::task::spawn_blocking(move || node.stop(PATIENCE).unwrap());
    for stream in &mut streams {
        let mut last = 0;
        while let Some(number) = stream.next().await {
            last = number;
        }
        // The last streams may have seen others leave.
        assert!(stream.parts.ended() && (1..=4).contains(&last), "a stream ended with {last}");
    }
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
