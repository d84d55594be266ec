//! [`Fleet`]: the nodes that should count now, and checks of what all of them show.

mod error;
mod node_with_viewers;
mod silent_viewer;

use std::{
    thread,
    time::{Duration, Instant},
};

pub use error::FleetError;
pub use node_with_viewers::{COUNTER, NodeWithViewers, stream};
pub use silent_viewer::SilentViewer;

use crate::{Goal, NodeOptions, Promise, RedisServer, wait_until};

/// How long anything may take that is not bounded by a promise.
const PATIENCE: Duration = Duration::from_secs(30);

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

    /// Waits until the number is exact everywhere: every viewer and every node's JSON show the number of open
    /// connections at the same time. Returns how long that took.
    ///
    /// # Errors
    /// If the promise is broken.
    pub fn exact(&self, promise: &Promise) -> Result<Duration, FleetError> {
        promise.check(self.all_show(self.truth(), promise.left()))?;
        Ok(promise.kept()?)
    }

    /// The same where nothing is promised in figures.
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
        self.forget_extremes()?;
        thread::sleep(time);
        self.showed_only(self.truth(), self.truth())
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
