//! [`Setup`]: the fleet that faults are injected into, with its Redis.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use anyhow::Context;
use headcount_testkit::{
    Error, Fleet, Goal, NodeOptions, NodeWithViewers, Promise, RedisCluster, RedisServer, Sentinels, Snapshot,
    TIME_SCALE, ViewersError, promise::SOON, visitors,
};
use rand::{Rng, rngs::StdRng};

use super::{arguments::Arguments, fault::Fault, kept::Kept, timeline::Timeline};

/// Time between two samples of all viewers.
const SAMPLE: Duration = Duration::from_millis(250);

/// What is promised where nobody comes or goes.
const NOBODY: &str = "nobody is shown another number";

/// The first visitor's address: 198.18.0.0/15 is reserved for measurements (RFC 2544).
const FIRST_VISITOR: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0));

/// What no limit of addresses applies to: the visitors, who come and go all the time, and viewers from this machine.
const EXEMPT: &str = "198.18.0.0/15,127.0.0.0/8";

/// Where the nodes keep their presence.
pub(super) enum Backend {
    Single(RedisServer),
    /// One whose clock can be stepped.
    Clocked(RedisServer),
    /// One whose nodes divide all lives and leases by [`TIME_SCALE`].
    Scaled(RedisServer),
    Sentinels(Box<Sentinels>),
    Cluster(RedisCluster),
}

/// How many viewers came and went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changes {
    pub(super) joins: u64,
    pub(super) leaves: u64,
}

impl Backend {
    /// Starts the one that a fault is injected into.
    fn start(fault: Fault) -> anyhow::Result<Self> {
        Ok(match fault {
            Fault::Failover => Self::Sentinels(Box::new(Sentinels::start()?)),
            Fault::Slot => Self::Cluster(RedisCluster::start()?),
            Fault::RedisClock => Self::Clocked(RedisServer::start_with_clock()?),
            Fault::LongOutage => Self::Scaled(RedisServer::start()?),
            _ => Self::Single(RedisServer::start()?),
        })
    }

    /// Whether a fault can be injected into this one. A failover can happen only once.
    fn fits(&self, fault: Fault) -> bool {
        match fault {
            Fault::Failover => false,
            Fault::Slot => matches!(self, Self::Cluster(_)),
            Fault::RedisClock => matches!(self, Self::Clocked(_)),
            Fault::LongOutage => matches!(self, Self::Scaled(_)),
            _ => matches!(self, Self::Single(_) | Self::Clocked(_)),
        }
    }

    /// The only server of it.
    pub(super) fn redis(&mut self) -> &mut RedisServer {
        match self {
            Self::Single(redis) | Self::Clocked(redis) | Self::Scaled(redis) => redis,
            Self::Sentinels(_) | Self::Cluster(_) => unreachable!("this fault needs a single Redis"),
        }
    }
}

pub(super) struct Setup {
    pub(super) backend: Backend,
    /// The nodes that should count.
    pub(super) fleet: Fleet,
    /// The node that is away: its viewers should not count now.
    pub(super) away: Option<NodeWithViewers>,
    options: NodeOptions,
}

