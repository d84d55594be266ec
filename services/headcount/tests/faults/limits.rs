//! The limits of client addresses, over all nodes together: what one address can have at most, whatever it tries.
//!
//! Viewers come from public addresses by the PROXY protocol; those that only watch come from loopback, which is exempt.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use headcount_testkit::{
    BALANCER, Batch, Behaviour, COUNTER, Data, Goal, Node, NodeOptions, Promise, RedisCluster, RedisServer, Snapshot,
    Viewers,
    client::ProxyHeader,
    promise::{DAMPED, SOON},
    stream, wait_until,
};
use socket2::{Domain, Socket, Type};

use crate::{
    fleet::{PATIENCE, pass, start},
    store,
};

/// An address that no list of exempt ones has.
pub(crate) const ADDRESS: &str = "198.51.100.7";
/// Most streams of a counter from one address, by default.
const LIMIT: usize = 32;
/// The pace of addresses is no limit in tests that are not about it.
const FAST: &str = "--max-address-rate=100000";
/// A dead node's streams keep their places for 14 s after its last report of them, and the next attempt is half a second later.
const FREE: Duration = Duration::from_secs(15);

/// Nodes behind a load balancer, with a watching viewer each that no limit applies to.
pub(crate) struct Service {
    pub(crate) redis: RedisServer,
    pub(crate) nodes: Vec<Node>,
    watching: Viewers,
}

impl Service {
    pub(crate) fn start(nodes: usize, arguments: &[&str]) -> Self {
        let redis = RedisServer::start().unwrap();
        let options = NodeOptions::redis(redis.url()).behind_balancer();
        let options = options.with(arguments.iter().copied());
        let nodes: Vec<Node> = (0..nodes).map(|_| start(options.clone())).collect();
        for node in &nodes {
            node.ready(PATIENCE).unwrap();
        }
        let watching = Viewers::open(nodes.len(), &nodes.iter().map(stream).collect::<Vec<_>>()).unwrap();
        Self { redis, nodes, watching }
    }

    /// So many viewers from one address try to come, to these nodes in turn. All have been answered when this returns.
    pub(crate) fn attempt(&self, count: usize, address: &str, nodes: &[Node]) -> Viewers {
        let urls = nodes.iter().map(stream).collect();
        let viewers = Viewers::start(Batch { count, urls, behaviour: from(address), ..Batch::default() }).unwrap();
        viewers.reach(Goal::Opened, PATIENCE * 3).unwrap();
        viewers
    }

    /// Waits until JSON and pictures show this many viewers in addition to the watching ones.
    /// An address with many changes is damped: they show within [`DAMPED`].
    pub(crate) fn counts(&self, viewers: usize) {
        let count = (viewers + self.nodes.len()) as u64;
        self.watching.all_see(count, DAMPED + SOON).unwrap();
        for node in &self.nodes {
            let said = || match node.reading(COUNTER).map_err(|error| error.to_string())? {
                reading if reading.count == count => Ok(()),
                reading => Err(format!("{reading:?}")),
            };
            wait_until(&format!("a count of {count}"), SOON, said).unwrap();
        }
    }

    /// Waits until Redis holds this many streams, of all addresses together.
    pub(crate) fn redis_knows(&self, streams: usize) {
        wait_until(&format!("{streams} streams of addresses in Redis"), PATIENCE, || {
            let mut found = 0;
            for key in store::addresses(&self.redis)? {
                let fields: Vec<String> = self.redis.query(&["HKEYS", &key]).map_err(|error| error.to_string())?;
                found += fields.iter().filter(|field| field.starts_with("s:")).count();
            }
            if found == streams { Ok(()) } else { Err(format!("{found}")) }
        })
        .unwrap();
    }

    /// Waits until Redis holds this many addresses.
    pub(crate) fn redis_knows_addresses(&self, addresses: usize) {
        wait_until(&format!("{addresses} addresses in Redis"), PATIENCE, || {
            let found = store::addresses(&self.redis)?.len();
            if found == addresses { Ok(()) } else { Err(format!("{found}")) }
        })
        .unwrap();
    }

