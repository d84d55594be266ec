//! Redis loses what it had, or is away.

use std::time::Duration;

use headcount_testkit::{
    COUNTER, Data, Fleet, Marked, Node, Promise, RedisServer, http,
    promise::{HEALED, MARKED, SOON},
    wait_until,
};

use crate::{
    fleet::{self, PATIENCE, pass},
    status, store,
};

/// The time between a node's heartbeats: its last reply from Redis may be this old when Redis goes away.
const HEARTBEAT: Duration = Duration::from_millis(5_500);

/// A number that nothing confirms stays unmarked for at least this time: one late heartbeat marks nothing.
const UNMARKED: Duration = Duration::from_secs(9);

/// Longer than a lease, and than the time after which a number is marked.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(15);

/// How long Redis is away.
const AWAY: Duration = Duration::from_secs(60);

pub(crate) fn redis_forgets_everything() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().unwrap();
    is_survived("FLUSHALL", &mut redis, |redis| redis.command(&["FLUSHALL"]).unwrap())?;
    Ok(())
}

pub(crate) fn redis_restarts_empty() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().unwrap();
    is_survived("Redis is killed and restarted empty", &mut redis, |redis| redis.restart(Data::Lost).unwrap())?;
    Ok(())
}

/// The loss of everything in Redis, first while nothing changes, then while viewers leave and come.
fn is_survived(event: &str, redis: &mut RedisServer, lose: impl Fn(&mut RedisServer)) -> anyhow::Result<()> {
    let mut fleet = fleet::open(&redis.url(), &[30, 200, 7])?;
    let (truth, epoch) = (fleet.truth(), newest_epoch(&fleet));
    fleet.forget_extremes()?;
    let healed = Promise::begin(format!("{event}: registered again, and exact"), HEALED);
    lose(redis);
    // The number is right all the time; that Redis has all of it again shows that the nodes have noticed.
    is_registered(redis, &fleet, &healed)?;
    begins_an_epoch(&fleet, epoch, &healed)?;
    fleet.exact(&healed)?;
    fleet.showed_only(truth, truth)?;
    store::holds_only(redis, &fleet)?;

    let healed = Promise::begin(format!("{event} while viewers leave and come: exact"), HEALED);
    lose(redis);
    fleet.nodes[1].leave(50)?;
    fleet.nodes[0].leave(10)?;
    fleet.nodes[2].join(20)?;
    fleet.exact(&healed)?;
    // Between the loss and the joins there were 177. What was shown before them may linger, and fewer may not be seen.
    fleet.showed_only(fleet.truth() - 20, truth + 20)?;
    is_registered(redis, &fleet, &healed)?;
    store::holds_only(redis, &fleet)?;
    fleet::leave_nothing(fleet, &[redis])
}

pub(crate) fn redis_is_away_for_a_minute() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[30, 100, 7, 9, 8])?;
    let before = fleet.truth();
    fleet.forget_extremes()?;
    let marked = Promise::begin("Redis is away: marked as stale in frames and JSON", MARKED);
    redis.kill();
    let took = fleet.all_marked(Marked::Stale, &marked)?;
    assert!(took >= UNMARKED - HEARTBEAT, "marked already after {took:?}");
    for node in &fleet.nodes {
        is_degraded(&node.node);
    }
    fleet.showed_only(before, before)?;
    // New viewers see the last number, marked as stale.
    fleet.nodes[0].join(5)?;
    fleet.nodes[1].leave(40)?;
    fleet.all_marked(Marked::Stale, &Promise::begin("viewers who come while Redis is away see the mark", SOON))?;
    // A node that ends now leaves the count only when Redis is back.
    fleet.nodes.pop().unwrap().node.kill();
    let status = fleet.nodes.pop().unwrap().node.stop(PATIENCE).unwrap();
    assert!(status.success(), "a node that is stopped while Redis is away ends with {status}");
    pass(AWAY.saturating_sub(marked.elapsed()));
    fleet.showed_only(before, before)?;
    for node in &fleet.nodes {
        is_degraded(&node.node);
    }
    redis.restart(Data::Lost).unwrap();
    let healed = Promise::begin("Redis is back after 60 s, empty: exact", HEALED);
    let fresh = Promise::begin("Redis is back after 60 s, empty: no longer marked as stale", HEALED);
    fleet.exact(&healed)?;
    fleet.all_marked(Marked::Fresh, &fresh)?;
    for node in &fleet.nodes {
        let answer = http::get(node.node.admin(), "/readyz").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ready\n"));
    }
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

pub(crate) fn redis_comes_back_with_an_old_state() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[30, 100, 7])?;
    redis.command(&["SAVE"]).unwrap();
    // What happens from here on will not have happened for Redis.
    fleet.nodes[1].leave(60)?;
    fleet.nodes[2].join(9)?;
    fleet.soon_exact()?;
    let truth = fleet.truth();
    fleet.forget_extremes()?;
    let epoch = newest_epoch(&fleet);
    redis.kill();
    pass(Duration::from_secs(2));
    redis.restart(Data::Kept).unwrap();
    let healed = Promise::begin("Redis is back with what it had saved before the last changes: exact", HEALED);
    begins_an_epoch(&fleet, epoch, &healed)?;
    is_registered(&redis, &fleet, &healed)?;
    fleet.exact(&healed)?;
    // Redis counts the 60 viewers that left until their node registers again. No viewer sees fewer than there are.
    fleet.showed_only(truth, truth + 60)?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// Redis is frozen: connections stay open, nothing is answered, and requests run later, after all leases have ended.
