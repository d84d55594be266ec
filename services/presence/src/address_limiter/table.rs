//! The table of client addresses and their streams on this node.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::viewer_id::ViewerId;
use crate::{AddressLimits, AdmissionError, CounterName};

/// Number of addresses below which the table is not swept.
const SWEPT_FROM: usize = 1024;

/// The addresses that have streams on this node, or have opened some recently.
#[derive(Default)]
pub(super) struct Table {
    networks: HashMap<Network, Entry>,
    /// Open streams of all addresses.
    streams: usize,
    /// The next viewer's id. Assigned here, so that ids ascend in order of admission.
    pub(super) next_viewer: u64,
    /// Number of addresses at which idle ones are removed.
    sweep_at: usize,
}

#[derive(Default)]
struct Entry {
    /// Streams that the limits apply to. Few addresses have more than one.
    streams: Vec<Stream>,
    /// Streams that no limit applies to.
    exempt: u32,
    /// The theoretical arrival time of the generic cell rate algorithm: when the address has earned all streams that
    /// it has opened. At most a burst ahead.
    earned_at: Duration,
    /// Other nodes may have streams of the address.
    elsewhere: bool,
    /// Fields of the address's key in Redis when it was last reported; 0 if it was not.
    fields: u32,
}

struct Stream {
    viewer: ViewerId,
    counter: CounterName,
    decision: Decision,
}

/// What has been decided about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing yet. Redis may have been asked.
    Pending,
    /// Admitted.
    Admitted,
    /// Rejected by Redis, which has not stored it.
    Rejected,
}

/// How the limits apply to an open stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StreamState {
    /// Not at all.
    Exempt,
    /// It is one of those that its address may have.
    Limited {
        /// Other nodes may have streams of the address.
        elsewhere: bool,
    },
}

/// The streams of one address on this node.
#[derive(Default)]
pub(crate) struct AddressStreams {
    /// Streams that were admitted.
    pub(crate) admitted: Vec<(ViewerId, CounterName)>,
    /// Streams that nothing has been decided about.
    pub(crate) pending: Vec<ViewerId>,
    /// The id of the next viewer: this list says nothing about viewers from this id on.
    pub(crate) next_viewer: u64,
}

impl Table {
    /// Admits a stream if this node's own figures allow it.
    pub(super) fn admit(
        &mut self,
        limits: &AddressLimits,
        network: Network,
        counter: &CounterName,
        now: Duration,
    ) -> Result<ViewerId, AdmissionError> {
        self.sweep(now);
        let entry = self.networks.entry(network).or_default();
        let earned_at = entry.earned_at.max(now) + limits.gap();
        if earned_at > now + limits.burst() {
            return Err(AdmissionError::TooFast);
        }
        // Attempts are paced, whether they succeed or not.
        entry.earned_at = earned_at;
        let streams = entry.streams.iter().filter(|stream| stream.decision != Decision::Rejected);
        if streams.clone().filter(|stream| stream.counter == *counter).count() >= limits.per_counter {
            return Err(AdmissionError::TooManyOfCounter { limit: limits.per_counter });
        }
        if streams.count() >= limits.in_all {
            return Err(AdmissionError::TooManyInAll { limit: limits.in_all });
        }
        // A push to an empty vector would reserve room for four.
        entry.streams.reserve_exact(usize::from(entry.streams.is_empty()));
        let viewer = ViewerId(self.next_viewer);
        entry.streams.push(Stream { viewer, counter: counter.clone(), decision: Decision::Pending });
        self.next_viewer += 1;
        self.streams += 1;
        Ok(viewer)
    }

    /// Takes over a stream of a former process. Checks no limit, and gives the viewer a new id if it has none.
    pub(super) fn restore(
        &mut self,
        network: Network,
        viewer: Option<ViewerId>,
        stream: StreamState,
        counter: &CounterName,
    ) -> ViewerId {
        let viewer = viewer.unwrap_or_else(|| {
            self.next_viewer += 1;
            ViewerId(self.next_viewer - 1)
        });
        let entry = self.networks.entry(network).or_default();
        match stream {
            StreamState::Exempt => entry.exempt += 1,
            StreamState::Limited { elsewhere } => {
                entry.streams.reserve_exact(usize::from(entry.streams.is_empty()));
                entry.streams.push(Stream { viewer, counter: counter.clone(), decision: Decision::Admitted });
                entry.elsewhere |= elsewhere;
            }
        }
        self.streams += 1;
        viewer
    }

