//! [`Fault`]: what can be broken.

use clap::ValueEnum;

use super::super::checks::name_of;

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Fault {
    /// kill -9 of a node
    Kill,
    /// A node is stopped (SIGTERM)
    Stop,
    /// A node is frozen for longer than its lease (SIGSTOP), then goes on
    Freeze,
    /// A node's connections to Redis are closed, and new ones refused, then healed
    Cut,
    /// Nothing passes between a node and Redis, though connections stay open, then healed
    Partition,
    /// Redis is killed and restarted empty
    Restart,
    /// FLUSHALL
    Flush,
    /// Redis is away for longer than a lease, and comes back empty
    Outage,
    /// Redis is away, or all nodes are cut off, for about the life of its keys, with its data kept (minutes, scaled to seconds)
    LongOutage,
    /// Redis stalls for 4 to 8 s (SIGSTOP), while nobody comes or goes, and while viewers do
    Stall,
    /// The clock of Redis's machine is stepped by an hour, or by a little more than a lease, forward and back; a node dies
    RedisClock,
    /// Keys in Redis are evicted, or lose their end (PERSIST), while nodes use them
    Eviction,
    /// A subscription stays open and delivers nothing
    #[value(alias = "deaf")]
    SilentSubscription,
    /// Reports are duplicated, repeated, delayed, overtaken, and retried
    #[value(alias = "mangle")]
    DisturbedReports,
    /// A node's clock is an hour off
    Clock,
    /// Viewers' machines vanish: no FIN
    Vanish,
    /// A Sentinel failover loses the last writes
    Failover,
    /// A Redis Cluster moves the counter's slot
    Slot,
}

impl Fault {
    /// As in `--only`.
    pub(super) fn name(self) -> String {
        name_of(&self)
    }
}