pub(crate) fn redis_freezes() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let fleet = fleet::open(&redis.url(), &[30, 100, 7])?;
    lapses("Redis freezes", fleet, &redis, |_| redis.process().freeze().unwrap(), |_| redis.process().thaw().unwrap())?;
    Ok(())
}

/// Redis is well, but all nodes are cut off from it, until all leases have ended.
pub(crate) fn all_nodes_are_cut_off() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let fleet = fleet::behind_proxies(&redis, &[30, 100, 7])?;
    let part = |fleet: &Fleet| fleet.nodes.iter().for_each(|node| node.proxy().hold_both());
    let heal = |fleet: &Fleet| fleet.nodes.iter().for_each(|node| node.proxy().heal());
    lapses("all nodes are cut off from Redis", fleet, &redis, part, heal)?;
    Ok(())
}

/// Redis answers, but takes nothing more in. Viewers who leave still do so; those who come wait until there is room.
pub(crate) fn redis_is_full() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[30, 100, 7])?;
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    fleet.nodes[1].leave(50)?;
    fleet.exact(&Promise::begin("Redis is full: viewers leave: exact", SOON))?;
    fleet.stays_exact(LONGER_THAN_A_LEASE)?;
    let counted = fleet.truth();
    fleet.nodes[2].join(5)?;
    let degraded = wait_until("a degraded node", SOON, || match http::get(fleet.nodes[2].node.admin(), "/readyz") {
        Ok(answer) if answer.status == 200 && answer.text().starts_with("ready, degraded: ") => Ok(()),
        Ok(answer) => Err(answer.text()),
        Err(error) => Err(error.to_string()),
    });
    degraded.unwrap();
    // Nothing is promised of the five meanwhile, but they are no reason to doubt the others.
    pass(LONGER_THAN_A_LEASE);
    fleet.showed_only(counted, counted)?;
    for node in &fleet.nodes {
        let reading = node.node.reading(COUNTER).unwrap();
        assert!((reading.count, reading.stale) == (counted, false), "{node}: {reading:?}");
    }
    fleet.nodes[0].leave(10)?;
    fleet.all_show(counted - 10, SOON)?;
    let healed = Promise::begin("Redis is full, and has room again: those who came meanwhile count", HEALED);
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    fleet.exact(&healed)?;
    is_registered(&redis, &fleet, &healed)?;
    for node in &fleet.nodes {
        let answer = http::get(node.node.admin(), "/readyz").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ready\n"));
    }
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// All leases end at the same time although no viewer has left: no viewer sees fewer than there are.
fn lapses(
    event: &str,
    mut fleet: Fleet,
    redis: &RedisServer,
    part: impl Fn(&Fleet),
    heal: impl Fn(&Fleet),
) -> anyhow::Result<()> {
    let truth = fleet.truth();
    fleet.forget_extremes()?;
    let marked = Promise::begin(format!("{event}: marked as stale in frames and JSON"), MARKED);
    part(&fleet);
    fleet.all_marked(Marked::Stale, &marked)?;
    for node in &fleet.nodes {
        is_degraded(&node.node);
    }
    pass(LONGER_THAN_A_LEASE.saturating_sub(marked.elapsed()));
    let healed = Promise::begin(format!("{event}, and that is over: registered again, and exact"), HEALED);
    let fresh = Promise::begin(format!("{event}, and that is over: no longer marked as stale"), HEALED);
    heal(&fleet);
    is_registered(redis, &fleet, &healed)?;
    fleet.exact(&healed)?;
    fleet.all_marked(Marked::Fresh, &fresh)?;
    // Long enough that anything that was wrong meanwhile has been shown.
    pass(SOON);
    fleet.showed_only(truth, truth)?;
    store::holds_only(redis, &fleet)?;
    fleet.nodes[1].leave(50)?;
    fleet.nodes[2].join(5)?;
    fleet.exact(&Promise::begin(format!("{event}, and that is over: viewers leave and come: exact"), SOON))?;
    fleet::leave_nothing(fleet, &[redis])
}

fn newest_epoch(fleet: &Fleet) -> u64 {
    fleet.nodes.iter().map(|node| node.node.reading(COUNTER).unwrap().epoch).max().unwrap()
}

/// Waits until every node shows a state of a later epoch.
fn begins_an_epoch(fleet: &Fleet, after: u64, promise: &Promise) -> anyhow::Result<()> {
    for node in &fleet.nodes {
        promise.check(wait_until("a new epoch", promise.left(), || {
            let said = node.node.reading(COUNTER).map_err(|error| error.to_string())?;
            if said.epoch > after { Ok(()) } else { Err(format!("{node}: {said:?}")) }
        }))?;
    }
    Ok(())
}

/// Waits until the living sessions in Redis have as many viewers as there are connections.
pub(crate) fn is_registered(redis: &RedisServer, fleet: &Fleet, promise: &Promise) -> anyhow::Result<()> {
    let truth = fleet.truth();
    promise.check(wait_until("all registrations", promise.left(), || {
        let counters = status::counters(&redis.url());
        let sessions = counters.iter().flat_map(|counter| &counter.sessions).filter(|session| !session.registering);
        let sum: u64 = sessions.map(|session| session.viewers).sum();
        if sum == truth { Ok(()) } else { Err(format!("{sum} of {truth}: {counters:?}")) }
    }))?;
    Ok(())
}

/// Checks that the node is alive, and ready with the reason of its degradation.
fn is_degraded(node: &Node) {
    let ready = http::get(node.admin(), "/readyz").unwrap();
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert!(ready.text().starts_with("ready, degraded: without Redis for"), "{}", ready.text());
    assert_eq!(http::get(node.admin(), "/healthz").unwrap().status, 200);
}
