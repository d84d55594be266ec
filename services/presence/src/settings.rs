//! The settings of presence.

use std::time::{Duration, Instant};

use crate::{AddressLimits, HistorySettings};

/// The settings of presence. The promised bounds hold for the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The prefix of every key and channel in Redis.
    pub prefix: String,
    /// How long a started registration waits before it counts, so that a reload does not change the number.
    pub grace: Duration,
    /// Most live counters on this node.
    pub max_counters: usize,
    /// The limits of one client address.
    pub limits: AddressLimits,
    /// The times of the lease protocol.
    pub timing: Timing,
    /// What is kept of the past.
    pub history: HistorySettings,
    /// What operators see of this node.
    pub node: NodeDescription,
}

/// What the list of all nodes says of this one, for operators. Nothing depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDescription {
    /// The program's version, without spaces.
    pub version: String,
    /// Where the node is found, as `name:port`.
    pub address: String,
    /// When it was started.
    pub started: Instant,
}

/// The times of the protocol between nodes and Redis. Other values are for tests: all nodes of an installation must
/// use the same, and the promised bounds hold for the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Longest time between two reports of a node about a counter that it has viewers of.
    pub heartbeat: Duration,
    /// How long a node's viewers count after its last report.
    pub lease: Duration,
    /// How long a session still counts after a lease has run out, while all nodes are asked to report: a stall of
    /// Redis, a failover or a step of its clock can end leases of nodes that live.
    pub suspicion: Duration,
    /// How long after a loss of data the number does not fall below what was shown, while nodes register again.
    pub settle: Duration,
    /// How long after its last confirmation a number is marked as stale.
    pub stale_after: Duration,
    /// Life of a key that is not prolonged: longer than any outage that nodes recover from by themselves, short enough
    /// that little is left behind.
    pub keep: Duration,
    /// Shortest time between two reports of a node about a counter; shorter if few nodes have viewers of it.
    pub report_gap: Duration,
    /// Shortest time between two publications of a counter.
    pub publish_gap: Duration,
    /// After this time a reply of Redis, or a published message, counts as missing.
    pub response_timeout: Duration,
}

/// With this, twenty nodes cost Redis fewer than 20 commands a second and counter: a little more than four commands a
/// heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(5_500);

/// The time to repeat a lost heartbeat: two attempts with their timeouts, a new connection, and a third attempt.
const RETRY_WINDOW: Duration = Duration::from_millis(3_000);

/// Enough to reconnect (a backoff of half a second at most) and to report twice. Lease and suspicion together leave
/// half a second of the promised 10 to publish the number and to send the pictures.
const SUSPICION: Duration = Duration::from_millis(800);

/// With this, a thousand nodes receive 40,000 messages a second of a counter that changes all the time, a fifteenth of
/// what one Redis can deliver. A shorter gap means more messages. A longer one delays changes: 50 ms would cost
/// another 25 ms of the promised 250.
const PUBLISH_GAP: Duration = Duration::from_millis(25);

/// The promise is a mark within 10 s of the loss of Redis: this leaves half a second to draw and send the picture.
const STALE_AFTER: Duration = Duration::from_millis(9_500);

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            heartbeat: HEARTBEAT,
            lease: HEARTBEAT + RETRY_WINDOW,
            suspicion: SUSPICION,
            settle: Duration::from_secs(3),
            stale_after: STALE_AFTER,
            keep: Duration::from_secs(300),
            report_gap: Duration::from_millis(50),
            publish_gap: PUBLISH_GAP,
            response_timeout: Duration::from_secs(1),
        }
    }
}

impl Timing {
    /// Returns the defaults divided by `scale`: tests see in a minute what otherwise takes an hour. Times that a
    /// machine needs, whatever the scale (to reconnect, to reply, to report), are divided by ten at most.
    pub fn scaled(scale: u32) -> Timing {
        let (scale, machine) = (scale.max(1), scale.clamp(1, 10));
        let default = Timing::default();
        Timing {
            heartbeat: default.heartbeat / scale,
            lease: default.lease / scale,
            suspicion: default.suspicion / machine,
            settle: default.settle / scale,
            stale_after: default.stale_after / scale,
            keep: default.keep / scale,
            report_gap: default.report_gap / machine,
            publish_gap: default.publish_gap / machine,
            response_timeout: default.response_timeout / machine,
        }
    }

    /// A node publishes a message to itself after this time, and replaces a subscription that does not deliver it within a
    /// response timeout.
    pub(crate) fn probe(&self) -> Duration {
        self.heartbeat / 2
    }

    /// How long a node's streams count for their client addresses after its last report of them: longer than its viewers,
    /// because so much depends on it less, and there may be more addresses than counters.
    pub(crate) fn address_lease(&self) -> Duration {
        self.address_heartbeat() + self.heartbeat
    }

    /// Longest time between two reports of a node about an address that has several streams. Below 10 s: what Redis has evicted is known
    /// again by then.
    pub(crate) fn address_heartbeat(&self) -> Duration {
        self.heartbeat * 3 / 2
    }

    /// A counter's clock is noted again after this time: a step back by more is noticed.
    pub(crate) fn keepalive(&self) -> Duration {
        self.heartbeat / 2
    }

    /// The lives of a quiet counter's keys are prolonged after this time, and its registrations are counted.
    pub(crate) fn audit(&self) -> Duration {
        self.keep / 5
    }

    /// How long a new epoch may take to settle where nodes have many viewers to register again: with the call that ends
    /// it, a second less than the promised 10.
    pub(crate) fn max_settle(&self) -> Duration {
        self.settle * 3
    }

    /// Longest time between two reports of a node for the list of nodes. It costs five commands, so it is rare.
    pub(crate) fn node_report(&self) -> Duration {
        self.heartbeat * 6
    }

    /// A node that has not reported for so long is no longer in that list: two reports.
    pub(crate) fn node_silence(&self) -> Duration {
        self.heartbeat * 12
    }

    /// For how long a published number may turn out to have included viewers of a node that had died: until its lease and the suspicion
    /// have ended, and somebody has noticed.
    pub(crate) fn doubt(&self) -> Duration {
        self.lease + self.suspicion * 4
    }

    /// How that time is divided in a counter's history: into at least four parts, which never go over the end of a minute.
    pub(crate) fn history_slice(&self) -> Duration {
        // Divisors of a minute.
        const SLICES: [u64; 14] = [5_000, 4_000, 3_000, 2_500, 2_000, 1_500, 1_000, 500, 250, 200, 100, 50, 20, 10];
        let most = self.doubt() / 4;
        let slice = SLICES.into_iter().map(Duration::from_millis).find(|slice| *slice <= most);
        slice.unwrap_or(Duration::from_millis(5))
    }

    /// How long the state stays in Redis after the last session has ended.
    pub(crate) fn idle(&self) -> Duration {
        self.settle + self.lease
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            prefix: "hc:".to_owned(),
            grace: Duration::ZERO,
            max_counters: 100_000,
            limits: AddressLimits::default(),
            timing: Timing::default(),
            history: HistorySettings::default(),
            node: NodeDescription::default(),
        }
    }
}

impl Default for NodeDescription {
    fn default() -> NodeDescription {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        NodeDescription { version, address: "unknown".to_owned(), started: Instant::now() }
    }
}
