//! Shutdown: the node becomes unready, every stream ends with its last picture, and the process exits with status 0.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Node, NodeOptions, http, wait_until};
use nix::sys::signal::Signal;

use crate::{
    exchange::{Answer, connect},
    http2,
    node::{PATIENCE, start},
    stream::{Stream, number},
};

#[test]
fn streams_end_with_their_last_picture() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut node = start(["--drain", "0s"]);
        let mut streams: Vec<Stream> = ["/online.png", "/online.jpg", "/online.png?style=odometer", "/online.png"]
            .iter()
            .map(|path| Stream::open(&node, path))
            .collect();
        for stream in &mut streams {
            stream.wait_for(4);
        }
        node.process().signal(signal).unwrap();
        for mut stream in streams {
            // The last picture again, the closing boundary, and a FIN: a reset would make next() panic. The last streams may
            // have seen others leave.
            let last = std::iter::from_fn(|| stream.next()).last().expect("a last picture");
            assert!((1..=4).contains(&number(&last)), "{signal}: a stream ended with {}", number(&last));
        }
        assert!(node.stop(PATIENCE).unwrap().success(), "{signal}");
    }
}

#[test]
fn a_node_is_unready_before_its_streams_end() {
    let mut node = start(["--drain-delay", "3s", "--drain", "0s"]);
    let mut stream = Stream::open(&node, "/online.png");
    stream.wait_for(1);
    let ready = || http::get(node.admin(), "/readyz").unwrap().status;
    assert_eq!(ready(), 200);
    let signalled = Instant::now();
    node.process().signal(Signal::SIGTERM).unwrap();
    wait_until("unreadiness", PATIENCE, || match ready() {
        503 => Ok(()),
        status => Err(status.to_string()),
    })
    .unwrap();
    // The node still serves its viewers, and new ones from a load balancer that has not noticed yet.
    let other = Stream::open(&node, "/online.png");
    stream.wait_for(2);
    drop(other);
    stream.wait_for(1);
    while stream.next().is_some() {}
    assert!(signalled.elapsed() >= Duration::from_secs(3), "the stream ended {:?} after SIGTERM", signalled.elapsed());
    assert!(node.stop(PATIENCE).unwrap().success());
}

#[test]
fn endings_are_spread_over_the_drain() {
    let mut node = start(["--drain", "3s"]);
    let mut streams: Vec<Stream> = (0..40).map(|_| Stream::open(&node, "/online.png")).collect();
    streams[0].wait_for(40);
    let signalled = Instant::now();
    node.process().signal(Signal::SIGTERM).unwrap();
    let readers: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            thread::spawn(move || {
                while stream.next().is_some() {}
                signalled.elapsed()
            })
        })
        .collect();
    let mut ends: Vec<Duration> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    ends.sort();
    assert!(ends[39] - ends[0] > Duration::from_secs(1), "all ended at once: {ends:?}");
    assert!(ends[39] < Duration::from_secs(3) + PATIENCE, "{ends:?}");
    assert!(node.stop(PATIENCE).unwrap().success());
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    for arguments in [["--drain", "10m"], ["--drain-delay", "10m"]] {
        let mut node = start(arguments);
        let mut streams: Vec<Stream> = (0..20).map(|_| Stream::open(&node, "/online.png")).collect();
        streams[0].wait_for(20);
        node.process().signal(Signal::SIGTERM).unwrap();
        wait_until("unreadiness", PATIENCE, || match http::get(node.admin(), "/readyz").unwrap().status {
            503 => Ok(()),
            status => Err(status.to_string()),
        })
        .unwrap();
        node.process().signal(Signal::SIGTERM).unwrap();
        for mut stream in streams {
            let mut last = None;
            while let Some(part) = stream.next() {
                last = Some(number(&part));
            }
            assert!(last.is_some());
        }
        assert!(node.stop(PATIENCE).unwrap().success(), "{arguments:?}");
    }
}

#[test]
fn new_connections_are_refused_during_the_drain() {
    let node = start(["--drain", "10m"]);
    let mut streams: Vec<Stream> = (0..4).map(|_| Stream::open(&node, "/online.png")).collect();
    streams[0].wait_for(4);
    node.process().signal(Signal::SIGTERM).unwrap();
    wait_until("a closed listener", PATIENCE, || match TcpStream::connect(node.address()) {
        Err(_) => Ok(()),
        Ok(mut socket) => {
            // Only the kernel has accepted it: it is closed without a response.
            let _ = socket.set_read_timeout(Some(Duration::from_millis(100)));
            let _ = socket.read(&mut [0; 1]);
            Err("still open")
        }
    })
    .unwrap();
}

/// Time within which a node answers what waits, and stops, once nothing is left to spread.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn requests_that_wait_for_redis_are_answered_at_shutdown() {
    // It accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let redis = format!("redis://{}", silent.local_addr().unwrap());
    let options = NodeOptions { program: Some(env!("CARGO_BIN_EXE_headcount").into()), ..NodeOptions::redis(redis) };
    let mut node = Node::start(&options.with(["--drain", "10s"])).unwrap();
    let readers: Vec<_> = ["/online.png", "/other.jpg", "/online.png?style=plain"]
        .map(|path| {
            let mut socket = connect(&node);
            write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            thread::spawn(move || {
                let mut answer = Vec::new();
                socket.read_to_end(&mut answer).unwrap();
                (answer, Instant::now())
            })
        })
        .into_iter()
        .collect();
    thread::sleep(Duration::from_millis(200));
    let signalled = Instant::now();
    node.process().signal(Signal::SIGTERM).unwrap();
    for reader in readers {
        let (answer, at) = reader.join().unwrap();
        let answer = Answer::read(&answer);
        assert_eq!(answer.status(), 503, "{answer:?}");
        assert!(answer.sentence().contains("shutting down"), "{answer:?}");
        assert!(at - signalled < AT_ONCE, "answered after {:?}", at - signalled);
    }
    assert!(node.stop(PATIENCE).unwrap().success());
    assert!(signalled.elapsed() < AT_ONCE, "stopped after {:?}", signalled.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_http2_streams_too() {
    let mut node = start(["--drain", "1m"]);
    let (mut sender, _cable) = http2::connect(&node).await;
    let mut streams = http2::open(&mut sender, &node, 4).await;
    streams[0].wait_for(4).await;
    node.process().signal(Signal::SIGTERM).unwrap();
    wait_until("unreadiness", PATIENCE, || match http::get(node.admin(), "/readyz").unwrap().status {
        503 => Ok(()),
        status => Err(status.to_string()),
    })
    .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let signalled = Instant::now();
    node.process().signal(Signal::SIGTERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        let process = node.process().id();
        wait_until("the node's end", PATIENCE, || match std::fs::read_to_string(format!("/proc/{process}/stat")) {
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        })
        .unwrap();
        assert!(node.stop(PATIENCE).unwrap().success());
    });
    for stream in &mut streams {
        while stream.next().await.is_some() {}
    }
    ended.await.unwrap();
    assert!(signalled.elapsed() < AT_ONCE, "stopped after {:?}", signalled.elapsed());
}
