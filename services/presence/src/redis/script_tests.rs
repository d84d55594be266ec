//! The Lua scripts on a real Redis in situations that last for minutes or need a clock that steps, with shorter times
//! and a clock that the test moves. Each fault is shown as well: with the old text in the script, the test fails.

mod epochs;
mod history;
mod removals;
mod suspicion;

use std::time::{Duration, Instant};

use headcount_testkit::RedisServer;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, RedisError};

use super::keys::{CounterKeys, Prefix};
use super::reply::{Reply, Status};
use super::scripts::{Call, KnownClock, Phase, Report, Scripts, Seen, Upkeep};
use crate::CounterName;
use crate::settings::Timing;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;

/// A tenth of a lease, so that a busy machine does not end one by chance.
const STEP: Duration = Duration::from_millis(60);

const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(300),
    lease: Duration::from_millis(900),
    suspicion: Duration::from_millis(300),
    settle: Duration::from_millis(300),
    keep: Duration::from_millis(2000),
    publish_gap: Duration::from_millis(1),
    ..super::property::TIMING
};

/// Lets the test move the clock that scripts see, by a key with the shift in microseconds.
const CLOCK: (&str, &str) = (
    "local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])",
    "local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2]) + tonumber(redis.call('GET', 'clock-shift') or 0)",
);

const HOUR: i64 = 3_600_000_000;

struct Counter {
    /// Ends with the test.
    _server: RedisServer,
    connection: MultiplexedConnection,
    scripts: Scripts,
    keys: CounterKeys,
}

impl Counter {
    async fn new() -> Counter {
        Counter::with_bugs(&[]).await
    }

    async fn with_bugs(bugs: &[(&str, &str)]) -> Counter {
        let server = RedisServer::start().unwrap();
        let connection = super::property::connect(&server).await;
        let scripts = bugs.iter().fold(Scripts::new(&TIMING).with_bug(CLOCK.0, CLOCK.1), |scripts, (right, wrong)| {
            scripts.with_bug(right, wrong)
        });
        let keys = Prefix("hc:".to_owned()).counter(&CounterName::parse("online").unwrap());
        Counter { _server: server, connection, scripts, keys }
    }

    async fn call(&self, call: &Call<'_>) -> Result<Reply, RedisError> {
        let mut command = redis::cmd("EVAL");
        command.arg(&call.script.code).arg(call.keys.len()).arg(&call.keys).arg(&call.arguments);
        let value = command.query_async(&mut self.connection.clone()).await?;
        Ok(Reply::parse(value).expect("a reply"))
    }

    async fn shift_clock(&self, microseconds: i64) {
        let _: () = self.connection.clone().set("clock-shift", microseconds).await.unwrap();
    }

    async fn delete(&self, key: &str) {
        let deleted: i64 = self.connection.clone().del(key).await.unwrap();
        assert_eq!(deleted, 1, "{key}");
    }

    /// What JSON on a node without the counter says.
    async fn look(&self, node: &Node) -> (u64, u64) {
        self.look_knowing(node.clock()).await
    }

    /// The same, by what the node knows of the clock.
    async fn look_knowing(&self, clock: KnownClock) -> (u64, u64) {
        let reply = self.call(&self.scripts.look(&self.keys, clock)).await.unwrap();
        (reply.state.count, reply.state.visitors)
    }

    /// Removes ended sessions until none is left, as a node that is asked to does.
    async fn reap(&self, mut reply: Reply) -> Reply {
        while let Some(session) = reply.reap.take() {
            let call = self.scripts.reap(&self.keys, reply.state.seen(), &session, KnownClock::default());
            reply = self.call(&call).await.unwrap();
        }
        reply
    }
}

/// A node as the scripts see it.
struct Node {
    name: &'static str,
    session: String,
    seq: u64,
    viewers: Vec<(ViewerId, Visitor)>,
    seen: Seen,
    last_reply: (u64, Instant),
}

impl Node {
    /// A node with so many viewers, each another visitor.
    async fn start(counter: &Counter, name: &'static str, viewers: std::ops::Range<u64>) -> Node {
        let viewers = viewers.map(|number| (ViewerId(number), Visitor(number))).collect();
        Node::start_as(counter, name, viewers).await
    }