    /// How often all nodes have refused for this cause.
    fn refused_for(&self, cause: &str) -> usize {
        self.sum(&format!("headcount_refusals_total{{cause=\"{cause}\"}} "))
    }

    /// How many viewers nodes have let in because Redis did not answer.
    fn decided_alone(&self) -> usize {
        self.sum("headcount_presence_let_in_total{decided=\"alone\"} ")
    }

    fn sum(&self, series: &str) -> usize {
        let metrics = self.nodes.iter().map(|node| node.metrics().unwrap());
        let counts = metrics.flat_map(|metrics| {
            let lines = metrics.lines().filter_map(|line| line.strip_prefix(series)?.parse::<usize>().ok());
            lines.collect::<Vec<_>>()
        });
        counts.sum()
    }
}

/// Viewers from this address, behind the load balancer.
pub(crate) fn from(address: &str) -> Behaviour {
    Behaviour {
        proxy_header: Some(ProxyHeader { first: address.parse().unwrap(), distinct: 1 }),
        source: Some(BALANCER),
        ..Behaviour::default()
    }
}

/// Checks that this many are live, that the rest was refused with 429, and that none was lost otherwise.
fn are_live(viewers: &Viewers, live: usize, refused: usize) -> Snapshot {
    let seen = viewers.snapshot().unwrap();
    let refusals = seen.refused.get(&429).copied().unwrap_or_default();
    assert_eq!((seen.live, refusals, seen.lost()), (live, refused, refused), "{seen}");
    seen
}

