//! Attacks other than bad input. Each is a row of the table in SECURITY.md.

use std::{
    io::Write,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant},
};

use headcount_drawing::{Count, read_stamp};
use headcount_testkit::{Node, NodeOptions, http};

use crate::{
    exchange::{Answer, connect, get, request, send},
    node::{PATIENCE, start, wait_for_count},
    stream::Stream,
};

#[test]
fn other_sites_may_not_embed() {
    let node = start(["--embed-from", "online=https://forum.example"]);
    for referer in [None, Some("https://evil.example/"), Some("https://forum.example.evil.example/"), Some("null")] {
        let headers: Vec<(&str, &str)> = referer.map(|referer| ("Referer", referer)).into_iter().collect();
        let answer = request(&node, "GET", "/online.png", &headers);
        assert_eq!(answer.status(), 403, "{referer:?}");
        answer.sentence();
    }
    assert_eq!(node.reading("online").unwrap().version, 0, "a viewer was counted");
    let page = b"GET /online.png HTTP/1.1\r\nHost: a\r\nReferer: https://forum.example/topic/1\r\n\r\n";
    Stream::open_by(&node, page).wait_for(1);
    Stream::open(&node, "/free.png").wait_for(1);
}

#[test]
fn a_node_may_show_its_own_streams() {
    let node = start(["--embed-from", "online=https://forum.example", "--public-url", "https://count.example"]);
    for referer in [format!("http://{}/online", node.address()), "https://count.example/".to_owned()] {
        let request = format!("GET /online.png HTTP/1.1\r\nHost: {}\r\nReferer: {referer}\r\n\r\n", node.address());
        Stream::open_by(&node, request.as_bytes()).wait_for(1);
        wait_for_count(&node, "online", 0);
    }
    for referer in ["http://count.example/", "https://evil.example/"] {
        assert_eq!(request(&node, "GET", "/online.png", &[("Referer", referer)]).status(), 403, "{referer}");
    }
}

#[test]
fn link_previews_get_one_picture_and_do_not_count() {
    let node = start([]);
    for agent in [
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "facebookexternalhit/1.1",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    ] {
        for (path, content_type) in [("/online.png", "image/png"), ("/online.jpg", "image/jpeg")] {
            let picture = request(&node, "GET", path, &[("User-Agent", agent)]);
            assert_eq!((picture.status(), picture.header("Content-Type")), (200, Some(content_type)), "{agent}");
            assert_eq!(read_stamp(&picture.body).unwrap().count, Count::Exactly(0), "{agent}");
        }
    }
    assert_eq!(node.reading("online").unwrap().version, 0, "a viewer was counted");
}

/// Opens a stream whose request names another client.
fn forwarded(node: &Node, header: &str) -> Stream {
    Stream::open_by(node, format!("GET /online.png HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n").as_bytes())
}

#[test]
fn a_client_cannot_pose_as_several() {
    let headers = ["X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 203.0.113.2", "Forwarded: for=203.0.113.3"];
    // No proxy is trusted; or one is, but from another network; or the proxy appends the real client.
    for arguments in [[].as_slice(), &["--forwarded-from", "10.0.0.0/8"]] {
        let node = Node::start(&binary().with(arguments.iter().copied())).unwrap();
        let mut streams: Vec<Stream> = headers.iter().map(|header| forwarded(&node, header)).collect();
        streams[0].wait_for(3);
        assert_eq!(node.reading("online").unwrap().visitors, 1, "{arguments:?}");
    }
    let node = start(["--forwarded-from", "127.0.0.0/8"]);
    let behind = |forged: &str| forwarded(&node, &format!("X-Forwarded-For: {forged}, 203.0.113.9"));
    let mut streams = [behind("203.0.113.1"), behind("203.0.113.2"), behind("unknown")];
    streams[0].wait_for(3);
    assert_eq!(node.reading("online").unwrap().visitors, 1);
    let proxied = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\nGET /online.png HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(Answer::read(&send(&node, proxied)).status(), 400);
}

/// Returns the path of the largest picture, with a different look for each number.
pub(crate) fn largest(number: usize) -> String {
    let label = "W".repeat(32);
    format!("/online/snapshot.png?style=odometer&height=96&scale=3&label={label}&bg={number:06x}")
}

