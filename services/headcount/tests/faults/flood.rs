//! Floods from outside: invented names by the hundred thousand, and heads that never end. What they may cost is bounded, and
//! an honest viewer notices nothing.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{
    Background, COUNTER, Latencies, Node, NodeOptions, Promise, RedisServer, promise::SOON, query, usage, wait_until,
};
use socket2::{Domain, Socket, Type};

use crate::{
    fleet::{self, PATIENCE, start},
    store,
};

/// Names that are invented, over all nodes.
const NAMES: usize = 100_000;
/// Connections of the flood at a time.
const AT_ONCE: usize = 32;
/// The most that a node may grow: a megabyte for each 20 looks that it may hold, with buffers and the allocator.
const NODE_GROWTH: u64 = 64 << 20;
/// What Redis may keep of it.
const REDIS_GROWTH: u64 = 16 << 20;
/// Redis may keep so much afterwards: tables that are not shrunk yet, and buffers of its clients. The names alone, were they kept,
/// would take ten times as much.
const REDIS_LEFT: u64 = 4 << 20;
/// Counters whose histories a node begins though they are not listed.
const HISTORIES: usize = 100;
/// Bytes of a history in Redis, with its allocation.
const HISTORY_BYTES: u64 = 56 << 10;
/// Looks that a node may hold.
const LOOKS: usize = 1024;
/// Keys of a counter with one viewer.
const KEYS: usize = 4;
/// Looks go seconds after their viewers, and a counter's keys 12 s after them.
const FORGOTTEN: Duration = Duration::from_secs(60);

pub(crate) fn a_hundred_thousand_names_are_invented() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[3, 3, 3])?;
    let memory = |redis: &RedisServer| redis.info("used_memory").unwrap().parse::<u64>().unwrap();
    let nodes: Vec<SocketAddr> = fleet.nodes.iter().map(|node| node.node.address()).collect();
    // Every node has drawn, spoken and allocated once.
    let warm = invent(&nodes, "warm", 300);
    assert_eq!(warm.shown.load(Ordering::Relaxed), 300);
    let before: Vec<u64> = fleet.nodes.iter().map(|node| node.node.usage().unwrap().pss_bytes).collect();
    let redis_before = memory(&redis);

    let begun = Instant::now();
    let most = most(&redis);
    let flood = invent(&nodes, "invented", NAMES);
    let took = begun.elapsed();
    let (most_keys, most_memory) = most.end();
    let (shown, refused) = (flood.shown.load(Ordering::Relaxed), flood.refused.load(Ordering::Relaxed));
    let growth: Vec<u64> = fleet
        .nodes
        .iter()
        .zip(&before)
        .map(|(node, before)| node.node.usage().unwrap().pss_bytes.saturating_sub(*before))
        .collect();
    println!(
        "{NAMES} invented names in {took:.0?}: {shown} shown, {refused} refused; the nodes grew by {:?} MB (bound {}), \
         Redis held {most_keys} keys and {} MB more at most",
        growth.iter().map(|bytes| bytes >> 20).collect::<Vec<_>>(),
        NODE_GROWTH >> 20,
        most_memory.saturating_sub(redis_before) >> 20,
    );
    assert_eq!(shown + refused, NAMES);
    assert!(growth.iter().all(|bytes| *bytes <= NODE_GROWTH), "{growth:?}");
    assert!(most_keys <= fleet.nodes.len() * ((LOOKS + AT_ONCE) * KEYS + HISTORIES), "{most_keys} keys");
    let histories = fleet.nodes.len() as u64 * HISTORIES as u64 * HISTORY_BYTES;
    assert!(most_memory - redis_before <= REDIS_GROWTH + histories, "{most_memory} bytes after {redis_before}");

    // Viewers from before still see the right number, and new viewers are accepted again.
    fleet.exact(&Promise::begin("after the flood: exact", SOON))?;
    wait_until("Redis without the invented names", FORGOTTEN, || {
        let mut keys = redis.keys().unwrap().into_iter();
        match keys.find(|key| key.contains("invented") && !key.ends_with(store::HISTORY)) {
            Some(key) => Err(key),
            None => Ok(()),
        }
    })
    .unwrap();
    // Each node has begun to record a bounded number of them.
    let histories = redis.keys().unwrap().iter().filter(|key| key.ends_with(store::HISTORY)).count();
    assert!(histories <= HISTORIES * fleet.nodes.len(), "{histories} histories");
    let left = memory(&redis).saturating_sub(redis_before + histories as u64 * HISTORY_BYTES);
    println!(
        "a minute later Redis holds {} kB more than before, none of the names, and {histories} histories",
        left >> 10
    );
    assert!(left <= REDIS_LEFT, "{left} bytes");
    fleet.nodes[0].join(1)?;
    fleet.exact(&Promise::begin("a newcomer after it: exact", SOON))?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// What came of a flood.
#[derive(Default)]
struct Flood {
    shown: AtomicUsize,
    refused: AtomicUsize,
    next: AtomicUsize,
}

