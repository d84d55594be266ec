//! [`Fleet`]: the nodes that should count now, and checks of what all of them show.

mod error;
mod node_with_viewers;
mod silent_viewer;
mod visitor;

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

pub use error::FleetError;
pub use node_with_viewers::{COUNTER, NodeWithViewers, stream};
pub use silent_viewer::SilentViewer;
pub use visitor::{BALANCER, visitors};

use crate::{Error, Goal, NodeOptions, Promise, RedisServer, promise::HEALED, wait_until};

/// How long anything may take that is not bounded by a promise.
const PATIENCE: Duration = Duration::from_secs(30);

/// A quiet node sends some two calls in a heartbeat of 5.5 s, and three commands in 5 s for the visitors' key: one in a
/// second, and here four. One that spins sends hundreds.
const COMMANDS_A_SECOND: f64 = 4.0;

/// In this time it is decided whether all is quiet.
const QUIET_MOMENT: Duration = Duration::from_millis(500);

/// Whether a number is marked as possibly old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// It is marked.
    Stale,
    /// It is not marked.
    Fresh,
}

/// Nodes that should count: all of them, and no other.
#[derive(Default)]
pub struct Fleet {
    /// The nodes. One that is killed or cut off is taken out, and is put back when its viewers should count again.
    pub nodes: Vec<NodeWithViewers>,
}

impl Fleet {
    /// Starts a node for each number of viewers, and waits until the number is exact everywhere.
    ///
    /// # Errors
    /// If a node or viewer does not come up, or the number does not become exact.
    pub fn start(options: &NodeOptions, viewers: &[usize]) -> Result<Self, FleetError> {
        let nodes = viewers.iter().map(|&viewers| NodeWithViewers::start(options, viewers));
        Self { nodes: nodes.collect::<Result<_, _>>()? }.settled()
    }

    /// The same with a proxy between each node and its Redis.
    ///
    /// # Errors
    /// If a node or viewer does not come up, or the number does not become exact.
    pub fn behind_proxies(redis: &RedisServer, options: &NodeOptions, viewers: &[usize]) -> Result<Self, FleetError> {
        let start = |&viewers| NodeWithViewers::behind_proxy(redis.address(), options, viewers);
        Self { nodes: viewers.iter().map(start).collect::<Result<_, _>>()? }.settled()
    }

    fn settled(self) -> Result<Self, FleetError> {
        self.soon_exact()?;
        Ok(self)
    }

    /// The number of open connections.
    pub fn truth(&self) -> u64 {
        self.nodes.iter().map(|node| node.open as u64).sum()
    }

    /// The number of distinct visitors behind them.
    pub fn visitors(&self) -> u64 {
        self.nodes.iter().flat_map(NodeWithViewers::visitors).collect::<BTreeSet<_>>().len() as u64
    }

    /// Waits until the number is exact everywhere: every viewer and every node's JSON show the number of open
    /// connections at the same time. Returns how long that took.
    ///
    /// # Errors
    /// If the promise is broken.
    pub fn exact(&self, promise: &Promise) -> Result<Duration, FleetError> {
        promise.check(self.all_show(self.truth(), promise.left()))?;
        Ok(promise.kept()?)
    }

    /// Waits until every node's JSON shows the number of distinct visitors, and the number of open connections, at the same
    /// time. Returns how long that took.
    ///
    /// # Errors
    /// If the promise is broken.
    pub fn visitors_exact(&self, promise: &Promise) -> Result<Duration, FleetError> {
        let (visitors, truth) = (self.visitors(), self.truth());
        let all_agree = || self.nodes.iter().try_for_each(|node| node.tells(visitors, truth));
        promise.check(wait_until("the visitors", promise.left(), all_agree))?;
        Ok(promise.kept()?)
    }

    /// The same as [`exact`](Self::exact) where nothing is promised in figures.
    ///
    /// # Errors
    /// If it is not exact within 30 s.
    pub fn soon_exact(&self) -> Result<(), FleetError> {
        self.all_show(self.truth(), PATIENCE)
    }

    /// Waits until every viewer and every node's JSON show this number at the same time.
    ///
    /// # Errors
    /// If the time runs out.
    pub fn all_show(&self, number: u64, within: Duration) -> Result<(), FleetError> {
        let begun = Instant::now();
        let left = || within.saturating_sub(begun.elapsed());
        for node in &self.nodes {
            node.viewers.all_see(number, left()).map_err(|error| FleetError::wrong(node, error))?;
        }
        // The first may show another number by the time the last show this one.
        let all_agree = || self.nodes.iter().try_for_each(|node| node.shows(number));
        Ok(wait_until("all nodes' agreement", left(), all_agree)?)
    }

