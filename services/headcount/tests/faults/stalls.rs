//! Redis stalls for seconds, or its clock is stepped: leases of nodes that live seem to have ended.

use std::time::Duration;

use headcount_testkit::{
    Fleet, Promise, RedisServer,
    promise::{GONE, HEALED, SOON},
};

use crate::{
    fleet::{self, pass},
    store,
};

/// Stalls around the length of a lease, which heartbeats have used up in part when it begins.
const STALLS: [u64; 5] = [8, 4, 7, 6, 5];

/// Longer than a lease and all that follows its end.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// The clock of Redis's machine is stepped by an hour, in seconds.
const STEP: i64 = 3_600;

/// Nobody comes or goes: no viewer sees another number. Afterwards changes are counted as ever.
pub(crate) fn redis_stalls() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[30, 100, 7])?;
    for seconds in STALLS {
        let event = format!("Redis stalls for {seconds} s");
        // No heartbeat is due at the same moment of the next stall.
        let afterwards = Duration::from_secs(12) + Duration::from_millis(300 * seconds);
        let stalled = fleet.stays_exact_through(afterwards, || redis.stall(Duration::from_secs(seconds)));
        stalled.map_err(|error| anyhow::anyhow!("{event}: {error}"))?;
        fleet.nodes[1].leave(5)?;
        // Or the number after both could be seen in between, too soon.
        fleet.soon_exact()?;
        fleet.nodes[2].join(2)?;
        fleet.exact(&Promise::begin(
            format!("{event}, nobody saw another number; viewers leave and come: exact"),
            SOON,
        ))?;
    }
    // Viewers come and go during a stall too.
    redis.process().freeze().unwrap();
    fleet.nodes[0].leave(10)?;
    pass(Duration::from_secs(STALLS[0]));
    let healed = Promise::begin("Redis stalls for 8 s while viewers leave: exact", HEALED);
    redis.process().thaw().unwrap();
    fleet.exact(&healed)?;
    fleet.stays_exact(AFTERWARDS)?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// The clock of Redis's machine is stepped, forward and back. Nobody sees another number, and nodes that die then leave
/// the count as ever.
pub(crate) fn redis_clock_steps() -> anyhow::Result<()> {
    let mut redis = RedisServer::start_with_clock().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[30, 100, 7, 11, 13, 17, 19])?;
    for step in [STEP, -STEP] {
        steps(&mut redis, &mut fleet, step, AFTERWARDS)?;
        // And by far less than a lease: a node dies at once.
        steps(&mut redis, &mut fleet, step, Duration::from_millis(100))?;
    }
    // A clock that is corrected by less than a lease.
    for step in [7, -7] {
        let stepped = fleet.stays_exact_through(AFTERWARDS, || redis.step_clock(step));
        stepped.map_err(|error| anyhow::anyhow!("a step of {step} s: {error}"))?;
    }
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// A step, after which a node is killed.
fn steps(redis: &mut RedisServer, fleet: &mut Fleet, step: i64, until_killed: Duration) -> anyhow::Result<()> {
    let event = format!("Redis's clock steps by {step} s");
    let before = fleet.truth();
    let stepped = fleet.stays_exact_through(until_killed, || redis.step_clock(step));
    stepped.map_err(|error| anyhow::anyhow!("{event}: {error}"))?;
    let mut victim = fleet.nodes.pop().unwrap();
    let gone = Promise::begin(format!("{event}, {until_killed:?} later kill -9 of a node: its viewers leave"), GONE);
    victim.node.kill();
    fleet.exact(&gone)?;
    fleet.showed_only(fleet.truth(), before)?;
    fleet.stays_exact(AFTERWARDS)?;
    fleet.nodes[1].leave(2)?;
    fleet.soon_exact()?;
    fleet.nodes[0].join(1)?;
    fleet.exact(&Promise::begin(format!("{event}: viewers leave and come: exact"), SOON))?;
    Ok(())
}
