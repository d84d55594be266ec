//! Who asks: the connection's other end, or whom a trusted proxy in front says it is.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::options::ForwardedHeader;

/// Which proxies are believed, and about what.
#[derive(Clone, Debug)]
pub(crate) struct TrustedProxies {
    /// Connections from here begin with a PROXY header.
    pub(crate) proxy_protocol_from: Vec<IpNet>,
    /// Requests from here say in a header who their client is.
    pub(crate) forwarded_from: Vec<IpNet>,
    /// That header.
    pub(crate) forwarded_header: ForwardedHeader,
}

impl TrustedProxies {
    /// Whether a connection from `peer` must begin with a PROXY header.
    pub(crate) fn sends_proxy_header(&self, peer: SocketAddr) -> bool {
        contains(&self.proxy_protocol_from, peer.ip())
    }

    /// The client of a request that came from `sender`: the last address in the proxies' list that is not a trusted
    /// proxy's own. What stands before it, the client itself may have written.
    pub(crate) fn client(&self, sender: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = sender.to_canonical();
        if !contains(&self.forwarded_from, client) {
            return client;
        }
        let hops = match self.forwarded_header {
            ForwardedHeader::XForwardedFor => hops(headers, "x-forwarded-for", |entry| Some(entry)),
            ForwardedHeader::Forwarded => hops(headers, "forwarded", forwarded_for),
        };
        for hop in hops.into_iter().rev() {
            let Some(address) = hop else { break };
            client = address;
            if !contains(&self.forwarded_from, client) {
                break;
            }
        }
        client
    }
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// Each entry of a header's comma-separated lists, as an address; `None` where it is not one.
fn hops(headers: &HeaderMap, name: &str, node: impl Fn(&str) -> Option<&str>) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all(name).into_iter();
    lines
        .flat_map(|line| line.to_str().unwrap_or("?").split(','))
        .map(|entry| node(entry.trim()).and_then(address))
        .collect()
}

/// The `for` of one entry of RFC 7239.
fn forwarded_for(entry: &str) -> Option<&str> {
    entry.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address with or without a port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
        .or_else(bare)
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(header: ForwardedHeader) -> TrustedProxies {
        let network = |text: &str| text.parse().expect("a network");
        TrustedProxies {
            proxy_protocol_from: vec![network("10.1.0.0/16")],
            forwarded_from: vec![network("10.0.0.0/8"), network("fd00::/8")],
            forwarded_header: header,
        }
    }

    fn client(header: ForwardedHeader, sender: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header value"));
        }
        trust(header).client(sender.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn nobody_else_is_believed() {
        let forged = [("x-forwarded-for", "1.2.3.4")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "203.0.113.9", &forged), "203.0.113.9");
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1", &forged), "1.2.3.4");
        assert_eq!(client(ForwardedHeader::Forwarded, "10.0.0.1", &forged), "10.0.0.1");
    }

    #[test]
    fn what_the_client_wrote_before_is_passed_over() {
        let lines = [("x-forwarded-for", "1.2.3.4, 203.0.113.9"), ("x-forwarded-for", "10.0.0.7")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines), "203.0.113.9");
        let broken = [("x-forwarded-for", "1.2.3.4, unknown")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1", &broken), "10.0.0.1");
    }

    #[test]
    fn rfc_7239_is_read() {
        let lines = [("forwarded", "for=192.0.2.60;proto=http;by=203.0.113.43, For=\"[2001:db8:cafe::17]:4711\"")];
        assert_eq!(client(ForwardedHeader::Forwarded, "fd00::1", &lines), "2001:db8:cafe::17");
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_one() {
        let lines = [("x-forwarded-for", "::ffff:192.0.2.1")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "::ffff:10.0.0.1", &lines), "192.0.2.1");
    }
}
