//! The changes of one counter's viewers that Redis has not been sent yet.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;

/// Joins and leaves that are still to be sent. A viewer that joins and leaves in between is none of them.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Unreported {
    /// All of these count.
    joined: HashSet<ViewerId>,
    left: Vec<ViewerId>,
}

/// Joins and leaves of one report.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) joins: Vec<(ViewerId, Visitor)>,
    pub(crate) leaves: Vec<ViewerId>,
}

/// Whether joins are taken with other changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    Take,
    /// They stay unreported: Redis is full.
    Withhold,
}

/// Whether changes are left after some were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    Some,
}

impl Changes {
    pub(crate) fn len(&self) -> usize {
        self.joins.len() + self.leaves.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Unreported {
    /// The viewer counts now.
    pub(super) fn join(&mut self, viewer: ViewerId) {
        self.joined.insert(viewer);
    }

    /// The viewer no longer counts.
    pub(super) fn leave(&mut self, viewer: ViewerId) {
        if !self.joined.remove(&viewer) {
            self.left.push(viewer);
        }
    }

    /// Takes at most `most` changes, leaves first. Withheld joins are no rest.
    pub(super) fn take(&mut self, most: usize, joins: Joins, counted: &HashMap<ViewerId, Visitor>) -> (Changes, Rest) {
        let leaves: Vec<_> = self.left.drain(..most.min(self.left.len())).collect();
        let most_joins = if joins == Joins::Take { most - leaves.len() } else { 0 };
        let joining: Vec<_> = self.joined.iter().copied().take(most_joins).collect();
        let are_joins_left = joins == Joins::Take && joining.len() < self.joined.len();
        let mut joins = Vec::with_capacity(joining.len());
        for viewer in joining {
            self.joined.remove(&viewer);
            // A viewer that has left is no longer in `joined`, so each of these counts.
            joins.extend(counted.get(&viewer).map(|visitor| (viewer, *visitor)));
        }
        let rest = if self.left.is_empty() && !are_joins_left { Rest::Nothing } else { Rest::Some };
        (Changes { joins, leaves }, rest)
    }

    /// Makes changes unreported again that Redis has refused.
    pub(super) fn put_back(&mut self, changes: Changes, counted: &HashMap<ViewerId, Visitor>) {
        for (viewer, _) in changes.joins {
            if counted.contains_key(&viewer) {
                self.joined.insert(viewer);
            } else {
                // It has left meanwhile, and Redis never knew it.
                self.left.retain(|left| *left != viewer);
            }
        }
        self.left.extend(changes.leaves);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty()
    }

    /// Forgets joins of viewers that do not count.
    pub(super) fn retain(&mut self, counted: &HashMap<ViewerId, Visitor>) {
        self.joined.retain(|viewer| counted.contains_key(viewer));
    }

    /// How many viewers Redis was sent as counting, if so many count now.
    pub(super) fn sent(&self, counted: usize) -> usize {
        (counted + self.left.len()).saturating_sub(self.joined.len())
    }
}
