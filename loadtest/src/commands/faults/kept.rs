//! [`KeptPromises`]: what was promised and held, how often, and the longest time that it took.

use std::{collections::BTreeMap, time::Duration};

use super::fault::Fault;
use crate::report::Table;

/// A promise that was kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    what: String,
    held: Held,
}

/// How it was kept.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// It became true after this time, and before the bound.
    Within { took: Duration, bound: Duration },
    /// It was true for all of this time.
    Throughout(Duration),
}

impl Kept {
    /// Something became true within a bound.
    pub(super) fn within(what: impl Into<String>, bound: Duration, took: Duration) -> Self {
        Self { what: what.into(), held: Held::Within { took, bound } }
    }

    /// Something was true all the time.
    pub(super) fn throughout(what: impl Into<String>, time: Duration) -> Self {
        Self { what: what.into(), held: Held::Throughout(time) }
    }
}

impl Held {
    fn time(self) -> Duration {
        match self {
            Self::Within { took, .. } => took,
            Self::Throughout(time) => time,
        }
    }

    fn bound(self) -> String {
        match self {
            Self::Within { bound, .. } => format!("≤ {bound:.0?}"),
            Self::Throughout(_) => "all the time".into(),
        }
    }
}

/// All promises that were kept.
#[derive(Default)]
pub(super) struct KeptPromises(BTreeMap<(String, String), (usize, Held)>);

impl KeptPromises {
    pub(super) fn add(&mut self, fault: Fault, kept: Vec<Kept>) {
        for Kept { what, held } in kept {
            let (times, longest) = self.0.entry((fault.name(), what)).or_insert((0, held));
            *times += 1;
            if held.time() > longest.time() {
                *longest = held;
            }
        }
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new("Promises kept", &["fault", "promise", "times", "bound", "longest"]);
        for ((fault, what), (times, longest)) in &self.0 {
            let time = format!("{:.2?}", longest.time());
            table.row(vec![fault.clone(), what.clone(), times.to_string(), longest.bound(), time]);
        }
        table
    }
}
