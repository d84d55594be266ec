//! Everything that an operator does to a running stack, and most of what action does, with 3,000 viewers watching.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use headcount_testkit::{Goal, promise::MARKED, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{CHANGE, CROWD, NODE_LOST};
use crate::{
    command::output,
    crowd::Crowd,
    node::Node,
    stack::{REPLICAS, Stack, inspect},
    timing::within,
};

/// The largest number of nodes, and the smallest.
const MORE: usize = 5;
const FEWER: usize = 2;
/// Viewers that come while there are most nodes.
const LATECOMERS: usize = 1_000;
/// A restarted load balancer knows no node, and takes this long to resolve and check them.
const BALANCER_BACK: Duration = Duration::from_secs(10);

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    let begun = Instant::now();
    let crowd = Crowd::open(stack, "breaking", CROWD)?;
    crowd.exact("3,000 arrivals", begun, Duration::from_secs(30))?;

    scale_out(stack, &crowd)?;
    scale_in(stack, &crowd)?;
    kill_a_node(stack, &crowd)?;
    restart_redis(stack, &crowd)?;
    restart_balancer(stack, &crowd)?;
    cut_a_node_off(stack, &crowd)
}

fn scale_out(stack: &Stack, crowd: &Crowd) -> anyhow::Result<()> {
    let begun = Instant::now();
    stack.scale(MORE)?;
    crowd.exact(&format!("{REPLICAS} nodes to {MORE}"), begun, Duration::from_secs(30))?;
    ensure!(crowd.snapshot()?.lost() == 0, "nobody is lost when nodes are added: {}", crowd.snapshot()?);

    let begun = Instant::now();
    crowd.fill(CROWD + LATECOMERS)?;
    crowd.exact(&format!("{LATECOMERS} more"), begun, Duration::from_secs(20))?;
    let spread = stack.nodes()?.iter().map(Node::viewers).collect::<Result<Vec<_>, _>>()?;
    println!("    by node: {spread:?}");
    ensure!(spread.iter().all(|viewers| *viewers > 0), "a new node has nobody: {spread:?}");
    Ok(())
}

fn scale_in(stack: &Stack, crowd: &Crowd) -> anyhow::Result<()> {
    stack.scale(FEWER)?;
    crowd.exact(&format!("{MORE} nodes to {FEWER}"), Instant::now(), CHANGE)?;
    let now = crowd.snapshot()?;
    ensure!(now.lost() == now.ended, "who was on a node that went is told so, not cut off: {now}");
    ensure!(now.ended_marked == now.ended, "a page shows a dead number as a live one: {now}");
    println!("    {} streams ended with their last frame, marked", now.ended);
    stack.scale(REPLICAS)?;
    balancer_knows(stack)?;
    crowd.fill(CROWD)?;
    crowd.exact("3,000 again", Instant::now(), Duration::from_secs(10))
}

/// As the kernel's out-of-memory killer would: Docker does not know why, and starts it again by the restart policy.
fn kill_a_node(stack: &Stack, crowd: &Crowd) -> anyhow::Result<()> {
    let victim = stack.nodes()?.into_iter().next().context("there are nodes")?;
    let held = usize::try_from(victim.viewers()?)?;
    let live = crowd.snapshot()?.live;
    let pid = inspect(&victim.id, "{{.State.Pid}}")?.parse()?;
    let begun = Instant::now();
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    crowd.viewers().reach(Goal::AtMostLive(live - held), Duration::from_secs(5))?;
    wait_until("the killed node's return", Duration::from_secs(30), || ready(stack, REPLICAS))?;
    crowd.exact("kill -9 of a node", begun, NODE_LOST)?;
    refill(stack, crowd)
}

