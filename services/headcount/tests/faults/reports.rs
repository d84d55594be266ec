//! Reports that are duplicated, repeated, overtaken, or lose their reply.

use std::time::Duration;

use headcount_testkit::{
    Promise, RedisServer,
    promise::{GONE, SOON},
    proxy::Direction::ToServer,
    proxy::ScriptFaults,
};

use crate::{
    fleet::{self, pass},
    store,
};

/// Longer than the leases of sessions that a duplicated hello has left behind.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(10);

pub(crate) fn reports_are_disturbed_on_the_way() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::behind_proxies(&redis, &[20, 30, 40])?;
    for (seed, node) in (1..).zip(&fleet.nodes) {
        let later = Duration::from_millis(400);
        node.proxy().disturb_scripts(ScriptFaults {
            duplicate: 0.3,
            repeat: 0.3,
            reorder: 0.3,
            lose_reply: 0.1,
            max_delay: later,
            seed,
        });
    }
    for round in 0..12 {
        let before = fleet.truth();
        fleet.forget_extremes()?;
        for (index, node) in fleet.nodes.iter_mut().enumerate() {
            // Now all come, now all leave: a number beyond the two ends was never true.
            if round % 2 == 0 {
                node.join(3 + index)?;
            } else {
                node.leave(2 + index)?;
            }
        }
        fleet.soon_exact()?;
        let after = fleet.truth();
        fleet.showed_only(before.min(after), before.max(after))?;
    }
    let disturbed: Vec<u64> = fleet.nodes.iter().map(|node| node.proxy().disturbed()).collect();
    assert!(disturbed.iter().all(|&disturbed| disturbed > 10), "reports that were disturbed: {disturbed:?}");
    println!("reports that were duplicated, repeated, reordered, or lost their reply: {disturbed:?}");
    for node in &fleet.nodes {
        node.proxy().heal();
    }
    fleet.nodes[0].join(1)?;
    fleet.exact(&Promise::begin("reports were disturbed, and pass again: exact", SOON))?;
    fleet.stays_exact(LONGER_THAN_A_LEASE)?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// A killed node's last report arrives after its lease has ended, and has no effect.
pub(crate) fn the_last_report_of_a_killed_node_is_late() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::behind_proxies(&redis, &[3, 4, 50])?;
    let mut victim = fleet.nodes.pop().unwrap();
    let gone = Promise::begin("a node is cut off and then killed: its viewers leave the count", GONE);
    victim.proxy().hold(ToServer);
    victim.join(10)?;
    victim.leave(5)?;
    // Time for the report of it, and for what follows when it is not answered.
    pass(Duration::from_millis(500));
    victim.node.kill();
    fleet.exact(&gone)?;
    store::holds_only(&redis, &fleet)?;
    fleet.forget_extremes()?;
    let truth = fleet.truth();
    victim.proxy().heal();
    pass(LONGER_THAN_A_LEASE);
    fleet.showed_only(truth, truth)?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}
