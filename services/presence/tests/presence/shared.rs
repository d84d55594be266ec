//! Several nodes on one Redis, while nothing is wrong.

use std::time::{Duration, Instant};

use headcount_presence::{Counter, CounterName, Presence, Reading, RedisUrl, Registration, Settings, Timing};
use headcount_testkit::RedisServer;

use crate::embedded::{client, name};

/// How long a change may take to reach all nodes, on a machine that is busy with tests.
pub(crate) const SOON: Duration = Duration::from_secs(2);

/// A node: a presence with one counter.
pub(crate) struct Node {
    pub(crate) presence: Presence,
    pub(crate) counter: Counter,
    pub(crate) registrations: Vec<Registration>,
}

impl Node {
    pub(crate) fn start(url: &str) -> Node {
        Node::start_with(url, "online", Settings::default())
    }

    pub(crate) fn start_with(url: &str, counter: &str, settings: Settings) -> Node {
        let presence = Presence::redis(RedisUrl::parse(url).unwrap(), settings);
        let counter = presence.counter(&name(counter)).unwrap();
        Node { presence, counter, registrations: Vec::new() }
    }

    /// Adds this many viewers, for the visitors from this number on.
    pub(crate) async fn join(&mut self, first: u16, many: u16) {
        for person in first..first + many {
            let mut registration = self.presence.admit(self.counter.name(), &client(person)).await.unwrap();
            registration.start_counting();
            self.registrations.push(registration);
        }
    }

    pub(crate) fn reading(&self) -> Reading {
        *self.counter.watch().borrow()
    }

    /// Waits until the node shows this.
    pub(crate) async fn shows(&self, count: u64, within: Duration) -> Reading {
        let mut readings = self.counter.watch();
        let is_shown = readings.wait_for(|reading| reading.count == count && !reading.stale);
        match tokio::time::timeout(within, is_shown).await {
            Ok(reading) => *reading.unwrap(),
            Err(_) => panic!("not {count} within {within:?}, but {:?}", self.reading()),
        }
    }
}

/// Waits until all nodes show this.
pub(crate) async fn all_show(nodes: &[&Node], count: u64, within: Duration) {
    let started = Instant::now();
    for node in nodes {
        node.shows(count, within.saturating_sub(started.elapsed())).await;
    }
}

/// All keys of counters, but for their histories, which outlive them.
pub(crate) fn keys(server: &RedisServer) -> Vec<String> {
    server.keys().unwrap().into_iter().filter(|key| key.starts_with("hc:{") && !key.ends_with(":history")).collect()
}

#[tokio::test]
async fn all_nodes_agree_on_joins_and_leaves() {
    let server = RedisServer::start().unwrap();
    let mut nodes = [Node::start(&server.url()), Node::start(&server.url()), Node::start(&server.url())];
    for (number, node) in (0..).zip(&mut nodes) {
        node.join(number * 50, 100).await; // each shares half of its people with the next one
    }
    let [a, b, c] = &nodes;
    all_show(&[a, b, c], 300, SOON).await;
    for node in &nodes {
        assert_eq!(node.shows(300, SOON).await.visitors, 200);
    }
    nodes[0].registrations.truncate(30);
    nodes[2].registrations.clear();
    let [a, b, c] = &nodes;
    all_show(&[a, b, c], 130, SOON).await;
    assert_eq!(a.reading(), Reading { as_of: a.reading().as_of, ..c.reading() }, "the same state on all nodes");
}

#[tokio::test]
async fn more_viewers_than_fit_into_one_report() {
    let server = RedisServer::start().unwrap();
    let (mut one, watching) = (Node::start(&server.url()), Node::start(&server.url()));
    one.join(0, 5_500).await;
    all_show(&[&one, &watching], 5_500, SOON * 3).await;
    let (before, mut readings) = (watching.reading().epoch, watching.counter.watch());
    server.command(&["FLUSHALL"]).unwrap();
    // While they are registered again, report by report, the number never falls.
    let healed = readings.wait_for(|reading| {
        assert_eq!(reading.count, 5_500);
        reading.epoch > before
    });
    tokio::time::timeout(Duration::from_secs(10), healed).await.expect("registered again within 10 s").unwrap();
    one.registrations.truncate(100);
    all_show(&[&one, &watching], 100, SOON * 3).await;
}

#[tokio::test]
async fn a_counter_is_read_where_it_is_not_live() {
    let server = RedisServer::start().unwrap();
    let mut one = Node::start(&server.url());
    one.join(0, 3).await;
    one.shows(3, SOON).await;
    let elsewhere = Presence::redis(RedisUrl::parse(&server.url()).unwrap(), Settings::default());
    let reading = elsewhere.read(&name("online")).await;
    assert_eq!((reading.count, reading.stale), (3, false));
    let nobody = elsewhere.read(&name("nobody")).await;
    assert_eq!((nobody.count, nobody.stale), (0, false));
    assert!(keys(&server).iter().all(|key| key.starts_with("hc:{online}")), "reading leaves nothing behind");
}

