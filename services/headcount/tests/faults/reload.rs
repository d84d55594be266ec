//! A node runs its program anew under its viewers (SIGHUP), while something else goes wrong.

use std::time::Duration;

use headcount_testkit::{
    Data, Node, NodeWithViewers, Promise, RedisServer, http,
    promise::{BACK, GONE, SOON},
    wait_until,
};
use nix::sys::signal::Signal;

use crate::{
    fleet::{self, PATIENCE, pass, with_redis},
    status, store,
};

/// Longer than a node waits for Redis before it reloads without it.
const RELOADED: Duration = Duration::from_secs(15);

/// How often a node has been reloaded. The admin port pauses during a reload.
fn reloads(node: &Node) -> Result<u64, String> {
    let metrics = node.metrics().map_err(|error| error.to_string())?;
    let done = "headcount_reloads_total{outcome=\"done\"} ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(done)).ok_or("no such series")?;
    value.parse().map_err(|_| value.to_owned())
}

/// Sends SIGHUP, and waits until the node has been reloaded.
fn reload(node: &Node) -> anyhow::Result<()> {
    let before = reloads(node).map_err(anyhow::Error::msg)?;
    node.process().signal(Signal::SIGHUP)?;
    wait_until("a reload", RELOADED, || match reloads(node)? {
        after if after == before + 1 => Ok(()),
        _ => Err(node.log().last().cloned().unwrap_or_default()),
    })?;
    Ok(())
}

fn sessions(redis: &RedisServer) -> Vec<String> {
    let counters = status::counters(&redis.url());
    let mut nodes: Vec<String> =
        counters.iter().flat_map(|counter| &counter.sessions).map(|session| session.node.clone()).collect();
    nodes.sort_unstable();
    nodes
}

pub(crate) fn nodes_are_reloaded() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[3, 4, 50])?;
    let before = sessions(&redis);
    fleet.forget_extremes()?;
    for _ in 0..3 {
        for node in &fleet.nodes {
            reload(&node.node)?;
        }
    }
    fleet.showed_only(fleet.truth(), fleet.truth())?;
    assert_eq!(sessions(&redis), before, "Redis knows the same sessions");
    fleet.stays_exact(Duration::from_secs(12))?;
    fleet.nodes[0].join(5)?;
    fleet.nodes[2].leave(20)?;
    fleet.exact(&Promise::begin("viewers come and leave after reloads: exact", SOON))?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

pub(crate) fn a_node_is_reloaded_without_redis() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[3, 50])?;
    // With its data lost and kept.
    for data in [Data::Lost, Data::Kept] {
        if data == Data::Kept {
            redis.command(&["SAVE"])?;
        }
        redis.kill();
        pass(Duration::from_secs(1));
        fleet.forget_extremes()?;
        reload(&fleet.nodes[1].node)?;
        fleet.nodes[1].viewers.close(2)?;
        fleet.nodes[1].open -= 2;
        redis.restart(data)?;
        let exact = Promise::begin("a node was reloaded while Redis was away: exact after its return", GONE);
        fleet.exact(&exact)?;
        fleet.showed_only(fleet.truth(), fleet.truth() + 2)?;
    }
    fleet::leave_nothing(fleet, &[&redis])
}

pub(crate) fn a_node_is_killed_in_the_middle_of_a_reload() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[3])?;
    for pause in [0, 5, 15, 30, 60] {
        let mut node = NodeWithViewers::start(&with_redis(redis.url()), 0)?;
        node.join(40)?;
        fleet.nodes.push(node);
        fleet.soon_exact()?;
        let mut victim = fleet.nodes.pop().unwrap();
        victim.node.process().signal(Signal::SIGHUP)?;
        pass(Duration::from_millis(pause));
        let gone = Promise::begin(format!("kill -9 {pause} ms after SIGHUP: its 40 viewers leave the count"), GONE);
        victim.node.kill();
        fleet.exact(&gone)?;
    }
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

pub(crate) fn a_frozen_redis_delays_a_reload() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let fleet = fleet::open(&redis.url(), &[3, 50])?;
    fleet.forget_extremes()?;
    redis.process().freeze()?;
    // The node has noticed.
    wait_until("a node without Redis", PATIENCE, || match http::get(fleet.nodes[1].node.admin(), "/readyz") {
        Ok(answer) if answer.text().contains("degraded") => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    fleet.nodes[1].node.process().signal(Signal::SIGHUP)?;
    pass(Duration::from_secs(2));
    anyhow::ensure!(reloads(&fleet.nodes[1].node) == Ok(0), "reloaded while a lease could end");
    redis.process().thaw()?;
    let back = Promise::begin("Redis thaws before a reload: exact", BACK);
    wait_until("the reload", PATIENCE, || match reloads(&fleet.nodes[1].node)? {
        1 => Ok(()),
        other => Err(other.to_string()),
    })?;
    fleet.exact(&back)?;
    fleet.showed_only(fleet.truth(), fleet.truth())?;
    fleet::leave_nothing(fleet, &[&redis])
}
