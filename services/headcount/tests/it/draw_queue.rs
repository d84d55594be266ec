//! The queues of pictures to draw when they are full.

use std::{
    io::Write,
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Latencies, Node};

use crate::{
    exchange::{connect, get},
    hostile::largest,
    looks::{NEXT_FRAME, growing, is_default, proxied, replaced},
    node::start,
    stream::{Stream, number},
};

/// Costly first pictures that wait at most, and one that is drawn.
const QUEUE: usize = 33;
/// More than the queue holds, although it moves on meanwhile.
const ADDRESSES: usize = 60;

#[test]
fn a_full_queue_of_costly_looks_refuses_no_stream() {
    let node = start(["--proxy-protocol-from", "127.0.0.0/8"]);
    // One for each address, so that none has more than others and must make room for them.
    let clients: Vec<TcpStream> = (0..ADDRESSES)
        .map(|address| {
            let path = largest(address).replace("/snapshot.png", ".png");
            let mut socket = connect(&node);
            socket.write_all(proxied(&format!("198.51.100.{address}"), &path).as_bytes()).unwrap();
            socket
        })
        .collect();
    let streams = clients.into_iter().map(Stream::read_head);
    let default =
        streams.map(|mut stream| is_default(&node, &mut stream, "online.png")).filter(|default| *default).count();
    println!("{default} of {ADDRESSES} addresses with a costly look each get the default one");
    assert!((1..=ADDRESSES - QUEUE).contains(&default), "{default}");
    assert_eq!(replaced(&node, "drawing"), default as u64);
    assert_eq!(node.metric("headcount_refusals_total").unwrap(), 0.0);
}

/// Clients that ask for snapshots of one kind all the time.
const CLIENTS: usize = 16;
/// Time over which frames are measured.
const SPAN: Duration = Duration::from_secs(16);

#[test]
fn the_default_badge_is_prompt_beside_snapshots_of_all_kinds() {
    let node = &start([]);
    let mut badge = Stream::open(node, "/online.png");
    let _growing = growing(node, "/online.png");
    let stop = &AtomicBool::new(false);
    let frames: Vec<(u64, Instant)> = thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || ask(node, stop, |_| "/online/snapshot.png".to_owned(), client));
            // Just below a millisecond.
            let usual = |ordinal: usize| format!("/online/snapshot.png?height=64&bg={ordinal:06x}");
            scope.spawn(move || ask(node, stop, usual, client));
        }
        scope.spawn(move || ask(node, stop, largest, CLIENTS));
        let begun = Instant::now();
        let mut frames = Vec::new();
        while begun.elapsed() < SPAN {
            frames.push((number(&badge.next().unwrap()), Instant::now()));
        }
        stop.store(true, Ordering::Relaxed);
        // What comes at first may have waited in a buffer.
        frames.retain(|(_, at)| *at > begun + Duration::from_secs(1));
        frames
    });
    let mut gaps = Latencies::default();
    for pair in frames.windows(2) {
        gaps.record(pair[1].1 - pair[0].1);
    }
    println!("the default badge's frames beside snapshots of all kinds: {}", gaps.summary());
    assert!(gaps.quantile(0.99) <= NEXT_FRAME, "{}", gaps.summary());
}

/// Asks for one picture after the other, each different, until stopped.
fn ask(node: &Node, stop: &AtomicBool, path: impl Fn(usize) -> String, client: usize) {
    for ordinal in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let answer = get(node, &path(client * 100_000 + ordinal));
        assert!(matches!(answer.status(), 200 | 503), "{answer:?}");
    }
}
