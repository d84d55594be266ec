//! This node's part in the limits of client addresses: decides whether an address may open another stream.
//!
//! The limiter knows all streams of this node by their address, and never admits more than one address may have.
//! Without Redis, or while it is away, that is the decision. Otherwise Redis decides about the streams that the
//! limiter admits: see `redis/addresses.rs`.
//!
//! It also knows which addresses change too often, and damps them: see `recent_changes`.

mod admitted_stream;
mod recent_changes;
mod table;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::{DecidedBy, Metrics};
use crate::network::Network;
use crate::viewer_id::ViewerId;
use crate::{AddressLimits, AdmissionError, CounterName};
pub(crate) use admitted_stream::AdmittedStream;
use recent_changes::RecentChanges;
pub(crate) use recent_changes::{DAMPING_TIME, Damping};
use table::Table;
pub(crate) use table::{AddressStreams, Decision, StreamState};

/// No node has more viewers in its life: their ids take six bytes in Redis, and a new process may go on from any of them.
const MAX_VIEWERS: u64 = 1 << 47;

/// At most one warning in this time that most viewers share an exempt address.
const WARN_EVERY: Duration = Duration::from_secs(60 * 60);

/// The limiter of one node.
pub(crate) struct AddressLimiter {
    pub(crate) limits: AddressLimits,
    started: Instant,
    state: Mutex<State>,
    /// Signalled when there are departures to report.
    pub(crate) departed: Notify,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    table: Table,
    changes: RecentChanges,
    /// Streams that have ended and that Redis may know. `None` if they are not recorded.
    departures: Option<Vec<(Network, ViewerId)>>,
    former: FormerViewers,
    warned: Option<Instant>,
}

/// The viewers of a former process that keep their ids.
#[derive(Default)]
struct FormerViewers {
    /// All of their ids are below. 0 once all are restored.
    next_viewer: u64,
    restored: HashSet<ViewerId>,
}

/// Whether the limits apply to an admitted address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressClass {
    /// No limit applies.
    Exempt,
    /// The address is within its limits on this node.
    Limited,
}

impl AddressLimiter {
    pub(crate) fn new(limits: AddressLimits, metrics: Metrics) -> Arc<AddressLimiter> {
        Arc::new(AddressLimiter {
            limits,
            started: Instant::now(),
            state: Mutex::default(),
            departed: Notify::new(),
            metrics,
        })
    }

    /// Records departures from now on, for [`departures`](AddressLimiter::departures), after those that a former process
    /// has recorded.
    pub(crate) fn record_departures(&self, former: Vec<(Network, ViewerId)>) {
        self.state.lock().departures = Some(former);
        self.departed.notify_one();
    }

    /// Goes on with this viewer's id, as a former process would have. Its streams are still to be
    /// [restored](AddressLimiter::restore).
    pub(crate) fn resume(&self, next_viewer: u64) {
        if next_viewer <= MAX_VIEWERS {
            let mut state = self.state.lock();
            state.table.next_viewer = next_viewer;
            state.former.next_viewer = next_viewer;
        }
    }

    /// The id of the next viewer.
    pub(crate) fn next_viewer(&self) -> u64 {
        self.state.lock().table.next_viewer
    }

    /// Takes over a stream of a former process, and checks no limit. Returns the viewer: the same, or a new one if
    /// the former process cannot have had it, or it is restored already.
    pub(crate) fn restore(
        &self,
        network: Network,
        viewer: ViewerId,
        stream: StreamState,
        counter: &CounterName,
    ) -> ViewerId {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let is_known = viewer.0 < state.former.next_viewer && state.former.restored.insert(viewer);
        state.table.restore(network, is_known.then_some(viewer), stream, counter)
    }

    /// Called when all streams of the former process are restored.
    pub(crate) fn restored(&self) {
        self.state.lock().former = FormerViewers::default();
    }

