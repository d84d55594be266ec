//! What `services/fuzz` asks of this crate's inside, to feed it anything. Nothing else may use it.

use std::net::SocketAddr;

use headcount_presence::CounterName;

use crate::counters::{Counters, SigningKey};
use crate::http;

/// What the beginning of a connection is, taken for a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// No such header.
    Malformed,
    /// One whose end has not come yet.
    Unfinished,
    /// One of so many bytes, and the client that it names.
    Whole(usize, Option<SocketAddr>),
}

/// Reads a PROXY header at the beginning of a connection.
pub fn proxy_header(bytes: &[u8]) -> ProxyHeader {
    match http::parse_proxy_header(bytes) {
        Err(_) => ProxyHeader::Malformed,
        Ok(None) => ProxyHeader::Unfinished,
        Ok(Some((bytes, client))) => ProxyHeader::Whole(bytes, client),
    }
}

/// The counter that a path leads to where any name is a counter, and what addresses call it.
pub fn counter_ref(path: &str) -> Option<(CounterName, String)> {
    http::counter_ref(path, &Counters::Any)
}

/// The same where names are signed with this key, of 16 bytes or more.
pub fn signed_counter_ref(path: &str, key: &[u8]) -> Option<(CounterName, String)> {
    http::counter_ref(path, &Counters::Signed(SigningKey::new(key)?))
}

/// A counter's name as addresses carry it where names are signed.
pub fn sign(name: &CounterName, key: &[u8]) -> Option<String> {
    SigningKey::new(key).map(|key| key.sign(name))
}
