//! How these tests start nodes, and how each test ends.

use std::time::Duration;

use headcount_testkit::{
    Fleet, Node, NodeOptions, NodeWithViewers, Promise, RedisServer,
    promise::{BACK, SOON},
};

use crate::store;

/// How long anything may take that is not bounded by a promise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Options of the binary that these tests were built with.
pub(crate) fn binary(options: NodeOptions) -> NodeOptions {
    let options = NodeOptions { program: Some(env!("CARGO_BIN_EXE_headcount").into()), ..options };
    // Streams end without the usual delay.
    options.with(["--drain", "1s"])
}

/// A node with presence in the Redis at `url`.
pub(crate) fn with_redis(url: impl Into<String>) -> NodeOptions {
    binary(NodeOptions::redis(url))
}

/// Starts a node, which need not be ready.
pub(crate) fn start(options: NodeOptions) -> Node {
    Node::start(&binary(options)).unwrap()
}

/// A node for each number of viewers, all with presence in one Redis of any kind.
pub(crate) fn open(url: &str, viewers: &[usize]) -> anyhow::Result<Fleet> {
    Ok(Fleet::start(&with_redis(url), viewers)?)
}

/// The same with a proxy between each node and its Redis.
pub(crate) fn behind_proxies(redis: &RedisServer, viewers: &[usize]) -> anyhow::Result<Fleet> {
    Ok(Fleet::behind_proxies(redis, &binary(NodeOptions::default()), viewers)?)
}

/// A node that the others took for dead comes back with its viewers: the number is exact soon, and nobody sees one meanwhile
/// that cannot be true.
pub(crate) fn comes_back(
    fleet: &mut Fleet,
    node: NodeWithViewers,
    event: &str,
    back: impl FnOnce(&NodeWithViewers),
) -> anyhow::Result<()> {
    let others = fleet.truth();
    fleet.forget_extremes()?;
    let promise = Promise::begin(format!("{event}: exact"), BACK);
    back(&node);
    fleet.nodes.push(node);
    fleet.exact(&promise)?;
    // Its own viewers have seen what was last known there.
    let node = fleet.nodes.pop().unwrap();
    fleet.showed_only(others, others + node.open as u64)?;
    fleet.nodes.push(node);
    Ok(())
}

/// The end of a test: all viewers leave, all nodes stop without a panic, and nothing is left in Redis.
pub(crate) fn leave_nothing(fleet: Fleet, servers: &[&RedisServer]) -> anyhow::Result<()> {
    leave_nothing_within(SOON, fleet, servers)
}

/// The same with another bound, where viewers of one address are damped.
pub(crate) fn leave_nothing_within(bound: Duration, mut fleet: Fleet, servers: &[&RedisServer]) -> anyhow::Result<()> {
    for node in &mut fleet.nodes {
        node.keeps_its_viewers()?;
        node.leave(node.open)?;
    }
    fleet.exact(&Promise::begin("all viewers have left", bound))?;
    for node in &mut fleet.nodes {
        let status = node.node.stop(PATIENCE)?;
        let log = node.node.log();
        assert!(status.success() && !log.iter().any(|line| line.contains("panicked")), "{status}: {log:#?}");
    }
    for server in servers {
        store::is_empty(server)?;
    }
    Ok(())
}

/// Waits for the length of a fault, or of a time in which nothing may happen.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}