    /// How the limits apply to an open stream.
    pub(crate) fn stream_state(&self, network: Network, viewer: ViewerId) -> StreamState {
        self.state.lock().table.stream_state(network, viewer)
    }

    /// Admits a viewer's stream if this node's own figures allow it. The caller must
    /// [`release`](AddressLimiter::release) it in the end, whatever Redis decides.
    pub(crate) fn admit(
        &self,
        address: IpAddr,
        counter: &CounterName,
    ) -> Result<(ViewerId, AddressClass), AdmissionError> {
        let network = Network::of(address);
        if !self.limits.exempts(address) {
            let mut state = self.state.lock();
            // Under the lock, so that times only ascend.
            let now = self.started.elapsed();
            let viewer = state.table.admit(&self.limits, network, counter, now)?;
            return Ok((viewer, AddressClass::Limited));
        }
        self.metrics.admitted(DecidedBy::Exempt);
        let mut state = self.state.lock();
        let (viewer, streams, all) = state.table.admit_exempt(network);
        let is_most = streams > self.limits.in_all && streams > all / 2;
        if is_most && state.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            state.warned = Some(Instant::now());
            drop(state);
            tracing::warn!(
                streams,
                all,
                "most viewers come from one address that no limit applies to (--limit-exempt): if it is a proxy, it hides \
                 their addresses unless it is named with --proxy-protocol-from or --forwarded-from"
            );
        }
        Ok((viewer, AddressClass::Exempt))
    }

    /// Records the decision about a stream, and whether other nodes may have streams of the address (`elsewhere`).
    pub(crate) fn decide(&self, network: Network, viewer: ViewerId, decision: Decision, elsewhere: bool) {
        self.state.lock().table.decide(network, viewer, decision, elsewhere);
    }

    /// Records whether other nodes may have streams of the address, and how many fields its key in Redis has.
    pub(crate) fn set_elsewhere(&self, network: Network, elsewhere: bool, fields: u64) {
        self.state.lock().table.set_elsewhere(network, elsewhere, fields);
    }

    /// Records that a stream joins or leaves, and returns when that takes effect. Exempt streams are not recorded.
    pub(crate) fn record_change(&self, network: Network, viewer: ViewerId) -> Damping {
        let mut state = self.state.lock();
        if !state.table.is_limited(network, viewer) {
            return Damping::None;
        }
        // Under the lock, so that times only ascend.
        let now = self.started.elapsed();
        state.changes.record(network, now)
    }

    /// Forgets the changes of addresses that no longer change.
    pub(crate) fn forget_quiet(&self) {
        let mut state = self.state.lock();
        let now = self.started.elapsed();
        state.changes.forget_quiet(now);
    }

    /// Called when the stream has ended, or was never opened.
    pub(crate) fn release(&self, network: Network, viewer: ViewerId) {
        let now = self.started.elapsed();
        let mut state = self.state.lock();
        if state.table.release(network, viewer, now)
            && let Some(departures) = &mut state.departures
        {
            departures.push((network, viewer));
            self.departed.notify_one();
        }
    }

    /// The departures of streams that Redis may know, oldest first.
    pub(crate) fn departures(&self) -> Vec<(Network, ViewerId)> {
        self.state.lock().departures.clone().unwrap_or_default()
    }

    /// Forgets the oldest departures: Redis knows them, or will forget the streams by itself.
    pub(crate) fn forget_departures(&self, oldest: usize) {
        if let Some(departures) = &mut self.state.lock().departures {
            departures.drain(..oldest.min(departures.len()));
        }
    }

    /// The address's streams on this node.
    pub(crate) fn streams_of(&self, network: Network) -> AddressStreams {
        self.state.lock().table.streams_of(network)
    }

    /// The addresses that have several streams, here or on other nodes, and how many fields the keys of each had when it was
    /// last reported; 0 if it was not.
    pub(crate) fn crowded(&self) -> Vec<(Network, u64)> {
        self.state.lock().table.crowded()
    }
}
