//! Keys of a counter are evicted, or lose their life, while the others stay.

use std::time::Duration;

use headcount_testkit::{
    COUNTER, Fleet, Promise, RedisServer,
    promise::{HEALED, SOON},
    wait_until,
};

use crate::{
    fleet::{self, BALANCER, pass, with_redis},
    loss, visitors,
};

/// Calls for a quiet counter with three nodes in ten seconds: some two a heartbeat and node. A node that spins sends
/// hundreds.
const QUIET: u64 = 60;

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
    let options = with_redis(redis.url()).with(["--proxy-protocol-from", BALANCER]);
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
        is_quiet(&redis, &fleet).map_err(|error| told(&error))?;
    }
    fleet::leave_nothing(fleet, &[&redis])
}

/// Changes one key of each of these kinds.
fn spoil(redis: &RedisServer, change: Change, kinds: &str) -> anyhow::Result<()> {
    for kind in kinds.split(' ') {
        let pattern = format!("hc:{{{COUNTER}}}:{kind}");
        let keys: Vec<String> = redis.query(&["KEYS", &pattern])?;
        assert!(!keys.is_empty(), "no {pattern}");
        match change {
            Change::Deleted => redis.command(&["DEL", &keys[0]])?,
            Change::Persisted => {
                for key in &keys {
                    redis.command(&["PERSIST", key])?;
                }
            }
        }
    }
    Ok(())
}

/// Nobody comes or goes: no viewer sees another number, and nodes send no more than heartbeats.
fn is_quiet(redis: &RedisServer, fleet: &Fleet) -> anyhow::Result<()> {
    // Ended sessions are removed first.
    wait_until("a quiet Redis", HEALED, || {
        let begun = calls(redis)?;
        pass(Duration::from_millis(500));
        let sent = calls(redis)? - begun;
        if sent <= QUIET / 10 { Ok(()) } else { Err(format!("{sent} calls in half a second")) }
    })?;
    let begun = calls(redis).unwrap();
    fleet.stays_exact(WATCHED)?;
    let sent = calls(redis).unwrap() - begun;
    println!("a quiet counter on three nodes: bound {QUIET} calls in {WATCHED:?}, measured {sent}");
    assert!(sent <= QUIET, "{sent} calls in {WATCHED:?}: nodes spin");
    Ok(())
}

/// The calls of scripts so far.
fn calls(redis: &RedisServer) -> Result<u64, String> {
    let calls = redis.info("cmdstat_evalsha").map_err(|error| error.to_string())?;
    let calls = calls.split(',').next().and_then(|field| field.strip_prefix("calls=")).unwrap_or_default();
    calls.parse().map_err(|error| format!("{calls}: {error}"))
}
