//! What the public side counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::error::CAUSES;

/// Counters of connections and refusals. Cheap to clone; clones share their values.
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
        // So that a cause reads 0 from the start: `increase` cannot see an event that begins its series.
        for cause in CAUSES {
            let _: &Counter = &refusals.get_or_create(&CauseLabel { cause });
        }
        for cause in [
            EarlyClose::Crowded,
            EarlyClose::Ended,
            EarlyClose::HeadTimeout,
            EarlyClose::Malformed,
            EarlyClose::ProxyHeader,
        ] {
            let _: &Counter = &closed.get_or_create(&CauseLabel { cause: cause.as_str() });
        }
        Self { accepted: Counter::default(), accept_failures: Counter::default(), refusals, closed }
    }
}

/// Why a connection was closed before a request could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EarlyClose {
    /// Too many waited, and it for the longest time.
    Crowded,
    /// The client closed it.
    Ended,
    /// No whole head came in time.
    HeadTimeout,
    /// What came is no head.
    Malformed,
    /// What came from a trusted proxy is no PROXY header.
    ProxyHeader,
}

impl EarlyClose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Ended => "ended",
            Self::HeadTimeout => "head_timeout",
            Self::Malformed => "malformed",
            Self::ProxyHeader => "proxy_header",
        }
    }
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
        debug_assert!(CAUSES.contains(&cause), "{cause} does not read 0 from the start");
        self.refusals.get_or_create(&CauseLabel { cause }).inc();
    }

    pub(super) fn closed_early(&self, cause: EarlyClose) {
        self.closed.get_or_create(&CauseLabel { cause: cause.as_str() }).inc();
    }
}
