//! Measures what presence costs Redis, and fails if a promised bound is exceeded. Starts its own redis-server.
//!
//! `cargo bench -p headcount-presence --bench redis_cost [-- ROW...]` takes six minutes. Only Redis's time is measured, so
//! neither this program's optimisation nor other load on the machine changes it much. The rows: quiet, addresses, million,
//! reaping, counters (10,000 on 20 nodes), rooms (100,000 on 3), nodes (1,000 of one counter), households (250,000 pairs
//! of an address and a node).

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use headcount_presence::{AddressLimits, Client, Counter, CounterName, Presence, RedisUrl, Registration, Settings};
use headcount_testkit::RedisServer;
use tokio::runtime::Runtime;

const NODES: usize = 20;

/// How long the quiet counter is measured: several heartbeats of each node.
const QUIET: Duration = Duration::from_secs(33);

/// Viewers from distinct addresses.
const ADDRESSES: u32 = 20_000;

/// Threshold of the slow log, in microseconds.
const SLOW: i64 = 200;

/// An entry of the slow log: number, time, duration in microseconds, arguments, client, name.
type Slow = (i64, i64, i64, Vec<Vec<u8>>, String, String);

/// What is measured, the figure, the bound that it must stay below, and their unit.
type Row = (&'static str, f64, f64, &'static str);

struct Node {
    presence: Presence,
    counter: Counter,
    registrations: Vec<Registration>,
}

impl Node {
    /// A node whose viewers are all exempt from the limits of addresses.
    fn start(server: &RedisServer) -> Node {
        let exempt = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()].into();
        Node::limited(server, AddressLimits { exempt, ..AddressLimits::default() })
    }

    fn limited(server: &RedisServer, limits: AddressLimits) -> Node {
        let settings = Settings { limits, ..Settings::default() };
        let presence = Presence::redis(RedisUrl::parse(&server.url()).unwrap(), settings);
        let counter = presence.counter(&CounterName::parse("online").unwrap()).unwrap();
        Node { presence, counter, registrations: Vec::new() }
    }

    /// Registers viewers of distinct visitors.
    async fn join(&mut self, visitors: std::ops::Range<u32>) {
        for visitor in visitors {
            let address = Ipv4Addr::from_bits(0x1000_0000 + visitor).into();
            let mut registration = self
                .presence
                .admit(self.counter.name(), &Client { ip: address, user_agent: Vec::new() })
                .await
                .unwrap();
            registration.start_counting();
            self.registrations.push(registration);
        }
    }

    /// Waits until the node shows these numbers.
    async fn shows(&self, count: u64, visitors: u64) {
        let mut readings = self.counter.watch();
        let shown = readings.wait_for(|it| (it.count, it.visitors) == (count, visitors) && !it.stale);
        if tokio::time::timeout(Duration::from_secs(60), shown).await.is_err() {
            panic!("not {count}, {visitors}, but {:?}", *self.counter.watch().borrow());
        }
    }
}

fn main() {
    // `cargo test --all-targets` runs benches as well. Only `cargo bench` passes this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = Runtime::new().unwrap();
    let is_wanted = |name: &str| {
        let mut names = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|wanted| wanted == name)
    };
    let mut rows = Vec::new();
    if is_wanted("quiet") {
        rows.extend(runtime.block_on(quiet()));
    }
    if is_wanted("counters") {
        rows.extend(runtime.block_on(many_counters(10_000, 20, "10,000 counters on 20 nodes", (0.75, 400.0))));
    }
    if is_wanted("rooms") {
        rows.extend(runtime.block_on(many_counters(100_000, 3, "100,000 counters on 3 nodes", (0.83, 400.0))));
    }
    if is_wanted("nodes") {
        rows.extend(runtime.block_on(many_nodes()));
    }
    if is_wanted("households") {
        rows.extend(runtime.block_on(households()));
    }
    if is_wanted("addresses") {
        rows.extend(runtime.block_on(addresses()));
    }
    if is_wanted("million") {
        rows.extend(runtime.block_on(million()));
    }
    if is_wanted("reaping") {
        rows.extend(reaping(&runtime));
    }
    println!("{:<70} {:>10} {:>10}", "", "measured", "bound");
    for (what, measured, bound, unit) in &rows {
        println!("{what:<70} {measured:>10.2} {bound:>10} {unit}");
    }
    let exceeded: Vec<_> = rows.iter().filter(|(_, measured, bound, _)| measured >= bound).collect();
    assert!(exceeded.is_empty(), "exceeded: {exceeded:?}");
}

/// A field of INFO.
fn info(server: &RedisServer, field: &str) -> f64 {
    server.info(field).unwrap().trim().parse().unwrap()
}

