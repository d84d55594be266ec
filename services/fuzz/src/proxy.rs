//! Fuzz target: PROXY headers.

use std::net::IpAddr;

use headcount::fuzzing::{ProxyHeader, proxy_header};

use crate::{
    node::{Node, TRUSTED_PROXY},
    responses::{self, Remainder},
};

/// The request behind the header.
const REQUEST: &[u8] = b"GET /robots.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Parses the bytes as the beginning of a trusted load balancer's connection. Checks that a complete header does not depend
/// on the bytes that follow, that each of its prefixes is incomplete, that a real node answers a request behind a complete
/// header, and that it closes the connection without a response after a malformed one.
pub fn proxy(bytes: &[u8]) {
    let header = proxy_header(bytes);
    match header {
        ProxyHeader::Complete(length, client) => {
            assert!((1..=bytes.len()).contains(&length), "a header of {length} of {} bytes", bytes.len());
            assert_eq!(proxy_header(&bytes[..length]), header, "it changes with what follows");
            for cut in 1..length {
                assert_eq!(proxy_header(&bytes[..cut]), ProxyHeader::Incomplete, "{cut} of {length} bytes");
            }
            let named = client.map(|client| client.ip());
            assert!(named.is_none_or(|ip| ip.to_string().parse::<IpAddr>() == Ok(ip)));
            let request = [&bytes[..length], REQUEST].concat();
            let received = Node::running().exchange(TRUSTED_PROXY, &request);
            let responses = responses::read(&received.bytes);
            assert!(responses.remainder == Remainder::Nothing, "{responses:?}");
            assert!(matches!(responses.statuses[..], [200]), "{responses:?} to a complete header");
        }
        ProxyHeader::Malformed => {
            let received = Node::running().exchange(TRUSTED_PROXY, &[bytes, REQUEST].concat());
            assert!(
                received.bytes.is_empty(),
                "a response to a malformed header: {:?}",
                String::from_utf8_lossy(&received.bytes)
            );
        }
        ProxyHeader::Incomplete => {}
    }
}