impl Setup {
    /// The setup that a fault needs: the one that is there, or a new one.
    pub(super) fn for_fault<'a>(
        fault: Fault,
        setup: &'a mut Option<Self>,
        arguments: &Arguments,
        timeline: &mut Timeline,
    ) -> anyhow::Result<&'a mut Self> {
        if !setup.as_ref().is_some_and(|setup| setup.backend.fits(fault)) {
            // The old processes end before new ones start.
            *setup = None;
            *setup = Some(Self::new(Backend::start(fault)?, arguments, timeline)?);
        }
        Ok(setup.as_mut().expect("it was just made"))
    }

    fn new(backend: Backend, arguments: &Arguments, timeline: &mut Timeline) -> anyhow::Result<Self> {
        let options = NodeOptions { program: arguments.program.clone(), ..NodeOptions::default() };
        let options = options.behind_balancer().with(["--drain", "1s", "--limit-exempt", EXEMPT]);
        let options = if matches!(backend, Backend::Scaled(_)) { options.scaled(TIME_SCALE) } else { options };
        let mut setup = Self { backend, fleet: Fleet::default(), away: None, options };
        for _ in 0..arguments.nodes {
            setup.add_node(usize::from(arguments.viewers), None)?;
        }
        timeline.add(format!("{} nodes with {} viewers each", arguments.nodes, arguments.viewers));
        setup.fleet.soon_exact().context("before any fault")?;
        setup.fleet.visitors_exact(&Promise::silent("the visitors before any fault", SOON))?;
        Ok(setup)
    }

    /// Adds a node with viewers to the fleet, with its clock shifted if `clock` is given.
    pub(super) fn add_node(&mut self, viewers: usize, clock: Option<&str>) -> anyhow::Result<()> {
        let node = self.start_node(viewers, clock)?;
        self.fleet.nodes.push(node);
        Ok(())
    }

    fn start_node(&self, viewers: usize, clock: Option<&str>) -> anyhow::Result<NodeWithViewers> {
        let options = self.options.clone();
        let options = if let Some(shift) = clock { options.with_clock(shift) } else { options };
        let url = |url| NodeOptions { redis: Some(url), ..options.clone() };
        let mut node = match &self.backend {
            Backend::Single(redis) | Backend::Clocked(redis) | Backend::Scaled(redis) => {
                NodeWithViewers::behind_proxy(redis.address(), &options, 0)?
            }
            Backend::Sentinels(sentinels) => NodeWithViewers::start(&url(sentinels.url()), 0)?,
            Backend::Cluster(cluster) => NodeWithViewers::start(&url(cluster.url()), 0)?,
        };
        // The first half of its viewers are another node's visitors too. Whoever comes later is new: a ghost would be seen.
        let shared = self.fleet.nodes.last().and_then(NodeWithViewers::visitor_in_the_middle);
        node.behaviour = visitors(shared.unwrap_or(FIRST_VISITOR), u32::MAX, "one browser");
        node.join(viewers)?;
        Ok(node)
    }

    pub(super) fn redis(&mut self) -> &mut RedisServer {
        self.backend.redis()
    }

    /// Takes a node out of the fleet: its viewers should not count from now on.
    pub(super) fn take_out(&mut self, index: usize) -> &mut NodeWithViewers {
        self.away.insert(self.fleet.nodes.remove(index))
    }

    /// Puts the node that is away back into its place.
    pub(super) fn put_back(&mut self, index: usize) {
        self.fleet.nodes.insert(index, self.away.take().expect("a node is away"));
    }

    /// Replaces the node that is away by a new one with as many viewers.
    pub(super) fn replace(&mut self, index: usize, timeline: &mut Timeline) -> anyhow::Result<()> {
        let old = self.away.take().expect("a node is away");
        let new = self.start_node(old.open, None)?;
        timeline.add(format!("{new} replaces {old}, with {} viewers", old.open));
        drop(old);
        self.fleet.nodes.insert(index, new);
        self.fleet.soon_exact().context("with the new node")?;
        self.fleet.visitors_exact(&Promise::silent("the visitors with the new node", SOON))?;
        Ok(())
    }

    /// Opens and closes viewers of each node of the fleet, as many as `choice` gives.
    pub(super) fn stir(&mut self, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Changes> {
        let mut all = Changes::default();
        for node in &mut self.fleet.nodes {
            let (joins, leaves) = (choice.random_range(1..30), choice.random_range(0..node.open.min(20)));
            node.leave(leaves)?;
            node.join(joins)?;
            timeline.add(format!("{node}: {joins} viewers come, {leaves} leave"));
            all.joins += joins as u64;
            all.leaves += leaves as u64;
        }
        self.sample(timeline)?;
        Ok(all)
    }

    /// Waits until viewers and visitors are exact within the bound, and records meanwhile what all viewers see.
    pub(super) fn promise(&self, what: &str, bound: Duration, timeline: &mut Timeline) -> anyhow::Result<Kept> {
        self.promise_since(Promise::silent(what, bound), what, bound, timeline)
    }

    /// The same for something that happened a while ago.
    pub(super) fn promise_since(
        &self,
        promise: Promise,
        what: &str,
        bound: Duration,
        timeline: &mut Timeline,
    ) -> anyhow::Result<Kept> {
        let truth = self.fleet.truth();
        self.sample(timeline)?;
        while let Some(first) = self.fleet.nodes.first() {
            match first.viewers.reach(Goal::Number(truth), SAMPLE.min(promise.left())) {
                Err(ViewersError::TimedOut { .. }) if !promise.left().is_zero() => self.sample(timeline)?,
                _ => break,
            }
        }
        self.fleet.exact(&promise)?;
        let took = self.fleet.visitors_exact(&promise)?;
        let visitors = self.fleet.visitors();
        timeline.add(format!("{what}: all see {truth}, {visitors} visitors, after {took:.2?}"));
        self.sample(timeline)?;
        Ok(Kept::within(what, bound, took))
    }

    /// Checks that no viewer sees any number but the true one for this time.
    pub(super) fn stays_exact(&self, time: Duration, timeline: &mut Timeline) -> anyhow::Result<()> {
        self.fleet.soon_exact().context("before a quiet time")?;
        self.fleet.stays_exact(time)?;
        self.saw_nothing_else(time, timeline)
    }

    /// Checks that no viewer sees any number but the true one while something happens to Redis, and for `afterwards`.
    pub(super) fn stays_exact_through(
        &mut self,
        afterwards: Duration,
        timeline: &mut Timeline,
        event: impl FnOnce(&mut RedisServer) -> Result<(), Error>,
    ) -> anyhow::Result<Kept> {
        self.fleet.soon_exact().context("before a quiet time")?;
        let begun = Instant::now();
        let Self { backend, fleet, .. } = self;
        fleet.stays_exact_through(afterwards, || event(backend.redis()))?;
        self.saw_nothing_else(begun.elapsed(), timeline)?;
        Ok(Kept::throughout(NOBODY, begun.elapsed()))
    }

    fn saw_nothing_else(&self, time: Duration, timeline: &mut Timeline) -> anyhow::Result<()> {
        timeline.add(format!("all saw {} and nothing else for {time:.0?}", self.fleet.truth()));
        self.sample(timeline)
    }

    /// Records what all viewers see now.
    pub(super) fn sample(&self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let mut all = Snapshot::default();
        for node in self.fleet.nodes.iter().chain(&self.away) {
            all.merge(node.viewers.snapshot()?);
        }
        timeline.sample(&all);
        Ok(())
    }
}

/// Checks that the viewers of a node that went silent at `since` did not leave the count before its lease could end.
pub(super) fn check_lease(since: Instant) -> anyhow::Result<()> {
    let took = since.elapsed();
    let least = headcount_testkit::promise::NOT_GONE_BEFORE;
    anyhow::ensure!(took >= least, "its viewers left the count after {took:.2?}, before its lease could end");
    Ok(())
}
