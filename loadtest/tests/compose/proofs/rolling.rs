//! A rolling update: one node after the other is stopped and started, and no viewer is cut off.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{CHANGE, CROWD};
use crate::{
    command::output,
    crowd::Crowd,
    node::Node,
    stack::{Stack, inspect},
    timing::took,
};

/// The time that `docker-compose.yml` gives a node to end (`stop_grace_period`).
const GRACE_SECONDS: u64 = 20;

/// Time for all nodes to run their program anew.
const RELOADED: Duration = Duration::from_secs(10);

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    let crowd = Crowd::open(stack, "rolling", CROWD)?;
    crowd.exact("3,000 arrivals", Instant::now(), Duration::from_secs(30))?;

    // Other settings: each node's program runs anew under its viewers.
    let nodes = stack.nodes()?;
    for node in &nodes {
        output("docker", &["kill", "-s", "HUP", &node.id])?;
    }
    let begun = Instant::now();
    while nodes.iter().map(Node::reloads).sum::<anyhow::Result<u64>>()? < nodes.len() as u64 {
        ensure!(begun.elapsed() < RELOADED, "not all nodes have reloaded after {RELOADED:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    took("all nodes reloaded", begun.elapsed(), RELOADED)?;
    crowd.exact("the number after a reload of all nodes", Instant::now(), CHANGE)?;
    let after = crowd.snapshot()?;
    ensure!(after.lost() == 0, "a reload ended streams: {after}");

    for node in stack.nodes()? {
        let before = crowd.snapshot()?;
        let held = node.viewers()?;
        let begun = Instant::now();
        output("docker", &["stop", "-t", &GRACE_SECONDS.to_string(), &node.id])?;
        took("a node drained and stopped", begun.elapsed(), Duration::from_secs(GRACE_SECONDS))?;
        let exit = inspect(&node.id, "{{.State.ExitCode}}")?;
        ensure!(exit == "0", "a drained node exits with {exit}");
        crowd.exact("its viewers are gone", Instant::now(), CHANGE)?;
        let after = crowd.snapshot()?;
        let ended = after.ended - before.ended;
        println!("    it held {held} viewers; {ended} streams ended with their last frame");
        ensure!(ended as u64 >= held, "{held} streams were to end: {after}");
        ensure!(after.ended_marked == after.ended, "a page shows a dead number as a live one: {after}");
        // Nothing else happens to a viewer: no cut within a picture, no end without the closing boundary, no reset.
        ensure!(after.lost() == after.ended, "a stream did not end as it should: {after}");

        output("docker", &["start", &node.id])?;
        stack.healthy(&["headcount"])?;
        let again = stack.nodes()?.into_iter().find(|other| other.id == node.id).context("it runs again")?;
        crowd.fill(CROWD)?;
        crowd.exact("3,000 again", Instant::now(), Duration::from_secs(10))?;
        println!("    {} of them on the node that came back", again.viewers()?);
    }
    Ok(())
}
