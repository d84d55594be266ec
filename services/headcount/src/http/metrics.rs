//! What the public side counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counters of connections and refusals. Cheap to clone; clones share their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    accepted: Counter,
    accept_failures: Counter,
    refusals: Family<Cause, Counter>,
    closed: Family<Cause, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

impl Metrics {
    /// Names them in the registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("connections_accepted", "Connections accepted on the public port", self.accepted.clone());
        registry.register(
            "accept_failures",
            "Times that no connection could be accepted, for want of descriptors most of all",
            self.accept_failures.clone(),
        );
        registry.register("refusals", "Requests answered with 4xx or 503, by cause", self.refusals.clone());
        registry.register(
            "connections_closed_early",
            "Connections closed before a request could be read, by cause",
            self.closed.clone(),
        );
    }

    pub(super) fn accepted(&self) {
        self.accepted.inc();
    }

    pub(super) fn accept_failed(&self) {
        self.accept_failures.inc();
    }

    pub(super) fn refused(&self, cause: &'static str) {
        self.refusals.get_or_create(&Cause { cause }).inc();
    }

    pub(super) fn closed_early(&self, cause: &'static str) {
        self.closed.get_or_create(&Cause { cause }).inc();
    }
}
