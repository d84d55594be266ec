//! [`Phase`]: how far the process is from start to exit.

use std::time::Duration;

use tokio::sync::watch;

/// How far the process is from start to exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The node serves.
    Serving,
    /// SIGTERM has come. The node serves as before but is not ready, so that load balancers send no new viewers.
    Unready,
    /// Another program replaces this one. Streams over HTTP/1 go on in it, those over HTTP/2 end; requests in progress are
    /// answered.
    Reloading,
    /// Streams are ending.
    Ending {
        /// Time over which their ends are spread.
        spread: Duration,
    },
}

/// Waits until HTTP/2 streams must end. Returns the time over which their ends are spread.
pub(crate) async fn http2_ending(phases: &mut watch::Receiver<Phase>) -> Duration {
    match phases.wait_for(|phase| matches!(phase, Phase::Reloading | Phase::Ending { .. })).await.as_deref() {
        Ok(Phase::Ending { spread }) => *spread,
        _ => Duration::ZERO,
    }
}

/// Waits until streams must end. Returns the time over which their ends are spread.
pub(crate) async fn ending(phases: &mut watch::Receiver<Phase>) -> Duration {
    match phases.wait_for(|phase| matches!(phase, Phase::Ending { .. })).await.as_deref() {
        Ok(Phase::Ending { spread }) => *spread,
        // The process exits: end at once.
        _ => Duration::ZERO,
    }
}
