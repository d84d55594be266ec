//! [`Fault`]: what can be broken.

use clap::ValueEnum;

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
    /// Redis is away for longer than a lease
    Outage,
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
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::Partition => "partition",
            Self::Restart => "restart",
            Self::Flush => "flush",
            Self::Outage => "outage",
            Self::SilentSubscription => "silent subscription",
            Self::DisturbedReports => "disturbed reports",
            Self::Clock => "clock",
            Self::Vanish => "vanish",
            Self::Failover => "failover",
            Self::Slot => "slot",
        }
    }
}