/// Empty, as it keeps nothing on disk.
fn restart_redis(stack: &Stack, crowd: &Crowd) -> anyhow::Result<()> {
    let before = crowd.snapshot()?;
    crowd.viewers().forget_extremes()?;
    stack.compose(&["restart", "--timeout", "5", "redis"])?;
    let begun = Instant::now();
    let truth = before.live as u64;
    within("Redis restarted empty, until its count is whole again", begun, NODE_LOST, || {
        let node = stack.container("headcount")?;
        let status = output("docker", &["exec", &node, "/usr/local/bin/headcount", "status", "--json"])?;
        let status: Value = serde_json::from_str(&status)?;
        let mut counters = status["counters"].as_array().into_iter().flatten();
        let count = counters.find(|counter| counter["counter"] == "breaking").map(|counter| &counter["count"]);
        ensure!(count == Some(&Value::from(truth)), "Redis counts {count:?}, not {truth}");
        Ok(())
    })?;
    crowd.exact("restart of Redis", begun, NODE_LOST)?;
    let after = crowd.snapshot()?;
    ensure!(after.lost() == before.lost(), "nobody is dropped for Redis's sake: {after}");
    ensure!(after.lowest.is_none_or(|lowest| lowest >= truth), "{:?} was shown where {truth} were", after.lowest);
    Ok(())
}

fn restart_balancer(stack: &Stack, crowd: &Crowd) -> anyhow::Result<()> {
    stack.compose(&["restart", "balancer"])?;
    let begun = Instant::now();
    crowd.viewers().reach(Goal::AtMostLive(0), CHANGE)?;
    crowd.exact("restart of the load balancer, all viewers gone", begun, NODE_LOST)?;
    within("the load balancer knows the nodes again", begun, BALANCER_BACK, || balancer_knows(stack))?;
    let begun = Instant::now();
    crowd.fill(CROWD)?;
    crowd.exact("3,000 arrivals after it", begun, Duration::from_secs(30))
}

/// A node that cannot reach Redis keeps its viewers and marks its number as stale; the others count without it.
fn cut_a_node_off(stack: &Stack, crowd: &Crowd) -> anyhow::Result<()> {
    let before = crowd.snapshot()?;
    let nodes = stack.nodes()?;
    let (lonely, others) = nodes.split_first().context("there are nodes")?;
    let held = lonely.viewers()?;
    let rest = before.live as u64 - held;
    let begun = Instant::now();
    output("docker", &["network", "disconnect", &stack.network("store"), &lonely.id])?;
    within("a node cut off from Redis, until the others count without it", begun, NODE_LOST, || {
        for node in others {
            let count = node.reading("breaking")?.count;
            ensure!(count == rest, "{} says {count}, not {rest}", node.address);
        }
        Ok(())
    })?;
    // A heartbeat may have been answered just before the cut, and pictures go out once it is noticed.
    within("its own pictures say that their number is old", begun, MARKED + Duration::from_secs(2), || {
        let now = crowd.snapshot()?;
        ensure!(now.stale as u64 == held, "{held} viewers should know: {now}");
        Ok(())
    })?;
    output("docker", &["network", "connect", &stack.network("store"), &lonely.id])?;
    crowd.exact("its return", Instant::now(), NODE_LOST)?;
    let after = crowd.snapshot()?;
    ensure!(after.lost() == before.lost(), "nobody is dropped for Redis's sake: {after}");
    Ok(())
}

/// Opens as many viewers as are missing.
fn refill(stack: &Stack, crowd: &Crowd) -> anyhow::Result<()> {
    balancer_knows(stack)?;
    crowd.fill(CROWD)?;
    crowd.exact("3,000 again", Instant::now(), Duration::from_secs(10))
}

/// Checks that this many nodes are ready.
fn ready(stack: &Stack, count: usize) -> anyhow::Result<()> {
    let nodes = stack.nodes()?;
    ensure!(nodes.len() == count, "{} of {count} nodes run", nodes.len());
    nodes.iter().try_for_each(Node::is_ready)
}

/// Checks that the load balancer forwards a new viewer to a node.
fn balancer_knows(stack: &Stack) -> anyhow::Result<()> {
    ready(stack, REPLICAS)?;
    let answer = headcount_testkit::http::get(stack.service()?, "/breaking.json")?;
    ensure!(answer.status == 200, "the service answers {}", answer.status);
    Ok(())
}