#[tokio::test]
async fn the_viewers_of_a_released_node_leave_within_a_second() {
    let server = RedisServer::start().unwrap();
    let (mut leaving, mut staying) = (Node::start(&server.url()), Node::start(&server.url()));
    leaving.join(0, 2_000).await;
    staying.join(3_000, 5).await;
    all_show(&[&leaving, &staying], 2_005, SOON).await;
    let ended = Instant::now();
    // Some registrations are still taken when the leases end, as when the deadline of a shutdown is reached.
    leaving.registrations.truncate(500);
    leaving.presence.release().await;
    staying.shows(5, Duration::from_secs(1)).await;
    println!("2,000 viewers of a stopped node are gone after {:?}", ended.elapsed());
}

#[tokio::test]
async fn counters_without_viewers_leave_nothing_behind() {
    let server = RedisServer::start().unwrap();
    // The state goes a lease and a settling time after the last viewer.
    let timing = Timing {
        heartbeat: Duration::from_millis(300),
        lease: Duration::from_millis(600),
        settle: Duration::from_millis(300),
        ..Default::default()
    };
    let node = Node::start_with(&server.url(), "watched", Settings { timing, ..Settings::default() });
    let mut others = Vec::new();
    for number in 0..50 {
        let counter = node.presence.counter(&CounterName::parse(&format!("c{number}")).unwrap()).unwrap();
        let mut registration = node.presence.admit(counter.name(), &client(number)).await.unwrap();
        registration.start_counting();
        others.push(registration);
    }
    let deadline = Instant::now() + SOON * 5;
    while keys(&server).iter().filter(|key| key.ends_with(":state")).count() < 50 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(others);
    while !keys(&server).is_empty() {
        assert!(Instant::now() < deadline, "{:?} is left", keys(&server));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(node.reading().count, 0, "a counter that is only watched has no state, and 0 viewers");
}

#[tokio::test]
async fn the_first_viewers_of_counters_are_no_loss_of_data() {
    const ADDRESSES: u16 = 1_000;
    const COUNTERS: u16 = 20;
    let server = RedisServer::start().unwrap();
    // No heartbeat in between, which reports crowded addresses again.
    let timing = Timing { heartbeat: Duration::from_secs(60), lease: Duration::from_secs(90), ..Default::default() };
    let mut node = Node::start_with(&server.url(), "online", Settings { timing, ..Settings::default() });
    node.join(0, ADDRESSES).await;
    node.join(0, ADDRESSES).await;
    node.shows(2 * u64::from(ADDRESSES), SOON).await;
    let mut registry = prometheus_client::registry::Registry::default();
    node.presence.register_metrics(&mut registry);
    let calls = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let calls = text.lines().find_map(|line| line.strip_prefix("presence_calls_total{script=\"address\"} "));
        calls.unwrap().parse::<u64>().unwrap()
    };
    let before = calls();
    let mut others = Vec::new();
    for number in 0..COUNTERS {
        let counter = node.presence.counter(&CounterName::parse(&format!("c{number}")).unwrap()).unwrap();
        let settled = counter.settled().await;
        assert_eq!((settled.count, settled.stale), (0, false));
        let mut registration = node.presence.admit(counter.name(), &client(2 * ADDRESSES + number)).await.unwrap();
        registration.start_counting();
        let mut readings = counter.watch();
        let counts = readings.wait_for(|reading| reading.count == 1);
        tokio::time::timeout(SOON, counts).await.expect("counts").unwrap();
        others.push(registration);
    }
    // As long as it takes to report all addresses again.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(calls() - before, u64::from(COUNTERS), "all addresses were reported again");
}

#[tokio::test]
async fn many_nodes_send_no_more_probes_than_one() {
    let server = RedisServer::start().unwrap();
    let settings = Settings { timing: Timing::scaled(10), ..Settings::default() };
    let nodes: Vec<_> = (0..10).map(|_| Node::start_with(&server.url(), "online", settings.clone())).collect();
    all_show(&nodes.iter().collect::<Vec<_>>(), 0, SOON).await;
    let published = || {
        let text: String = server.query(&["INFO", "commandstats"]).unwrap();
        let calls = |line: &str| line.strip_prefix("cmdstat_publish:calls=")?.split(',').next()?.parse::<u64>().ok();
        text.lines().find_map(calls).unwrap_or(0)
    };
    // Each that opens its subscription may send one.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = published();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let probes = published() - before;
    // One in 275 to 358 ms, where each for itself would send one in 375 to 458 ms: ninety.
    assert!((5..=40).contains(&probes), "{probes} probes in 4 s");
    // What one of them finds missing comes back, as the others know it.
    let key: Vec<u8> = server.query(&["GET", "hc:visitor-key"]).unwrap();
    for name in ["hc:data-id", "hc:visitor-key"] {
        server.evict(name).unwrap();
    }
    let deadline = Instant::now() + SOON;
    while server.query::<usize>(&["EXISTS", "hc:data-id", "hc:visitor-key"]).unwrap() < 2 {
        assert!(Instant::now() < deadline, "the keys of all nodes are not back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.query::<Vec<u8>>(&["GET", "hc:visitor-key"]).unwrap(), key);
}
