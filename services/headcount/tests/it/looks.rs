//! Looks that are costly to draw, and looks by the thousand.

use std::{
    io::Write,
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Background, Latencies, Node, wait_until};

use crate::{
    exchange::{Answer, send},
    node::{PATIENCE, start},
    stream::{Stream, number},
};

/// Most cores for all looks that cost more than a millisecond.
const COSTLY_SHARE: f64 = 0.25;
/// Cores for everything else in these tests, on a slow machine: connections, presence, and the costly pictures' way out.
const REST: f64 = 0.2;
/// Time over which the node's use of the processors is measured.
const SPAN: Duration = Duration::from_secs(5);
/// Most time from one frame of the default badge to the next while its number changes (p99).
pub(crate) const NEXT_FRAME: Duration = Duration::from_millis(150);

/// A look that takes several milliseconds to draw, a twentieth of the largest possible one.
fn costly(ordinal: usize) -> String {
    format!("height=84&label={}&bg={ordinal:06x}", "W".repeat(31))
}

/// A request that a load balancer passes on for the given client.
pub(crate) fn proxied(client: &str, path: &str) -> String {
    format!("PROXY TCP4 {client} 127.0.0.1 4711 80\r\nGET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

pub(crate) fn open_for(node: &Node, client: &str, path: &str) -> Stream {
    Stream::open_by(node, proxied(client, path).as_bytes())
}

/// Reads all streams until they end, each in a thread.
fn read_all(streams: impl IntoIterator<Item = Stream>) {
    for mut stream in streams {
        let mut socket = stream.socket().try_clone().unwrap();
        socket.set_read_timeout(None).unwrap();
        thread::spawn(move || std::io::copy(&mut socket, &mut std::io::sink()));
    }
}

/// Changes of the number in a second.
const CHANGES: u32 = 16;

/// Opens viewers at the rate of [`CHANGES`], so that every frame shows another number, until dropped.
pub(crate) fn growing(node: &Node, path: &'static str) -> Background<Vec<TcpStream>> {
    let address = node.address();
    Background::repeat(Vec::new(), move |viewers| {
        let mut socket = TcpStream::connect(address).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        viewers.push(socket);
        thread::sleep(Duration::from_secs(1) / CHANGES);
    })
}

/// Opens these looks while the number changes all the time. Returns the cores that the node uses, and the times from one
/// frame of the default badge to the next.
fn cores_with(looks: impl Iterator<Item = String>) -> (f64, Latencies) {
    let node = start([]);
    let looks: Vec<String> = looks.collect();
    let open = &|queries: &[String]| -> Vec<Stream> {
        queries.iter().map(|query| Stream::open(&node, &format!("/online.png?{query}"))).collect()
    };
    let streams: Vec<Stream> = thread::scope(|scope| {
        let opening: Vec<_> = looks.chunks(16).map(|queries| scope.spawn(move || open(queries))).collect();
        opening.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    read_all(streams);
    let mut badge = Stream::open(&node, "/online.png");
    let growing = growing(&node, "/online.png");
    // The first pictures, and what may follow at once after a quiet time.
    thread::sleep(Duration::from_secs(2));
    let (before, begun) = (node.usage().unwrap(), Instant::now());
    let mut frames: Vec<(u64, Instant)> = Vec::new();
    while begun.elapsed() < SPAN {
        frames.push((number(&badge.next().unwrap()), Instant::now()));
    }
    let cores = (node.usage().unwrap() - before).cpu.as_secs_f64() / begun.elapsed().as_secs_f64();
    drop(growing);
    let mut gaps = Latencies::default();
    // What had arrived before it was read says nothing.
    frames.retain(|(_, at)| *at > begun + Duration::from_millis(100));
    for pair in frames.windows(2) {
        gaps.record(pair[1].1 - pair[0].1);
    }
    (cores, gaps)
}

#[test]
fn costly_looks_share_a_quarter_of_a_core() {
    let (base, gaps) = cores_with((0..31).map(|ordinal| format!("bg={ordinal:06x}")));
    println!("31 small looks: {base:.2} cores; the default badge's frames: {}", gaps.summary());
    let (cores, gaps) = cores_with((0..31).map(costly));
    println!("31 costly looks: {cores:.2} cores; the default badge's frames: {}", gaps.summary());
    assert!(cores <= COSTLY_SHARE + REST, "{cores:.2} cores; with small looks {base:.2}");
    assert!(gaps.quantile(0.99) <= NEXT_FRAME, "{}", gaps.summary());
}

#[test]
fn charts_share_a_quarter_of_a_core() {
    let (base, _) = cores_with((0..31).map(|ordinal| format!("bg={ordinal:06x}")));
    let (cores, gaps) =
        cores_with((0..31).map(|ordinal| format!("style=chart&width=1200&height=300&bg={ordinal:06x}")));
    println!("31 charts: {cores:.2} cores, 31 small looks {base:.2}; the default badge's frames: {}", gaps.summary());
    assert!(cores <= COSTLY_SHARE + REST, "{cores:.2} cores; with small looks {base:.2}");
    assert!(gaps.quantile(0.99) <= NEXT_FRAME, "{}", gaps.summary());
}

#[test]
fn a_thousand_people_who_ask_for_charts_get_a_quarter_of_a_core() {
    let node = start(["--proxy-protocol-from", "127.0.0.0/8"]);
    let stop = AtomicBool::new(false);
    // A thousand client addresses, 24 at a time, ask for snapshots and live charts in looks of their own.
    let ask = |thread: usize| {
        let mut answered = 0;
        for ordinal in (thread..1000).step_by(24).cycle() {
            if stop.load(Ordering::Relaxed) {
                return answered;
            }
            let file = if ordinal % 2 == 0 { "online/snapshot.png" } else { "online.png" };
            let path = format!("/{file}?style=chart&span=all&bg={ordinal:06x}");
            let client = format!("198.51.{}.{}", 100 + ordinal / 250, ordinal % 250);
            let mut socket = crate::exchange::connect(&node);
            socket.write_all(proxied(&client, &path).as_bytes()).unwrap();
            // A refusal is an answer too: it says to come back.
            let mut head = [0; 12];
            std::io::Read::read_exact(&mut socket, &mut head).unwrap();
            answered += 1;
        }
        answered
    };
    let (cores, answers) = thread::scope(|scope| {
        let asking: Vec<_> = (0..24)
            .map(|thread| {
                scope.spawn({
                    let ask = &ask;
                    move || ask(thread)
                })
            })
            .collect();
        thread::sleep(Duration::from_secs(1));
        let (before, begun) = (node.usage().unwrap(), Instant::now());
        thread::sleep(SPAN);
        let cores = (node.usage().unwrap() - before).cpu.as_secs_f64() / begun.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        (cores, asking.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>())
    });
    println!("{answers} answers, {cores:.2} cores");
    assert!(cores <= COSTLY_SHARE + REST, "{cores:.2} cores");
}

#[test]
fn the_default_badge_is_prompt_beside_a_thousand_looks() {
    let (cores, gaps) = cores_with((0..1000).map(|ordinal| format!("height=40&bg={ordinal:06x}")));
    println!("1,000 looks: {cores:.2} cores; the default badge's frames: {}", gaps.summary());
    assert!(gaps.quantile(0.99) <= NEXT_FRAME, "{}", gaps.summary());
}

#[test]
fn an_address_with_many_costly_looks_does_not_slow_that_of_another() {
    let node = start(["--proxy-protocol-from", "127.0.0.0/8"]);
    for ordinal in 0..16 {
        for network in 0..2 {
            let query = costly(ordinal * 2 + network);
            read_all([open_for(&node, &format!("198.51.100.{network}"), &format!("/online.png?{query}"))]);
        }
    }
    let mut own = open_for(&node, "203.0.113.1", &format!("/online.png?{}", costly(0xffff)));
    let mut shared = open_for(&node, "203.0.113.1", &format!("/online.png?{}", costly(0)));
    let stop = AtomicBool::new(false);
    let frames = |stream: &mut Stream| {
        let begun = Instant::now();
        let mut frames = 0;
        while begun.elapsed() < SPAN {
            stream.next().unwrap();
            frames += 1;
        }
        frames
    };
    let (own, shared) = thread::scope(|scope| {
        scope.spawn(|| {
            let mut viewers = Vec::new();
            for ordinal in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                viewers.push(open_for(&node, &format!("192.0.2.{}", ordinal % 250), "/online.png"));
                thread::sleep(Duration::from_secs(1) / CHANGES);
            }
        });
        let shared = scope.spawn(|| frames(&mut shared));
        let own = frames(&mut own);
        let shared = shared.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        (own, shared)
    });
    println!("{own} frames of an address's only costly look, {shared} of one of another's sixteen");
    // Its turn comes after one picture of each of the two others, not after their 32.
    assert!(own >= 2 * shared, "{own} and {shared} frames");
}

/// Looks that a node can hold, by default.
const MAX_LOOKS: usize = 1024;
/// Most of them that one address may begin.
const MAX_ADDRESS_LOOKS: usize = 16;

/// Whether a stream shows the counter's default look.
pub(crate) fn is_default(node: &Node, stream: &mut Stream, file: &str) -> bool {
    let part = stream.next().unwrap();
    let counter = file.split('.').next().unwrap();
    let path = format!("/{counter}/snapshot.{}", file.split('.').nth(1).unwrap());
    let snapshot = Answer::read(&send(
        node,
        proxied("203.0.113.200", &path).replace("Host", "Connection: close\r\nHost").as_bytes(),
    ));
    assert_eq!(stream.head.header("content-type"), Some(headcount_wire::CONTENT_TYPE));
    // The height of a picture tells its look, whatever the number.
    height(&part) == height(&snapshot.body)
}

/// Returns the bytes of a PNG that give its height. Of a JPEG, returns its kind.
fn height(picture: &[u8]) -> &[u8] {
    if picture.starts_with(b"\x89PNG") { &size(picture)[4..] } else { size(picture) }
}

/// Returns the bytes of a PNG that give its size. Of a JPEG, returns its kind.
fn size(picture: &[u8]) -> &[u8] {
    if picture.starts_with(b"\x89PNG") { &picture[16..24] } else { &picture[..3] }
}

pub(crate) fn replaced(node: &Node, cause: &str) -> u64 {
    let series = format!("headcount_looks_replaced_total{{cause=\"{cause}\"}} ");
    let metrics = node.metrics().unwrap();
    metrics.lines().find_map(|line| line.strip_prefix(series.as_str())?.parse().ok()).expect("the series exists")
}

#[test]
fn newcomers_get_a_stream_when_looks_are_used_up() {
    let node = start(["--proxy-protocol-from", "127.0.0.0/8", "--counters", "online,other"]);
    let invent = &|address: usize| {
        let open = |ordinal: usize| {
            let path = format!("/online.png?height=40&bg={:06x}", address * MAX_ADDRESS_LOOKS + ordinal);
            open_for(&node, &format!("198.51.100.{address}"), &path)
        };
        (0..MAX_ADDRESS_LOOKS).map(open).collect()
    };
    let invented: Vec<Vec<Stream>> = thread::scope(|scope| {
        let addresses = 0..MAX_LOOKS / MAX_ADDRESS_LOOKS;
        let opening: Vec<_> = addresses.map(|address| scope.spawn(move || invent(address))).collect();
        opening.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!((replaced(&node, "max_looks"), replaced(&node, "address_looks")), (0, 0));
    let files = ["online.png", "online.jpg", "other.png", "other.jpg"];
    let mut newcomers = 0;
    for (ordinal, file) in files.into_iter().enumerate() {
        for query in ["", "?height=33", "?style=odometer"] {
            let mut newcomer = open_for(&node, &format!("203.0.113.{ordinal}"), &format!("/{file}{query}"));
            assert!(is_default(&node, &mut newcomer, file), "{file}{query}");
            newcomers += 1;
        }
    }
    assert_eq!(replaced(&node, "max_looks"), newcomers - files.len() as u64);
    assert_eq!(node.metric("headcount_refusals_total").unwrap(), 0.0);
    // Looks without viewers make room.
    drop(invented);
    wait_until("a look of their own", PATIENCE, || {
        let part = open_for(&node, "203.0.113.9", "/online.png?height=33").next().unwrap();
        if size(&part)[4..] == 33_u32.to_be_bytes() { Ok(()) } else { Err("the default look") }
    })
    .unwrap();
}

#[test]
fn an_address_begins_at_most_sixteen_looks() {
    let node = start(["--proxy-protocol-from", "127.0.0.0/8", "--limit-exempt", "192.0.2.0/24"]);
    let look = |ordinal: usize| format!("/online.png?height={}", 30 + ordinal);
    let height = |client: &str, ordinal: usize| {
        let mut stream = open_for(&node, client, &look(ordinal));
        let part = stream.next().unwrap();
        let height = u32::from_be_bytes(size(&part)[4..].try_into().unwrap());
        (stream, height as usize)
    };
    let mut streams = Vec::new();
    for ordinal in 0..MAX_ADDRESS_LOOKS {
        let (stream, height) = height("198.51.100.1", ordinal);
        assert_eq!(height, 30 + ordinal);
        streams.push(stream);
    }
    let default = height("198.51.100.1", MAX_ADDRESS_LOOKS).1;
    assert_eq!(default, 20);
    assert_eq!(replaced(&node, "address_looks"), 1);
    // Another address has looks of its own, and shares those of others.
    let (other, found) = height("198.51.100.2", MAX_ADDRESS_LOOKS);
    assert_eq!(found, 30 + MAX_ADDRESS_LOOKS);
    let (shared, found) = height("198.51.100.1", MAX_ADDRESS_LOOKS);
    assert_eq!(found, 30 + MAX_ADDRESS_LOOKS);
    // An exempt address has no such limit.
    for ordinal in 20..60 {
        let (stream, found) = height("192.0.2.1", ordinal);
        assert_eq!(found, 30 + ordinal);
        streams.push(stream);
    }
    assert_eq!(replaced(&node, "address_looks"), 1);
    drop((other, shared));
}