#[test]
fn large_pictures_leave_the_processors_to_others() {
    let node = &start([]);
    let mut viewer = Stream::open(node, "/online.png");
    viewer.wait_for(1);
    let before = node.usage().unwrap();
    let begun = Instant::now();
    let answers: Vec<Answer> = thread::scope(|scope| {
        let ask = |client: usize| (0..3).map(move |turn| get(node, &largest(client * 3 + turn))).collect::<Vec<_>>();
        let clients: Vec<_> = (0..64).map(|client| scope.spawn(move || ask(client))).collect();
        // Meanwhile small pictures are drawn and new viewers are counted.
        thread::sleep(Duration::from_millis(300));
        assert_eq!(get(node, "/online/snapshot.png?bg=123456").status(), 200);
        let other = Stream::open(node, "/online.png?bg=123456");
        viewer.wait_for(2);
        drop(other);
        viewer.wait_for(1);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let took = begun.elapsed();
    let cores = (node.usage().unwrap() - before).cpu.as_secs_f64() / took.as_secs_f64();
    let of_status = |status: u16| answers.iter().filter(|answer| answer.status() == status).collect::<Vec<_>>();
    let (drawn, refused) = (of_status(200).len(), of_status(503));
    assert_eq!(drawn + refused.len(), answers.len(), "a response with another status");
    // One is drawn and 32 wait. The others are refused, except for those that find room in the meantime.
    assert!(drawn >= 33 && refused.len() >= 20, "{drawn} drawn, {} refused", refused.len());
    for answer in refused {
        assert!(answer.header("Retry-After").is_some(), "{answer:?}");
        answer.sentence();
    }
    println!("{drawn} of the largest pictures drawn in {took:.1?}, with {cores:.2} cores");
    // A quarter for the pictures, and the responses.
    assert!(cores < 0.5, "{cores:.2} cores were used");
}

pub(crate) fn binary() -> NodeOptions {
    NodeOptions { program: Some(env!("CARGO_BIN_EXE_headcount").into()), ..NodeOptions::default() }
}

/// Descriptors of the test's node. 512 are reserved; a quarter of the others is for idle connections.
const LIMIT: usize = 640;
pub(crate) const ROOM: usize = (LIMIT - 512) / 4 * 3;

/// Starts a node that may open [`LIMIT`] descriptors.
pub(crate) fn start_with_descriptors(options: NodeOptions) -> Node {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("headcount");
    let script = format!("#!/bin/sh\nulimit -n {LIMIT}\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_headcount"));
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    Node::start(&NodeOptions { program: Some(program), ..options }).unwrap()
}

#[test]
fn new_viewers_are_refused_when_descriptors_run_out() {
    let node = start_with_descriptors(NodeOptions::default());
    let mut viewers: Vec<Stream> = (0..ROOM).map(|_| Stream::open(&node, "/online.png")).collect();
    viewers[0].wait_for(ROOM as u64);
    let full = get(&node, "/online.png");
    assert_eq!(full.status(), 503);
    assert!(full.header("Retry-After").is_some(), "{full:?}");
    full.sentence();

    // Then more silent connections than there are descriptors left.
    let silent: Vec<TcpStream> = (0..2 * 512)
        .map(|_| {
            let mut socket = connect(&node);
            let _ = socket.write_all(b"GET /online.png HTTP/1.1\r\nHo");
            socket
        })
        .collect();
    node.reaches("headcount_connections_accepted_total", (ROOM + 1 + silent.len()) as f64, PATIENCE).unwrap();
    assert_eq!(get(&node, "/online.png").status(), 503);
    assert_eq!(get(&node, "/online.json").status(), 200);
    assert_eq!(http::get(node.admin(), "/readyz").unwrap().status, 200);
    assert_eq!(node.metric("headcount_accept_failures_total").unwrap(), 0.0);
    wait_for_count(&node, "online", ROOM as u64);
    let newest = viewers.pop().unwrap();
    drop(newest);
    viewers[0].wait_for(ROOM as u64 - 1);
    let mut again = Stream::open(&node, "/online.png");
    again.wait_for(ROOM as u64);
    drop(silent);
}

#[test]
fn every_cause_is_zero_from_the_start() {
    let node = start([]);
    let metrics = node.metrics().unwrap();
    for (family, causes) in [
        (
            "refusals",
            &["not_found", "look", "max_viewers", "drawing", "max_counters", "draining", "host", "unread", "requests"]
                [..],
        ),
        ("looks_replaced", &["max_looks", "address_looks", "drawing"]),
        (
            "connections_closed_early",
            &["crowded", "ended", "head_timeout", "malformed", "proxy_header", "stalled", "unread"],
        ),
        ("presence_failures", &["away", "timeout", "connection", "refused", "form"]),
        ("presence_resyncs", &["unknown", "gap", "differs"]),
    ] {
        for cause in causes {
            let line = format!("headcount_{family}_total{{cause=\"{cause}\"}} 0");
            assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
        }
    }
}
