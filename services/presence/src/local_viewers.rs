//! One counter's viewers on this node, and the reading that the counter's watchers see.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::metrics::Metrics;
use crate::versions::Versions;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;
use crate::{CounterName, Reading};

/// One counter's viewers on this node, and its newest reading.
pub(crate) struct LocalViewers {
    pub(crate) name: CounterName,
    /// Signalled when there are changes to report, or the counter was closed.
    pub(crate) changed: Notify,
    viewers: Mutex<Viewers>,
    readings: watch::Sender<Reading>,
    versions: Arc<Versions>,
    metrics: Metrics,
}

#[derive(Default)]
struct Viewers {
    counted: HashMap<ViewerId, Visitor>,
    /// Viewers whose grace period is not over.
    pending: HashMap<ViewerId, Visitor>,
    /// The number of counted viewers of each visitor.
    visitors: HashMap<Visitor, u32>,
    /// Changes that Redis has not been sent yet. `None` if this node counts by itself.
    unreported: Option<Unreported>,
    /// A reading of all nodes has been shown: from then on this node's own viewers alone are never shown.
    shows_shared: bool,
    is_closed: bool,
}

#[derive(Default)]
struct Unreported {
    joined: HashSet<ViewerId>,
    left: Vec<ViewerId>,
}

/// Joins and leaves since the last [`take_changes`](LocalViewers::take_changes).
#[derive(Debug, Default)]
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

