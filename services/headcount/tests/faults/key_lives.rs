//! Times longer than the life of a key in Redis: traffic that never pauses for a heartbeat, and long outages. Nodes run
//! with all lives and leases divided by a scale, so that minutes pass in seconds.

use std::time::{Duration, Instant};

use headcount_testkit::{
    Fleet, NodeOptions, Promise, RedisServer, TIME_SCALE,
    promise::{HEALED, SOON},
};

use crate::{
    fleet::{self, binary, pass, with_redis},
    store, visitors,
};

/// Longer than the life of a key.
const ONLY_LEAVES: Duration = Duration::from_secs(420);

/// The time between two leaves: shorter than that between two heartbeats.
const BETWEEN: Duration = Duration::from_secs(2);

/// Outages, in seconds: registrations that were prolonged at different times run out at different times.
const OUTAGES: [u64; 6] = [212, 228, 244, 260, 280, 330];

/// By what lives and leases are divided, unless HEADCOUNT_TEST_SCALE says otherwise.
fn scale() -> u32 {
    std::env::var("HEADCOUNT_TEST_SCALE").map_or(TIME_SCALE, |scale| scale.parse().unwrap())
}

/// The viewers of the only node leave, one by one, for longer than a key lives. None comes, and there is no other node
/// whose lease would be watched: no report is empty.
pub(crate) fn only_leaves() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let options = with_redis(redis.url()).scaled(scale());
    let leaves = (ONLY_LEAVES.as_millis() / BETWEEN.as_millis()) as usize;
    let mut fleet = Fleet::start(&options, &[leaves + 40])?;
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    for leave in 1..=leaves {
        pass((BETWEEN / scale() * leave as u32).saturating_sub(begun.elapsed()));
        let before = fleet.truth();
        fleet.forget_extremes()?;
        fleet.nodes[0].leave(1)?;
        let promise = Promise::silent(format!("leave {leave} of {leaves}, after {:.1?}", begun.elapsed()), SOON);
        slowest = slowest.max(fleet.exact(&promise)?);
        fleet.showed_only(before - 1, before).map_err(|error| anyhow::anyhow!("leave {leave} of {leaves}: {error}"))?;
    }
    println!("only leaves for {ONLY_LEAVES:?} at a scale of {}: bound {SOON:?}, slowest {slowest:.2?}", scale());
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// All nodes are cut off for about the life of a key, with Redis's data kept. Viewers leave and come meanwhile.
pub(crate) fn a_long_outage() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let options = binary(NodeOptions::default()).behind_balancer().scaled(scale());
    let mut fleet = Fleet::behind_proxies(&redis, &options, &[0; 3])?;
    let mut people = 0;
    for (node, first) in fleet.nodes.iter_mut().zip(["192.0.2.1", "192.0.2.81", "192.0.2.161"]) {
        visitors::join(node, 80, first, 80, "one browser")?;
        people += 80;
    }
    for (round, seconds) in (1..).zip(OUTAGES) {
        visitors::are(&fleet, people, &Promise::silent("the visitors before an outage", HEALED))?;
        // A quiet time first: keys are prolonged by heartbeats alone, at different times.
        pass(Duration::from_secs(40 + 17 * round) / scale());
        for node in &fleet.nodes {
            node.proxy().cut();
        }
        pass(Duration::from_secs(seconds) / scale());
        // The first of a node are people who have no other stream.
        fleet.nodes[0].leave(5)?;
        fleet.nodes[1].leave(3)?;
        visitors::join(&mut fleet.nodes[2], 2, &format!("198.51.100.{}", 10 * round), 2, "one browser")?;
        people -= 6;
        let event = format!("nodes are cut off for {seconds} s at a scale of {}", scale());
        let healed = Promise::begin(format!("{event}: count and visitors exact"), HEALED);
        for node in &fleet.nodes {
            node.proxy().heal();
        }
        visitors::are(&fleet, people, &healed)?;
        fleet.exact(&healed)?;
        // And they stay so.
        pass(Duration::from_secs(30) / scale());
        visitors::are(&fleet, people, &Promise::silent(format!("{event}, and a while later"), SOON))?;
    }
    fleet::leave_nothing(fleet, &[&redis])
}
