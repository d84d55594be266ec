//! Faults of nodes and viewers, and what is promised after each.

use std::time::Instant;

use anyhow::ensure;
use headcount_testkit::{
    Goal, SilentViewer,
    promise::{BACK, GONE, SOON, STOPPED, VANISHED},
};
use nix::sys::signal::Signal;
use rand::{Rng, rngs::StdRng};

use super::{
    fault::Fault,
    kept::Kept,
    setup::{Setup, check_lease},
    timeline::Timeline,
};

pub(super) fn kill(
    setup: &mut Setup,
    victim: usize,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    let node = setup.take_out(victim);
    node.node.kill();
    let since = Instant::now();
    timeline.add(format!("{node} is killed"));
    setup.stir(choice, timeline)?;
    let gone = setup.promise("the viewers of a killed node leave the count", GONE, timeline)?;
    check_lease(since)?;
    setup.replace(victim, timeline)?;
    Ok(vec![gone])
}

pub(super) fn stop(
    setup: &mut Setup,
    victim: usize,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    setup.stir(choice, timeline)?;
    setup.promise("exact before a stop", SOON, timeline)?;
    let node = setup.take_out(victim);
    node.node.process().signal(Signal::SIGTERM)?;
    timeline.add(format!("{node} is asked to stop"));
    let (_, snapshot) = node.viewers.reach(Goal::AtMostLive(0), GONE)?;
    ensure!(snapshot.ended == node.open, "not every stream was ended with its last frame: {snapshot}");
    ensure!(snapshot.ended_marked == node.open, "not every stream was ended with a marked picture: {snapshot}");
    let gone = setup.promise("the viewers of a stopped node leave the count", STOPPED, timeline)?;
    let node = setup.away.as_mut().expect("it was taken out");
    node.node.stop(GONE)?;
    timeline.add(format!("{node} has ended"));
    setup.replace(victim, timeline)?;
    Ok(vec![gone])
}

/// A node is frozen or cut off for longer than its lease, and comes back with its viewers.
pub(super) fn absence(
    fault: Fault,
    setup: &mut Setup,
    victim: usize,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    let node = setup.take_out(victim);
    match fault {
        Fault::Freeze => node.node.process().freeze()?,
        Fault::Cut => node.proxy().cut(),
        _ => node.proxy().hold_both(),
    }
    let since = Instant::now();
    timeline.add(format!("{node}: {}", fault.name()));
    setup.stir(choice, timeline)?;
    let gone = setup.promise("the viewers of a node that is away leave the count", GONE, timeline)?;
    check_lease(since)?;
    setup.stir(choice, timeline)?;
    setup.put_back(victim);
    let node = &setup.fleet.nodes[victim];
    match fault {
        Fault::Freeze => node.node.process().thaw()?,
        _ => node.proxy().heal(),
    }
    timeline.add(format!("{node} is back"));
    let back = setup.promise("a node that is back counts", BACK, timeline)?;
    Ok(vec![gone, back])
}

pub(super) fn clock(setup: &mut Setup, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let shift = if choice.random() { "+1h" } else { "-1h" };
    setup.add_node(50, Some(shift))?;
    timeline.add(format!("a node joins whose clock is off by {shift}"));
    let mut kept = vec![setup.promise("exact with a clock that is off", SOON, timeline)?];
    for _ in 0..3 {
        setup.stir(choice, timeline)?;
        kept.push(setup.promise("exact with a clock that is off", SOON, timeline)?);
    }
    // Longer than a lease: no node's lease ends because of the clock.
    setup.stays_exact(GONE, timeline)?;
    setup.fleet.nodes.pop();
    kept.push(setup.promise("and gone with its node", GONE, timeline)?);
    Ok(kept)
}

pub(super) fn vanish(setup: &mut Setup, victim: usize, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let node = &setup.fleet.nodes[victim].node;
    let viewers = (0..10).map(|_| SilentViewer::open(node)).collect::<Result<Vec<_>, _>>()?;
    setup.fleet.all_show(setup.fleet.truth() + 10, SOON)?;
    viewers.iter().try_for_each(SilentViewer::vanish)?;
    timeline.add("the machines of 10 viewers vanish");
    Ok(vec![setup.promise("vanished viewers leave the count", VANISHED, timeline)?])
}
