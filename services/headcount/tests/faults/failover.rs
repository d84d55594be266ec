//! Sentinel makes a replica the master that lacks the last writes.

use std::time::Duration;

use headcount_testkit::{
    Promise, Sentinels,
    promise::{HEALED, SOON},
    wait_until,
};

use crate::{
    fleet::{self, PATIENCE, pass},
    status, store,
};

/// How long an old master is watched: the sentinels demote it some ten seconds after it is back.
const OLD_MASTER_WATCHED: Duration = Duration::from_secs(20);

pub(crate) fn a_failover_loses_the_last_writes() -> anyhow::Result<()> {
    let mut redis = Sentinels::start().unwrap();
    // The first sentinel of the list does not answer, so the next one is asked.
    let url = redis.url().replace("sentinel://", "sentinel://127.0.0.1:1,");
    let mut fleet = fleet::open(&url, &[30, 100, 7])?;
    redis.stop_replication();
    fleet.nodes[0].join(20)?;
    fleet.nodes[1].leave(60)?;
    fleet.nodes[2].join(3)?;
    fleet.soon_exact()?;
    let truth = fleet.truth();
    fleet.forget_extremes()?;
    redis.fail_over().unwrap();
    let healed = Promise::begin("a failover to a replica without the last writes: exact", HEALED);
    // What was right before may be what is shown all along: a change shows that the nodes have found the new master.
    fleet.nodes[1].leave(5)?;
    fleet.exact(&healed)?;
    // The replica counts the 60 viewers that left until their node registers again.
    fleet.showed_only(truth - 5, truth + 60)?;
    let told = status::counters(&url);
    assert_eq!(told[0].count, fleet.truth(), "{told:?}");
    store::holds_only(redis.replica(), &fleet)?;
    fleet.nodes[2].join(4)?;
    fleet.exact(&Promise::begin("viewers come after the failover: exact", SOON))?;
    fleet::leave_nothing(fleet, &[redis.replica()])
}

/// The old master is not dead: it wakes up, takes itself for the master for a while, and is made a replica.
pub(crate) fn a_frozen_master_is_replaced() -> anyhow::Result<()> {
    let redis = Sentinels::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[30, 100, 7])?;
    redis.stop_replication();
    fleet.nodes[0].join(20)?;
    fleet.nodes[1].leave(60)?;
    fleet.soon_exact()?;
    redis.master().process().freeze().unwrap();
    wait_until("the failover", PATIENCE, || match redis.replica().info("role") {
        Ok(role) if role == "master" => Ok(()),
        Ok(role) => Err(role),
        Err(error) => Err(error.to_string()),
    })
    .unwrap();
    let healed = Promise::begin("a frozen master is replaced by a replica without the last writes: exact", HEALED);
    fleet.nodes[1].leave(5)?;
    fleet.exact(&healed)?;
    store::holds_only(redis.replica(), &fleet)?;
    let truth = fleet.truth();
    fleet.forget_extremes()?;
    redis.master().process().thaw().unwrap();
    pass(OLD_MASTER_WATCHED);
    fleet.showed_only(truth, truth)?;
    assert_eq!(redis.master().info("role").unwrap(), "slave", "the sentinels have not found the old master again");
    fleet.nodes[2].join(4)?;
    fleet.exact(&Promise::begin("the old master wakes up, and viewers come: exact", SOON))?;
    store::holds_only(redis.replica(), &fleet)?;
    fleet::leave_nothing(fleet, &[redis.replica()])
}
