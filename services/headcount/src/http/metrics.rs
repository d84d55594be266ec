//! Metrics of the public side: connections and refused requests.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use strum::{IntoStaticStr, VariantArray};

use super::error::CAUSES;

/// Counters of connections and refused requests. Clones share their values.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    accepted: Counter,
    accept_failures: Counter,
    refusals: Family<CauseLabel, Counter>,
    closed: Family<CauseLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let (refusals, closed) = (Family::default(), Family::default());
        // Every cause is 0 from the start: Prometheus' `increase` does not count the first event of a new series.
        for cause in CAUSES {
            let _: &Counter = &refusals.get_or_create(&CauseLabel { cause });
        }
        for cause in EarlyClose::VARIANTS {
            let _: &Counter = &closed.get_or_create(&CauseLabel { cause: cause.into() });
        }
        Self { accepted: Counter::default(), accept_failures: Counter::default(), refusals, closed }
    }
}

/// Why a connection was closed before a request could be read or its response was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum EarlyClose {
    /// Too many connections were idle, and this one longest.
    Crowded,
    /// The client closed the connection.
    Ended,
    /// The head was not complete in time.
    HeadTimeout,
    /// The head is malformed.
    Malformed,
    /// A trusted proxy sent no well-formed PROXY header.
    ProxyHeader,
    /// The client read nothing of a response for the stall limit.
    Stalled,
    /// Too many bytes of responses waited on the node, and most of them on this connection.
    Unread,
}

impl Metrics {
    /// Registers all metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("connections_accepted", "Connections accepted on the public port", self.accepted.clone());
        registry.register(
            "accept_failures",
            "Failures to accept a connection, most often because no descriptor was free",
            self.accept_failures.clone(),
        );
        registry.register("refusals", "Requests answered with 4xx or 503, by cause", self.refusals.clone());
        registry.register(
            "connections_closed_early",
            "Connections closed before a request, or its response, could be read, by cause",
            self.closed.clone(),
        );
    }

    /// Counts an accepted connection.
    pub(super) fn accepted(&self) {
        self.accepted.inc();
    }

    /// Counts a failed accept.
    pub(super) fn accept_failed(&self) {
        self.accept_failures.inc();
    }

    /// Counts a refused request. `cause` is one of [`CAUSES`].
    pub(super) fn refused(&self, cause: &'static str) {
        debug_assert!(CAUSES.contains(&cause), "{cause} is missing in CAUSES");
        self.refusals.get_or_create(&CauseLabel { cause }).inc();
    }

    /// Counts a connection that is closed early.
    pub(super) fn closed_early(&self, cause: EarlyClose) {
        self.closed.get_or_create(&CauseLabel { cause: cause.into() }).inc();
    }
}
