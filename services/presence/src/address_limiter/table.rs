//! The table of client addresses.

use std::collections::HashMap;
use std::time::Duration;

use crate::local_viewers::ViewerId;
use crate::network::Network;
use crate::{AddressLimits, AdmissionError, CounterName};

/// The table is not swept before it has so many addresses.
const SWEPT_FROM: usize = 1024;

/// The addresses that have streams on this node, or have opened some just now.
#[derive(Default)]
pub(super) struct Table {
    networks: HashMap<Network, Entry>,
    /// Open streams of all addresses.
    streams: usize,
    /// The next viewer's number. Given out here, so that they are in the order in which viewers came in.
    next_viewer: u64,
    /// With so many addresses, those are taken out of which nothing need be known any more.
    sweep_at: usize,
}

#[derive(Default)]
struct Entry {
    /// Streams within the limits. Few addresses have more than one.
    streams: Vec<Stream>,
    /// Streams that no limit applies to.
    exempt: u32,
    /// The pace (the generic cell rate algorithm): the moment by which the address will have earned all the streams that it
    /// has opened. It may lie a burst ahead.
    earned_at: Duration,
    /// Other nodes may have streams of the address too.
    elsewhere: bool,
}

struct Stream {
    viewer: ViewerId,
    counter: CounterName,
    decision: Decision,
}

/// What has been decided about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing yet; Redis may have been asked.
    Asking,
    /// It was let in.
    Held,
    /// Redis refused it, and knows nothing of it.
    Refused,
}

/// The streams of one address on this node.
#[derive(Default)]
pub(crate) struct AddressStreams {
    /// Those that were let in.
    pub(crate) held: Vec<(ViewerId, CounterName)>,
    /// Those about which nothing has been decided.
    pub(crate) asking: Vec<ViewerId>,
    /// The number of whoever comes next: nothing is said here about those from it on.
    pub(crate) next: u64,
}

impl Table {
    /// Lets a stream in if this node's own figures allow it.
    pub(super) fn enter(
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
        let streams = entry.streams.iter().filter(|stream| stream.decision != Decision::Refused);
        if streams.clone().filter(|stream| stream.counter == *counter).count() >= limits.per_counter {
            return Err(AdmissionError::TooManyOfCounter { limit: limits.per_counter });
        }
        if streams.count() >= limits.in_all {
            return Err(AdmissionError::TooManyInAll { limit: limits.in_all });
        }
        // A vector's own first step would be room for four.
        entry.streams.reserve_exact(usize::from(entry.streams.is_empty()));
        let viewer = ViewerId(self.next_viewer);
        entry.streams.push(Stream { viewer, counter: counter.clone(), decision: Decision::Asking });
        self.next_viewer += 1;
        self.streams += 1;
        Ok(viewer)
    }

    /// Lets in a stream that no limit applies to. Gives the number of its address's besides, and of all.
    pub(super) fn enter_exempt(&mut self, network: Network) -> (ViewerId, usize, usize) {
        let entry = self.networks.entry(network).or_default();
        let viewer = ViewerId(self.next_viewer);
        entry.exempt += 1;
        self.next_viewer += 1;
        self.streams += 1;
        (viewer, entry.exempt as usize, self.streams)
    }

    pub(super) fn settle(&mut self, network: Network, viewer: ViewerId, decision: Decision, elsewhere: bool) {
        let Some(entry) = self.networks.get_mut(&network) else { return };
        entry.elsewhere = elsewhere;
        if let Some(stream) = entry.streams.iter_mut().find(|stream| stream.viewer == viewer) {
            stream.decision = decision;
        }
    }

    pub(super) fn heard(&mut self, network: Network, elsewhere: bool) {
        if let Some(entry) = self.networks.get_mut(&network) {
            entry.elsewhere = elsewhere;
        }
    }

    /// Whether Redis may know of the stream that leaves.
    pub(super) fn leave(&mut self, network: Network, viewer: ViewerId, now: Duration) -> bool {
        let Some(entry) = self.networks.get_mut(&network) else { return false };
        self.streams -= 1;
        let left = match entry.streams.iter().position(|stream| stream.viewer == viewer) {
            Some(at) => entry.streams.swap_remove(at).decision != Decision::Refused,
            None => {
                entry.exempt -= 1;
                false
            }
        };
        if entry.is_idle(now) {
            self.networks.remove(&network);
        }
        left
    }

