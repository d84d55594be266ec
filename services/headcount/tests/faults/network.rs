//! The network between a node and Redis is cut, loses packets, is slow, or passes on everything but what is published.

use std::time::Duration;

use headcount_testkit::{
    COUNTER, Fleet, Goal, Promise, Proxy, RedisServer,
    promise::{BACK, GONE, HEALED, MARKED, REPLACED, SOON},
    proxy::Direction::{ToClient, ToServer},
    wait_until,
};

use crate::{
    fleet::{self, pass},
    store,
};

/// Longer than a lease and all that is needed to see its end.
const PARTITION: Duration = Duration::from_secs(15);

/// After it, the first registrations have settled, and a quiet counter is kept alive by heartbeats alone.
const QUIET: Duration = Duration::from_secs(8);

/// No part of the time between two heartbeats.
const STEP: Duration = Duration::from_millis(1_300);

const DEAD_SUBSCRIPTIONS: &str = "headcount_presence_dead_subscriptions_total";

pub(crate) fn a_nodes_connections_are_cut() -> anyhow::Result<()> {
    a_partition_heals("a node's connections to Redis are cut and refused", Proxy::cut)?;
    Ok(())
}

pub(crate) fn a_nodes_packets_are_lost() -> anyhow::Result<()> {
    a_partition_heals("nothing passes between a node and Redis", Proxy::hold_both)?;
    Ok(())
}

/// A node is cut off for longer than its lease, while viewers come and go everywhere.
fn a_partition_heals(event: &str, part: impl Fn(&Proxy)) -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::behind_proxies(&redis, &[3, 4, 50])?;
    let before = fleet.truth();
    let mut victim = fleet.nodes.pop().unwrap();
    let gone = Promise::begin(format!("{event}: its 50 viewers leave the others' count"), GONE);
    let marked = Promise::begin(format!("{event}: marked as stale"), MARKED);
    part(victim.proxy());
    victim.viewers.forget_extremes().unwrap();
    fleet.nodes[0].join(2)?;
    fleet.exact(&gone)?;
    victim.leave(20)?;
    victim.join(5)?;
    // Its own viewers keep the last number, which is marked after a while.
    marked.check(victim.viewers.reach(Goal::Stale(victim.open), marked.left()))?;
    marked.kept()?;
    let seen = victim.viewers.snapshot().unwrap();
    assert_eq!((seen.lowest, seen.highest), (Some(before), Some(before)), "{seen}");
    victim.keeps_its_viewers()?;
    fleet.nodes[1].leave(1)?;
    pass(PARTITION.saturating_sub(gone.elapsed()));
    fleet::comes_back(&mut fleet, victim, &format!("{event}, and healed"), |node| node.proxy().heal())?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// A node's reports arrive, but the replies are lost: the reports take effect, and the node repeats them.
pub(crate) fn the_answers_to_a_node_are_lost() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::behind_proxies(&redis, &[3, 4, 50])?;
    fleet.nodes[2].proxy().hold(ToClient);
    fleet.nodes[2].join(5)?;
    fleet.nodes[2].leave(10)?;
    fleet.nodes[0].join(2)?;
    // Its lease counts from the first report without a reply, however often it is repeated.
    let mut victim = fleet.nodes.pop().unwrap();
    let gone = Promise::begin("answers to a node are lost: its viewers leave the others' count", GONE);
    fleet.exact(&gone)?;
    victim.leave(5)?;
    let back = Promise::begin("answers to a node are lost, and pass again: exact", BACK);
    victim.proxy().heal();
    fleet.nodes.push(victim);
    fleet.exact(&back)?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// A slow node still counts. One that is slower than its lease does not, and counts again when it is faster.