    /// What a new process needs to take over an open stream.
    pub(super) fn stream_state(&self, network: Network, viewer: ViewerId) -> StreamState {
        match self.networks.get(&network) {
            Some(entry) if entry.streams.iter().any(|stream| stream.viewer == viewer) => {
                StreamState::Limited { elsewhere: entry.elsewhere }
            }
            _ => StreamState::Exempt,
        }
    }

    /// Admits a stream that no limit applies to. Returns also the number of exempt streams of its address, and of all
    /// streams.
    pub(super) fn admit_exempt(&mut self, network: Network) -> (ViewerId, usize, usize) {
        let entry = self.networks.entry(network).or_default();
        let viewer = ViewerId(self.next_viewer);
        entry.exempt += 1;
        self.next_viewer += 1;
        self.streams += 1;
        (viewer, entry.exempt as usize, self.streams)
    }

    pub(super) fn decide(&mut self, network: Network, viewer: ViewerId, decision: Decision, elsewhere: bool) {
        let Some(entry) = self.networks.get_mut(&network) else { return };
        entry.elsewhere = elsewhere;
        if let Some(stream) = entry.streams.iter_mut().find(|stream| stream.viewer == viewer) {
            stream.decision = decision;
        }
    }

    pub(super) fn set_elsewhere(&mut self, network: Network, elsewhere: bool, fields: u64) {
        if let Some(entry) = self.networks.get_mut(&network) {
            entry.elsewhere = elsewhere;
            entry.fields = u32::try_from(fields).unwrap_or(0);
        }
    }

    /// Removes a stream. Returns whether Redis may know it.
    pub(super) fn release(&mut self, network: Network, viewer: ViewerId, now: Duration) -> bool {
        let Some(entry) = self.networks.get_mut(&network) else { return false };
        self.streams -= 1;
        let in_redis = match entry.streams.iter().position(|stream| stream.viewer == viewer) {
            Some(at) => entry.streams.swap_remove(at).decision != Decision::Rejected,
            None => {
                entry.exempt -= 1;
                false
            }
        };
        if entry.is_idle(now) {
            self.networks.remove(&network);
        }
        in_redis
    }

    /// Whether the limits apply to an open stream.
    pub(super) fn is_limited(&self, network: Network, viewer: ViewerId) -> bool {
        let entry = self.networks.get(&network);
        entry.is_some_and(|entry| entry.streams.iter().any(|stream| stream.viewer == viewer))
    }

    pub(super) fn streams_of(&self, network: Network) -> AddressStreams {
        let mut streams = AddressStreams { next_viewer: self.next_viewer, ..AddressStreams::default() };
        for stream in self.networks.get(&network).into_iter().flat_map(|entry| &entry.streams) {
            match stream.decision {
                Decision::Pending => streams.pending.push(stream.viewer),
                Decision::Admitted => streams.admitted.push((stream.viewer, stream.counter.clone())),
                Decision::Rejected => {}
            }
        }
        streams
    }

    /// The addresses that have several streams, here or on other nodes.
    pub(super) fn crowded(&self) -> Vec<(Network, u64)> {
        let crowded = self.networks.iter().filter(|(_, entry)| {
            let streams = entry.streams.len();
            streams > 1 || (streams == 1 && entry.elsewhere)
        });
        crowded.map(|(network, entry)| (*network, entry.fields.into())).collect()
    }

    /// Removes idle addresses whenever the table has doubled. It holds at most twice the addresses that have streams or
    /// opened one within the time of a burst.
    fn sweep(&mut self, now: Duration) {
        if self.networks.len() < self.sweep_at.max(SWEPT_FROM) {
            return;
        }
        self.networks.retain(|_, entry| !entry.is_idle(now));
        self.sweep_at = self.networks.len() * 2;
        if self.networks.capacity() > self.sweep_at * 2 {
            self.networks.shrink_to(self.sweep_at);
        }
    }
}

