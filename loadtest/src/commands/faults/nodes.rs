//! What can befall nodes and viewers, and what is promised then.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use headcount_testkit::{Batch, Behaviour, Goal, NodeOptions, Viewers};
use rand::{Rng, rngs::StdRng};

use super::{
    fault::Fault,
    timeline::Timeline,
    world::{COUNTER, Kept, PATIENCE, World},
};

/// A node that is killed or cut off stops counting.
pub(super) const GONE: Duration = Duration::from_secs(10);
/// And not before: its lease, less what may have passed of it since its last word, which is a heartbeat at most.
const NOT_BEFORE: Duration = Duration::from_millis(3_500);
/// A node that was stopped stops counting, once its streams have ended.
const STOPPED: Duration = Duration::from_secs(1);
/// A node that was frozen or cut off counts again.
const BACK: Duration = Duration::from_secs(5);
/// A viewer whose machine vanished is gone.
const VANISHED: Duration = Duration::from_secs(45);
/// Reports that were mangled have no effect once it is quiet.
pub(super) const QUIET: Duration = Duration::from_secs(5);

pub(super) fn kill(
    world: &mut World,
    victim: usize,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    let others = world.others(victim);
    world.posts[victim].node.kill();
    let since = Instant::now();
    timeline.add(format!("node {victim} is killed"));
    world.stir(&others, choice, timeline)?;
    let gone = world.promise("the viewers of a killed node leave the count", &others, GONE, timeline)?;
    not_before_its_lease_has_run_out(since)?;
    world.replace(victim, timeline)?;
    Ok(vec![gone])
}

pub(super) fn stop(
    world: &mut World,
    victim: usize,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    let others = world.others(victim);
    world.stir(&world.everyone(), choice, timeline)?;
    world.promise("exact before a stop", &world.everyone(), QUIET, timeline)?;
    let post = &mut world.posts[victim];
    post.node.process().signal(nix::sys::signal::Signal::SIGTERM)?;
    timeline.add(format!("node {victim} is asked to stop"));
    let (_, snapshot) = post.viewers.reach(Goal::AtMostLive(0), PATIENCE)?;
    ensure!(snapshot.ended == post.count, "not every stream was ended with its last frame: {snapshot}");
    let gone = world.promise("the viewers of a stopped node leave the count", &others, STOPPED, timeline)?;
    world.posts[victim].node.stop(PATIENCE)?;
    timeline.add(format!("node {victim} has ended"));
    world.replace(victim, timeline)?;
    Ok(vec![gone])
}

/// A node is away for a while, and comes back with the viewers that it had.
pub(super) fn absence(
    fault: Fault,
    world: &mut World,
    victim: usize,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    let others = world.others(victim);
    match fault {
        Fault::Freeze => world.posts[victim].node.process().freeze()?,
        Fault::Cut => world.proxy(victim).cut(),
        _ => world.proxy(victim).hold_both(),
    }
    let since = Instant::now();
    timeline.add(format!("node {victim}: {}", fault.name()));
    world.stir(&others, choice, timeline)?;
    let gone = world.promise("the viewers of a node that is away leave the count", &others, GONE, timeline)?;
    not_before_its_lease_has_run_out(since)?;
    world.stir(&others, choice, timeline)?;
    match fault {
        Fault::Freeze => world.posts[victim].node.process().thaw()?,
        _ => world.proxy(victim).heal(),
    }
    timeline.add(format!("node {victim} is back"));
    let back = world.promise("a node that is back counts", &world.everyone(), BACK, timeline)?;
    Ok(vec![gone, back])
}

/// Checks that a node that fell silent at `since` was not given up too soon; by now it has been.
fn not_before_its_lease_has_run_out(since: Instant) -> anyhow::Result<()> {
    let took = since.elapsed();
    ensure!(took >= NOT_BEFORE, "its viewers left the count after {took:.2?}, while its lease still ran");
    Ok(())
}

pub(super) fn clock(world: &mut World, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let shift = if choice.random() { "+1h" } else { "-1h" };
    let post = world.post(50, &NodeOptions::default().with_clock(shift))?;
    world.posts.push(post);
    timeline.add(format!("a node joins whose clock is off by {shift}"));
    let mut kept = vec![world.promise("exact with a clock that is off", &world.everyone(), QUIET, timeline)?];
    for _ in 0..3 {
        world.stir(&world.everyone(), choice, timeline)?;
        kept.push(world.promise("exact with a clock that is off", &world.everyone(), QUIET, timeline)?);
    }
    // Longer than a lease: nobody must be taken for dead meanwhile.
    world.stays_exact(GONE, timeline)?;
    world.posts.pop();
    kept.push(world.promise("and gone with its node", &world.everyone(), GONE, timeline)?);
    Ok(kept)
}

/// The address that viewers come from who are going to vanish.
const VANISHING: &str = "127.0.0.77";

pub(super) fn vanish(world: &mut World, victim: usize, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let url = world.posts[victim].node.url(&format!("{COUNTER}.png"));
    let behaviour =
        Behaviour { source: Some(VANISHING.parse().context("a loopback address")?), ..Behaviour::default() };
    let vanishing = Viewers::start(Batch { count: 10, urls: vec![url], per_second: None, behaviour })?;
    vanishing.opened(PATIENCE)?;
    let everyone = world.everyone();
    world.all_see_number(&everyone, world.truth(&everyone) + 10, PATIENCE)?;
    let wall = Wall::build()?;
    drop(vanishing);
    timeline.add("the machine of 10 viewers vanishes");
    let gone = world.promise("vanished viewers leave the count", &everyone, VANISHED, timeline);
    drop(wall);
    Ok(vec![gone?])
}

/// While it stands, no packet from or to the vanishing address arrives.
struct Wall;

impl Wall {
    fn build() -> anyhow::Result<Self> {
        let wall = Self;
        for side in ["-s", "-d"] {
            iptables(&["-I", "INPUT", side, VANISHING, "-j", "DROP"])?;
        }
        Ok(wall)
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        for side in ["-s", "-d"] {
            // There may be none where building it failed.
            let _ = iptables(&["-D", "INPUT", side, VANISHING, "-j", "DROP"]);
        }
    }
}

pub(super) fn iptables(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("iptables").args(arguments).output().context("iptables")?;
    ensure!(output.status.success(), "iptables: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
