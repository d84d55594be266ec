//! What can be set about presence.

use std::time::Duration;

use crate::AddressLimits;

/// How presence counts. The defaults are what the service promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What every key and channel in Redis begins with.
    pub prefix: String,
    /// How long a taken registration waits before it counts, so that a reload need not make the number jump.
    pub grace: Duration,
    /// Most counters that are live on this node at a time.
    pub max_counters: usize,
    /// What one client address may have.
    pub limits: AddressLimits,
    /// The times of the lease protocol.
    pub timing: Timing,
}

/// The times by which nodes and Redis keep each other informed. There for tests: all nodes of an installation must use
/// the same, and the promised bounds hold for the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Longest silence of a node towards a counter that it has viewers of.
    pub heartbeat: Duration,
    /// How long a node's viewers count after its last decision.
    pub lease: Duration,
    /// How long after a loss the number does not fall below what was shown, while nodes register again.
    pub settle: Duration,
    /// How long a number stays unmarked that nothing confirms.
    pub stale_after: Duration,
    /// Shortest time between two reports of a node about a counter; shorter where few nodes have viewers of it.
    pub report_gap: Duration,
    /// Shortest time between two publications of a counter.
    pub publish_gap: Duration,
    /// How long an answer of Redis, or a published message, may take before it counts as missing.
    pub response_timeout: Duration,
}

/// Twenty nodes cost Redis fewer than 20 commands a second and counter with this: four commands a heartbeat, and a little.
const HEARTBEAT: Duration = Duration::from_millis(5_500);

/// What a node has after a heartbeat got lost to be heard again: three attempts with their timeouts.
const RETRY_WINDOW: Duration = Duration::from_millis(3_500);

/// Shorter, and Redis delivers more messages: a thousand nodes get 40,000 a second of a counter that changes all the time, a
/// fifteenth of what one Redis can deliver. Longer, and it is what a change waits for: 50 ms instead cost 25 ms of the
/// promised 250.
const PUBLISH_GAP: Duration = Duration::from_millis(25);

/// Promised is a mark within 10 s of the loss of Redis; this leaves half a second for the picture to be drawn and sent.
const STALE_AFTER: Duration = Duration::from_millis(9_500);

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            heartbeat: HEARTBEAT,
            lease: HEARTBEAT + RETRY_WINDOW,
            settle: Duration::from_secs(3),
            stale_after: STALE_AFTER,
            report_gap: Duration::from_millis(50),
            publish_gap: PUBLISH_GAP,
            response_timeout: Duration::from_secs(1),
        }
    }
}

impl Timing {
    /// An unchanged state is published again after this. A node learns within `keepalive + heartbeat` of a subscription's
    /// death that something was published, and has missed it a response timeout later.
    pub(crate) fn keepalive(&self) -> Duration {
        self.heartbeat / 2
    }

    /// How long the state stays in Redis after the last session has gone.
    pub(crate) fn idle(&self) -> Duration {
        self.settle + self.lease
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            prefix: "hc:".to_owned(),
            grace: Duration::ZERO,
            max_counters: 10_000,
            limits: AddressLimits::default(),
            timing: Timing::default(),
        }
    }
}
