//! Internals of this crate for the fuzz targets in `services/fuzz`. Nothing else may use them.

use std::net::SocketAddr;

use headcount_presence::CounterName;

use crate::counters::{Counters, SigningKey};
use crate::http;

/// A connection's first bytes, parsed as a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// They are not a header.
    Malformed,
    /// The header is incomplete.
    Incomplete,
    /// The header's length in bytes, and the client's address if it names one.
    Complete(usize, Option<SocketAddr>),
}

/// Parses a PROXY header at the beginning of a connection.
pub fn proxy_header(bytes: &[u8]) -> ProxyHeader {
    match http::parse_proxy_header(bytes) {
        Err(_) => ProxyHeader::Malformed,
        Ok(None) => ProxyHeader::Incomplete,
        Ok(Some((bytes, proxied))) => ProxyHeader::Complete(bytes, proxied.source),
    }
}

/// Returns the counter that a path leads to if any name is a counter, and its segment of the path.
pub fn counter_ref(path: &str) -> Option<(CounterName, String)> {
    http::counter_ref(path, &Counters::Any)
}

/// Returns the same if names are signed with this key of 16 bytes or more.
pub fn signed_counter_ref(path: &str, key: &[u8]) -> Option<(CounterName, String)> {
    http::counter_ref(path, &Counters::Signed(SigningKey::new(key)?))
}

/// Returns a counter's name with its signature. `None` if the key is too short.
pub fn sign(name: &CounterName, key: &[u8]) -> Option<String> {
    SigningKey::new(key).map(|key| key.sign(name))
}