    async fn start_as(counter: &Counter, name: &'static str, viewers: Vec<(ViewerId, Visitor)>) -> Node {
        let (session, seen, last_reply) = (String::new(), Seen::default(), (0, Instant::now()));
        let mut node = Node { name, session, seq: 0, viewers, seen, last_reply };
        node.register(counter).await;
        node
    }

    fn clock(&self) -> KnownClock {
        KnownClock { at: self.last_reply.0, age: self.last_reply.1.elapsed() }
    }

    fn apply(&mut self, reply: &Reply) {
        self.last_reply = (reply.now, Instant::now());
        if reply.state.order() >= (self.seen.epoch, self.seen.version) {
            self.seen = reply.state.seen();
        }
    }

    async fn register(&mut self, counter: &Counter) -> Reply {
        let hello =
            counter.call(&counter.scripts.hello(&counter.keys, self.seen, self.name, self.clock())).await.unwrap();
        self.apply(&hello);
        let old = std::mem::replace(&mut self.session, hello.session);
        self.seq = 0;
        let viewers = self.viewers.clone();
        let reply = self.send(counter, Phase::Live { old: &old }, &viewers, &[]).await.unwrap();
        assert_eq!(reply.status, Status::Ok, "{} cannot register", self.name);
        reply
    }

    async fn send(
        &mut self,
        counter: &Counter,
        phase: Phase<'_>,
        joins: &[(ViewerId, Visitor)],
        leaves: &[ViewerId],
    ) -> Result<Reply, RedisError> {
        let has_content = !joins.is_empty() || !leaves.is_empty() || phase != Phase::Same;
        let report = Report {
            session: &self.session,
            seq: self.seq + u64::from(has_content),
            last_reply: self.clock(),
            expected: self.viewers.len(),
            phase,
            joins,
            leaves,
            upkeep: Upkeep::None,
        };
        let reply = counter.call(&counter.scripts.report(&counter.keys, self.seen, &report)).await?;
        self.seq = report.seq;
        self.apply(&reply);
        Ok(reply)
    }

    async fn heartbeat(&mut self, counter: &Counter) -> Reply {
        self.send(counter, Phase::Same, &[], &[]).await.unwrap()
    }

    async fn leave(&mut self, counter: &Counter) -> Reply {
        let (viewer, _) = self.viewers.remove(0);
        self.send(counter, Phase::Same, &[], &[viewer]).await.unwrap()
    }

    /// A heartbeat, and a new registration if Redis disagrees. Returns the count and the visitors of the last reply.
    async fn live(&mut self, counter: &Counter) -> (u64, u64) {
        let mut reply = self.heartbeat(counter).await;
        if reply.status != Status::Ok {
            reply = self.register(counter).await;
        }
        let reply = counter.reap(reply).await;
        (reply.state.count, reply.state.visitors)
    }
}

/// All nodes report for so long. Every number in the replies must be one of `allowed`; returns the last one.
async fn go_on(counter: &Counter, nodes: &mut [&mut Node], time: Duration, allowed: &[(u64, u64)]) -> (u64, u64) {
    // What came just now is published after the gap.
    tokio::time::sleep(TIMING.publish_gap * 2).await;
    let begun = Instant::now();
    let mut last = (0, 0);
    while begun.elapsed() < time {
        for node in &mut *nodes {
            last = node.live(counter).await;
            assert!(
                allowed.contains(&last),
                "{}: {last:?} after {:?}, not one of {allowed:?}",
                node.name,
                begun.elapsed()
            );
        }
        tokio::time::sleep(STEP).await;
    }
    last
}

