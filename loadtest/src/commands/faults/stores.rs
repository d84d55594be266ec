//! What can befall Redis and the way to it, and what is promised then.

use std::{thread, time::Duration};

use anyhow::{Context, ensure};
use headcount_testkit::{Data, Goal, NodeOptions, proxy::ScriptFaults, wait_until};
use rand::{Rng, rngs::StdRng};

use super::{
    fault::Fault,
    nodes::{GONE, QUIET},
    timeline::Timeline,
    world::{Backend, COUNTER, Kept, World},
};

/// The number is exact again after Redis lost what it had, or came back, or was replaced.
const HEALED: Duration = Duration::from_secs(10);
/// Without Redis, a number is marked as old.
const STALE: Duration = Duration::from_secs(10);
/// Time for a frame to be drawn and sent once the mark is due.
const STALE_SLACK: Duration = Duration::from_secs(2);
/// Rounds of joins and leaves while reports are mangled.
const MANGLED_STIRS: usize = 20;

/// Redis loses all it had, and no viewer notices.
pub(super) fn loss(fault: Fault, world: &mut World, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let everyone = world.everyone();
    let truth = world.truth(&everyone);
    world.forget_extremes()?;
    match fault {
        Fault::Flush => drop(world.redis().command(&["FLUSHALL"])?),
        _ => world.redis().restart(Data::Lost)?,
    }
    timeline.add("Redis has lost everything");
    // The number is right all the time, so what shows that the nodes have noticed is Redis having it again.
    let registered = wait_until("the counter in Redis", HEALED, || {
        let keys = world.redis().keys().map_err(|error| error.to_string())?;
        if keys.iter().any(|key| key.contains(COUNTER)) { Ok(()) } else { Err(keys.join(" ")) }
    });
    registered?;
    let healed = world.promise("exact after a loss", &everyone, HEALED, timeline)?;
    world.never_below(truth, timeline)?;
    // A new node knows only what Redis knows.
    let post = world.post(1, &NodeOptions::default())?;
    world.posts.push(post);
    let fresh = world.promise("a new node agrees", &world.everyone(), HEALED, timeline)?;
    world.posts.pop();
    let left = world.promise("and is gone again", &everyone, GONE, timeline)?;
    Ok(vec![healed, fresh, left])
}

pub(super) fn outage(world: &mut World, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let everyone = world.everyone();
    world.redis().kill();
    timeline.add("Redis is away");
    let within = STALE + STALE_SLACK;
    let took = world.all_stale(&everyone, Goal::Stale(0), within).context("marked as old without Redis")?;
    let stale = Kept { what: "marked as old without Redis".into(), within, took };
    world.stir(&everyone, choice, timeline)?;
    world.redis().restart(Data::Lost)?;
    timeline.add("Redis is back, empty");
    let exact = world.promise("exact after an outage", &everyone, HEALED, timeline)?;
    let took = world.all_stale(&everyone, Goal::NoneStale, HEALED).context("no longer marked as old")?;
    Ok(vec![stale, exact, Kept { what: "no longer marked as old".into(), within: HEALED, took }])
}

pub(super) fn deaf(
    world: &mut World,
    victim: usize,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    world.proxy(victim).drop_messages();
    timeline.add(format!("node {victim} hears nothing of what is published"));
    world.stir(&world.others(victim), choice, timeline)?;
    let exact = world.promise("exact with a dead subscription", &world.everyone(), GONE, timeline)?;
    world.proxy(victim).heal();
    Ok(vec![exact])
}

pub(super) fn mangle(world: &mut World, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    for index in world.everyone() {
        let later = Duration::from_millis(choice.random_range(20..500));
        let mangle = ScriptFaults {
            duplicate: 0.3,
            repeat: 0.3,
            reorder: 0.3,
            lose_reply: 0.05,
            max_delay: later,
            seed: choice.random(),
        };
        world.proxy(index).disturb_scripts(mangle);
    }
    timeline.add("reports are mangled");
    for _ in 0..MANGLED_STIRS {
        world.stir(&world.everyone(), choice, timeline)?;
        // So that the changes go out in reports of their own, one overtaking another.
        thread::sleep(Duration::from_millis(choice.random_range(20..400)));
    }
    let mut mangled = 0;
    for index in world.everyone() {
        mangled += world.proxy(index).disturbed();
        world.proxy(index).heal();
    }
    timeline.add(format!("{mangled} reports were mangled"));
    ensure!(mangled > 0, "no report went through the proxies, so none was mangled");
    Ok(vec![world.promise("exact after mangled reports", &world.everyone(), QUIET, timeline)?])
}

pub(super) fn failover(world: &mut World, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let everyone = world.everyone();
    let Backend::Sentinels(sentinels) = &world.backend else { unreachable!("a failover wants sentinels") };
    sentinels.stop_replication();
    timeline.add("the replica gets nothing any more");
    world.stir(&everyone, choice, timeline)?;
    world.promise("exact before the failover", &everyone, QUIET, timeline)?;
    let Backend::Sentinels(sentinels) = &mut world.backend else { unreachable!("a failover wants sentinels") };
    sentinels.fail_over()?;
    timeline.add("the replica is the master");
    let exact = world.promise("exact after a failover that lost the last writes", &everyone, HEALED, timeline)?;
    world.stir(&everyone, choice, timeline)?;
    Ok(vec![exact, world.promise("exact on the new master", &everyone, HEALED, timeline)?])
}

pub(super) fn slot(world: &mut World, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let everyone = world.everyone();
    let Backend::Cluster(cluster) = &world.backend else { unreachable!("a slot's move wants a cluster") };
    let mut key = None;
    for master in cluster.masters() {
        let keys: Vec<String> = master.query(&["KEYS", &format!("*{COUNTER}*")])?;
        key = key.or_else(|| keys.into_iter().next());
    }
    let slot = cluster.slot_of(&key.context("no master has keys of the counter")?)?;
    let to = (cluster.owner_of(slot)? + choice.random_range(1..3)) % 3;
    let moved = cluster.move_slot(slot, to)?;
    timeline.add(format!("slot {slot} moves to master {to} with {moved} keys"));
    world.stir(&everyone, choice, timeline)?;
    Ok(vec![world.promise("exact after a slot's move", &everyone, HEALED, timeline)?])
}
