//! [`visitors`]: viewers whose distinct number is known, behind a load balancer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Behaviour, client::ProxyHeader};

/// The address of the load balancer, for nodes [behind it](crate::NodeOptions::behind_balancer). Requests from elsewhere
/// carry no PROXY header.
pub const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The network of an IPv6 address, in which it changes by itself: nodes take it for one visitor.
const NETWORK: u128 = u128::MAX << 64;

/// The behaviour of viewers who come through the load balancer: the first from the address `first`, the next from the next,
/// and so on with `distinct` addresses in turn. All have the same browser.
pub fn visitors(first: IpAddr, distinct: u32, browser: &str) -> Behaviour {
    Behaviour {
        headers: vec![("User-Agent".into(), browser.into())],
        proxy_header: Some(ProxyHeader { first, distinct }),
        source: Some(BALANCER),
        ..Behaviour::default()
    }
}

/// A visitor, as a node tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Visitor {
    pub(super) network: IpAddr,
    /// `None` for the client's own.
    browser: Option<String>,
}

impl Visitor {
    /// The visitor behind viewer number `ordinal` of a node.
    pub(super) fn of(behaviour: &Behaviour, ordinal: u32) -> Self {
        let address = match (behaviour.proxy_header, behaviour.source) {
            (Some(header), _) => header.address(ordinal),
            (None, source) => source.unwrap_or(Ipv4Addr::LOCALHOST).into(),
        };
        let network = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        };
        let is_browser = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("user-agent");
        Self { network, browser: behaviour.headers.iter().find(is_browser).map(|(_, browser)| browser.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn visitors_are_networks_and_browsers() {
        let distinct = |behaviours: &[Behaviour]| {
            let all = behaviours.iter().flat_map(|one| (0..12).map(|ordinal| Visitor::of(one, ordinal)));
            all.collect::<BTreeSet<_>>().len()
        };
        let [v4, v6, same] =
            ["192.0.2.1", "2001:db8:1:1::1", "2001:db8:1:1:2:3:4:5"].map(|first| first.parse().unwrap());
        assert_eq!(distinct(&[visitors(v4, 5, "a"), visitors(v4, 5, "a")]), 5);
        assert_eq!(distinct(&[visitors(v4, 5, "a"), visitors(v4, 5, "b")]), 10);
        assert_eq!(distinct(&[visitors(v6, 3, "a"), visitors(same, 3, "a")]), 3);
        assert_eq!(distinct(&[Behaviour::default(), visitors(v4, 5, "a")]), 6);
    }
}