/// Only leaves, for three lives of a key. Returns whether each reply had the right number.
async fn only_leaves(counter: &Counter) -> bool {
    let mut node = Node::start(counter, "a", 0..200).await;
    let begun = Instant::now();
    while begun.elapsed() < TIMING.keep * 3 {
        tokio::time::sleep(STEP).await;
        let reply = node.leave(counter).await;
        let left = node.viewers.len() as u64;
        if (reply.status, reply.state.count, reply.state.visitors) != (Status::Ok, left, left) {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_registration_lives_as_long_as_its_lease() {
    assert!(only_leaves(&Counter::new().await).await);
    let bug = ("  keep_registrations(is_new)\n  store", "  if is_new then keep_registrations(true) end\n  store");
    assert!(!only_leaves(&Counter::with_bugs(&[bug]).await).await, "the test does not find the fault");
}

/// A node is away until its registrations are gone, while the visitors stay. Returns what is counted in the end.
async fn outage(counter: &Counter) -> (u64, u64) {
    // Ten viewers are one visitor.
    let viewers = |numbers: std::ops::Range<u64>| numbers.map(|it| (ViewerId(it), Visitor(it / 10))).collect();
    let mut a = Node::start_as(counter, "a", viewers(0..30)).await;
    let mut b = Node::start_as(counter, "b", viewers(100..110)).await;
    go_on(counter, &mut [&mut a, &mut b], STEP * 3, &[(30, 3), (40, 4)]).await;
    counter.delete(&counter.keys.viewers(&a.session)).await;
    // The leases of both end while nobody removes anything.
    tokio::time::sleep(TIMING.lease + TIMING.suspicion).await;
    a.viewers.truncate(10);
    let deadline = Instant::now() + TIMING.lease * 3;
    let mut last = (0, 0);
    while Instant::now() < deadline {
        for node in [&mut b, &mut a] {
            last = node.live(counter).await;
            // Slower than a suspicion: the session whose registrations are gone ends.
            tokio::time::sleep(TIMING.suspicion + STEP).await;
        }
    }
    last
}

#[tokio::test]
async fn an_outage_in_which_registrations_run_out_leaves_no_ghosts() {
    assert_eq!(outage(&Counter::new().await).await, (20, 2));
    let bugs = [
        (
            "if redis.call('HLEN', VIEWERS) ~= own.size or redis.call('HLEN', VISITORS) ~= state.people then",
            "if false then",
        ),
        ("if redis.call('EXISTS', VIEWERS) == 0 or redis.call('HLEN', VISITORS) ~= state.people then", "if false then"),
    ];
    let last = outage(&Counter::with_bugs(&bugs).await).await;
    assert_ne!(last, (20, 2), "the test does not find the fault");
}

#[tokio::test]
async fn the_clock_of_redis_goes_back_by_an_hour() {
    let counter = Counter::new().await;
    let (mut a, mut b) = (Node::start(&counter, "a", 0..30).await, Node::start(&counter, "b", 100..110).await);
    let dead = Node::start(&counter, "dead", 200..205).await;
    go_on(&counter, &mut [&mut a, &mut b], STEP, &[(45, 45)]).await;
    counter.shift_clock(-HOUR).await;
    let since = Instant::now();
    drop(dead);
    let all = [(45, 45), (40, 40), (40, 45)];
    go_on(&counter, &mut [&mut a, &mut b], TIMING.lease / 2, &[(45, 45)]).await;
    let gone = TIMING.lease + TIMING.suspicion + STEP * 4;
    let last = go_on(&counter, &mut [&mut a, &mut b], gone.saturating_sub(since.elapsed()), &all).await;
    assert_eq!(last, (40, 40), "a dead node's viewers stay");
    go_on(&counter, &mut [&mut a, &mut b], TIMING.lease * 2, &[(40, 40)]).await;
}

#[tokio::test]
async fn the_clock_of_redis_goes_forward() {
    for shift in [HOUR, TIMING.lease.as_micros() as i64 + 1000] {
        let counter = Counter::new().await;
        let mut nodes = [
            Node::start(&counter, "a", 0..30).await,
            Node::start(&counter, "b", 100..110).await,
            Node::start(&counter, "c", 200..260).await,
        ];
        let [a, b, c] = &mut nodes;
        let all = [(100, 100)];
        go_on(&counter, &mut [a, b, c], STEP * 2, &all).await;
        counter.shift_clock(shift).await;
        assert_eq!(counter.look(a).await, (100, 100));
        // Nodes report twice: the first report renews the lease by the old clock.
        go_on(&counter, &mut [a, b, c], TIMING.lease * 3, &all).await;
        assert_eq!(counter.look(a).await, (100, 100));
    }
}

#[tokio::test]
async fn after_a_stall_the_number_waits_for_the_nodes() {
    let counter = Counter::new().await;
    let (mut a, mut b) = (Node::start(&counter, "a", 0..30).await, Node::start(&counter, "b", 100..110).await);
    let dead = Node::start(&counter, "dead", 200..205).await;
    tokio::time::sleep(TIMING.lease + STEP).await;
    drop(dead);
    // All leases have run out. Each node speaks when it can; nobody is shown another number meanwhile.
    assert_eq!(counter.look(&a).await, (45, 45));
    assert_eq!(b.live(&counter).await, (45, 45));
    tokio::time::sleep(TIMING.suspicion / 2).await;
    assert_eq!(a.live(&counter).await, (45, 45));
    let last = go_on(&counter, &mut [&mut a, &mut b], TIMING.suspicion * 2, &[(45, 45), (40, 40), (40, 45)]).await;
    assert_eq!(last, (40, 40));
}

#[tokio::test]
async fn whatever_key_is_evicted_the_number_is_exact_soon() {
    for victim in 0..4 {
        let counter = Counter::new().await;
        let (mut a, mut b) = (Node::start(&counter, "a", 0..30).await, Node::start(&counter, "b", 100..110).await);
        go_on(&counter, &mut [&mut a, &mut b], STEP, &[(30, 30), (40, 40)]).await;
        let key = match victim {
            0 => counter.keys.state.clone(),
            1 => counter.keys.sessions.clone(),
            2 => counter.keys.visitors.clone(),
            _ => counter.keys.viewers(&a.session),
        };
        counter.delete(&key).await;
        // The first change after it, which must not publish a wrong number.
        let reply = b.leave(&counter).await;
        assert!(matches!(reply.state.count, 39 | 40), "{key}: {:?}", reply.state);
        if reply.status != Status::Ok {
            b.register(&counter).await;
        }
        let reply = a.leave(&counter).await;
        assert!(matches!(reply.state.count, 38..=40), "{key}: {:?}", reply.state);
        if reply.status != Status::Ok {
            a.register(&counter).await;
        }
        let begun = Instant::now();
        let mut last = (0, 0);
        while begun.elapsed() < TIMING.lease + TIMING.suspicion + TIMING.settle {
            for node in [&mut a, &mut b] {
                last = node.live(&counter).await;
                assert!((38..=40).contains(&last.0), "{key}: {last:?}");
            }
            tokio::time::sleep(STEP).await;
        }
        assert_eq!(last, (38, 38), "{key}");
    }
}

#[tokio::test]
async fn a_full_redis_accepts_leaves_and_heartbeats() {
    let counter = Counter::new().await;
    let mut node = Node::start(&counter, "a", 0..30).await;
    let mut limit = redis::cmd("CONFIG");
    limit.arg("SET").arg("maxmemory").arg("1").exec_async(&mut counter.connection.clone()).await.unwrap();
    let joins = [(ViewerId(99), Visitor(99))];
    let refused = node.send(&counter, Phase::Same, &joins, &[]).await.unwrap_err();
    assert_eq!(refused.code(), Some("OOM"), "{refused}");
    let begun = Instant::now();
    while begun.elapsed() < TIMING.lease * 2 {
        let reply = node.leave(&counter).await;
        let left = node.viewers.len() as u64;
        assert_eq!((reply.status, reply.state.count, reply.state.visitors), (Status::Ok, left, left));
        tokio::time::sleep(STEP).await;
        assert_eq!(node.heartbeat(&counter).await.status, Status::Ok);
    }
}

#[tokio::test]
async fn those_who_only_look_do_not_claim_a_removal() {
    let counter = Counter::new().await;
    let node = Node::start(&counter, "a", 0..30).await;
    tokio::time::sleep(TIMING.lease + STEP).await;
    counter.look(&node).await;
    tokio::time::sleep(TIMING.suspicion).await;
    counter.look(&node).await;
    let reply = counter.call(&counter.scripts.read(&counter.keys, Seen::default(), node.clock())).await.unwrap();
    assert_eq!(reply.reap, Some(node.session), "whoever looked has claimed it, and does nothing");
}
