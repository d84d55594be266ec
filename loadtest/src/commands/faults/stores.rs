//! Faults of Redis and of the connections to it, and what is promised after each.

use std::{thread, time::Duration};

use anyhow::{Context, ensure};
use headcount_testkit::{
    COUNTER, Data, Marked, Promise,
    promise::{GONE, HEALED, MARKED, SOON},
    proxy::ScriptFaults,
    wait_until,
};
use rand::{Rng, rngs::StdRng};

use super::{
    fault::Fault,
    kept::Kept,
    setup::{Backend, Setup},
    timeline::Timeline,
};

/// Rounds of joins and leaves while reports are disturbed.
const DISTURBED_ROUNDS: usize = 20;

/// Redis loses all its data, and no viewer notices.
pub(super) fn loss(fault: Fault, setup: &mut Setup, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let truth = setup.fleet.truth();
    setup.fleet.forget_extremes()?;
    match fault {
        Fault::Flush => setup.redis().command(&["FLUSHALL"])?,
        _ => setup.redis().restart(Data::Lost)?,
    }
    timeline.add("Redis has lost all its data");
    // The number stays right all the time. The keys in Redis show that the nodes have noticed.
    wait_until("the counter in Redis", HEALED, || {
        let keys = setup.redis().keys().map_err(|error| error.to_string())?;
        if keys.iter().any(|key| key.contains(COUNTER)) { Ok(()) } else { Err(keys.join(" ")) }
    })?;
    let healed = setup.promise("exact after a loss", HEALED, timeline)?;
    setup.fleet.showed_only(truth, u64::MAX)?;
    timeline.add(format!("no viewer was dropped, none saw less than {truth}"));
    // A new node knows only what Redis knows.
    setup.add_node(1, None)?;
    let fresh = setup.promise("a new node agrees", HEALED, timeline)?;
    setup.fleet.nodes.pop();
    let left = setup.promise("and is gone again", GONE, timeline)?;
    Ok(vec![healed, fresh, left])
}

pub(super) fn outage(setup: &mut Setup, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let marked = |setup: &Setup, marked, what: &str, promise: Promise, bound| -> anyhow::Result<Kept> {
        Ok(Kept::within(what, bound, setup.fleet.all_marked(marked, &promise)?))
    };
    setup.redis().kill();
    timeline.add("Redis is away");
    let what = "marked as old without Redis";
    let stale = marked(setup, Marked::Stale, what, Promise::silent(what, MARKED), MARKED)?;
    setup.stir(choice, timeline)?;
    setup.redis().restart(Data::Lost)?;
    timeline.add("Redis is back, empty");
    let what = "no longer marked as old";
    let unmarked = Promise::silent(what, HEALED);
    let exact = setup.promise("exact after an outage", HEALED, timeline)?;
    Ok(vec![stale, exact, marked(setup, Marked::Fresh, what, unmarked, HEALED)?])
}

pub(super) fn silent_subscription(
    setup: &mut Setup,
    victim: usize,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    let node = setup.take_out(victim);
    node.proxy().drop_messages();
    timeline.add(format!("{node} receives no published message"));
    setup.stir(choice, timeline)?;
    setup.put_back(victim);
    let exact = setup.promise("exact with a dead subscription", GONE, timeline)?;
    setup.fleet.nodes[victim].proxy().heal();
    Ok(vec![exact])
}

pub(super) fn disturbed_reports(
    setup: &mut Setup,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    for node in &setup.fleet.nodes {
        node.proxy().disturb_scripts(ScriptFaults {
            duplicate: 0.3,
            repeat: 0.3,
            reorder: 0.3,
            lose_reply: 0.05,
            max_delay: Duration::from_millis(choice.random_range(20..500)),
            seed: choice.random(),
        });
    }
    timeline.add("reports are disturbed");
    for _ in 0..DISTURBED_ROUNDS {
        setup.stir(choice, timeline)?;
        // The changes go out in separate reports, so that one can overtake another.
        thread::sleep(Duration::from_millis(choice.random_range(20..400)));
    }
    let mut disturbed = 0;
    for node in &setup.fleet.nodes {
        disturbed += node.proxy().disturbed();
        node.proxy().heal();
    }
    timeline.add(format!("{disturbed} reports were disturbed"));
    ensure!(disturbed > 0, "no report went through the proxies, so none was disturbed");
    Ok(vec![setup.promise("exact after disturbed reports", SOON, timeline)?])
}

pub(super) fn failover(setup: &mut Setup, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let Backend::Sentinels(sentinels) = &setup.backend else { unreachable!("a failover needs sentinels") };
    sentinels.stop_replication();
    timeline.add("the replica receives no further writes");
    setup.stir(choice, timeline)?;
    setup.promise("exact before the failover", SOON, timeline)?;
    let Backend::Sentinels(sentinels) = &mut setup.backend else { unreachable!("a failover needs sentinels") };
    sentinels.fail_over()?;
    timeline.add("the replica is the master");
    let exact = setup.promise("exact after a failover that lost the last writes", HEALED, timeline)?;
    setup.stir(choice, timeline)?;
    Ok(vec![exact, setup.promise("exact on the new master", HEALED, timeline)?])
}

pub(super) fn slot(setup: &mut Setup, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let Backend::Cluster(cluster) = &setup.backend else { unreachable!("the move of a slot needs a cluster") };
    let mut keys = Vec::new();
    for master in cluster.masters() {
        keys.extend(master.query::<Vec<String>>(&["KEYS", &format!("*{COUNTER}*")])?);
    }
    let slot = cluster.slot_of(keys.first().context("no master has keys of the counter")?)?;
    let to = (cluster.owner_of(slot)? + choice.random_range(1..3)) % 3;
    let moved = cluster.move_slot(slot, to)?;
    timeline.add(format!("slot {slot} moves to master {to} with {moved} keys"));
    setup.stir(choice, timeline)?;
    Ok(vec![setup.promise("exact after a slot's move", HEALED, timeline)?])
}
