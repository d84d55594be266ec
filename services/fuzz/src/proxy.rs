//! PROXY headers.

use std::net::IpAddr;

use headcount::fuzzing::{ProxyHeader, proxy_header};

use crate::{
    node::{Node, TRUSTED_PROXY},
    responses::{self, Remainder},
};

/// What is asked for behind the header.
const REQUEST: &[u8] = b"GET /robots.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The bytes are how a trusted load balancer's connection begins. The header's end does not depend on how much of what
/// follows has come, no header is longer than it may be, and a real node answers what stands behind a whole one, and
/// closes the connection without a word after a malformed one.
pub fn proxy(bytes: &[u8]) {
    let whole = proxy_header(bytes);
    match whole {
        ProxyHeader::Complete(length, client) => {
            assert!((1..=bytes.len()).contains(&length), "a header of {length} of {} bytes", bytes.len());
            assert_eq!(proxy_header(&bytes[..length]), whole, "it changes with what follows");
            for cut in 1..length {
                assert_eq!(proxy_header(&bytes[..cut]), ProxyHeader::Incomplete, "{cut} of {length} bytes");
            }
            let named = client.map(|client| client.ip());
            assert!(named.is_none_or(|ip| ip.to_string().parse::<IpAddr>() == Ok(ip)));
            let request = [&bytes[..length], REQUEST].concat();
            let received = Node::running().exchange(TRUSTED_PROXY, &request);
            let answers = responses::read(&received.bytes);
            assert!(answers.rest == Remainder::Nothing, "{answers:?}");
            assert!(matches!(answers.whole[..], [200]), "{answers:?} to a whole header");
        }
        ProxyHeader::Malformed => {
            let received = Node::running().exchange(TRUSTED_PROXY, &[bytes, REQUEST].concat());
            assert!(
                received.bytes.is_empty(),
                "an answer to a malformed header: {:?}",
                String::from_utf8_lossy(&received.bytes)
            );
        }
        ProxyHeader::Incomplete => {}
    }
}
