//! What is done to the nodes and to Redis during a soak, and when.

use clap::ValueEnum;
use rand::{Rng, rngs::StdRng};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Redis is frozen for some seconds.
    Stall,
    /// A node is stopped, and another has been started.
    Deploy,
    /// A node is cut off from Redis for minutes.
    OneCutOff,
    /// All nodes are.
    AllCutOff,
}

/// One disturbance, in seconds before they are divided by the scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disturbance {
    pub(super) kind: Kind,
    pub(super) begin: f64,
    pub(super) length: f64,
    /// Which node it hits.
    pub(super) node: usize,
}

/// A round takes 21 minutes. It begins with more than six that are undisturbed, in which a counter has only leaves for
/// longer than the life of a key: after a disturbance, nodes send heartbeats.
const ROUND: f64 = 1_260.0;

/// The disturbances of so many seconds, in the order of time.
pub(super) fn schedule(seconds: f64, choice: &mut StdRng) -> Vec<Disturbance> {
    let mut all = Vec::new();
    let mut round = 0.0;
    while round < seconds {
        let mut add = |kind, at: f64, length: f64| {
            all.push(Disturbance { kind, begin: round + at, length, node: choice.random_range(0..3) });
        };
        // Up to the length of a lease: not longer, or the number is marked as stale.
        for (at, length) in [(390.0, 4.0), (412.0, 6.0), (436.0, 7.0), (461.0, 8.0)] {
            add(Kind::Stall, at, length);
        }
        add(Kind::Deploy, 490.0, 0.0);
        add(Kind::OneCutOff, 540.0, 225.0);
        add(Kind::Stall, 805.0, 5.0);
        add(Kind::AllCutOff, 830.0, 275.0);
        add(Kind::Deploy, 1_200.0, 0.0);
        round += ROUND;
    }
    // What is left afterwards shows whether it has healed.
    all.retain(|one| one.begin + one.length + 40.0 < seconds);
    // Life after life of a key, at other moments of it.
    for one in all.iter_mut().filter(|one| matches!(one.kind, Kind::OneCutOff | Kind::AllCutOff)) {
        one.length = (one.length + choice.random_range(-12.0..24.0)).clamp(212.0, 300.0);
    }
    all
}
