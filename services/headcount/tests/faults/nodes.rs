//! A node dies, is stopped, freezes, or has a clock that is wrong.

use std::time::{Duration, SystemTime};

use headcount_testkit::{
    Behaviour, COUNTER, Goal, NodeWithViewers, Promise, RedisServer,
    promise::{BACK, GONE, MARKED, SOON, STOPPED},
};
use nix::sys::signal::Signal;

use crate::{
    fleet::{self, PATIENCE, pass, with_redis},
    status, store,
};

/// Longer than any lease.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(12);

pub(crate) fn a_node_is_killed() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[3, 4, 49])?;
    // Killed right after a report, its lease has the longest time left.
    fleet.nodes[2].join(1)?;
    fleet.soon_exact()?;
    let mut victim = fleet.nodes.pop().unwrap();
    let gone = Promise::begin("kill -9 of a node: its 50 viewers leave the count", GONE);
    victim.node.kill();
    let asked_at = gone.elapsed();
    let lease = status::lease_left(&redis.url(), victim.open);
    fleet.nodes[0].join(2)?;
    fleet.nodes[1].leave(1)?;
    let took = fleet.exact(&gone)?;
    assert!(
        took >= asked_at + lease,
        "gone after {took:?}, though its lease ran for another {lease:?} at {asked_at:?}"
    );
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

pub(crate) fn a_node_is_stopped() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[3, 4, 50])?;
    let mut victim = fleet.nodes.pop().unwrap();
    victim.node.process().signal(Signal::SIGTERM).unwrap();
    let (_, ended) = victim.viewers.reach(Goal::AtMostLive(0), PATIENCE).unwrap();
    let gone =
        Promise::begin("SIGTERM of a node: its 50 viewers leave the count, once their streams have ended", STOPPED);
    fleet.exact(&gone)?;
    assert_eq!(ended.ended, 50, "not every stream ended with its closing boundary: {ended}");
    assert_eq!(ended.ended_marked, 50, "not every stream ended with a marked picture: {ended}");
    let status = victim.node.stop(PATIENCE).unwrap();
    assert!(status.success(), "{status}");
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

pub(crate) fn a_node_is_frozen() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[3, 4, 50])?;
    let mut victim = fleet.nodes.pop().unwrap();
    let gone = Promise::begin("SIGSTOP of a node: its 50 viewers leave the count", GONE);
    victim.node.process().freeze().unwrap();
    fleet.nodes[0].join(2)?;
    fleet.exact(&gone)?;
    // It finds out when it wakes up.
    victim.leave(20)?;
    victim.begin_to_join(5, Behaviour::default())?;
    fleet.nodes[1].leave(1)?;
    pass(LONGER_THAN_A_LEASE.saturating_sub(gone.elapsed()));
    fleet::comes_back(&mut fleet, victim, "SIGCONT of a node after more than its lease", |node| {
        node.node.process().thaw().unwrap();
    })?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

pub(crate) fn a_nodes_clock_is_hours_off() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[5])?;
    for (shift, seconds) in [("+1h", 3600.0), ("-2h", -7200.0)] {
        let node = NodeWithViewers::start(&with_redis(redis.url()).with_clock(shift), 7)?;
        let as_of = node.node.reading(COUNTER).unwrap().as_of.unwrap();
        let off = seconds_after_now(humantime::parse_rfc3339(&as_of).unwrap());
        assert!((off - seconds).abs() < 60.0, "the node's clock is not {shift}, but {off} s off");
        fleet.nodes.push(node);
    }
    fleet.exact(&Promise::begin("nodes an hour ahead and two behind join: exact", SOON))?;
    assert_eq!(fleet.truth(), 19);
    fleet.stays_exact(LONGER_THAN_A_LEASE)?;
    for node in &mut fleet.nodes {
        node.leave(2)?;
        node.join(3)?;
    }
    fleet.exact(&Promise::begin("viewers come to and leave nodes whose clocks are off: exact", SOON))?;
    store::holds_only(&redis, &fleet)?;
    let mut ahead = fleet.nodes.remove(1);
    let gone = Promise::begin("kill -9 of a node that is an hour ahead: its viewers leave the count", GONE);
    ahead.node.kill();
    fleet.exact(&gone)?;
    let mut behind = fleet.nodes.remove(1);
    let gone = Promise::begin("kill -9 of a node that is two hours behind: its viewers leave the count", GONE);
    behind.node.kill();
    fleet.exact(&gone)?;
    fleet::leave_nothing(fleet, &[&redis])
}

