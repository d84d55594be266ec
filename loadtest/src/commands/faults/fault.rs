//! [`Fault`]: what can be broken, and where.

use clap::ValueEnum;
use headcount_testkit::{RedisCluster, RedisServer, Sentinels};
use rand::{Rng, rngs::StdRng};

use super::{
    nodes, stores,
    timeline::Timeline,
    world::{Backend, Kept, World},
};

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
    /// Nothing goes through between a node and Redis, though connections stay open, then healed
    Partition,
    /// Redis is killed and restarted empty
    Restart,
    /// FLUSHALL
    Flush,
    /// Redis is away for longer than a lease
    Outage,
    /// A subscription stays open and delivers nothing
    Deaf,
    /// Reports are doubled, echoed, held back, overtaken, and retried
    Mangle,
    /// A node's clock is an hour off
    Clock,
    /// A viewer's machine vanishes: no FIN (needs root and iptables)
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
            Self::Deaf => "deaf",
            Self::Mangle => "mangle",
            Self::Clock => "clock",
            Self::Vanish => "vanish",
            Self::Failover => "failover",
            Self::Slot => "slot",
        }
    }

    /// What cannot be injected on this machine, and why.
    pub(super) fn impossible() -> Vec<(Self, anyhow::Error)> {
        let wall = nodes::iptables(&["-L", "INPUT"]).err().map(|why| (Self::Vanish, why));
        wall.into_iter().collect()
    }

    /// What it has to be injected into.
    pub(super) fn backend(self) -> anyhow::Result<Backend> {
        Ok(match self {
            Self::Failover => Backend::Sentinels(Box::new(Sentinels::start()?)),
            Self::Slot => Backend::Cluster(RedisCluster::start()?),
            _ => Backend::Single(RedisServer::start()?),
        })
    }

    /// Whether it can be injected into a world with this backend. A failover can happen once only.
    pub(super) fn wants(self, backend: &Backend) -> bool {
        match self {
            Self::Failover => false,
            Self::Slot => matches!(backend, Backend::Cluster(_)),
            _ => matches!(backend, Backend::Single(_)),
        }
    }

    /// Breaks it, and holds the nodes to what is promised.
    pub(super) fn inject(
        self,
        world: &mut World,
        choice: &mut StdRng,
        timeline: &mut Timeline,
    ) -> anyhow::Result<Vec<Kept>> {
        let victim = choice.random_range(0..world.posts.len());
        match self {
            Self::Kill => nodes::kill(world, victim, choice, timeline),
            Self::Stop => nodes::stop(world, victim, choice, timeline),
            Self::Freeze | Self::Cut | Self::Partition => nodes::absence(self, world, victim, choice, timeline),
            Self::Restart | Self::Flush => stores::loss(self, world, timeline),
            Self::Outage => stores::outage(world, choice, timeline),
            Self::Deaf => stores::deaf(world, victim, choice, timeline),
            Self::Mangle => stores::mangle(world, choice, timeline),
            Self::Clock => nodes::clock(world, choice, timeline),
            Self::Vanish => nodes::vanish(world, victim, timeline),
            Self::Failover => stores::failover(world, choice, timeline),
            Self::Slot => stores::slot(world, choice, timeline),
        }
    }
}
