//! [`Report`]: what a run found.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    machine::{Machine, Ticks},
    plot::Plot,
};

/// What a run found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(super) title: String,
    pub(super) command: String,
    pub(super) machine: Machine,
    pub(super) interrupted: bool,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) tables: Vec<Table>,
    pub(super) facts: Map<String, Value>,
    pub(super) notes: Vec<String>,
    #[serde(skip)]
    pub(super) plots: Vec<Plot>,
    #[serde(skip)]
    pub(super) begun: Ticks,
}

/// Whether a bound was kept.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) what: String,
    pub(super) measured: String,
    pub(super) bound: String,
    pub(super) outcome: Outcome,
    pub(super) weight: Weight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Reached,
    Missed,
}

impl From<bool> for Outcome {
    fn from(reached: bool) -> Self {
        if reached { Self::Reached } else { Self::Missed }
    }
}

/// What a missed bound means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weight {
    /// Something is wrong: the run has failed.
    Promise,
    /// A figure is worse than its goal.
    Goal,
}

/// Figures in rows.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(super) title: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        Self { title: title.into(), columns: columns.iter().map(|&name| name.into()).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl Report {
    pub(crate) fn new(title: &str) -> Self {
        let mut arguments = std::env::args();
        arguments.next();
        let command = std::iter::once("headcount-load".into()).chain(arguments).collect::<Vec<_>>().join(" ");
        Self {
            title: title.into(),
            command,
            machine: Machine::here(),
            interrupted: false,
            verdicts: Vec::new(),
            tables: Vec::new(),
            facts: Map::new(),
            notes: Vec::new(),
            plots: Vec::new(),
            begun: Ticks::now(),
        }
    }

    /// Records whether `measured` keeps `bound`.
    pub(crate) fn verdict(
        &mut self,
        weight: Weight,
        what: impl Into<String>,
        measured: impl Into<String>,
        bound: impl Into<String>,
        outcome: impl Into<Outcome>,
    ) {
        let (what, measured, bound) = (what.into(), measured.into(), bound.into());
        self.verdicts.push(Verdict { what, measured, bound, outcome: outcome.into(), weight });
    }

    pub(crate) fn table(&mut self, table: Table) {
        self.tables.push(table);
    }

    pub(crate) fn plot(&mut self, plot: Plot) {
        self.plots.push(plot);
    }

    /// Records a figure for the JSON.
    pub(crate) fn fact(&mut self, name: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.facts.insert(name.into(), value);
    }

    /// Records a line of text.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}
