//! When joins and leaves take effect that do not do so at once: after the grace period, and for damped addresses.
//!
//! An address that joins and leaves all the time would make every other viewer receive a frame for each change.
//! So its changes are delayed, and take effect in batches: a stream counts once it has lasted, and one that ends before
//! changes nothing. All delayed changes of a node take effect at whole seconds of the clock, on all nodes at about the
//! same time. A counter then publishes at most one reading a second because of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::address_limiter::{AddressLimiter, DAMPING_TIME, Damping};
use crate::local_viewers::{LocalViewers, Planned, Removal};
use crate::network::Network;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;

/// The time between two batches of delayed changes.
const BATCH: Duration = Duration::from_secs(1);

/// Decides when each join and leave takes effect, and makes it so.
pub(crate) struct ChangeSchedule {
    grace: Duration,
    limiter: Arc<AddressLimiter>,
    /// A time at which a batch takes effect, in the past. The others are whole numbers of [`BATCH`] later.
    first_batch: Instant,
    waiting: Mutex<Waiting>,
    /// Signalled when the earliest time in the queue has changed.
    earlier: Notify,
}

/// Changes that have not taken effect, at most one of each viewer.
#[derive(Default)]
struct Waiting {
    queue: BTreeMap<(Instant, ViewerId), Change>,
    /// The process is about to end: leaves no longer wait.
    is_released: bool,
}

struct Change {
    local_viewers: Weak<LocalViewers>,
    planned: Planned,
}

impl ChangeSchedule {
    pub(crate) fn new(grace: Duration, limiter: Arc<AddressLimiter>) -> Arc<ChangeSchedule> {
        let into_second = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        let now = Instant::now();
        let first_batch = now.checked_sub(Duration::from_nanos(into_second.into())).unwrap_or(now);
        let (waiting, earlier) = (Mutex::default(), Notify::new());
        Arc::new(ChangeSchedule { grace, limiter, first_batch, waiting, earlier })
    }

    /// Makes the viewer count: after this time, not before the grace period is over, and when its damped address may. Further
    /// calls change nothing.
    pub(crate) fn join(
        &self,
        local_viewers: &Arc<LocalViewers>,
        viewer: ViewerId,
        visitor: Visitor,
        network: Network,
        after: Duration,
    ) {
        if local_viewers.contains(viewer) {
            return;
        }
        let now = Instant::now();
        let due = match self.limiter.record_change(network, viewer) {
            Damping::None => now + self.grace.max(after),
            damping => self.batch_at(damping, now, self.grace.max(after)),
        };
        if due <= now {
            return local_viewers.join(viewer, visitor);
        }
        // Pending before it is queued: its time may come at once.
        local_viewers.add_pending(viewer, visitor, due);
        self.push(due, viewer, local_viewers, Planned::Join);
    }

    /// Makes the viewer count at `due`, as a former process has planned.
    pub(crate) fn resume(&self, local_viewers: &Arc<LocalViewers>, viewer: ViewerId, visitor: Visitor, due: Instant) {
        let now = Instant::now();
        let due = due.min(now + self.grace.max(DAMPING_TIME) + BATCH);
        if due <= now {
            return local_viewers.join(viewer, visitor);
        }
        local_viewers.add_pending(viewer, visitor, due);
        self.push(due, viewer, local_viewers, Planned::Join);
    }

    /// Takes the viewer's pending join back. Returns what the viewer was.
    pub(crate) fn cancel(&self, local_viewers: &LocalViewers, viewer: ViewerId) -> Removal {
        let removal = local_viewers.cancel_pending(viewer);
        if let Removal::Cancelled { due } = removal {
            self.waiting.lock().queue.remove(&(due, viewer));
        }
        removal
    }

    /// Removes the viewer: now, or when its damped address may. A pending join is cancelled.
    pub(crate) fn leave(&self, local_viewers: &Arc<LocalViewers>, viewer: ViewerId, network: Network) {
        match self.cancel(local_viewers, viewer) {
            Removal::Unknown | Removal::Cancelled { .. } => {}
            Removal::Counted => {
                let now = Instant::now();
                match self.limiter.record_change(network, viewer) {
                    Damping::None => local_viewers.leave(viewer),
                    damping => {
                        let due = self.batch_at(damping, now, Duration::ZERO);
                        self.push(due, viewer, local_viewers, Planned::Leave);
                    }
                }
            }
        }
    }

    /// The time of the batch of a change that is made now, not before `least` has passed.
    fn batch_at(&self, damping: Damping, now: Instant, least: Duration) -> Instant {
        let wait = match damping {
            // The next batch after that is within the damping time.
            Damping::Delayed => DAMPING_TIME - BATCH,
            Damping::Batched | Damping::None => Duration::ZERO,
        };
        let since_first = now.saturating_duration_since(self.first_batch) + wait.max(least);
        let batches = since_first.as_nanos() / BATCH.as_nanos() + 1;
        self.first_batch + BATCH * u32::try_from(batches).unwrap_or(u32::MAX)
    }

