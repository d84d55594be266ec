//! Where a request comes from: the connection's peer, or the client that a trusted proxy names, with its scheme.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The header in which a trusted proxy names its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, the de facto standard.
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

/// Which proxies may name a client and its scheme, and how.
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    /// Connections from these networks begin with a PROXY header.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Requests from these networks name their client in `forwarded_header`.
    pub forwarded_from: Vec<IpNet>,
    /// The header that is read.
    pub forwarded_header: ForwardedHeader,
}

impl TrustedProxies {
    /// Returns whether a connection from `peer` must begin with a PROXY header.
    pub fn must_send_proxy_header(&self, peer: SocketAddr) -> bool {
        contains(&self.proxy_protocol_from, peer.ip())
    }

    /// Returns whether requests from `peer` may name another client.
    pub fn may_name_clients(&self, peer: IpAddr) -> bool {
        contains(&self.forwarded_from, peer)
    }

    /// Returns the client of a request from `peer`: the last address in the header that is not a trusted proxy's. The
    /// client itself may have written the entries before it.
    pub fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !contains(&self.forwarded_from, client) {
            return client;
        }
        let hops = match self.forwarded_header {
            ForwardedHeader::XForwardedFor => hops(headers, "x-forwarded-for", |entry| Some(entry)),
            ForwardedHeader::Forwarded => hops(headers, "forwarded", |entry| parameter(entry, "for")),
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

    /// Returns whether a trusted proxy says that its client has used HTTPS.
    pub fn is_https(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        if !contains(&self.forwarded_from, peer) {
            return false;
        }
        // The last entry is the trusted proxy's own. The client may have written the others.
        let last = |name: &str| {
            let line = headers.get_all(name).into_iter().next_back().and_then(|line| line.to_str().ok());
            line.and_then(|line| line.split(',').next_back()).map(str::trim)
        };
        let scheme = match self.forwarded_header {
            ForwardedHeader::XForwardedFor => last("x-forwarded-proto"),
            ForwardedHeader::Forwarded => last("forwarded").and_then(|entry| parameter(entry, "proto")),
        };
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// Parses each entry of a header's comma-separated lists. `None` stands for an entry that is not an address.
fn hops(headers: &HeaderMap, name: &str, node: impl Fn(&str) -> Option<&str>) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all(name).into_iter();
    lines
        .flat_map(|line| line.to_str().unwrap_or("?").split(','))
        .map(|entry| node(entry.trim()).and_then(parse_address))
        .collect()
}

/// Returns a parameter of an RFC 7239 entry.
fn parameter<'a>(entry: &'a str, wanted: &str) -> Option<&'a str> {
    entry.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

/// Parses an address with or without a port, and IPv6 with or without brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
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

    fn proxies(header: ForwardedHeader) -> TrustedProxies {
        let network = |text: &str| text.parse().expect("a network");
        TrustedProxies {
            proxy_protocol_from: vec![network("10.1.0.0/16")],
            forwarded_from: vec![network("10.0.0.0/8"), network("fd00::/8")],
            forwarded_header: header,
        }
    }

    fn client_ip(header: ForwardedHeader, peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header value"));
        }
        proxies(header).client_ip(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn other_peers_cannot_name_a_client() {
        let forged = [("x-forwarded-for", "1.2.3.4")];
        assert_eq!(client_ip(ForwardedHeader::XForwardedFor, "203.0.113.9", &forged), "203.0.113.9");
        assert_eq!(client_ip(ForwardedHeader::XForwardedFor, "10.0.0.1", &forged), "1.2.3.4");
        assert_eq!(client_ip(ForwardedHeader::Forwarded, "10.0.0.1", &forged), "10.0.0.1");
    }

    #[test]
    fn entries_that_the_client_wrote_are_ignored() {
        let lines = [("x-forwarded-for", "1.2.3.4, 203.0.113.9"), ("x-forwarded-for", "10.0.0.7")];
        assert_eq!(client_ip(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines), "203.0.113.9");
        let broken = [("x-forwarded-for", "1.2.3.4, unknown")];
        assert_eq!(client_ip(ForwardedHeader::XForwardedFor, "10.0.0.1", &broken), "10.0.0.1");
    }

    #[test]
    fn rfc_7239_headers_are_parsed() {
        let lines = [("forwarded", "for=192.0.2.60;proto=http;by=203.0.113.43, For=\"[2001:db8:cafe::17]:4711\"")];
        assert_eq!(client_ip(ForwardedHeader::Forwarded, "fd00::1", &lines), "2001:db8:cafe::17");
    }

    #[test]
    fn ipv4_mapped_addresses_become_ipv4() {
        let lines = [("x-forwarded-for", "::ffff:192.0.2.1")];
        assert_eq!(client_ip(ForwardedHeader::XForwardedFor, "::ffff:10.0.0.1", &lines), "192.0.2.1");
    }
}
