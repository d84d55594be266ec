//! [`Phase`]: how far the process is from start to exit.

use std::time::Duration;

/// How far the process is from start to exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The node serves.
    Serving,
    /// SIGTERM has come. The node serves as before but is not ready, so that load balancers send no new viewers.
    Unready,
    /// Streams are ending.
    Ending {
        /// Time over which their ends are spread.
        spread: Duration,
    },
}
