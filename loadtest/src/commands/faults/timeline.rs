//! [`Timeline`]: the events of a seed's run.

use std::time::Instant;

use headcount_testkit::Snapshot;

use super::super::history::History;
use crate::report::{Plot, Table};

/// Events, and the state of all viewers, over time.
pub(super) struct Timeline {
    begun: Instant,
    events: Vec<(f64, String)>,
    history: History,
}

impl Timeline {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), events: Vec::new(), history: History::default() }
    }

    /// Records that something happened now.
    pub(super) fn add(&mut self, what: impl Into<String>) {
        self.events.push((self.begun.elapsed().as_secs_f64(), what.into()));
    }

    /// Records that step number `step` begins now, with this fault.
    pub(super) fn breaks(&mut self, step: usize, fault: &str) {
        self.history.mark(self.begun.elapsed().as_secs_f64(), fault);
        self.add(format!("step {step}: {fault}"));
    }

    /// Records the state of all viewers now.
    pub(super) fn sample(&mut self, snapshot: &Snapshot) {
        self.history.at(self.begun.elapsed().as_secs_f64(), snapshot);
    }

    /// The events as a table.
    pub(super) fn table(&self, seed: u64) -> Table {
        let mut table = Table::new(&format!("Timeline of seed {seed}"), &["s", "what"]);
        for (at, what) in &self.events {
            table.row(vec![format!("{at:.2}"), what.clone()]);
        }
        table
    }

    /// The plot of it, with what was broken marked on it.
    pub(super) fn plot(self, seed: u64) -> Plot {
        self.history.plot().named(&format!("course-{seed}"))
    }
}