    fn push(&self, due: Instant, viewer: ViewerId, local_viewers: &Arc<LocalViewers>, planned: Planned) {
        let mut waiting = self.waiting.lock();
        if waiting.is_released && planned == Planned::Leave {
            drop(waiting);
            return local_viewers.leave(viewer);
        }
        let is_first = waiting.queue.first_key_value().is_none_or(|((first, _), _)| due < *first);
        waiting.queue.insert((due, viewer), Change { local_viewers: Arc::downgrade(local_viewers), planned });
        drop(waiting);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Called at shutdown, and when a new process takes over: waiting leaves take effect now, and so does every later
    /// leave. Pending viewers never count.
    pub(crate) fn release(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_released = true;
        let queue = std::mem::take(&mut waiting.queue);
        apply(queue.into_iter().filter(|(_, change)| change.planned == Planned::Leave));
    }

    /// Serves the queue until cancelled.
    pub(crate) async fn run(self: Arc<ChangeSchedule>, end: CancellationToken) {
        let serve = async {
            loop {
                let next = self.apply_due();
                // Without work, the limiter still has addresses to forget.
                let idle = Instant::now() + DAMPING_TIME;
                tokio::select! {
                    () = sleep_until(next.map_or(idle, |next| next.min(idle))) => {}
                    () = self.earlier.notified() => {}
                }
                self.limiter.forget_quiet();
            }
        };
        end.run_until_cancelled(serve).await;
    }

    /// Makes the changes take effect whose time has come. Returns the time of the next one.
    fn apply_due(&self) -> Option<Instant> {
        let mut waiting = self.waiting.lock();
        let later = waiting.queue.split_off(&(Instant::now() + Duration::from_nanos(1), ViewerId(0)));
        let due = std::mem::replace(&mut waiting.queue, later);
        let next = waiting.queue.first_key_value().map(|((next, _), _)| *next);
        // Under the lock, so that a viewer's join and its leave do not overtake each other.
        apply(due.into_iter());
        next
    }
}

/// Applies changes, those of a counter together: its watchers see one reading.
fn apply(changes: impl Iterator<Item = ((Instant, ViewerId), Change)>) {
    let mut counters: HashMap<_, (Arc<LocalViewers>, Vec<_>)> = HashMap::new();
    for ((_, viewer), change) in changes {
        let Some(local_viewers) = change.local_viewers.upgrade() else { continue };
        let (_, changes) = counters.entry(Arc::as_ptr(&local_viewers)).or_insert_with(|| (local_viewers, Vec::new()));
        changes.push((viewer, change.planned));
    }
    for (local_viewers, changes) in counters.into_values() {
        local_viewers.apply(&changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::versions::Versions;
    use crate::{AddressLimits, CounterName};

    struct Address {
        schedule: Arc<ChangeSchedule>,
        viewers: Arc<LocalViewers>,
        name: CounterName,
    }

    impl Address {
        fn new(grace: Duration) -> Address {
            let limits = AddressLimits { per_second: 1_000_000, ..AddressLimits::default() };
            let limiter = AddressLimiter::new(limits, Metrics::default());
            let name = CounterName::parse("online").unwrap();
            let versions = Arc::new(Versions::new(1));
            let viewers = Arc::new(LocalViewers::embedded(name.clone(), versions, None, Metrics::default()));
            Address { schedule: ChangeSchedule::new(grace, limiter), viewers, name }
        }

        const IP: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

        fn open(&self) -> ViewerId {
            let (viewer, _) = self.schedule.limiter.admit(Address::IP, &self.name).unwrap();
            self.schedule.join(&self.viewers, viewer, Visitor(1), Network::of(Address::IP), Duration::ZERO);
            viewer
        }

        fn close(&self, viewer: ViewerId) {
            self.schedule.leave(&self.viewers, viewer, Network::of(Address::IP));
            self.schedule.limiter.release(Network::of(Address::IP), viewer);
        }

        fn waiting(&self) -> usize {
            self.schedule.waiting.lock().queue.len()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leave_removes_its_entry() {
        let address = Address::new(Duration::from_secs(3_600));
        for _ in 0..1_000 {
            address.close(address.open());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(address.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_changes_do_not_grow_with_the_number_of_flaps() {
        let address = Address::new(Duration::ZERO);
        let run = tokio::spawn(Arc::clone(&address.schedule).run(CancellationToken::new()));
        let mut open = std::collections::VecDeque::new();
        for flap in 0..10_000 {
            open.push_back(address.open());
            if open.len() > 20 {
                address.close(open.pop_front().unwrap());
            }
            // Sometimes streams last until they count.
            tokio::time::sleep(Duration::from_millis(if flap % 1_000 == 0 { 15_000 } else { 10 })).await;
            assert!(address.waiting() <= 2 * 20, "{} after {flap} flaps", address.waiting());
        }
        open.into_iter().for_each(|viewer| address.close(viewer));
        tokio::time::sleep(DAMPING_TIME).await;
        assert_eq!((address.waiting(), address.viewers.count()), (0, 0));
        run.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_ends_all_waiting() {
        let address = Address::new(Duration::ZERO);
        let counted: Vec<_> = (0..3).map(|_| address.open()).collect();
        let (last, pending) = (address.open(), address.open());
        counted.into_iter().for_each(|viewer| address.close(viewer));
        assert_eq!((address.viewers.count(), address.waiting()), (4, 4), "three leaves and a join wait");
        address.schedule.release();
        assert_eq!((address.viewers.count(), address.waiting()), (1, 0));
        address.close(last);
        address.close(pending);
        assert_eq!((address.viewers.count(), address.waiting()), (0, 0));
    }
}
