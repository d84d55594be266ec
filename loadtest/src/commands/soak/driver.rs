//! [`Driver`]: makes the viewers of some counters come and go.

use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueEnum;
use rand::{Rng, rngs::StdRng};

use super::{
    crowd::Crowd,
    observer::Shared,
    traffic::{Shape, Traffic, Visitors},
};

/// How often viewers read.
const READ: f64 = 0.1;

/// What was missed while something else was done is not made up for, but for so many seconds.
const MADE_UP: f64 = 5.0;

/// The traffic of some counters.
pub(super) struct Driver {
    shared: Shared,
    crowd: Crowd,
    traffic: Vec<Traffic>,
    visitors: Visitors,
    choice: StdRng,
    /// By what times are divided.
    scale: f64,
    last_read: f64,
}

impl Driver {
    pub(super) fn new(shared: &Shared, traffic: Vec<Traffic>, choice: StdRng, scale: f64) -> Self {
        let names = Shape::value_variants().iter().map(|shape| shape.name()).collect();
        let crowd = Crowd::new(Arc::clone(&shared.truth), names);
        let shared = shared.clone();
        Self { shared, crowd, traffic, visitors: Visitors::new(), choice, scale, last_read: 0.0 }
    }

    /// Does what is due, and reads what has come. `begun` is when the traffic began.
    pub(super) fn go_on(&mut self, begun: f64) -> anyhow::Result<()> {
        let now = (self.shared.truth.now() - begun) * self.scale;
        let targets = self.shared.targets.read().clone();
        for traffic in &mut self.traffic {
            if traffic.due <= now {
                traffic.due = traffic.due.max(now - MADE_UP);
                traffic.step(&mut self.crowd, &targets, &mut self.visitors)?;
            }
        }
        if self.shared.truth.now() - self.last_read > READ { self.read() } else { Ok(()) }
    }

    /// Reads what has come. Viewers whose node was stopped go to another.
    pub(super) fn read(&mut self) -> anyhow::Result<()> {
        self.last_read = self.shared.truth.now();
        for ended in self.crowd.read() {
            let targets = self.shared.targets.read().clone();
            if targets.iter().any(|target| target.node == ended.node) {
                bail!("node {} has ended a stream of {}", ended.node, Shape::value_variants()[ended.counter].name());
            }
            let target = targets[self.choice.random_range(0..targets.len())];
            self.crowd.open(ended.counter, target, ended.visitor).context("a viewer of a stopped node comes back")?;
        }
        Ok(())
    }
}
