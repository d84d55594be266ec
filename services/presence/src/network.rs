//! The network that counts as one client address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// The prefix of IPv4 clients behind a translator to IPv6 (RFC 6052): all of IPv4 is in this one /64.
const TRANSLATED: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Marks IPv4 addresses among IPv6 networks: `0:ffff::/32` is reserved, so no client has an address there.
const IPV4: u64 = 0xffff << 32;

/// An IPv4 address, or a /64 of IPv6, which one household or machine gets.
///
/// The node keeps it in memory while a stream from it is open, because each new key needs a new hash of it. It is never
/// logged or stored, hence no `Debug`; only a process that takes over the stream gets it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Network(NonZeroU64);

impl Network {
    /// The network of a client's address. Mapped and translated IPv4 addresses count as IPv4.
    pub fn of(address: IpAddr) -> Network {
        let number = match plain(address) {
            IpAddr::V4(address) => IPV4 | u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        // `::/64` has no clients other than the machine itself.
        Network(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// The bytes that are hashed.
    pub(crate) fn bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

/// The IPv4 address that an IPv6 one maps or translates, or else the address itself.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(wrapped) if wrapped.segments()[..6] == TRANSLATED => embedded(wrapped).into(),
        address => address,
    }
}

fn embedded(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    [a, b, c, d].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> [u8; 8] {
        Network::of(address.parse().unwrap()).bytes()
    }

    #[test]
    fn each_ipv4_address_is_a_network_in_every_notation() {
        let one = network("203.0.113.5");
        assert_eq!(one, network("::ffff:203.0.113.5"));
        assert_eq!(one, network("64:ff9b::203.0.113.5"));
        assert_ne!(one, network("203.0.113.6"));
        assert_ne!(network("0.0.0.0"), network("::"));
    }

    #[test]
    fn an_ipv6_slash_64_is_one_network() {
        let one = network("2001:db8:1:2:3:4:5:6");
        assert_eq!(one, network("2001:db8:1:2:ffff::1"));
        assert_ne!(one, network("2001:db8:1:3::1"));
    }
}