impl Changes {
    pub(crate) fn len(&self) -> usize {
        self.joins.len() + self.leaves.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl LocalViewers {
    /// The viewers of a counter that only this node counts.
    pub(crate) fn embedded(name: CounterName, versions: Arc<Versions>, metrics: Metrics) -> LocalViewers {
        let readings = watch::Sender::new(versions.empty_reading());
        LocalViewers { name, changed: Notify::new(), viewers: Mutex::default(), readings, versions, metrics }
    }

    /// The viewers of a counter whose changes are reported to Redis, which sends the readings.
    pub(crate) fn reported(name: CounterName, versions: Arc<Versions>, metrics: Metrics) -> LocalViewers {
        let local_viewers = LocalViewers::embedded(name, versions, metrics);
        local_viewers.viewers.lock().unreported = Some(Unreported::default());
        local_viewers
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Reading> {
        self.readings.subscribe()
    }

    pub(crate) fn reading(&self) -> Reading {
        *self.readings.borrow()
    }

    /// Counts the viewer from now. Does nothing if it counts already.
    pub(crate) fn join(&self, viewer: ViewerId, visitor: Visitor) {
        let mut viewers = self.viewers.lock();
        if !viewers.counted.contains_key(&viewer) {
            self.insert(&mut viewers, viewer, visitor);
        }
    }

    /// Notes a viewer that counts from [`join_pending`](LocalViewers::join_pending), unless it leaves before. Returns
    /// false if it is pending or counts already.
    pub(crate) fn add_pending(&self, viewer: ViewerId, visitor: Visitor) -> bool {
        let mut viewers = self.viewers.lock();
        !viewers.counted.contains_key(&viewer) && viewers.pending.insert(viewer, visitor).is_none()
    }

    /// Counts a pending viewer from now. Does nothing if it has left.
    pub(crate) fn join_pending(&self, viewer: ViewerId) {
        let mut viewers = self.viewers.lock();
        if let Some(visitor) = viewers.pending.remove(&viewer) {
            self.insert(&mut viewers, viewer, visitor);
        }
    }

    /// Removes the viewer, whether it is pending or counts.
    pub(crate) fn leave(&self, viewer: ViewerId) {
        let mut viewers = self.viewers.lock();
        if viewers.pending.remove(&viewer).is_some() {
            return;
        }
        let Some(visitor) = viewers.counted.remove(&viewer) else { return };
        if let Some(times) = viewers.visitors.get_mut(&visitor) {
            *times -= 1;
            if *times == 0 {
                viewers.visitors.remove(&visitor);
            }
        }
        if let Some(unreported) = &mut viewers.unreported {
            if !unreported.joined.remove(&viewer) {
                unreported.left.push(viewer);
            }
            self.changed.notify_one();
        }
        self.metrics.viewers.dec();
        self.show_local(&viewers);
    }

    /// Takes at most `most` unreported changes, leaves first. The caller must report them, or [put them
    /// back](LocalViewers::put_back).
    pub(crate) fn take_changes(&self, most: usize, joins: Joins) -> Changes {
        let mut guard = self.viewers.lock();
        let viewers = &mut *guard;
        let Some(unreported) = &mut viewers.unreported else { return Changes::default() };
        let leaves: Vec<_> = unreported.left.drain(..most.min(unreported.left.len())).collect();
        let most_joins = if joins == Joins::Take { most - leaves.len() } else { 0 };
        let joining: Vec<_> = unreported.joined.iter().copied().take(most_joins).collect();
        let are_joins_left = joins == Joins::Take && joining.len() < unreported.joined.len();
        let mut joins = Vec::with_capacity(joining.len());
        for viewer in joining {
            unreported.joined.remove(&viewer);
            // A viewer that has left is no longer in `joined`, so each of these counts.
            joins.extend(viewers.counted.get(&viewer).map(|visitor| (viewer, *visitor)));
        }
        if !unreported.left.is_empty() || are_joins_left {
            self.changed.notify_one();
        }
        Changes { joins, leaves }
    }

    /// Makes changes unreported again that Redis has refused.
    pub(crate) fn put_back(&self, changes: Changes) {
        let mut guard = self.viewers.lock();
        let viewers = &mut *guard;
        let Some(unreported) = &mut viewers.unreported else { return };
        for (viewer, _) in changes.joins {
            if viewers.counted.contains_key(&viewer) {
                unreported.joined.insert(viewer);
            } else {
                // It has left meanwhile, and Redis never knew it.
                unreported.left.retain(|left| *left != viewer);
            }
        }
        unreported.left.extend(changes.leaves);
    }

    /// Takes all viewers that count. This includes all unreported changes, which are not taken again.
    pub(crate) fn take_all(&self) -> Vec<(ViewerId, Visitor)> {
        let mut viewers = self.viewers.lock();
        if let Some(unreported) = &mut viewers.unreported {
            *unreported = Unreported::default();
        }
        viewers.counted.iter().map(|(viewer, visitor)| (*viewer, *visitor)).collect()
    }

    /// The number of viewers that count on this node.
    pub(crate) fn count(&self) -> usize {
        self.viewers.lock().counted.len()
    }

    /// Called when the counter is no longer live on this node.
    pub(crate) fn close(&self) {
        self.viewers.lock().is_closed = true;
        self.changed.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.viewers.lock().is_closed
    }

    /// Shows a reading of all nodes.
    pub(crate) fn show_shared(&self, reading: Reading) {
        self.viewers.lock().shows_shared = true;
        self.readings.send_replace(reading);
    }

    /// Confirms the shown reading as of this time. Wakes watchers only if the reading was marked as stale.
    pub(crate) fn confirm(&self, as_of: SystemTime) {
        self.readings.send_if_modified(|reading| {
            reading.as_of = as_of;
            std::mem::replace(&mut reading.stale, false)
        });
    }

    /// Marks the shown reading as stale.
    pub(crate) fn mark_stale(&self) {
        self.readings.send_if_modified(|reading| !std::mem::replace(&mut reading.stale, true));
    }

    fn insert(&self, viewers: &mut Viewers, viewer: ViewerId, visitor: Visitor) {
        viewers.counted.insert(viewer, visitor);
        *viewers.visitors.entry(visitor).or_default() += 1;
        if let Some(unreported) = &mut viewers.unreported {
            unreported.joined.insert(viewer);
            self.changed.notify_one();
        }
        self.metrics.viewers.inc();
        self.show_local(viewers);
    }

    /// Shows this node's own viewers, until a reading of all nodes has been shown. Called under the lock, so that
    /// versions reach the watchers in order.
    fn show_local(&self, viewers: &Viewers) {
        if !viewers.shows_shared {
            let (count, visitors) = (viewers.counted.len() as u64, viewers.visitors.len() as u64);
            self.readings.send_replace(self.versions.next_reading(count, visitors));
        }
    }
}
