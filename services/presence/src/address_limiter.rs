//! Who may open another stream: this node's part of the limits of client addresses.
//!
//! The limiter knows all streams of this node by their address, and never lets in more than one address may have: that is all
//! there is where this process counts alone, and what holds while Redis is away. Where Redis is there, it decides among
//! those whom the limiter would let in; see `redis/addresses.rs`.

mod table;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::local_viewers::ViewerId;
use crate::metrics::{DecidedBy, Metrics};
use crate::network::Network;
use crate::{AddressLimits, AdmissionError, CounterName};
use table::Table;
pub(crate) use table::{AddressStreams, Decision};

/// How often it is said that most viewers share an address that no limit applies to.
const WARN_EVERY: Duration = Duration::from_secs(60 * 60);

/// The limiter of one node.
pub(crate) struct AddressLimiter {
    pub(crate) limits: AddressLimits,
    started: Instant,
    state: Mutex<State>,
    /// Streams have left that Redis may know of.
    pub(crate) left: Notify,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    table: Table,
    /// Those that have left and that Redis has not been told of. `None`: nobody else is told.
    unreported: Option<Vec<(Network, ViewerId)>>,
    warned: Option<Instant>,
}

/// Who came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// Somebody to whom no limit applies.
    Exempt,
    /// Somebody whose address has not reached its limits on this node.
    Within,
}

impl AddressLimiter {
    pub(crate) fn new(limits: AddressLimits, metrics: Metrics) -> Arc<AddressLimiter> {
        Arc::new(AddressLimiter {
            limits,
            started: Instant::now(),
            state: Mutex::default(),
            left: Notify::new(),
            metrics,
        })
    }

    /// From now on it is kept who has left, for [`take_left`](AddressLimiter::take_left).
    pub(crate) fn keep_left(&self) {
        self.lock().unreported.get_or_insert_default();
    }

    /// Notes a viewer's stream, which must [leave](AddressLimiter::leave) whatever becomes of it, unless it is refused here.
    pub(crate) fn enter(&self, address: IpAddr, counter: &CounterName) -> Result<(ViewerId, Admitted), AdmissionError> {
        let network = Network::of(address);
        if !self.limits.exempts(address) {
            let mut state = self.lock();
            // Under the lock, so that nobody comes with an earlier time than the one before.
            let now = self.started.elapsed();
            let viewer = state.table.enter(&self.limits, network, counter, now)?;
            return Ok((viewer, Admitted::Within));
        }
        self.metrics.admitted(DecidedBy::Exempt);
        let mut state = self.lock();
        let (viewer, streams, all) = state.table.enter_exempt(network);
        let is_most = streams > self.limits.in_all && streams > all / 2;
        if is_most && state.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            state.warned = Some(Instant::now());
            drop(state);
            tracing::warn!(
                streams,
                all,
                "most viewers come from one address that no limit applies to (--limit-exempt): if it is a proxy's, it hides \
                 who they are, unless it is told of with --proxy-protocol-from or --forwarded-from"
            );
        }
        Ok((viewer, Admitted::Exempt))
    }

    /// What has been decided about a stream. `elsewhere`: whether other nodes may have streams of the address too.
    pub(crate) fn settle(&self, network: Network, viewer: ViewerId, decision: Decision, elsewhere: bool) {
        self.lock().table.settle(network, viewer, decision, elsewhere);
    }

    /// Redis has heard of all of the address's streams.
    pub(crate) fn heard(&self, network: Network, elsewhere: bool) {
        self.lock().table.heard(network, elsewhere);
    }

    /// The stream has ended, or has not come about.
    pub(crate) fn leave(&self, network: Network, viewer: ViewerId) {
        let now = self.started.elapsed();
        let mut state = self.lock();
        if state.table.leave(network, viewer, now)
            && let Some(unreported) = &mut state.unreported
        {
            unreported.push((network, viewer));
            self.left.notify_one();
        }
    }

    /// Those that have left since the last time, and that Redis may know of.
    pub(crate) fn take_left(&self) -> Vec<(Network, ViewerId)> {
        self.lock().unreported.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The address's streams on this node.
    pub(crate) fn streams_of(&self, network: Network) -> AddressStreams {
        self.lock().table.streams_of(network)
    }

    /// The addresses whose streams Redis must not forget.
    pub(crate) fn crowded(&self) -> Vec<Network> {
        self.lock().table.crowded()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock leaves the table half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