/// The processor time that Redis has used, in seconds.
fn cpu(server: &RedisServer) -> f64 {
    info(server, "used_cpu_user") + info(server, "used_cpu_sys")
}

/// 20 nodes with 20,000 viewers from distinct addresses, without changes.
async fn quiet() -> Vec<Row> {
    let server = RedisServer::start().unwrap();
    let mut nodes: Vec<_> = (0..NODES).map(|_| Node::limited(&server, AddressLimits::default())).collect();
    for (number, node) in (0..).zip(&mut nodes) {
        node.join(number * 1_000..(number + 1) * 1_000).await;
    }
    for node in &nodes {
        node.shows(20_000, 20_000).await;
    }
    // A new epoch settles first.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (before, started) = (info(&server, "total_commands_processed"), Instant::now());
    tokio::time::sleep(QUIET).await;
    // With the few of the connection that asks.
    let commands = info(&server, "total_commands_processed") - before;
    let rate = commands / started.elapsed().as_secs_f64();
    vec![("20 nodes, 20,000 viewers, quiet: commands, those in scripts included", rate, 20.0, "/s")]
}

/// The processor time that Redis uses meanwhile, in cores.
async fn cores(server: &RedisServer, time: Duration) -> f64 {
    let (before, started) = (cpu(server), Instant::now());
    tokio::time::sleep(time).await;
    (cpu(server) - before) / started.elapsed().as_secs_f64()
}

/// A viewer of each of so many counters on each of so many nodes, without changes. The bounds of a pair of a counter and a
/// node are in microseconds a second, and in bytes.
async fn many_counters(counters: u32, nodes: u32, what: &str, bounds: (f64, f64)) -> Vec<Row> {
    let server = RedisServer::start().unwrap();
    let memory_before = info(&server, "used_memory");
    let names: Vec<_> = (0..counters).map(|number| CounterName::parse(&format!("room-{number}")).unwrap()).collect();
    let limits = AddressLimits { exempt: vec!["0.0.0.0/0".parse().unwrap()], ..AddressLimits::default() };
    let settings = Settings { max_counters: counters as usize, limits, ..Settings::default() };
    let begun = Instant::now();
    let mut all = Vec::new();
    for node in 0..nodes {
        let presence = Presence::redis(RedisUrl::parse(&server.url()).unwrap(), settings.clone());
        let client = Client { ip: Ipv4Addr::from_bits(0x1000_0000 + node).into(), user_agent: Vec::new() };
        let mut registrations = Vec::new();
        for name in &names {
            let mut registration = presence.admit(name, &client).await.unwrap();
            registration.start_counting();
            registrations.push(registration);
        }
        // One after the other: this process has the processor of one node.
        for name in &names {
            let mut readings = presence.counter(name).unwrap().watch();
            let shown = readings.wait_for(|it| it.count > u64::from(node) && !it.stale);
            if tokio::time::timeout(Duration::from_secs(600), shown).await.is_err() {
                panic!("{name}: not {}, but {:?}", node + 1, *presence.counter(name).unwrap().watch().borrow());
            }
        }
        all.push((presence, registrations));
    }
    println!("{what}: all are right after {:.1} s", begun.elapsed().as_secs_f64());
    // New epochs settle first.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let commands = info(&server, "total_commands_processed");
    let cores = cores(&server, QUIET).await;
    let commands = (info(&server, "total_commands_processed") - commands) / QUIET.as_secs_f64();
    println!("{what}: {cores:.3} of a core, {commands:.0} commands a second, those in scripts included");
    let pairs = f64::from(counters * nodes);
    let memory = info(&server, "used_memory") - memory_before;
    let row = |measured: &str| -> &'static str { format!("{what}, quiet: {measured}").leak() };
    vec![
        (row("Redis's CPU a pair and second"), cores / pairs * 1e6, bounds.0, "µs"),
        (row("memory a pair"), memory / pairs, bounds.1, "bytes"),
    ]
}

