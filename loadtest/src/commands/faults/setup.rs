//! [`Setup`]: the fleet that faults are injected into, with its Redis.

use std::time::{Duration, Instant};

use anyhow::Context;
use headcount_testkit::{
    Fleet, Goal, NodeOptions, NodeWithViewers, Promise, RedisCluster, RedisServer, Sentinels, Snapshot, ViewersError,
};
use rand::{Rng, rngs::StdRng};

use super::{arguments::Arguments, fault::Fault, timeline::Timeline};

/// Time between two samples of all viewers.
const SAMPLE: Duration = Duration::from_millis(250);

/// A promise that was kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) what: String,
    pub(super) bound: Duration,
    pub(super) took: Duration,
}

/// Where the nodes keep their presence.
pub(super) enum Backend {
    Single(RedisServer),
    Sentinels(Box<Sentinels>),
    Cluster(RedisCluster),
}

impl Backend {
    /// Starts the one that a fault is injected into.
    fn start(fault: Fault) -> anyhow::Result<Self> {
        Ok(match fault {
            Fault::Failover => Self::Sentinels(Box::new(Sentinels::start()?)),
            Fault::Slot => Self::Cluster(RedisCluster::start()?),
            _ => Self::Single(RedisServer::start()?),
        })
    }

    /// Whether a fault can be injected into this one. A failover can happen only once.
    fn fits(&self, fault: Fault) -> bool {
        match fault {
            Fault::Failover => false,
            Fault::Slot => matches!(self, Self::Cluster(_)),
            _ => matches!(self, Self::Single(_)),
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
        let mut setup = Self { backend, fleet: Fleet::default(), away: None, options: options.with(["--drain", "1s"]) };
        for _ in 0..arguments.nodes {
            setup.add_node(usize::from(arguments.viewers), None)?;
        }
        timeline.add(format!("{} nodes with {} viewers each", arguments.nodes, arguments.viewers));
        setup.fleet.soon_exact().context("before any fault")?;
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
        let url = match &self.backend {
            Backend::Single(redis) => return Ok(NodeWithViewers::behind_proxy(redis.address(), &options, viewers)?),
            Backend::Sentinels(sentinels) => sentinels.url(),
            Backend::Cluster(cluster) => cluster.url(),
        };
        Ok(NodeWithViewers::start(&NodeOptions { redis: Some(url), ..options }, viewers)?)
    }

    pub(super) fn redis(&mut self) -> &mut RedisServer {
        match &mut self.backend {
            Backend::Single(redis) => redis,
            Backend::Sentinels(_) | Backend::Cluster(_) => unreachable!("this fault needs a single Redis"),
        }
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
        self.fleet.soon_exact().context("with the new node")
    }

    /// Opens and closes viewers of each node of the fleet, as many as `choice` gives.
    pub(super) fn stir(&mut self, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<()> {
        for node in &mut self.fleet.nodes {
            let (joins, leaves) = (choice.random_range(1..30), choice.random_range(0..node.open.min(20)));
            node.leave(leaves)?;
            node.join(joins)?;
            timeline.add(format!("{node}: {joins} viewers come, {leaves} leave"));
        }
        self.sample(timeline)
    }

    /// Waits until the number is exact within the bound, and records meanwhile what all viewers see.
    pub(super) fn promise(&self, what: &str, bound: Duration, timeline: &mut Timeline) -> anyhow::Result<Kept> {
        let promise = Promise::silent(what, bound);
        let truth = self.fleet.truth();
        self.sample(timeline)?;
        while let Some(first) = self.fleet.nodes.first() {
            match first.viewers.reach(Goal::Number(truth), SAMPLE.min(promise.left())) {
                Err(ViewersError::TimedOut { .. }) if !promise.left().is_zero() => self.sample(timeline)?,
                _ => break,
            }
        }
        let took = self.fleet.exact(&promise)?;
        timeline.add(format!("{what}: all see {truth} after {took:.2?}"));
        self.sample(timeline)?;
        Ok(Kept { what: what.into(), bound, took })
    }

    /// Checks that no viewer sees any number but the true one for this time.
    pub(super) fn stays_exact(&self, time: Duration, timeline: &mut Timeline) -> anyhow::Result<()> {
        self.fleet.soon_exact().context("before a quiet time")?;
        self.fleet.stays_exact(time)?;
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
