//! The limits of one client address, over all nodes together.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::network;

/// How many streams one client address may have open, and how fast it may open them. An address is an IPv4 address or a
/// /64 of IPv6. All nodes of an installation should have the same limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressLimits {
    /// Most open streams of one counter.
    pub per_counter: usize,
    /// Most open streams of all counters together. After a pause, this many may be opened at once.
    pub in_all: usize,
    /// New streams a second.
    pub per_second: u32,
    /// Networks that no limit applies to.
    pub exempt: Vec<IpNet>,
}

impl AddressLimits {
    /// Loopback, the private networks of RFC 1918 and RFC 4193, and link-local addresses: the operator's machines and
    /// proxies. Without 100.64.0.0/10 (RFC 6598): clients with such an address are customers of a carrier.
    pub const PRIVATE: &str =
        "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,::1/128,fc00::/7,fe80::/10";

    /// Whether no limit applies to the address.
    pub fn exempts(&self, address: IpAddr) -> bool {
        let address = network::plain(address);
        self.exempt.iter().any(|network| network.contains(&address))
    }

    /// The time in which an address earns one stream.
    pub(crate) fn gap(&self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }

    /// How much of that time an address may accumulate: enough to open again all streams that it may have.
    pub(crate) fn burst(&self) -> Duration {
        self.gap() * u32::try_from(self.in_all).unwrap_or(u32::MAX)
    }
}

/// Enough for a shared office: 32 people with one counter each, or with a page of four, who may all reload it at once,
/// and again 8 s later.
impl Default for AddressLimits {
    fn default() -> AddressLimits {
        let exempt = Self::PRIVATE.split(',').map(|network| network.parse().expect("PRIVATE is valid"));
        AddressLimits { per_counter: 32, in_all: 128, per_second: 16, exempt: exempt.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_exempt() {
        let limits = AddressLimits::default();
        let is_exempt = |address: &str| limits.exempts(address.parse().unwrap());
        for own in ["127.0.0.1", "::1", "10.1.2.3", "172.31.0.1", "::ffff:192.168.1.1", "fd00::1", "fe80::1"] {
            assert!(is_exempt(own), "{own}");
        }
        for other in ["8.8.8.8", "172.32.0.1", "100.64.0.1", "::", "2001:db8::1", "64:ff9b::8.8.8.8"] {
            assert!(!is_exempt(other), "{other}");
        }
        assert_eq!(limits.burst(), Duration::from_secs(8));
    }
}