    pub(super) fn streams_of(&self, network: Network) -> AddressStreams {
        let mut streams_of = AddressStreams { next: self.next_viewer, ..AddressStreams::default() };
        for stream in self.networks.get(&network).into_iter().flat_map(|entry| &entry.streams) {
            match stream.decision {
                Decision::Asking => streams_of.asking.push(stream.viewer),
                Decision::Held => streams_of.held.push((stream.viewer, stream.counter.clone())),
                Decision::Refused => {}
            }
        }
        streams_of
    }

    /// The addresses that have several streams, here or with other nodes.
    pub(super) fn crowded(&self) -> Vec<Network> {
        let crowded = self.networks.iter().filter(|(_, entry)| {
            let streams = entry.streams.len();
            streams > 1 || (streams == 1 && entry.elsewhere)
        });
        crowded.map(|(network, _)| *network).collect()
    }

    /// Takes out what need not be known any more, whenever the table has doubled: it is never larger than twice the addresses
    /// that have streams or came within a burst's time.
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
    fn an_address_has_so_many_streams_and_no_more() {
        let (mut table, limits) = (Table::default(), limits());
        // Slowly enough that the pace does not matter.
        let mut now = NOW;
        let mut enter = |table: &mut Table, last, name| {
            now += Duration::from_secs(1);
            table.enter(&limits, network(last), &counter(name), now)
        };
        for _ in 0..3 {
            enter(&mut table, 1, "one").unwrap();
        }
        assert_eq!(enter(&mut table, 1, "one"), Err(AdmissionError::TooManyOfCounter { limit: 3 }));
        enter(&mut table, 1, "two").unwrap();
        let last = enter(&mut table, 1, "three").unwrap();
        assert_eq!(enter(&mut table, 1, "two"), Err(AdmissionError::TooManyInAll { limit: 5 }));
        enter(&mut table, 2, "one").expect("another address is not concerned");
        // One whom Redis refuses has no place, and is not to be told of.
        assert!(table.leave(network(1), last, NOW));
        let refused = enter(&mut table, 1, "two").unwrap();
        table.settle(network(1), refused, Decision::Refused, true);
        enter(&mut table, 1, "two").unwrap();
        assert!(!table.leave(network(1), refused, NOW));
    }

    #[test]
    fn a_burst_and_then_a_pace() {
        let (mut table, limits) = (Table::default(), limits());
        let open_and_close = |table: &mut Table, now| {
            let admitted = table.enter(&limits, network(1), &counter("one"), now);
            admitted.is_ok_and(|viewer| table.leave(network(1), viewer, now))
        };
        let mut within = |now| (0..20).filter(|_| open_and_close(&mut table, now)).count();
        assert_eq!(within(NOW), 5);
        assert_eq!(within(NOW + Duration::from_millis(99)), 0);
        assert_eq!(within(NOW + Duration::from_millis(250)), 2);
        assert_eq!(within(NOW + Duration::from_secs(60)), 5);
    }

    #[test]
    fn crowded_addresses_are_those_with_several_streams() {
        let (mut table, limits) = (Table::default(), limits());
        for last in [1, 2, 2, 3] {
            let viewer = table.enter(&limits, network(last), &counter("one"), NOW).unwrap();
            table.settle(network(last), viewer, Decision::Held, last == 3);
        }
        let crowded = table.crowded();
        assert!(crowded.len() == 2 && crowded.contains(&network(2)) && crowded.contains(&network(3)));
        let AddressStreams { held, asking, next } = table.streams_of(network(2));
        assert_eq!((held.len(), asking.len(), next), (2, 0, 4));
        table.heard(network(3), false);
        assert_eq!(table.crowded().len(), 1);
    }

    #[test]
    fn the_table_forgets_who_has_gone() {
        let (mut table, limits) = (Table::default(), limits());
        let counter = counter("one");
        let address = |number: u32| Network::of(number.to_be_bytes().into());
        for number in 0..100_000 {
            let now = NOW + Duration::from_millis(u64::from(number));
            let viewer = table.enter(&limits, address(number), &counter, now).unwrap();
            table.leave(address(number), viewer, now);
        }
        // 100 of them came within the time of one stream.
        assert!(table.networks.len() <= SWEPT_FROM, "{}", table.networks.len());
        assert_eq!(table.streams, 0);
        // Who is exempt leaves nothing.
        let (first, ..) = table.enter_exempt(address(1));
        let (second, of_address, of_all) = table.enter_exempt(address(1));
        assert_eq!((of_address, of_all), (2, 2));
        table.leave(address(1), first, NOW * 2);
        table.leave(address(1), second, NOW * 2);
        assert!(!table.networks.contains_key(&address(1)));
    }
}
