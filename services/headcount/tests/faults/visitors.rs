//! Visitors: distinct people, by address and browser, whichever nodes their connections lead to.

use headcount_testkit::{
    Batch, Behaviour, COUNTER, Fleet, NodeOptions, NodeWithViewers, Promise, RedisServer, Viewers,
    promise::{DAMPED, GONE, HEALED, SOON},
    wait_until,
};

use crate::{
    fleet::{self, with_redis},
    store,
};

pub(crate) fn visitors_are_people_not_connections() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = behind_a_balancer(&redis, 3)?;
    for node in &mut fleet.nodes {
        // The same four people at each node, three times each.
        join(node, 12, "192.0.2.1", 4, "one browser")?;
    }
    are(&fleet, 4, &Promise::begin("4 people with 36 connections to 3 nodes: the visitors", SOON))?;
    // Their other browsers are others to us, as are other people.
    join(&mut fleet.nodes[0], 4, "192.0.2.1", 4, "another browser")?;
    join(&mut fleet.nodes[1], 2, "198.51.100.7", 2, "one browser")?;
    are(&fleet, 10, &Promise::begin("another browser each, and two more people: the visitors", SOON))?;
    // IPv6 changes within a household's /64 by itself, several times a day.
    join(&mut fleet.nodes[0], 1, "2001:db8:1:1::1", 1, "one browser")?;
    join(&mut fleet.nodes[1], 1, "2001:db8:1:1:2:3:4:5", 1, "one browser")?;
    join(&mut fleet.nodes[2], 1, "2001:db8:1:2::1", 1, "one browser")?;
    are(&fleet, 12, &Promise::begin("three IPv6 addresses in two networks: the visitors", SOON))?;
    let url = fleet.nodes[2].node.url(&format!("{COUNTER}.png?show=visitors"));
    let behaviour = behaviour("192.0.2.1", 1, "one browser");
    let watching = Viewers::start(Batch { count: 1, urls: vec![url], behaviour, ..Batch::default() }).unwrap();
    watching.all_see(12, SOON).unwrap();
    // The four with their first browsers leave one node, and are still at the two others.
    fleet.nodes[0].leave(12)?;
    drop(watching);
    are(&fleet, 12, &Promise::begin("some of their connections close: the visitors", DAMPED))?;
    fleet::leave_nothing_within(DAMPED, fleet, &[&redis])
}

pub(crate) fn visitors_survive_faults() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = behind_a_balancer(&redis, 3)?;
    for (node, first) in fleet.nodes.iter_mut().zip(["192.0.2.1", "192.0.2.51", "192.0.2.101"]) {
        // Each node shares 50 of its 100 visitors with the next.
        join(node, 300, first, 100, "one browser")?;
    }
    are(&fleet, 200, &Promise::begin("200 people with 900 connections: the visitors", SOON))?;
    let healed = Promise::begin("FLUSHALL: the visitors are exact", HEALED);
    redis.command(&["FLUSHALL"]).unwrap();
    join(&mut fleet.nodes[0], 1, "203.0.113.9", 1, "one browser")?;
    are(&fleet, 201, &healed)?;
    let mut victim = fleet.nodes.pop().unwrap();
    let gone = Promise::begin("kill -9 of a node: those who were nowhere else leave the visitors", GONE);
    victim.node.kill();
    are(&fleet, 151, &gone)?;
    store::holds_besides_addresses(&redis, &fleet)?;
    fleet::leave_nothing_within(DAMPED, fleet, &[&redis])
}

/// A visitor who opens another stream after Redis lost everything is the same visitor on every node.
pub(crate) fn a_loss_changes_no_visitor() -> anyhow::Result<()> {
    changes_no_visitor("FLUSHALL", |redis| redis.command(&["FLUSHALL"]).unwrap())
}

/// The same after an eviction of nothing but the key that makes visitors: nodes seldom read it, so it is among the first.
pub(crate) fn an_eviction_changes_no_visitor() -> anyhow::Result<()> {
    changes_no_visitor("the visitors' key is evicted", |redis| drop(redis.evict(store::VISITOR_KEY).unwrap()))
}

fn changes_no_visitor(event: &str, lose: impl FnOnce(&RedisServer)) -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = behind_a_balancer(&redis, 2)?;
    for node in &mut fleet.nodes {
        join(node, 8, "192.0.2.1", 4, "one browser")?;
    }
    are(&fleet, 4, &Promise::begin("4 people with 16 connections: the visitors", SOON))?;
    let known = Promise::begin(format!("{event}: the key that makes visitors is back"), HEALED);
    lose(&redis);
    // A node that is first would create another key, and count known visitors again.
    let back = wait_until("the key", known.left(), || match redis.query(&["EXISTS", store::VISITOR_KEY]) {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    known.check(back)?;
    known.kept()?;
    fleet.nodes.push(NodeWithViewers::start(&options(&redis), 0)?);
    for node in &mut fleet.nodes {
        join(node, 4, "192.0.2.1", 4, "one browser")?;
    }
    let same = Promise::begin(format!("{event}, a new node, and the same 4 people come again: the visitors"), HEALED);
    are(&fleet, 4, &same)?;
    fleet::leave_nothing_within(DAMPED, fleet, &[&redis])
}

fn options(redis: &RedisServer) -> NodeOptions {
    with_redis(redis.url()).behind_balancer()
}

fn behind_a_balancer(redis: &RedisServer, nodes: usize) -> anyhow::Result<Fleet> {
    Ok(Fleet::start(&options(redis), &vec![0; nodes])?)
}

pub(crate) fn join(
    node: &mut NodeWithViewers,
    viewers: usize,
    first: &str,
    people: u32,
    browser: &str,
) -> anyhow::Result<()> {
    Ok(node.join_as(viewers, behaviour(first, people, browser))?)
}

fn behaviour(first: &str, people: u32, browser: &str) -> Behaviour {
    headcount_testkit::visitors(first.parse().unwrap(), people, browser)
}

/// Waits until every node's JSON shows this number of visitors, and the exact number of viewers.
pub(crate) fn are(fleet: &Fleet, visitors: u64, promise: &Promise) -> anyhow::Result<()> {
    assert_eq!(fleet.visitors(), visitors, "the viewers are other people");
    fleet.visitors_exact(promise)?;
    Ok(())
}
