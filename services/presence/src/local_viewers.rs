//! The local_viewers of a counter on this node: which of its viewers count, and what all of its watchers see.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Notify, watch};

use crate::metrics::Metrics;
use crate::visitor::Visitor;
use crate::{CounterName, Reading};

/// A viewer on this node; never used twice in the life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ViewerId(pub(crate) u64);

/// Numbers the states that this process makes by itself. Shared by all of its counters, so that a counter that ends
/// and begins again never goes back.
#[derive(Debug)]
pub(crate) struct Versions {
    pub(crate) epoch: u64,
    latest: AtomicU64,
}

/// One counter's viewers on this node, and its newest reading.
pub(crate) struct LocalViewers {
    pub(crate) name: CounterName,
    /// Somebody joined or left, or the local_viewers was closed. Only with a registration elsewhere.
    pub(crate) changed: Notify,
    viewers: Mutex<Viewers>,
    readings: watch::Sender<Reading>,
    versions: Arc<Versions>,
    metrics: Metrics,
}

#[derive(Default)]
struct Viewers {
    /// Those that count.
    present: HashMap<ViewerId, Visitor>,
    /// Those whose grace has not passed.
    waiting: HashMap<ViewerId, Visitor>,
    /// How many of the present each visitor is.
    visitors: HashMap<Visitor, u32>,
    /// What the registration elsewhere has not been told yet. `None`: there is none, this node counts alone.
    unreported: Option<Unreported>,
    /// The readings come from elsewhere: what this node alone knows is not shown any more.
    shows_shared: bool,
    /// Nobody is going to join any more.
    is_closed: bool,
}

#[derive(Default)]
struct Unreported {
    joined: HashSet<ViewerId>,
    left: Vec<ViewerId>,
}

/// Joins and leaves since the last ones.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) joins: Vec<(ViewerId, Visitor)>,
    pub(crate) leaves: Vec<ViewerId>,
}

impl Versions {
    pub(crate) fn new(epoch: u64) -> Versions {
        Versions { epoch, latest: AtomicU64::new(0) }
    }

    /// The state of a counter that nobody views.
    pub(crate) fn nobody(&self) -> Reading {
        Reading {
            count: 0,
            visitors: 0,
            epoch: self.epoch,
            version: self.latest.load(Ordering::Relaxed),
            as_of: SystemTime::now(),
            stale: self.epoch == 0,
        }
    }

