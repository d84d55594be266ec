//! Why a viewer or a counter is rejected.

/// Why a viewer is not registered, or a counter not opened. Each is one sentence that may be shown to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// The node has as many live counters as it may ([`Settings::max_counters`](crate::Settings::max_counters)).
    #[error("this server keeps {limit} counters alive already")]
    TooManyCounters {
        /// The bound that was reached.
        limit: usize,
    },
    /// The client's address has opened streams too fast
    /// ([`AddressLimits::per_second`](crate::AddressLimits::per_second)).
    #[error("Too many streams were opened from your network address just now; try again in a few seconds")]
    TooFast,
    /// The client's address has as many streams of the counter as it may
    /// ([`AddressLimits::per_counter`](crate::AddressLimits::per_counter)).
    #[error(
        "Your network address has {limit} streams of this counter open, as many as it may; close one and try again"
    )]
    TooManyOfCounter {
        /// The bound that was reached.
        limit: usize,
    },
    /// The client's address has as many streams as it may ([`AddressLimits::in_all`](crate::AddressLimits::in_all)).
    #[error("Your network address has {limit} streams open, as many as it may; close one and try again")]
    TooManyInAll {
        /// The bound that was reached.
        limit: usize,
    },
}