/// Opens a stream of each of this many unknown names, and closes it at the first byte.
fn invent(nodes: &[SocketAddr], prefix: &str, names: usize) -> Arc<Flood> {
    let flood = Arc::new(Flood::default());
    thread::scope(|scope| {
        for thread in 0..AT_ONCE {
            let flood = Arc::clone(&flood);
            scope.spawn(move || {
                loop {
                    let number = flood.next.fetch_add(1, Ordering::Relaxed);
                    if number >= names {
                        return;
                    }
                    // One address has too few ports for all connections.
                    let from = Ipv4Addr::new(127, 1 + (number / 5_000) as u8, 0, 1 + thread as u8);
                    match status(from, nodes[number % nodes.len()], &format!("/{prefix}-{number}.png")) {
                        200 => flood.shown.fetch_add(1, Ordering::Relaxed),
                        503 => flood.refused.fetch_add(1, Ordering::Relaxed),
                        status => panic!("{status}"),
                    };
                }
            });
        }
    });
    flood
}

fn status(from: Ipv4Addr, node: SocketAddr, path: &str) -> u16 {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&node.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut line = [0; 12];
    socket.read_exact(&mut line).unwrap();
    std::str::from_utf8(&line[9..]).unwrap().parse().unwrap()
}

/// Looks again and again at what Redis holds: the most keys, and the most bytes.
fn most(redis: &RedisServer) -> Background<(usize, u64)> {
    let address = redis.address();
    Background::repeat((0, 0), move |(keys, memory)| {
        *keys = query(address, &["DBSIZE"]).map(|now: usize| now.max(*keys)).unwrap();
        let info: String = query(address, &["INFO", "memory"]).unwrap();
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        *memory = used.trim().parse::<u64>().unwrap().max(*memory);
        thread::sleep(Duration::from_millis(100));
    })
}

/// Heads that never end.
const HALF_OPEN: usize = 2_000;
/// Viewers that come one after the other, with and without them.
const HONEST: usize = 200;
/// What the heads may add to the time until an honest viewer sees an image.
const DELAY: Duration = Duration::from_millis(100);

pub(crate) fn half_open_heads_delay_nobody() -> anyhow::Result<()> {
    // As many as may wait by default; the oldest of them are closed; and where all of them may wait.
    for heads in ["1024", "4096"] {
        let node = start(NodeOptions::default().with(["--max-heads", heads]));
        drop(honest(&node));
        let without = honest(&node);
        let slow = half_open(&node);
        // A viewer within the burst would wait for the rest of it, at --accept-rate.
        node.reaches("headcount_connections_accepted_total", (2 * HONEST + HALF_OPEN) as f64, PATIENCE).unwrap();
        let with = honest(&node);
        let closed = node.metric("headcount_connections_closed_early_total").unwrap();
        drop(slow);
        println!(
            "an honest viewer's first image, --max-heads {heads}: without {}; beside {HALF_OPEN} half-open heads {}; \
             {closed} of them closed",
            without.summary(),
            with.summary()
        );
        for (quantile, what) in [(0.5, "median"), (1.0, "longest")] {
            let (without, with) = (without.quantile(quantile), with.quantile(quantile));
            assert!(with <= without + DELAY, "{what}: {with:?} beside them, {without:?} without");
        }
        wait_until("the end of all heads", PATIENCE, || match usage::descriptors(node.process().id()).unwrap() {
            ..=100 => Ok(()),
            open => Err(format!("{open} descriptors")),
        })
        .unwrap();
    }
    Ok(())
}

/// How long each of some viewers, one after the other, waits for the first whole image.
fn honest(node: &Node) -> Latencies {
    let mut times = Latencies::default();
    for _ in 0..HONEST {
        let begun = Instant::now();
        let mut socket = TcpStream::connect(node.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "GET /{COUNTER}.png HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        // The last chunk of a PNG.
        while !seen.windows(4).any(|window| window == b"IEND") {
            let read = socket.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "turned away: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..read]);
        }
        times.record(begun.elapsed());
    }
    times
}

/// Connections with half a head each, to which a byte is added every second.
fn half_open(node: &Node) -> Background<impl Send> {
    let open = |number: usize| {
        let from = Ipv4Addr::new(127, 0, 1, (number / 1_000) as u8);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&node.address().into()).unwrap();
        let mut socket = TcpStream::from(socket);
        // Where the node holds as many as it may, it has closed the oldest.
        let _ = socket.write_all(b"GET /online.png HTTP/1.1\r\nHost: a\r\nX: ");
        socket
    };
    let mut sockets: Vec<TcpStream> = (0..HALF_OPEN).map(open).collect();
    Background::repeat((0..HALF_OPEN).cycle(), move |numbers| {
        for number in numbers.take(20) {
            let _ = sockets[number].write_all(b"a");
        }
        thread::sleep(Duration::from_millis(10));
    })
}