    fn next(&self) -> u64 {
        self.latest.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl LocalViewers {
    /// A local_viewers that is all there is.
    pub(crate) fn alone(name: CounterName, versions: Arc<Versions>, metrics: Metrics) -> LocalViewers {
        let readings = watch::Sender::new(versions.nobody());
        LocalViewers { name, changed: Notify::new(), viewers: Mutex::default(), readings, versions, metrics }
    }

    /// A local_viewers whose changes are told to a registration elsewhere, which tells the readings in turn.
    pub(crate) fn shared(name: CounterName, versions: Arc<Versions>, metrics: Metrics) -> LocalViewers {
        let local_viewers = LocalViewers::alone(name, versions, metrics);
        local_viewers.lock().unreported = Some(Unreported::default());
        local_viewers
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Reading> {
        self.readings.subscribe()
    }

    pub(crate) fn reading(&self) -> Reading {
        *self.readings.borrow()
    }

    /// The viewer counts from now, if it does not yet.
    pub(crate) fn join(&self, viewer: ViewerId, visitor: Visitor) {
        let mut viewers = self.lock();
        if !viewers.present.contains_key(&viewer) {
            self.joined(&mut viewers, viewer, visitor);
        }
    }

    /// The viewer will count once its [grace is over](LocalViewers::grace_over), unless it leaves before. False if it counts
    /// or waits already.
    pub(crate) fn wait(&self, viewer: ViewerId, visitor: Visitor) -> bool {
        let mut viewers = self.lock();
        !viewers.present.contains_key(&viewer) && viewers.waiting.insert(viewer, visitor).is_none()
    }

    /// The viewer's grace is over: it counts, if it is still there.
    pub(crate) fn grace_over(&self, viewer: ViewerId) {
        let mut viewers = self.lock();
        if let Some(visitor) = viewers.waiting.remove(&viewer) {
            self.joined(&mut viewers, viewer, visitor);
        }
    }

    /// The viewer has gone.
    pub(crate) fn leave(&self, viewer: ViewerId) {
        let mut viewers = self.lock();
        if viewers.waiting.remove(&viewer).is_some() {
            return;
        }
        let Some(visitor) = viewers.present.remove(&viewer) else { return };
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
        self.show_own(&viewers);
    }

    /// At most so many of the changes that have not been taken yet. What is taken must be told.
    pub(crate) fn take_changes(&self, most: usize) -> Changes {
        let mut guard = self.lock();
        let viewers = &mut *guard;
        let Some(unreported) = &mut viewers.unreported else { return Changes::default() };
        let leaves: Vec<_> = unreported.left.drain(..most.min(unreported.left.len())).collect();
        let joining: Vec<_> = unreported.joined.iter().copied().take(most - leaves.len()).collect();
        let mut joins = Vec::with_capacity(joining.len());
        for viewer in joining {
            unreported.joined.remove(&viewer);
            // Who has left is not among the joined any more, so each of them is present.
            joins.extend(viewers.present.get(&viewer).map(|visitor| (viewer, *visitor)));
        }
        if !unreported.left.is_empty() || !unreported.joined.is_empty() {
            self.changed.notify_one();
        }
        Changes { joins, leaves }
    }

    /// Everybody who counts. All changes so far are in it, and are not told again.
    pub(crate) fn take_all(&self) -> Vec<(ViewerId, Visitor)> {
        let mut viewers = self.lock();
        if let Some(unreported) = &mut viewers.unreported {
            *unreported = Unreported::default();
        }
        viewers.present.iter().map(|(viewer, visitor)| (*viewer, *visitor)).collect()
    }

    /// How many viewers count on this node.
    pub(crate) fn present(&self) -> usize {
        self.lock().present.len()
    }

    /// The counter is not live on this node any more.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Shows what was told from elsewhere.
    pub(crate) fn show(&self, reading: Reading) {
        self.lock().shows_shared = true;
        self.readings.send_replace(reading);
    }

    /// What is shown was true at this time. Wakes nobody unless it was marked as stale.
    pub(crate) fn confirm(&self, as_of: SystemTime) {
        self.readings.send_if_modified(|reading| {
            reading.as_of = as_of;
            std::mem::replace(&mut reading.stale, false)
        });
    }

    /// Nothing has confirmed what is shown for too long.
    pub(crate) fn mark_stale(&self) {
        self.readings.send_if_modified(|reading| !std::mem::replace(&mut reading.stale, true));
    }

    fn joined(&self, viewers: &mut Viewers, viewer: ViewerId, visitor: Visitor) {
        viewers.present.insert(viewer, visitor);
        *viewers.visitors.entry(visitor).or_default() += 1;
        if let Some(unreported) = &mut viewers.unreported {
            unreported.joined.insert(viewer);
            self.changed.notify_one();
        }
        self.metrics.viewers.inc();
        self.show_own(viewers);
    }

    /// Shows what this node knows by itself. Under the lock, so that versions reach the watchers in their order.
    fn show_own(&self, viewers: &Viewers) {
        if viewers.shows_shared {
            return;
        }
        self.readings.send_replace(Reading {
            count: viewers.present.len() as u64,
            visitors: viewers.visitors.len() as u64,
            version: self.versions.next(),
            ..self.versions.nobody()
        });
    }

    fn lock(&self) -> MutexGuard<'_, Viewers> {
        // Nothing that runs under the lock leaves the maps half-changed, so a panic elsewhere must not end all counting.
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