impl Entry {
    fn is_idle(&self, now: Duration) -> bool {
        self.streams.is_empty() && self.exempt == 0 && self.earned_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn limits() -> AddressLimits {
        AddressLimits { per_counter: 3, in_all: 5, per_second: 10, exempt: Vec::new() }
    }

    fn network(last: u8) -> Network {
        Network::of([203, 0, 113, last].into())
    }

    fn counter(name: &str) -> CounterName {
        CounterName::parse(name).unwrap()
    }

    #[test]
    fn an_address_has_at_most_its_limits() {
        let (mut table, limits) = (Table::default(), limits());
        // Slow enough that the pace does not matter.
        let mut now = NOW;
        let mut admit = |table: &mut Table, last, name| {
            now += Duration::from_secs(1);
            table.admit(&limits, network(last), &counter(name), now)
        };
        for _ in 0..3 {
            admit(&mut table, 1, "one").unwrap();
        }
        assert_eq!(admit(&mut table, 1, "one"), Err(AdmissionError::TooManyOfCounter { limit: 3 }));
        admit(&mut table, 1, "two").unwrap();
        let last = admit(&mut table, 1, "three").unwrap();
        assert_eq!(admit(&mut table, 1, "two"), Err(AdmissionError::TooManyInAll { limit: 5 }));
        admit(&mut table, 2, "one").expect("another address has limits of its own");
        assert!(table.release(network(1), last, NOW));
        // A stream that Redis rejects does not count, and Redis need not learn of its end.
        let rejected = admit(&mut table, 1, "two").unwrap();
        table.decide(network(1), rejected, Decision::Rejected, true);
        admit(&mut table, 1, "two").unwrap();
        assert!(!table.release(network(1), rejected, NOW));
    }

    #[test]
    fn a_burst_and_then_a_pace() {
        let (mut table, limits) = (Table::default(), limits());
        let open_and_close = |table: &mut Table, now| {
            let admitted = table.admit(&limits, network(1), &counter("one"), now);
            admitted.is_ok_and(|viewer| table.release(network(1), viewer, now))
        };
        let mut admitted = |now| (0..20).filter(|_| open_and_close(&mut table, now)).count();
        assert_eq!(admitted(NOW), 5);
        assert_eq!(admitted(NOW + Duration::from_millis(99)), 0);
        assert_eq!(admitted(NOW + Duration::from_millis(250)), 2);
        assert_eq!(admitted(NOW + Duration::from_secs(60)), 5);
    }

    #[test]
    fn crowded_addresses_have_several_streams() {
        let (mut table, limits) = (Table::default(), limits());
        for last in [1, 2, 2, 3] {
            let viewer = table.admit(&limits, network(last), &counter("one"), NOW).unwrap();
            table.decide(network(last), viewer, Decision::Admitted, last == 3);
        }
        let crowded = table.crowded();
        assert!(crowded.len() == 2 && crowded.contains(&(network(2), 0)) && crowded.contains(&(network(3), 0)));
        table.set_elsewhere(network(2), false, 5);
        assert!(table.crowded().contains(&(network(2), 5)));
        let AddressStreams { admitted, pending, next_viewer } = table.streams_of(network(2));
        assert_eq!((admitted.len(), pending.len(), next_viewer), (2, 0, 4));
        table.set_elsewhere(network(3), false, 2);
        assert_eq!(table.crowded().len(), 1);
    }

    #[test]
    fn idle_addresses_are_removed() {
        let (mut table, limits) = (Table::default(), limits());
        let counter = counter("one");
        let address = |number: u32| Network::of(number.to_be_bytes().into());
        for number in 0..100_000 {
            let now = NOW + Duration::from_millis(u64::from(number));
            let viewer = table.admit(&limits, address(number), &counter, now).unwrap();
            table.release(address(number), viewer, now);
        }
        // 100 of them opened a stream within the time in which one is earned.
        assert!(table.networks.len() <= SWEPT_FROM, "{}", table.networks.len());
        assert_eq!(table.streams, 0);
        // Exempt streams leave nothing behind.
        let (first, ..) = table.admit_exempt(address(1));
        let (second, of_address, of_all) = table.admit_exempt(address(1));
        assert_eq!((of_address, of_all), (2, 2));
        table.release(address(1), first, NOW * 2);
        table.release(address(1), second, NOW * 2);
        assert!(!table.networks.contains_key(&address(1)));
    }
}
