//! One counter's viewers on this node, and the reading that the counter's watchers see.

mod unreported;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::history::embedded::CounterHistory;
use crate::metrics::Metrics;
use crate::versions::Versions;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;
use crate::{CounterName, Reading};
use unreported::Rest;
pub(crate) use unreported::{Changes, Joins, Unreported};

/// One counter's viewers on this node, and its newest reading.
pub(crate) struct LocalViewers {
    pub(crate) name: CounterName,
    /// Signalled when there are changes to report, or the counter was closed.
    pub(crate) changed: Notify,
    viewers: Mutex<Viewers>,
    readings: watch::Sender<Reading>,
    versions: Arc<Versions>,
    /// Where this node's own numbers are recorded. `None` if they are not, or Redis records those of all nodes.
    history: Option<Arc<CounterHistory>>,
    metrics: Metrics,
}

#[derive(Default)]
struct Viewers {
    counted: HashMap<ViewerId, Visitor>,
    /// Viewers that do not count yet, and when they will.
    pending: HashMap<ViewerId, (Visitor, Instant)>,
    /// The number of counted viewers of each visitor.
    visitors: HashMap<Visitor, u32>,
    /// Changes that Redis has not been sent yet. `None` if this node counts by itself.
    unreported: Option<Unreported>,
    /// A reading of all nodes has been shown: from then on this node's own viewers alone are never shown.
    shows_shared: bool,
    /// The viewers of a former process are being registered again: readings wait until all of them are.
    is_restoring: bool,
    is_closed: bool,
}

/// What a new process needs to go on with the counter, besides its viewers.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct LocalState {
    reading: Reading,
    /// `None` if the node counts by itself.
    unreported: Option<Unreported>,
}

/// A change that takes effect later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planned {
    /// A pending viewer counts.
    Join,
    /// A viewer whose stream has ended no longer counts.
    Leave,
}

/// What the end of a viewer's stream changes.
#[derive(Clone, Copy)]
pub(crate) enum Removal {
    /// Nothing: the viewer has not started to count.
    Unknown,
    /// It was pending until `due`, and never counts.
    Cancelled {
        /// When it would have counted.
        due: Instant,
    },
    /// It counts.
    Counted,
}

impl LocalViewers {
    /// The viewers of a counter that only this node counts.
    pub(crate) fn embedded(
        name: CounterName,
        versions: Arc<Versions>,
        history: Option<Arc<CounterHistory>>,
        metrics: Metrics,
    ) -> LocalViewers {
        let readings = watch::Sender::new(versions.empty_reading());
        LocalViewers { name, changed: Notify::new(), viewers: Mutex::default(), readings, versions, history, metrics }
    }

    /// The viewers of a counter whose changes are reported to Redis, which sends the readings.
    pub(crate) fn reported(name: CounterName, versions: Arc<Versions>, metrics: Metrics) -> LocalViewers {
        let local_viewers = LocalViewers::embedded(name, versions, None, metrics);
        local_viewers.viewers.lock().unreported = Some(Unreported::default());
        local_viewers
    }

    /// Called before viewers of a former process are [restored](LocalViewers::restore): until
    /// [`restored`](LocalViewers::restored), no reading of this node's own viewers is shown.
    pub(crate) fn begin_restoring(&self) {
        self.viewers.lock().is_restoring = true;
    }

    /// Goes on where a former process has stopped.
    pub(crate) fn resume(&self, LocalState { reading, unreported }: LocalState) {
        let mut viewers = self.viewers.lock();
        if let Some(shared) = &mut viewers.unreported {
            *shared = unreported.unwrap_or_default();
            if !shared.is_empty() {
                self.changed.notify_one();
            }
            viewers.shows_shared = reading.epoch > 0;
        }
        self.readings.send_replace(reading);
    }

    /// What a new process needs to go on.
    pub(crate) fn state(&self) -> LocalState {
        let viewers = self.viewers.lock();
        LocalState { reading: self.reading(), unreported: viewers.unreported.clone() }
    }

    /// Registers a viewer again that counted in a former process, whose changes of it are [resumed](LocalViewers::resume).
    pub(crate) fn restore(&self, viewer: ViewerId, visitor: Visitor) {
        let mut viewers = self.viewers.lock();
        if viewers.is_restoring {
            self.count_in(&mut viewers, viewer, visitor);
        } else if self.insert(&mut viewers, viewer, visitor) {
            self.show_local(&viewers);
        }
    }

    /// Called when all viewers of the former process are restored.
    pub(crate) fn restored(&self) {
        let mut guard = self.viewers.lock();
        let viewers = &mut *guard;
        viewers.is_restoring = false;
        if let Some(unreported) = &mut viewers.unreported {
            unreported.retain(&viewers.counted);
        }
        let reading = self.reading();
        if (reading.count, reading.visitors) != viewers.numbers() {
            self.show_local(viewers);
        }
    }

    /// How many viewers Redis was sent as counting.
    pub(crate) fn sent(&self) -> usize {
        let viewers = self.viewers.lock();
        viewers.unreported.as_ref().map_or(0, |unreported| unreported.sent(viewers.counted.len()))
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
        if self.insert(&mut viewers, viewer, visitor) {
            self.show_local(&viewers);
        }
    }

