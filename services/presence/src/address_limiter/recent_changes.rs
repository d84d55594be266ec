//! The recent joins and leaves of client addresses, which decide whether an address is damped.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::network::Network;

/// Changes of an address in [`DAMPING_TIME`] that take effect at once. Enough for a person who opens a page and
/// reloads it once. An office that reloads together has more, and is damped until its last delayed change takes
/// effect.
const FREE: usize = 4;

/// How long the changes of a damped address are delayed, and over which time its changes are counted.
pub(crate) const DAMPING_TIME: Duration = Duration::from_secs(10);

/// When a change of an address takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damping {
    /// At once: the address is not damped.
    None,
    /// With the next batch: the address is no longer damped, but has delayed changes.
    Batched,
    /// With the last batch within [`DAMPING_TIME`]: the address changes too often.
    Delayed,
}

/// The addresses that have changed within the last [`DAMPING_TIME`], or twice that.
#[derive(Default)]
pub(super) struct RecentChanges {
    networks: HashMap<Network, Recent>,
    /// When to check whether an address has gone quiet, earliest first: one entry for each in `networks`.
    checks: VecDeque<(Duration, Network)>,
}

/// The recent changes of one address.
#[derive(Default)]
struct Recent {
    /// The latest changes, oldest first. At most [`FREE`].
    latest: VecDeque<Duration>,
    last_delayed: Option<Duration>,
}

impl RecentChanges {
    /// Records a change of the address. Times must ascend.
    pub(super) fn record(&mut self, network: Network, now: Duration) -> Damping {
        self.forget_quiet(now);
        let recent = self.networks.entry(network).or_insert_with(|| {
            self.checks.push_back((now + DAMPING_TIME, network));
            Recent::default()
        });
        let damping = if recent.latest.len() == FREE && is_recent(recent.latest[0], now) {
            recent.last_delayed = Some(now);
            Damping::Delayed
        } else if recent.last_delayed.is_some_and(|delayed| is_recent(delayed, now)) {
            Damping::Batched
        } else {
            Damping::None
        };
        if recent.latest.len() == FREE {
            recent.latest.pop_front();
        }
        recent.latest.push_back(now);
        damping
    }

    /// Removes the addresses that have gone quiet.
    pub(super) fn forget_quiet(&mut self, now: Duration) {
        while let Some((_, network)) = self.checks.pop_front_if(|(at, _)| *at <= now) {
            let last = self.networks.get(&network).and_then(|recent| recent.latest.back());
            if last.is_some_and(|last| is_recent(*last, now)) {
                self.checks.push_back((now + DAMPING_TIME, network));
            } else {
                self.networks.remove(&network);
            }
        }
        if self.networks.is_empty() {
            // Memory of a burst of addresses.
            *self = RecentChanges::default();
        }
    }
}

fn is_recent(at: Duration, now: Duration) -> bool {
    now < at + DAMPING_TIME
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn network(number: u32) -> Network {
        Network::of(number.to_be_bytes().into())
    }

    #[test]
    fn the_fifth_change_in_ten_seconds_is_delayed() {
        let mut changes = RecentChanges::default();
        let mut record = |seconds| changes.record(network(1), NOW + Duration::from_secs_f64(seconds));
        for seconds in [0.0, 1.0, 2.0, 3.0] {
            assert_eq!(record(seconds), Damping::None);
        }
        assert_eq!(record(9.9), Damping::Delayed);
        // Of the last four, the first is more than ten seconds ago, but one change is still delayed.
        assert_eq!(record(11.5), Damping::Batched);
        assert_eq!(record(11.6), Damping::Delayed);
        assert_eq!(record(21.6), Damping::None);
    }

    #[test]
    fn quiet_addresses_are_removed() {
        let mut changes = RecentChanges::default();
        for number in 0..100_000 {
            let now = NOW + Duration::from_millis(number.into());
            changes.record(network(number), now);
            // Its flaps do not add up.
            changes.record(network(0), now);
            assert!(changes.networks.len() <= 20_001 && changes.networks.len() == changes.checks.len());
        }
        let end = NOW + Duration::from_secs(100);
        changes.forget_quiet(end + DAMPING_TIME);
        changes.forget_quiet(end + DAMPING_TIME * 2);
        assert_eq!((changes.networks.len(), changes.checks.capacity()), (0, 0));
    }
}