/// One counter on 1,000 nodes, all of which change all the time.
async fn many_nodes() -> Vec<Row> {
    let server = RedisServer::start().unwrap();
    let mut nodes: Vec<_> = (0..1_000).map(|_| Node::start(&server)).collect();
    for (number, node) in (0..).zip(&mut nodes) {
        node.join(number..number + 1).await;
    }
    for node in &nodes {
        node.shows(1_000, 1_000).await;
    }
    let changing: Vec<_> = (1_000..)
        .zip(nodes)
        .map(|(visitor, mut node)| {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(u64::from(visitor) * 100)).await;
                loop {
                    node.join(visitor..visitor + 1).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    node.registrations.pop();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let cores = cores(&server, QUIET).await;
    changing.iter().for_each(tokio::task::JoinHandle::abort);
    vec![("1 counter on 1,000 nodes, all of them changing: Redis's CPU", cores * 100.0, 10.0, "% of a core")]
}

/// 125,000 addresses with two streams on each of two nodes, without changes.
async fn households() -> Vec<Row> {
    let server = RedisServer::start().unwrap();
    let mut nodes = [(); 2].map(|()| Node::limited(&server, AddressLimits::default()));
    for _ in 0..2 {
        for node in &mut nodes {
            node.join(0..125_000).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(25)).await;
    let cores = cores(&server, QUIET).await;
    drop(nodes);
    vec![("250,000 pairs of an address and a node, quiet: Redis's CPU", cores * 100.0, 5.0, "% of a core")]
}

/// The cost of the limits of addresses with one stream and with two streams.
async fn addresses() -> Vec<Row> {
    let server = RedisServer::start().unwrap();
    let mut node = Node::limited(&server, AddressLimits::default());
    node.shows(0, 0).await;
    let (cpu_before, memory_before) = (cpu(&server), info(&server, "used_memory"));
    node.join(0..ADDRESSES).await;
    let joined = cpu(&server) - cpu_before;
    let memory = info(&server, "used_memory") - memory_before;
    // From now on each address has two streams.
    node.join(0..ADDRESSES).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (cpu_before, started) = (cpu(&server), Instant::now());
    tokio::time::sleep(Duration::from_secs(22)).await;
    let reported = (cpu(&server) - cpu_before) / started.elapsed().as_secs_f64();
    let each = f64::from(ADDRESSES);
    vec![
        ("viewers from distinct addresses, limited and registered: Redis's CPU each", joined / each * 1e6, 150.0, "µs"),
        ("the same: memory each, while Redis knows them", memory / each, 500.0, "bytes"),
        ("20,000 addresses with two streams each, quiet: Redis's CPU", reported * 100.0, 20.0, "% of a core"),
    ]
}

/// A million registrations of distinct people.
async fn million() -> Vec<Row> {
    let server = RedisServer::start().unwrap();
    let mut nodes: Vec<_> = (0..NODES).map(|_| Node::start(&server)).collect();
    for node in &nodes {
        node.shows(0, 0).await;
    }
    let (cpu_before, memory_before) = (cpu(&server), info(&server, "used_memory"));
    for (number, node) in (0..).zip(&mut nodes) {
        node.join(number * 50_000..(number + 1) * 50_000).await;
    }
    for node in &nodes {
        node.shows(1_000_000, 1_000_000).await;
    }
    let joined = cpu(&server) - cpu_before;
    let memory = info(&server, "used_memory") - memory_before;
    vec![
        ("1,000,000 registrations of distinct visitors: Redis's CPU", joined, 5.0, "s"),
        ("1,000,000 registrations of distinct visitors: memory", memory / 1e6, 150.0, "MB"),
    ]
}

/// A node dies with 500,000 viewers, which another node removes.
fn reaping(runtime: &Runtime) -> Vec<Row> {
    let server = RedisServer::start().unwrap();
    let survivor = runtime.block_on(async {
        let mut survivor = Node::start(&server);
        survivor.join(0..10).await;
        survivor
    });
    let dying = Runtime::new().unwrap();
    let dead = dying.block_on(async {
        let mut node = Node::start(&server);
        node.join(10..500_010).await;
        node
    });
    runtime.block_on(survivor.shows(500_010, 500_010));
    let slow = SLOW.to_string();
    server.command(&["CONFIG", "SET", "slowlog-max-len", "100000", "slowlog-log-slower-than", &slow]).unwrap();
    server.command(&["SLOWLOG", "RESET"]).unwrap();
    let died = Instant::now();
    dying.shutdown_background();
    let gone = runtime.block_on(async {
        survivor.shows(10, 10).await;
        died.elapsed()
    });
    while server.query::<usize>(&["EXISTS", "hc:{online}:reaping"]).unwrap() > 0 {
        assert!(died.elapsed() < Duration::from_secs(60), "the reaping does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("the reaping of 500,000 viewers took {:.1} s", (died.elapsed() - gone).as_secs_f64());
    drop(dead);
    let mut entries: Vec<Slow> = server.query(&["SLOWLOG", "GET", "-1"]).unwrap();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.2));
    for (_, _, microseconds, arguments, ..) in entries.iter().take(5) {
        println!("slow log: {microseconds} µs: {}", String::from_utf8_lossy(&arguments[0]));
    }
    println!("slow log: {} µs at the median of {} calls over {SLOW} µs", entries[entries.len() / 2].2, entries.len());
    let slowest = entries[0].2 as f64 / 1e3;
    vec![
        ("a dead node's 500,000 viewers: removed from the count after", gone.as_secs_f64(), 10.0, "s"),
        ("a dead node's 500,000 viewers: slowest call in Redis's slow log", slowest, 10.0, "ms"),
    ]
}