    /// Removes a viewer that counts.
    pub(crate) fn leave(&self, viewer: ViewerId) {
        let mut viewers = self.viewers.lock();
        if self.remove(&mut viewers, viewer) {
            self.show_local(&viewers);
        }
    }

    /// Whether the viewer is pending or counts.
    pub(crate) fn contains(&self, viewer: ViewerId) -> bool {
        let viewers = self.viewers.lock();
        viewers.counted.contains_key(&viewer) || viewers.pending.contains_key(&viewer)
    }

    /// Notes a viewer that will count at `due`, unless it is [cancelled](LocalViewers::cancel_pending) before.
    pub(crate) fn add_pending(&self, viewer: ViewerId, visitor: Visitor, due: Instant) {
        self.viewers.lock().pending.insert(viewer, (visitor, due));
    }

    /// Called when the viewer's stream has ended: cancels a pending join. A viewer that counts is left to the caller.
    pub(crate) fn cancel_pending(&self, viewer: ViewerId) -> Removal {
        let mut viewers = self.viewers.lock();
        match viewers.pending.remove(&viewer) {
            Some((_, due)) => Removal::Cancelled { due },
            None if viewers.counted.contains_key(&viewer) => Removal::Counted,
            None => Removal::Unknown,
        }
    }

    /// Makes planned changes take effect, shown and reported as one. Skips joins that were cancelled.
    pub(crate) fn apply(&self, changes: &[(ViewerId, Planned)]) {
        let mut viewers = self.viewers.lock();
        let mut changed = false;
        for &(viewer, planned) in changes {
            changed |= match planned {
                Planned::Join => {
                    let pending = viewers.pending.remove(&viewer);
                    pending.is_some_and(|(visitor, _)| self.insert(&mut viewers, viewer, visitor))
                }
                Planned::Leave => self.remove(&mut viewers, viewer),
            };
        }
        if changed {
            self.show_local(&viewers);
        }
    }

    /// Takes at most `most` unreported changes, leaves first. The caller must report them, or [put them
    /// back](LocalViewers::put_back).
    pub(crate) fn take_changes(&self, most: usize, joins: Joins) -> Changes {
        let mut guard = self.viewers.lock();
        let viewers = &mut *guard;
        let Some(unreported) = &mut viewers.unreported else { return Changes::default() };
        let (changes, rest) = unreported.take(most, joins, &viewers.counted);
        if rest == Rest::Some {
            self.changed.notify_one();
        }
        changes
    }

    /// Makes changes unreported again that Redis has refused.
    pub(crate) fn put_back(&self, changes: Changes) {
        let mut guard = self.viewers.lock();
        let viewers = &mut *guard;
        if let Some(unreported) = &mut viewers.unreported {
            unreported.put_back(changes, &viewers.counted);
        }
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

    /// Called when the counter is no longer live on this node. Viewers that still count have ended, and their leaves wait:
    /// they go with the counter.
    pub(crate) fn close(&self) {
        let mut viewers = self.viewers.lock();
        viewers.is_closed = true;
        let left: Vec<_> = viewers.counted.keys().copied().collect();
        for viewer in &left {
            self.remove(&mut viewers, *viewer);
        }
        if !left.is_empty() {
            self.show_local(&viewers);
        }
        drop(viewers);
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

    /// Counts a viewer, and makes that unreported. Returns false if it counts already.
    fn insert(&self, viewers: &mut Viewers, viewer: ViewerId, visitor: Visitor) -> bool {
        if !self.count_in(viewers, viewer, visitor) {
            return false;
        }
        if let Some(unreported) = &mut viewers.unreported {
            unreported.join(viewer);
            self.changed.notify_one();
        }
        true
    }

    /// Counts a viewer. Returns false if it counts already.
    fn count_in(&self, viewers: &mut Viewers, viewer: ViewerId, visitor: Visitor) -> bool {
        if viewers.counted.contains_key(&viewer) {
            return false;
        }
        viewers.counted.insert(viewer, visitor);
        *viewers.visitors.entry(visitor).or_default() += 1;
        self.metrics.viewers.inc();
        true
    }

    /// Removes a viewer that counts. Returns false if it does not count.
    fn remove(&self, viewers: &mut Viewers, viewer: ViewerId) -> bool {
        let Some(visitor) = viewers.counted.remove(&viewer) else { return false };
        if let Some(times) = viewers.visitors.get_mut(&visitor) {
            *times -= 1;
            if *times == 0 {
                viewers.visitors.remove(&visitor);
            }
        }
        if let Some(unreported) = &mut viewers.unreported {
            unreported.leave(viewer);
            self.changed.notify_one();
        }
        self.metrics.viewers.dec();
        true
    }

    /// Shows this node's own viewers, until a reading of all nodes has been shown. Called under the lock, so that
    /// versions reach the watchers in order.
    fn show_local(&self, viewers: &Viewers) {
        if !viewers.shows_shared && !viewers.is_restoring {
            let (count, visitors) = viewers.numbers();
            if let Some(history) = &self.history {
                history.record(count);
            }
            self.readings.send_replace(self.versions.next_reading(count, visitors));
        }
    }
}

impl Viewers {
    /// The viewers and the visitors that count on this node.
    fn numbers(&self) -> (u64, u64) {
        (self.counted.len() as u64, self.visitors.len() as u64)
    }
}
