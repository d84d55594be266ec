//! Which counters have a history, and for how long.

use std::time::Duration;

use super::HistoryFile;
use crate::CounterName;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long the history of a counter that exists by name is kept after its last change: as long as its longest span.
const LISTED_LIFE: Duration = DAY.saturating_mul(5 * 366);

/// How long that of another counter is kept.
const OTHER_LIFE: Duration = DAY.saturating_mul(30);

/// What is kept of the past, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistorySettings {
    /// Which counters have a history.
    pub rule: HistoryRule,
    /// Where a process without Redis keeps it. Without a file, it ends with the process.
    pub file: Option<HistoryFile>,
}

/// Which counters have a history. All nodes of one Redis should have the same rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryRule {
    /// None.
    Off,
    /// Those that exist by name, for five years, and some others, for 30 days after their last change.
    Kept {
        /// Those that exist by name.
        listed: Vec<CounterName>,
        /// Most others of a node: clients may invent their names, and each takes up to 57 kB.
        others: usize,
    },
}

impl Default for HistoryRule {
    fn default() -> HistoryRule {
        HistoryRule::Kept { listed: Vec::new(), others: HistoryRule::OTHERS }
    }
}

impl HistoryRule {
    /// By default most other counters of a node: 6 MB.
    pub const OTHERS: usize = 100;

    /// Whether a counter has a history. `has_room` says whether there is room for one that is not listed, where there may be so
    /// many.
    pub(crate) fn keeps(&self, name: &CounterName, has_room: impl FnOnce(usize) -> bool) -> bool {
        match self {
            HistoryRule::Off => false,
            HistoryRule::Kept { others, .. } => self.is_listed(name) || has_room(*others),
        }
    }

    /// Whether a counter exists by name.
    pub(crate) fn is_listed(&self, name: &CounterName) -> bool {
        matches!(self, HistoryRule::Kept { listed, .. } if listed.contains(name))
    }

    /// How long the history of a counter is kept after its last change.
    pub(crate) fn life(&self, name: &CounterName) -> Duration {
        if self.is_listed(name) { LISTED_LIFE } else { OTHER_LIFE }
    }
}
