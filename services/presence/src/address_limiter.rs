//! This node's part in the limits of client addresses: decides whether an address may open another stream.
//!
//! The limiter knows all streams of this node by their address, and never admits more than one address may have.
//! Without Redis, or while it is away, that is the decision. Otherwise Redis decides about the streams that the
//! limiter admits: see `redis/addresses.rs`.
//!
//! It also knows which addresses change too often, and damps them: see `recent_changes`.

mod recent_changes;
mod table;

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
use recent_changes::RecentChanges;
pub(crate) use recent_changes::{DAMPING_TIME, Damping};
use table::Table;
pub(crate) use table::{AddressStreams, Decision};

/// At most one warning in this time that most viewers share an exempt address.
const WARN_EVERY: Duration = Duration::from_secs(60 * 60);

/// The limiter of one node.
pub(crate) struct AddressLimiter {
    pub(crate) limits: AddressLimits,
    started: Instant,
    state: Mutex<State>,
    /// Signalled when there are departures to take.
    pub(crate) departed: Notify,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    table: Table,
    changes: RecentChanges,
    /// Streams that have ended and that Redis may know. `None` if they are not recorded.
    departures: Option<Vec<(Network, ViewerId)>>,
    warned: Option<Instant>,
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

    /// Records departures from now on, for [`take_departures`](AddressLimiter::take_departures).
    pub(crate) fn record_departures(&self) {
        self.state.lock().departures.get_or_insert_default();
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

    /// Records whether other nodes may have streams of the address.
    pub(crate) fn set_elsewhere(&self, network: Network, elsewhere: bool) {
        self.state.lock().table.set_elsewhere(network, elsewhere);
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

    /// Takes the departures since the last call of streams that Redis may know.
    pub(crate) fn take_departures(&self) -> Vec<(Network, ViewerId)> {
        self.state.lock().departures.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The address's streams on this node.
    pub(crate) fn streams_of(&self, network: Network) -> AddressStreams {
        self.state.lock().table.streams_of(network)
    }

    /// The addresses that have several streams, here or on other nodes.
    pub(crate) fn crowded(&self) -> Vec<Network> {
        self.state.lock().table.crowded()
    }
}