/// The whole answer to a request from an address, which must be one that ends.
pub(crate) fn ask(node: &Node, address: &str, request: &str) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((BALANCER, 0)).into()).unwrap();
    socket.connect(&node.address().into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let family = if address.contains(':') { "TCP6" } else { "TCP4" };
    let to = if address.contains(':') { "::1" } else { "127.0.0.1" };
    write!(socket, "PROXY {family} {address} {to} 4711 80\r\n{request}").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn one_address_has_no_more_than_its_limit() -> anyhow::Result<()> {
    let service = Service::start(3, &[FAST]);
    let attackers = service.attempt(10_000, ADDRESS, &service.nodes);
    assert_eq!(service.decided_alone(), 0, "Redis did not answer in time");
    are_live(&attackers, LIMIT, 10_000 - LIMIT);
    service.counts(LIMIT);
    // However fast the pace, a few may have come too fast for it.
    let causes = ["address_streams", "address_rate"].map(|cause| service.refused_for(cause));
    assert!(causes[0] > 9_000 && causes[0] + causes[1] == 10_000 - LIMIT, "{causes:?}");
    // The answer is one that a person and a program understand.
    let request = format!("GET /{COUNTER}.png HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = ask(&service.nodes[1], ADDRESS, &request);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 429 ") && head.to_lowercase().contains("\r\nretry-after: 5"), "{head}");
    assert_eq!(
        body,
        "Your network address has 32 streams of this counter open, as many as it may; close one and try again.\n"
    );
    // What is no stream is not limited.
    for path in [format!("{COUNTER}.json"), format!("{COUNTER}/snapshot.png")] {
        let request = format!("GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(ask(&service.nodes[1], ADDRESS, &request).starts_with("HTTP/1.1 200 "), "{path}");
    }
    // Other addresses are not affected, and a viewer that leaves makes room.
    let others = service.attempt(5, "198.51.100.8", &service.nodes);
    are_live(&others, 5, 0);
    attackers.close(10).unwrap();
    service.counts(LIMIT - 10 + 5);
    service.redis_knows(LIMIT - 10 + 5);
    let more = service.attempt(100, ADDRESS, &service.nodes);
    are_live(&more, 10, 90);
    service.counts(LIMIT + 5);
    // At the other counters it may have more, until it has as many as it may have in all.
    for counter in ["one", "two", "three", "four"] {
        let urls = service.nodes.iter().map(|node| node.url(&format!("{counter}.png"))).collect();
        more.add(&Batch { count: 40, urls, behaviour: from(ADDRESS), ..Batch::default() }).unwrap();
    }
    more.reach(Goal::Opened, PATIENCE).unwrap();
    are_live(&more, 10 + 96, 90 + 64);
    assert!(service.refused_for("address_streams_in_all") >= 32);
    drop((attackers, others, more));
    service.counts(0);
    // When all have gone, nothing is left of them.
    let forgotten = Promise::begin("all streams of an address have ended: Redis forgets it", FREE);
    wait_until("no address in Redis", forgotten.left(), || match store::addresses(&service.redis)? {
        keys if keys.is_empty() => Ok(()),
        keys => Err(format!("{keys:?}")),
    })
    .unwrap();
    forgotten.kept()?;
    Ok(())
}

pub(crate) fn an_ipv6_network_is_one_address() -> anyhow::Result<()> {
    let service = Service::start(2, &[FAST]);
    let (first, second) = service.nodes.split_at(1);
    let one = service.attempt(20, "2001:db8:1:1::1", first);
    are_live(&one, 20, 0);
    // Another address of the same /64, at the other node.
    let same = service.attempt(20, "2001:db8:1:1:2:3:4:5", second);
    are_live(&same, 12, 8);
    let other = service.attempt(20, "2001:db8:1:2::1", second);
    are_live(&other, 20, 0);
    service.counts(52);
    Ok(())
}

pub(crate) fn an_address_opens_streams_at_its_pace() -> anyhow::Result<()> {
    let service = Service::start(2, &["--max-address-rate", "4", "--max-address-streams-in-all", "12"]);
    let begun = std::time::Instant::now();
    let crowd = service.attempt(30, ADDRESS, &service.nodes);
    are_live(&crowd, 12, 18);
    drop(crowd);
    service.redis_knows(0);
    let crowd = service.attempt(12, ADDRESS, &service.nodes);
    // So many more it has earned since, and no more, though it has none open.
    let earned = (begun.elapsed().as_secs_f64() * 4.0).ceil() as usize;
    let live = crowd.snapshot().unwrap().live;
    assert!(live <= earned.min(11), "{live} let in, {earned} earned");
    are_live(&crowd, live, 12 - live);
    assert!(service.refused_for("address_rate") >= 12 - live);
    drop(crowd);
    service.redis_knows(0);
    // The pace of another is its own.
    are_live(&service.attempt(12, "198.51.100.8", &service.nodes), 12, 0);
    pass(Duration::from_secs(3));
    are_live(&service.attempt(12, ADDRESS, &service.nodes), 12, 0);
    Ok(())
}

pub(crate) fn exempt_addresses_have_no_limits_and_cost_redis_nothing() -> anyhow::Result<()> {
    let service = Service::start(1, &[]);
    let node = &service.nodes[0];
    let loopback = Viewers::open(300, &[stream(node)]).unwrap();
    let private = service.attempt(150, "10.20.30.40", &service.nodes);
    are_live(&private, 150, 0);
    service.counts(450);
    assert_eq!(store::addresses(&service.redis).unwrap(), [""; 0]);
    let warnings = || node.log().iter().filter(|line| line.contains("most viewers come from one address")).count();
    assert_eq!(warnings(), 1, "{:#?}", node.log());
    drop((loopback, private));
    // With an empty list no address is exempt.
    let options = NodeOptions::redis(service.redis.url()).with(["--limit-exempt", "", FAST]);
    let strict = start(options.clone());
    strict.ready(PATIENCE).unwrap();
    let viewers = Viewers::start(Batch { count: 40, urls: vec![stream(&strict)], ..Batch::default() }).unwrap();
    viewers.reach(Goal::Opened, PATIENCE).unwrap();
    are_live(&viewers, LIMIT, 40 - LIMIT);
    // Without Redis the same figures hold.
    let alone = start(NodeOptions { redis: None, ..options });
    let viewers = Viewers::start(Batch { count: 40, urls: vec![stream(&alone)], ..Batch::default() }).unwrap();
    viewers.reach(Goal::Opened, PATIENCE).unwrap();
    are_live(&viewers, LIMIT, 40 - LIMIT);
    Ok(())
}

pub(crate) fn a_dead_nodes_streams_free_their_address() -> anyhow::Result<()> {
    let mut service = Service::start(2, &[FAST]);
    let (doomed, rest) = service.nodes.split_at(1);
    let dying = service.attempt(20, ADDRESS, doomed);
    let living = service.attempt(20, ADDRESS, rest);
    are_live(&dying, 20, 0);
    are_live(&living, 12, 8);
    // Longer than that: live streams keep their places.
    pass(FREE);
    are_live(&service.attempt(1, ADDRESS, rest), 0, 1);
    let free = Promise::begin("kill -9 of a node: its streams of an address free their places", FREE);
    service.nodes[0].kill();
    let url = stream(&service.nodes[1]);
    let one = Batch { count: 1, urls: vec![url.clone()], behaviour: from(ADDRESS), ..Batch::default() };
    while living.snapshot().unwrap().live == 12 {
        if free.left().is_zero() {
            return Err(free.broken("none is free").into());
        }
        living.add(&one).unwrap();
        living.reach(Goal::Opened, PATIENCE).unwrap();
    }
    free.kept()?;
    living.add(&Batch { count: 40, ..one }).unwrap();
    living.reach(Goal::Opened, PATIENCE).unwrap();
    assert_eq!(living.snapshot().unwrap().live, LIMIT);
    drop(dying);
    Ok(())
}

pub(crate) fn without_redis_each_nodes_own_limits_hold() -> anyhow::Result<()> {
    let mut service = Service::start(2, &[FAST]);
    let (first, second) = service.nodes.split_at(1);
    let one = service.attempt(20, ADDRESS, first);
    let other = service.attempt(20, ADDRESS, second);
    are_live(&other, 12, 8);
    service.redis.process().freeze().unwrap();
    let let_in = Promise::begin("Redis is frozen: another viewer is let in", Duration::from_secs(2));
    are_live(&service.attempt(1, "198.51.100.8", first), 1, 0);
    let_in.kept()?;
    service.redis.kill();
    // Without Redis no viewer is refused, and each node enforces the same limits alone.
    let more = service.attempt(20, ADDRESS, first);
    are_live(&more, 12, 8);
    let others = service.attempt(20, "198.51.100.9", second);
    are_live(&others, 20, 0);
    are_live(&one, 20, 0);
    are_live(&other, 12, 8);
    // Viewers admitted meanwhile are reported, count, and stay.
    service.redis.restart(Data::Lost).unwrap();
    service.redis_knows(32 + 12 + 20);
    are_live(&service.attempt(3, ADDRESS, second), 0, 3);
    are_live(&service.attempt(20, "198.51.100.9", first), 12, 8);
    are_live(&more, 12, 8);
    assert!(service.decided_alone() >= 12 + 20);
    Ok(())
}

pub(crate) fn a_cluster_keeps_the_limits() -> anyhow::Result<()> {
    let cluster = RedisCluster::start().unwrap();
    let options = NodeOptions::redis(cluster.url()).behind_balancer().with([FAST]);
    let nodes: Vec<Node> = (0..3).map(|_| start(options.clone())).collect();
    for node in &nodes {
        node.ready(PATIENCE).unwrap();
    }
    // What is known of each address is at one master; twelve are at all of them, but for one chance in forty.
    let crowds: Vec<Viewers> = (1..=12)
        .map(|host| {
            let (urls, behaviour) = (nodes.iter().map(stream).collect(), from(&format!("198.51.100.{host}")));
            let crowd = Viewers::start(Batch { count: 100, urls, behaviour, ..Batch::default() }).unwrap();
            crowd.reach(Goal::Opened, PATIENCE).unwrap();
            are_live(&crowd, LIMIT, 100 - LIMIT);
            crowd
        })
        .collect();
    let used = cluster.masters().iter().filter(|master| !store::addresses(master).unwrap().is_empty()).count();
    assert!(used >= 2, "all addresses are at one master");
    crowds[0].all_see((12 * LIMIT) as u64, DAMPED + SOON).unwrap();
    drop(crowds);
    let forgotten = Promise::begin("all streams have ended: every master of a cluster forgets their addresses", FREE);
    wait_until("no address in Redis", forgotten.left(), || {
        let left: Vec<_> = cluster.masters().iter().map(store::addresses).collect::<Result<_, _>>()?;
        if left.iter().all(Vec::is_empty) { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .unwrap();
    forgotten.kept()?;
    Ok(())
}
