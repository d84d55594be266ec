//! Requests in progress: however many wait, others get an answer, and the node keeps descriptors for everything else.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use headcount_testkit::{Node, NodeOptions, RedisServer, http, wait_until};
use nix::sys::signal::Signal;

use crate::{
    exchange::{Answer, connect, get, send},
    hostile::{binary, largest, start_with_descriptors},
    looks::{open_for, proxied},
    node::{PATIENCE, start},
    stream::Stream,
};

/// More than the node has descriptors for.
const REQUESTS: usize = 640;

/// Sends a request and leaves it to wait.
fn begin(node: &Node, request: &str) -> TcpStream {
    let mut socket = connect(node);
    // A node that closes at once is seen when the response is read.
    let _ = socket.write_all(request.as_bytes());
    socket
}

fn begin_get(node: &Node, path: &str) -> TcpStream {
    begin(node, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

/// Waits until the node has accepted so many connections, and asserts that it has descriptors for others.
fn assert_descriptors_left(node: &Node, connections: usize) {
    wait_until("all of them accepted", PATIENCE, || match node.metric("headcount_connections_accepted_total") {
        Ok(accepted) if accepted >= connections as f64 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .unwrap();
    assert_eq!(http::get(node.admin(), "/readyz").unwrap().status, 200);
    assert_eq!(node.metric("headcount_accept_failures_total").unwrap(), 0.0);
    // A newcomer is answered, perhaps with 503.
    assert!(matches!(get(node, "/robots.txt").status(), 200 | 503));
}

/// Returns the number of refusals with this cause.
fn refusals(node: &Node, cause: &str) -> u64 {
    let series = format!("headcount_refusals_total{{cause=\"{cause}\"}} ");
    let metrics = node.metrics().unwrap();
    metrics.lines().find_map(|line| line.strip_prefix(series.as_str())?.parse().ok()).unwrap_or(0)
}

#[test]
fn requests_that_wait_for_a_costly_picture_leave_descriptors_to_others() {
    let node = start_with_descriptors(NodeOptions::default());
    // Each occupies the queue for a third of a second, and the stream's first picture is behind them.
    let mut waiting: Vec<TcpStream> = (0..31).map(|number| begin_get(&node, &largest(number))).collect();
    let stream = largest(99).replace("/snapshot.png", ".png");
    waiting.extend((0..REQUESTS).map(|_| begin_get(&node, &stream)));
    assert_descriptors_left(&node, waiting.len());
    assert!(refusals(&node, "requests") > 0);
    // Once they have gone there is room again.
    drop(waiting);
    wait_until("room", PATIENCE, || match get(&node, "/online.json").status() {
        200 => Ok(()),
        status => Err(status),
    })
    .unwrap();
}

#[test]
fn requests_that_wait_for_redis_leave_descriptors_to_others() {
    let mut redis = RedisServer::start().unwrap();
    let node = start_with_descriptors(NodeOptions::redis(redis.url()));
    node.ready(PATIENCE).unwrap();
    redis.kill();
    let waiting: Vec<TcpStream> = (0..REQUESTS).map(|number| begin_get(&node, &format!("/x{number}.json"))).collect();
    assert_descriptors_left(&node, waiting.len());
    // All wait for the same connection, and not one after the other.
    let begun = Instant::now();
    for mut socket in waiting {
        let mut line = [0; 12];
        // Refused ones may have been closed since.
        let _ = socket.read_exact(&mut line);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(get(&node, "/another.json").status(), 200);
}

#[test]
fn an_address_has_a_bounded_number_of_requests_in_progress() {
    let redis = RedisServer::start().unwrap();
    let options = NodeOptions { redis: Some(redis.url()), ..binary() };
    let node = Node::start(&options.with(["--proxy-protocol-from", "127.0.0.0/8"])).unwrap();
    node.ready(PATIENCE).unwrap();
    // Redis answers nothing any more, and the node has not noticed yet.
    redis.process().signal(Signal::SIGSTOP).unwrap();
    let from = |client: &str, number: usize| begin(&node, &proxied(client, &format!("/x{number}.json")));
    let waiting: Vec<TcpStream> = (0..200).map(|number| from("198.51.100.7", number)).collect();
    let mut refused = 0;
    for mut socket in waiting {
        let mut line = [0; 12];
        if socket.read_exact(&mut line).is_ok() && line.ends_with(b"429") {
            refused += 1;
        }
    }
    assert!((1..=200 - 128).contains(&refused), "{refused} refused");
    assert_eq!(refusals(&node, "address_requests"), refused);
    redis.process().signal(Signal::SIGCONT).unwrap();
}

#[test]
fn a_refused_address_costs_no_picture_and_no_counter() {
    let node = start(["--proxy-protocol-from", "127.0.0.0/8", "--max-address-streams-in-all", "1"]);
    let _stream: Stream = open_for(&node, "198.51.100.7", "/online.png");
    let refused = |path: &str| {
        let answer = Answer::read(&send(
            &node,
            proxied("198.51.100.7", path).replace("Host", "Connection: close\r\nHost").as_bytes(),
        ));
        assert_eq!(answer.status(), 429, "{path}");
    };
    let before = node.usage().unwrap();
    for number in 0..20 {
        refused(&largest(number).replace("/snapshot.png", ".png"));
        refused(&format!("/x{number}.png"));
    }
    let cpu = (node.usage().unwrap() - before).cpu;
    assert!(cpu < Duration::from_millis(200), "{cpu:?} for 40 refusals");
    assert_eq!(node.metric("headcount_presence_counters").unwrap(), 1.0);
}
