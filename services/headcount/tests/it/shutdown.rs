//! Shutdown: the node becomes unready, every stream ends with its last picture, marked, and the process exits with status 0.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use headcount_drawing::{Artist, Count, Figure, Format, Look, Stamp, read_stamp};
use headcount_testkit::{Node, NodeOptions, wait_until};
use nix::sys::signal::Signal;
use tokio::time::timeout;

use crate::{
    exchange::{Answer, connect},
    http2,
    node::{PATIENCE, start},
    stream::{Stream, number},
};

#[test]
fn streams_end_with_their_last_picture_marked() {
    let artist = Artist::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut node = start(["--drain", "0s"]);
        let looks = ["", "style=odometer&height=32", "style=plain&bg=777&fg=777", ""];
        let mut streams: Vec<(Look, Stream)> = looks
            .iter()
            .zip(["png", "png", "png", "jpg"])
            .map(|(look, format)| {
                let stream = Stream::open(&node, &format!("/online.{format}?{look}"));
                (Look::from_query(look).unwrap(), stream)
            })
            .collect();
        for (_, stream) in &mut streams {
            assert!(!read_stamp(&stream.wait_for(4)).unwrap().stale);
        }
        node.process().signal(signal).unwrap();
        for (look, mut stream) in streams {
            // Live pictures, the marked one, the closing boundary, and a FIN: a reset would make next() panic.
            let parts: Vec<_> = std::iter::from_fn(|| stream.next()).collect();
            let (last, live) = parts.split_last().expect("a last picture");
            assert!(live.iter().all(|part| !read_stamp(part).unwrap().stale), "{signal}: marked too early");
            let stamp = read_stamp(last).unwrap();
            // The last streams may have seen others leave.
            assert!(stamp.stale && (1..=4).contains(&number(last)), "{signal}: a stream ended with {stamp}");
            let figure = Figure { stale: true, epoch: stamp.epoch, version: stamp.version, ..Figure::of(number(last)) };
            let format = if last.starts_with(b"\x89PNG") { Format::Png } else { Format::Jpeg };
            assert!(
                last[..] == artist.draw(&look, &figure, format)[..],
                "{signal}: another picture in the look {look:?}"
            );
        }
        assert!(node.stop(PATIENCE).unwrap().success(), "{signal}");
    }
}

#[test]
fn each_stream_ends_with_the_number_that_it_showed_or_a_newer_one() {
    let mut node = start(["--drain", "2s"]);
    let mut streams: Vec<Stream> = (0..40).map(|_| Stream::open(&node, "/online.png")).collect();
    streams[0].wait_for(40);
    node.process().signal(Signal::SIGTERM).unwrap();
    let mut last_numbers = Vec::new();
    for mut stream in streams {
        let stamps: Vec<Stamp> = std::iter::from_fn(|| stream.next()).map(|part| read_stamp(&part).unwrap()).collect();
        assert!(stamps.is_sorted_by_key(|stamp| stamp.version), "{stamps:?}");
        let (last, live) = stamps.split_last().unwrap();
        assert!(last.stale && live.iter().all(|stamp| !stamp.stale), "{stamps:?}");
        let Count::Exactly(number) = last.count else { panic!("{last} is hidden") };
        last_numbers.push(number);
    }
    // While streams end, the number falls, and with it the one that the others end with.
    let (lowest, highest) = (last_numbers.iter().min().unwrap(), last_numbers.iter().max().unwrap());
    assert!(*lowest < 10 && *highest > 30, "{last_numbers:?}");
    assert!(node.stop(PATIENCE).unwrap().success());
}

#[test]
fn pictures_that_take_long_to_draw_do_not_hold_up_the_shutdown() {
    let mut node = start(["--drain", "0s"]);
    // Costly ones are drawn with a quarter of a processor: they take seconds.
    let mut streams: Vec<Stream> = (0..6)
        .map(|index| Stream::open(&node, &format!("/online.png?style=odometer&height=96&scale=3&label=look+{index}")))
        .collect();
    streams.push(Stream::open(&node, "/online.png"));
    for stream in &mut streams {
        stream.next().expect("a first picture");
    }
    let signalled = Instant::now();
    node.process().signal(Signal::SIGTERM).unwrap();
    // Each is closed when it has ended: the node waits for that.
    let ends: Vec<Stamp> = streams
        .into_iter()
        .map(|mut stream| read_stamp(&std::iter::from_fn(|| stream.next()).last().expect("a last picture")).unwrap())
        .collect();
    assert!(node.stop(PATIENCE).unwrap().success());
    assert!(signalled.elapsed() < Duration::from_secs(1) + AT_ONCE, "stopped after {:?}", signalled.elapsed());
    assert!(ends[6].stale, "the default look is drawn in time: {ends:?}");
}