    /// Starts to record the lowest and highest numbers afresh.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn forget_extremes(&self) -> Result<(), FleetError> {
        for node in &self.nodes {
            node.viewers.forget_extremes()?;
        }
        Ok(())
    }

    /// Checks that since then every viewer saw only numbers from `lowest` to `highest`, and that none was dropped.
    ///
    /// # Errors
    /// If one saw another number or was dropped.
    pub fn showed_only(&self, lowest: u64, highest: u64) -> Result<(), FleetError> {
        for node in &self.nodes {
            node.keeps_its_viewers()?;
            let seen = node.viewers.snapshot()?;
            let (low, high) = (seen.lowest.unwrap_or(lowest), seen.highest.unwrap_or(highest));
            if low < lowest || high > highest {
                let found = format!("its viewers saw {low} to {high}, not {lowest} to {highest}");
                return Err(FleetError::wrong(node, found));
            }
        }
        Ok(())
    }

    /// Checks that no viewer sees any number but the true one for this time.
    ///
    /// # Errors
    /// If one sees another number, or is dropped.
    pub fn stays_exact(&self, time: Duration) -> Result<(), FleetError> {
        self.stays_exact_through(time, || Ok(()))
    }

    /// Checks that no viewer sees any number but the true one while something happens, and for this time after it.
    ///
    /// # Errors
    /// If one sees another number or is dropped, or if what should happen fails.
    pub fn stays_exact_through(
        &self,
        afterwards: Duration,
        event: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), FleetError> {
        self.forget_extremes()?;
        event()?;
        thread::sleep(afterwards);
        self.showed_only(self.truth(), self.truth())
    }

    /// Checks for this time, in which nobody comes or goes, that no viewer sees another number, and that nodes send Redis no
    /// more than they must. Returns how many commands they have sent, and the bound.
    ///
    /// # Errors
    /// If one sees another number or is dropped, or if the nodes send more.
    pub fn is_quiet(&self, redis: &RedisServer, time: Duration) -> Result<(u64, u64), FleetError> {
        // What is under way is finished first: sessions that have ended are removed.
        wait_until("a quiet Redis", HEALED, || {
            let before = redis.reads()?;
            thread::sleep(QUIET_MOMENT);
            let sent = redis.reads()? - before;
            let is_quiet = sent <= self.quiet_commands(QUIET_MOMENT);
            let found = || FleetError::wrong(&"Redis", format!("{sent} commands in {QUIET_MOMENT:?}"));
            if is_quiet { Ok(()) } else { Err(found()) }
        })?;
        let before = redis.reads()?;
        self.stays_exact(time)?;
        let (sent, bound) = (redis.reads()? - before, self.quiet_commands(time));
        if sent <= bound {
            return Ok((sent, bound));
        }
        Err(FleetError::wrong(&"Redis", format!("{sent} commands in {time:?}, at most {bound} are due: nodes spin")))
    }

    /// The most commands of all nodes in a time in which nothing changes.
    fn quiet_commands(&self, time: Duration) -> u64 {
        let commands = COMMANDS_A_SECOND * time.as_secs_f64() * self.nodes.len() as f64;
        commands.ceil() as u64
    }

    /// Waits until all pictures are marked as stale, or none is, and the JSON agrees. Returns how long
    /// that took.
    ///
    /// # Errors
    /// If the promise is broken.
    pub fn all_marked(&self, marked: Marked, promise: &Promise) -> Result<Duration, FleetError> {
        for node in &self.nodes {
            let goal = match marked {
                Marked::Stale => Goal::Stale(node.open),
                Marked::Fresh => Goal::NoneStale,
            };
            promise.check(node.viewers.reach(goal, promise.left()).map_err(|error| FleetError::wrong(node, error)))?;
            promise.check(wait_until("the mark in the JSON", promise.left(), || {
                let reading = node.node.reading(COUNTER)?;
                let agrees = reading.stale == (marked == Marked::Stale);
                if agrees { Ok(()) } else { Err(FleetError::wrong(node, format!("{reading:?}"))) }
            }))?;
        }
        Ok(promise.kept()?)
    }
}
