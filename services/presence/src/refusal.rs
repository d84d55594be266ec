//! Why a viewer is not let in.

/// A seat or a counter that is not given. Each is one sentence that may be shown to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node keeps as many counters alive as it may ([`Settings::max_counters`](crate::Settings::max_counters)).
    #[error("this server keeps {limit} counters alive already")]
    TooManyCounters {
        /// The bound that was reached.
        limit: usize,
    },
}