#[test]
fn a_node_is_unready_before_its_streams_end() {
    let mut node = start(["--drain-delay", "3s", "--drain", "0s"]);
    let mut stream = Stream::open(&node, "/online.png");
    stream.wait_for(1);
    node.ready(PATIENCE).unwrap();
    let signalled = Instant::now();
    node.process().signal(Signal::SIGTERM).unwrap();
    node.unready(PATIENCE).unwrap();
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
fn a_node_that_drains_exits_when_its_last_viewer_has_left() {
    let mut node = start(["--drain-delay", "10m"]);
    let mut stream = Stream::open(&node, "/online.png");
    stream.wait_for(1);
    let signalled = Instant::now();
    node.process().signal(Signal::SIGTERM).unwrap();
    node.unready(PATIENCE).unwrap();
    // Load balancers have 10 s to notice; after that it stays for its viewer.
    let served_on = Duration::from_secs(12);
    let newcomer = Stream::open(&node, "/online.png");
    stream.wait_for(2);
    drop(newcomer);
    stream.wait_for(1);
    thread::sleep(served_on.saturating_sub(signalled.elapsed()));
    let newcomer = Stream::open(&node, "/online.png");
    stream.wait_for(2);
    drop((stream, newcomer));
    let left = Instant::now();
    assert!(node.process_ended(PATIENCE).unwrap().success());
    assert!(left.elapsed() < AT_ONCE, "it ended {:?} after its last viewer", left.elapsed());
}

#[test]
fn streams_end_until_the_drain_is_over() {
    let mut node = start(["--drain", "3s"]);
    let mut streams: Vec<Stream> = (0..40).map(|_| Stream::open(&node, "/online.png")).collect();
    streams[0].wait_for(40);
    let signalled = Instant::now();
    node.process().signal(Signal::SIGTERM).unwrap();
    for mut stream in streams {
        while stream.next().is_some() {}
    }
    let took = signalled.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(3) + PATIENCE).contains(&took), "{took:?}");
    assert!(node.stop(PATIENCE).unwrap().success());
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    for arguments in [["--drain", "10m"], ["--drain-delay", "10m"]] {
        let mut node = start(arguments);
        let mut streams: Vec<Stream> = (0..20).map(|_| Stream::open(&node, "/online.png")).collect();
        streams[0].wait_for(20);
        node.process().signal(Signal::SIGTERM).unwrap();
        node.unready(PATIENCE).unwrap();
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

/// Time within which a viewer sees that another has left.
const SEEN: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread")]
async fn http2_streams_go_on_until_their_end() {
    // The ends are spread so far that none comes during the test.
    let node = start(["--drain", "1h", "--keepalive", "1s"]);
    let (mut sender, _cable) = http2::connect(&node).await;
    let mut streams = http2::open(&mut sender, &node, 2).await;
    let mut leaving = vec![Stream::open(&node, "/online.png")];
    streams[0].wait_for(3).await;
    node.process().signal(Signal::SIGTERM).unwrap();
    node.unready(PATIENCE).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // One over HTTP/1 leaves, then one over HTTP/2.
    leaving.pop();
    timeout(SEEN, streams[0].wait_for(2)).await.expect("the leave of a viewer over HTTP/1 is seen");
    streams.pop();
    timeout(SEEN, streams[0].wait_for(1)).await.expect("the leave of a viewer over HTTP/2 is seen");
    let repeated = timeout(Duration::from_secs(3), streams[0].next()).await.expect("a keep-alive");
    assert_eq!(repeated, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_http2_streams_too() {
    let mut node = start(["--drain", "1m"]);
    let (mut sender, _cable) = http2::connect(&node).await;
    let mut streams = http2::open(&mut sender, &node, 4).await;
    streams[0].wait_for(4).await;
    node.process().signal(Signal::SIGTERM).unwrap();
    node.unready(PATIENCE).unwrap();
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
