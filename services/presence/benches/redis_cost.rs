//! Measures what presence costs Redis, and fails if a promised bound is exceeded. Starts its own redis-server.
//!
//! `cargo bench -p headcount-presence --bench redis_cost [-- quiet|addresses|million|reaping]` takes two minutes. Only
//! Redis's time is measured, so neither this program's optimisation nor other load on the machine changes it much.

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

/// A measured figure, and the bound that it must stay below.
struct Row {
    what: &'static str,
    measured: f64,
    bound: f64,
    unit: &'static str,
}

impl Row {
    fn is_exceeded(&self) -> bool {
        self.measured >= self.bound
    }
}

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
            let mut registration =
                self.presence.admit(&self.counter, &Client { ip: address, user_agent: Vec::new() }).await.unwrap();
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
    for row in &rows {
        println!("{:<70} {:>10.2} {:>10} {}", row.what, row.measured, row.bound, row.unit);
    }
    let exceeded: Vec<_> = rows.iter().filter(|row| row.is_exceeded()).map(|row| row.what).collect();
    assert!(exceeded.is_empty(), "exceeded: {exceeded:?}");
}

/// A connection of the bench's own.
fn connect(server: &RedisServer) -> redis::Connection {
    redis::Client::open(server.url()).unwrap().get_connection().unwrap()
}

/// A field of INFO.
fn info(connection: &mut redis::Connection, field: &str) -> f64 {
    let text: String = redis::cmd("INFO").arg("everything").query(connection).unwrap();
    let prefix = format!("{field}:");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix)).expect("INFO has the field");
    value.trim().parse().unwrap()
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
    let mut connection = connect(&server);
    let (before, started) = (info(&mut connection, "total_commands_processed"), Instant::now());
    tokio::time::sleep(QUIET).await;
    let commands = info(&mut connection, "total_commands_processed") - before - 1.0;
    let rate = commands / started.elapsed().as_secs_f64();
    vec![Row {
        what: "20 nodes, 20,000 viewers, quiet: commands, those in scripts included",
        measured: rate,
        bound: 20.0,
        unit: "/s",
    }]
}

/// The cost of the limits of addresses with one stream and with two streams.
async fn addresses() -> Vec<Row> {
    let server = RedisServer::start().unwrap();
    let mut connection = connect(&server);
    let mut node = Node::limited(&server, AddressLimits::default());
    node.shows(0, 0).await;
    let cpu = |connection: &mut redis::Connection| info(connection, "used_cpu_user") + info(connection, "used_cpu_sys");
    let (cpu_before, memory_before) = (cpu(&mut connection), info(&mut connection, "used_memory"));
    node.join(0..ADDRESSES).await;
    let joined = cpu(&mut connection) - cpu_before;
    let memory = info(&mut connection, "used_memory") - memory_before;
    // From now on each address has two streams.
    node.join(0..ADDRESSES).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (cpu_before, started) = (cpu(&mut connection), Instant::now());
    tokio::time::sleep(Duration::from_secs(22)).await;
    let reported = (cpu(&mut connection) - cpu_before) / started.elapsed().as_secs_f64();
    let each = f64::from(ADDRESSES);
    vec![
        Row {
            what: "viewers from distinct addresses, limited and registered: Redis's CPU each",
            measured: joined / each * 1e6,
            bound: 150.0,
            unit: "µs",
        },
        Row {
            what: "the same: memory each, while Redis knows them",
            measured: memory / each,
            bound: 500.0,
            unit: "bytes",
        },
        Row {
            what: "20,000 addresses with two streams each, quiet: Redis's CPU",
            measured: reported * 100.0,
            bound: 20.0,
            unit: "% of a core",
        },
    ]
}

/// A million registrations of distinct people.
async fn million() -> Vec<Row> {
    let server = RedisServer::start().unwrap();
    let mut connection = connect(&server);
    let mut nodes: Vec<_> = (0..NODES).map(|_| Node::start(&server)).collect();
    for node in &nodes {
        node.shows(0, 0).await;
    }
    let cpu = |connection: &mut redis::Connection| info(connection, "used_cpu_user") + info(connection, "used_cpu_sys");
    let (cpu_before, memory_before) = (cpu(&mut connection), info(&mut connection, "used_memory"));
    for (number, node) in (0..).zip(&mut nodes) {
        node.join(number * 50_000..(number + 1) * 50_000).await;
    }
    for node in &nodes {
        node.shows(1_000_000, 1_000_000).await;
    }
    let cpu = cpu(&mut connection) - cpu_before;
    let memory = info(&mut connection, "used_memory") - memory_before;
    vec![
        Row { what: "1,000,000 registrations of distinct visitors: Redis's CPU", measured: cpu, bound: 5.0, unit: "s" },
        Row {
            what: "1,000,000 registrations of distinct visitors: memory",
            measured: memory / 1e6,
            bound: 150.0,
            unit: "MB",
        },
    ]
}

/// A node dies with 500,000 viewers, which another node removes.
fn reaping(runtime: &Runtime) -> Vec<Row> {
    let server = RedisServer::start().unwrap();
    let mut connection = connect(&server);
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
    for (setting, value) in [("slowlog-max-len", 100_000_i64), ("slowlog-log-slower-than", SLOW)] {
        redis::cmd("CONFIG").arg("SET").arg(setting).arg(value).exec(&mut connection).unwrap();
    }
    redis::cmd("SLOWLOG").arg("RESET").exec(&mut connection).unwrap();
    let died = Instant::now();
    dying.shutdown_background();
    let gone = runtime.block_on(async {
        survivor.shows(10, 10).await;
        died.elapsed()
    });
    let keys = |connection: &mut redis::Connection| -> usize {
        redis::cmd("EXISTS").arg("hc:{online}:reaping").query(connection).unwrap()
    };
    while keys(&mut connection) > 0 {
        assert!(died.elapsed() < Duration::from_secs(60), "the reaping does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("the reaping of 500,000 viewers took {:.1} s", (died.elapsed() - gone).as_secs_f64());
    drop(dead);
    let mut entries: Vec<Slow> = redis::cmd("SLOWLOG").arg("GET").arg(-1).query(&mut connection).unwrap();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.2));
    for (_, _, microseconds, arguments, ..) in entries.iter().take(5) {
        println!("slow log: {microseconds} µs: {}", String::from_utf8_lossy(&arguments[0]));
    }
    println!("slow log: {} µs at the median of {} calls over {SLOW} µs", entries[entries.len() / 2].2, entries.len());
    let slowest = entries[0].2 as f64 / 1e3;
    vec![
        Row {
            what: "a dead node's 500,000 viewers: removed from the count after",
            measured: gone.as_secs_f64(),
            bound: 10.0,
            unit: "s",
        },
        Row {
            what: "a dead node's 500,000 viewers: slowest call in Redis's slow log",
            measured: slowest,
            bound: 10.0,
            unit: "ms",
        },
    ]
}