fn seconds_after_now(time: SystemTime) -> f64 {
    let now = SystemTime::now();
    time.duration_since(now).map_or_else(|earlier| -earlier.duration().as_secs_f64(), |later| later.as_secs_f64())
}

/// No node is left to clear up: everything in Redis expires.
pub(crate) fn the_last_node_is_killed() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[3, 50])?;
    for node in &mut fleet.nodes {
        node.node.kill();
    }
    drop(fleet);
    store::will_be_empty(&redis);
    pass(LONGER_THAN_A_LEASE);
    store::will_be_empty(&redis);
    // A later node finds none of them.
    let fleet = fleet::open(&redis.url(), &[2])?;
    store::holds_only(&redis, &fleet)?;
    fleet.showed_only(0, 2)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// A node shows the first viewers of a counter the number of all nodes, not only its own.
pub(crate) fn newcomers_see_everybody_at_once() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[20, 0])?;
    for round in 0..15 {
        // The first of them makes the counter live there; with the last one that ends.
        fleet.nodes[0].join(1)?;
        fleet.nodes[1].join(3)?;
        fleet.soon_exact()?;
        let everybody = fleet.truth();
        fleet.showed_only(0, everybody)?;
        let seen = fleet.nodes[1].viewers.snapshot().unwrap();
        assert!(seen.lowest >= Some(everybody - 4), "round {round}: a newcomer saw {:?} of {everybody}", seen.lowest);
        fleet.nodes[1].leave(3)?;
        fleet.soon_exact()?;
        fleet.forget_extremes()?;
    }
    fleet::leave_nothing(fleet, &[&redis])
}

/// Redis accepts no report from one node, but still delivers what is published.
pub(crate) fn a_node_may_not_report() -> anyhow::Result<()> {
    let rights = |rules: &[&str], redis: &RedisServer| {
        let command = [&["ACL", "SETUSER", "alice"], rules].concat();
        redis.command(&command).unwrap();
    };
    let redis = RedisServer::start().unwrap();
    rights(&["on", ">s3cret", "~*", "&*", "+@all"], &redis);
    let mut fleet = fleet::open(&redis.url(), &[3, 4])?;
    let options = with_redis(redis.url().replace("127.", "alice:s3cret@127."));
    let mut refused = NodeWithViewers::start(&options, 50)?;
    let before = fleet.truth() + 50;
    for viewers in fleet.nodes.iter().map(|node| &node.viewers).chain([&refused.viewers]) {
        viewers.all_see(before, SOON).unwrap();
    }
    refused.viewers.forget_extremes().unwrap();
    let gone = Promise::begin("a node may not report any more: its 50 viewers leave the others' count", GONE);
    let marked = Promise::begin("a node may not report any more: marked as stale there", MARKED);
    rights(&["-eval", "-evalsha"], &redis);
    refused.begin_to_join(1, Behaviour::default())?;
    fleet.nodes[0].join(2)?;
    fleet.exact(&gone)?;
    marked.check(refused.viewers.reach(Goal::Stale(refused.open), marked.left()))?;
    marked.kept()?;
    pass(LONGER_THAN_A_LEASE);
    refused.keeps_its_viewers()?;
    let seen = refused.viewers.snapshot().unwrap();
    assert!(seen.stale == refused.open && seen.lowest >= Some(before), "its own viewers are missing: {seen}");
    let back = Promise::begin("a node may not report any more, and that is over: exact", BACK);
    rights(&["+eval", "+evalsha"], &redis);
    fleet.nodes.push(refused);
    fleet.exact(&back)?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}
