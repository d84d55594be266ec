//! Keys of a counter are evicted, or lose their life, while the others stay.

use std::time::Duration;

use headcount_testkit::{
    COUNTER, Fleet, Promise, RedisServer,
    promise::{HEALED, SOON},
    wait_until,
};

use crate::{
    fleet::{self, pass, with_redis},
    loss, store, visitors,
};

/// A time without changes, longer than a heartbeat.
const WATCHED: Duration = Duration::from_secs(10);

/// A way in which keys change without a node's doing.
#[derive(Clone, Copy, Debug)]
enum Change {
    Deleted,
    Persisted,
}

pub(crate) fn keys_are_evicted() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let options = with_redis(redis.url()).behind_balancer();
    // The limits of addresses have calls of their own, which are not those of the counter.
    let options = options.with(["--limit-exempt", "0.0.0.0/0"]);
    let mut fleet = Fleet::start(&options, &[0; 3])?;
    let firsts = ["192.0.2.1", "192.0.2.51", "192.0.2.101"];
    for (node, first) in fleet.nodes.iter_mut().zip(firsts) {
        // Each node shares 20 of its 70 visitors with the next.
        visitors::join(node, 140, first, 70, "one browser")?;
    }
    let mut people = 170;
    visitors::are(&fleet, people, &Promise::begin("170 people with 420 connections: the visitors", SOON))?;
    let everything =
        ["state", "sessions", "visitors", "viewers:*", "state sessions", "sessions visitors", "state viewers:*"];
    let changes = everything.map(|keys| (Change::Deleted, keys));
    for (change, keys) in changes.into_iter().chain([(Change::Persisted, "*")]) {
        let event = format!("{keys} of the counter: {change:?}");
        let told = |error: &dyn std::fmt::Display| anyhow::anyhow!("{event}: {error}");
        let healed = Promise::begin(format!("{event}: count and visitors exact"), HEALED);
        spoil(&redis, change, keys)?;
        // A node may notice only when it reports.
        pass(healed.left().saturating_sub(Duration::from_millis(200)));
        visitors::are(&fleet, people, &healed)?;
        loss::is_registered(&redis, &fleet, &Promise::begin(format!("{event}: registered"), SOON))?;
        // What Redis holds decides what comes next.
        let shown = Promise::begin(format!("{event}, and viewers leave and come: exact"), SOON);
        for node in &mut fleet.nodes {
            node.leave(2)?;
        }
        visitors::join(&mut fleet.nodes[1], 1, &format!("198.51.100.{}", people % 250), 1, "another browser")?;
        people += 1;
        visitors::are(&fleet, people, &shown).map_err(|error| told(&error))?;
        let (sent, bound) = fleet.is_quiet(&redis, WATCHED).map_err(|error| told(&error))?;
        println!("a quiet counter on three nodes: bound {bound} commands in {WATCHED:?}, measured {sent}");
    }
    fleet::leave_nothing(fleet, &[&redis])
}

/// Deletes one key of each of these kinds, or takes the end from all keys.
fn spoil(redis: &RedisServer, change: Change, kinds: &str) -> anyhow::Result<()> {
    match change {
        Change::Deleted => {
            for kind in kinds.split(' ') {
                redis.evict(&format!("hc:{{{COUNTER}}}:{kind}"))?;
            }
        }
        Change::Persisted => {
            redis.persist("hc:*")?;
            // A node that waits for the end of a key without one would ask for it all the time.
            let ends = || match redis.query(&["PTTL", store::VISITOR_KEY]) {
                Ok(1i64..) => Ok(()),
                other => Err(format!("{other:?}")),
            };
            wait_until("an end of the visitors' key", HEALED, ends)?;
        }
    }
    Ok(())
}