pub(crate) fn the_way_to_redis_is_long() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::behind_proxies(&redis, &[3, 4, 50])?;
    let delay = |fleet: &Fleet, by| {
        for way in [ToServer, ToClient] {
            fleet.nodes[2].proxy().delay(way, by);
        }
    };
    delay(&fleet, Duration::from_millis(200));
    fleet.stays_exact(PARTITION)?;
    fleet.nodes[2].join(5)?;
    fleet.nodes[0].leave(1)?;
    fleet.exact(&Promise::begin("Redis is 400 ms away from a node: exact", SOON))?;
    let far = Duration::from_secs(2);
    delay(&fleet, far);
    pass(PARTITION);
    fleet.nodes[2].leave(9)?;
    fleet.nodes[2].proxy().heal();
    // Until what is under way has arrived: it still takes as long, and all that is sent now comes behind it.
    pass(far);
    let back = Promise::begin("Redis was 4 s away from a node, and is near again: exact", BACK);
    fleet.exact(&back)?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

pub(crate) fn a_subscription_delivers_nothing() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::behind_proxies(&redis, &[3, 4, 50])?;
    // From then on only heartbeats are sent.
    pass(QUIET);
    is_replaced("nothing changes and a subscription delivers nothing: noticed and replaced", &fleet)?;
    let heard = Promise::begin("deliveries pass again: the new subscription hears them", HEALED);
    fleet.nodes[2].proxy().heal();
    hears(&mut fleet, &heard)?;

    // At different moments between two heartbeats.
    for round in 1..=3 {
        pass(QUIET + STEP * round);
        let exact = Promise::begin("a subscription delivers nothing while viewers come elsewhere: exact", HEALED);
        fleet.nodes[2].proxy().drop_messages();
        fleet.nodes[0].join(2)?;
        fleet.exact(&exact)?;
        fleet.nodes[2].proxy().heal();
    }
    pass(QUIET);
    is_replaced("nothing changes again and a subscription delivers nothing: noticed and replaced", &fleet)?;
    let replaced = fleet.nodes[2].node.metric(DEAD_SUBSCRIPTIONS).unwrap();
    // The other nodes receive what is published, and replace nothing.
    for other in &fleet.nodes[..2] {
        assert_eq!(other.node.metric(DEAD_SUBSCRIPTIONS).unwrap(), 0.0);
    }
    let heard = Promise::begin("deliveries pass again: the newest subscription hears them", HEALED);
    fleet.nodes[2].proxy().heal();
    hears(&mut fleet, &heard)?;
    fleet.nodes[1].leave(1)?;
    fleet.exact(&Promise::begin("and the number is exact by what it hears", SOON))?;
    assert!(!fleet.nodes[2].node.reading(COUNTER).unwrap().stale);
    assert_eq!(fleet.nodes[2].node.metric(DEAD_SUBSCRIPTIONS).unwrap(), replaced, "once was enough");
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// The last node receives no published message from now on, notices, and counts it in a metric.
fn is_replaced(event: &str, fleet: &Fleet) -> anyhow::Result<()> {
    let node = &fleet.nodes[2].node;
    let before = node.metric(DEAD_SUBSCRIPTIONS).unwrap();
    let replaced = Promise::begin(event, REPLACED);
    fleet.nodes[2].proxy().drop_messages();
    let counted =
        wait_until("the replacement in the metrics", replaced.left(), || match node.metric(DEAD_SUBSCRIPTIONS) {
            Ok(dead) if dead > before => Ok(()),
            Ok(dead) => Err(format!("{dead} replaced")),
            Err(error) => Err(error.to_string()),
        });
    replaced.check(counted)?;
    replaced.kept()?;
    Ok(())
}

/// The last node receives what is published while viewers come elsewhere: it may just be about to open another subscription.
fn hears(fleet: &mut Fleet, promise: &Promise) -> anyhow::Result<()> {
    let messages = |fleet: &Fleet| fleet.nodes[2].node.metric("headcount_presence_messages_total");
    let before = messages(fleet)?;
    while messages(fleet)? <= before {
        if promise.left().is_zero() {
            return Err(promise.broken("it hears nothing").into());
        }
        fleet.nodes[0].join(1)?;
        pass(Duration::from_millis(200));
    }
    promise.kept()?;
    Ok(())
}
