//! Responses that their client does not read: they are bounded in memory and in time, and keep nobody else out.

use std::{
    io::{BufReader, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Node, NodeOptions, http, wait_until};

use crate::{
    bad_input::never_reads,
    exchange::{Answer, get, request},
    hostile::start_with_descriptors,
    node::{Holdings, PATIENCE, start},
    raw_http2::RawHttp2,
    stream::Stream,
};

/// Returns the path of a picture of 390 kB, with a different one for each number.
fn costly(number: usize) -> String {
    format!("/online/snapshot.svg?style=odometer&height=80&label={}&bg={number:06x}", "%E2%98%83".repeat(32))
}

/// Waits until the node closes the connection.
fn wait_for_end(socket: &mut TcpStream, what: &str) {
    let begun = Instant::now();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    loop {
        match socket.read(&mut [0; 16 << 10]) {
            Ok(0) => return,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
            Ok(_) => {}
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: the node keeps the connection");
    }
}

#[test]
fn unread_http2_responses_are_bounded_in_memory_and_in_time() {
    let node = start(["--stall-limit", "3s"]);
    println!("a costly picture has {} bytes", get(&node, &costly(0)).body.len());
    let before = node.usage().unwrap();
    let mut clients: Vec<RawHttp2> = (0..3).map(|_| RawHttp2::connect(&node, 0)).collect();
    for number in 0..100 {
        for (index, client) in clients.iter_mut().enumerate() {
            // The node may have closed already.
            let _ = client.get(&costly(number * 3 + index));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let grown = (node.usage().unwrap() - before).pss_bytes >> 20;
    println!("{grown} MiB for 300 unread pictures");
    assert!(grown < 48, "{grown} MiB wait for clients that read nothing");
    for client in &mut clients {
        wait_for_end(client.socket(), "unread responses");
    }
}

#[test]
fn a_response_that_is_read_in_time_is_whole() {
    // A window smaller than the picture, opened bit by bit: each step is progress.
    let node = start(["--stall-limit", "1s"]);
    let length = get(&node, &costly(0)).body.len();
    let mut client = RawHttp2::connect(&node, 0);
    let stream = client.get(&costly(0)).unwrap();
    let step = 40_000;
    let mut received = 0;
    let mut bytes = [0; 64 << 10];
    client.socket().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut allowed = 0;
    while allowed < length {
        allowed += step;
        client.allow(stream, step as u32);
        client.allow(0, step as u32);
        loop {
            match client.socket().read(&mut bytes) {
                Ok(0) => panic!("closed after {received} of {length} bytes"),
                Ok(read) => received += read,
                Err(_) => break,
            }
        }
    }
    assert!(received > length, "{received} of {length} bytes");
}

#[test]
fn unread_responses_do_not_keep_newcomers_out() {
    let node = start_with_descriptors(NodeOptions::default());
    let mut viewer = Stream::open(&node, "/online.png");
    viewer.wait_for(1);
    let unread: Vec<RawHttp2> = (0..640)
        .map(|_| {
            let mut client = RawHttp2::connect(&node, 0);
            let _ = client.get("/online.json");
            client
        })
        .collect();
    node.reaches("headcount_connections_accepted_total", 641.0, PATIENCE).unwrap();
    assert_eq!(http::get(node.admin(), "/readyz").unwrap().status, 200);
    let _other = Stream::open(&node, "/online.png");
    viewer.wait_for(2);
    assert_eq!(node.metric("headcount_accept_failures_total").unwrap(), 0.0);
    drop(unread);
}

#[test]
fn an_unread_http1_response_is_dropped() {
    let node = start(["--stall-limit", "2s", "--head-timeout", "1s"]);
    let before = Holdings::of(&node);
    // More than all buffers on the way hold.
    let mut client = never_reads(&node, &costly(0));
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    let _ = client.write_all(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", costly(0)).repeat(40).as_bytes());
    before.come_back(&node);
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn a_connection_has_at_most_a_megabyte_of_unread_responses() {
    let node = start([]);
    let mut client = RawHttp2::connect(&node, 0);
    for number in 0..20 {
        client.get(&costly(number)).unwrap();
    }
    refused(&node, 17.0);
    // Others are not affected.
    assert_eq!(request(&node, "GET", &costly(0), &[]).status(), 200);
}

fn refused(node: &Node, at_least: f64) {
    wait_until("refusals", PATIENCE, || {
        let metrics = node.metrics().unwrap();
        let line = metrics.lines().find(|line| line.contains("refusals_total{cause=\"unread\"}")).unwrap_or("0");
        match line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()) {
            Some(found) if found >= at_least => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .unwrap();
}

#[test]
fn a_viewer_that_can_receive_nothing_is_reset() {
    let node = start(["--stall-limit", "1s"]);
    let mut client = RawHttp2::connect(&node, 0);
    let stream = client.get("/online.png").unwrap();
    // RST_STREAM, of four bytes.
    let reset = [&[0, 0, 4, 3, 0][..], &stream.to_be_bytes()].concat();
    let begun = Instant::now();
    let mut received = Vec::new();
    client.socket().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    while !received.windows(reset.len()).any(|bytes| bytes == reset) {
        let mut bytes = [0; 4096];
        match client.socket().read(&mut bytes) {
            Ok(read) => received.extend_from_slice(&bytes[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(begun.elapsed() < PATIENCE, "the stream is kept");
    }
}

#[test]
fn a_viewer_counts_once_its_first_frame_has_been_sent() {
    let node = start([]);
    let mut witness = Stream::open(&node, "/online.png");
    witness.wait_for(1);
    for window in [0, 1] {
        let mut client = RawHttp2::connect(&node, window);
        let stream = client.get("/online.png").unwrap();
        thread::sleep(Duration::from_millis(700));
        assert_eq!(node.reading("online").unwrap().count, 1, "with a window of {window} it cannot receive a frame");
        client.allow(stream, 1 << 20);
        witness.wait_for(2);
        drop(client);
        witness.wait_for(1);
    }
}

/// A look whose frames are among the largest: 231 kB as JPEG.
const LARGEST_JPEG: &str = "/online.jpg?style=odometer&height=96&scale=3&label=WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW";
/// As many as one address may have.
const SILENT: usize = 128;
/// What a node may grow for them.
const SILENT_GROWTH: u64 = 5 << 20;

/// Opens viewers of [`LARGEST_JPEG`] that read nothing, and returns how much the node grows meanwhile.
fn growth_for_silent<V>(node: &Node, open: impl FnOnce() -> V) -> u64 {
    let _reader = Stream::open(node, LARGEST_JPEG);
    let viewers = |wanted: f64| {
        wait_until("the viewers", PATIENCE, || match node.metric("headcount_viewers_by_state").unwrap() {
            found if found == wanted => Ok(()),
            found => Err(format!("{found} viewers")),
        })
        .unwrap();
    };
    viewers(1.0);
    let before = node.usage().unwrap();
    let silent = open();
    viewers(1.0 + SILENT as f64);
    let grown = (node.usage().unwrap() - before).pss_bytes;
    println!("{} kB for {SILENT} viewers of the largest pictures that read nothing", grown >> 10);
    drop(silent);
    grown
}

#[test]
fn viewers_that_never_read_share_their_first_frame() {
    let node = start([]);
    let grown = growth_for_silent(&node, || -> Vec<TcpStream> {
        (0..SILENT).map(|_| never_reads(&node, LARGEST_JPEG)).collect()
    });
    assert!(grown < SILENT_GROWTH, "{} kB", grown >> 10);
}

#[test]
fn http2_viewers_that_never_read_share_their_first_frame() {
    for window in [0, 2000] {
        let node = start([]);
        let grown = growth_for_silent(&node, || -> Vec<RawHttp2> {
            let mut clients: Vec<RawHttp2> = (0..2).map(|_| RawHttp2::connect(&node, window)).collect();
            for client in &mut clients {
                for _ in 0..SILENT / 2 {
                    client.get(LARGEST_JPEG).unwrap();
                }
            }
            clients
        });
        assert!(grown < SILENT_GROWTH, "{} kB with a window of {window}", grown >> 10);
    }
}

#[test]
fn clients_that_read_nothing_do_not_use_up_the_nodes_memory_for_others() {
    let node = start([]);
    let picture = "/online/snapshot.svg?style=odometer&label=abcdefghijklmnopqrstuvwxyz012345";
    let length = get(&node, picture).body.len();
    let clients: Vec<RawHttp2> = (0..80)
        .map(|_| {
            let mut client = RawHttp2::connect(&node, 0);
            let sent = (0..100).take_while(|_| client.get(picture).is_ok()).count();
            // Heads need no window.
            client.heads(sent, PATIENCE);
            client
        })
        .collect();
    println!("80 clients have asked for {} kB each and do not read them", (length * 100) >> 10);
    assert!(80 * (length * 100).min(1 << 20) > 64 << 20, "the pictures are too small for this test");
    for path in ["/online.json", "/online", "/online/snapshot.png", &costly(7)] {
        let answer = get(&node, path);
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    }
    let metrics = node.metrics().unwrap();
    assert!(!metrics.contains("headcount_connections_closed_early_total{cause=\"unread\"} 0\n"), "none was closed");
    drop(clients);
}

/// Costly pictures that fill all buffers on the way, whatever their size.
const BEFORE: usize = 12;
/// Responses without a body, which come behind them.
const HEADS: usize = 200;

#[test]
fn responses_before_a_stream_are_whole() {
    let node = start([]);
    let again = |method: &str, path: &str| format!("{path} HTTP/1.1\r\nHost: a\r\n\r\n{method} ");
    // All requests at once, and a client that reads only later: with some number of them, the last responses before the
    // stream are still on their way into the socket.
    let clients: Vec<TcpStream> = (1..=BEFORE)
        .map(|count| {
            let pictures = again("GET", &costly(0)).repeat(count - 1) + &again("HEAD", &costly(0));
            let heads = again("HEAD", "/robots.txt").repeat(HEADS - 1) + &again("GET", "/robots.txt");
            let client = never_reads(&node, &format!("{pictures}{heads}/online.png"));
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    for (client, count) in clients.into_iter().zip(1..) {
        let mut client = BufReader::new(client);
        for number in 1..=count {
            let head = head(&mut client);
            let length: usize = head.header("content-length").expect("a length").parse().unwrap();
            let mut body = vec![0; length];
            client.read_exact(&mut body).expect("a whole body");
            match head.status() {
                200 => assert!(body.trim_ascii_end().ends_with(b"</svg>"), "response {number} of {count} is cut off"),
                // Too many pictures or bytes wait.
                status => assert_eq!(status, 503),
            }
        }
        for number in 1..=HEADS {
            let kind = head(&mut client).header("content-type").map(str::to_owned);
            assert_eq!(kind.as_deref(), Some("text/plain; charset=utf-8"), "head {number} after {count} pictures");
        }
        let head = head(&mut client);
        assert_eq!(head.header("content-type"), Some(headcount_wire::CONTENT_TYPE), "after {count} responses");
    }
}

fn head(socket: &mut impl Read) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    Answer::read(&head)
}
