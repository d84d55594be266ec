//! Distinct visitors, as keyed hashes that do not identify them.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::Client;
use crate::network::Network;

/// One visitor: 64 bits of a keyed hash of address and user agent.
///
/// Without the key it reveals nothing about the address. A new key every day makes hashes of different days unlinkable.
/// Among a million visitors the probability that any two share a hash is 3·10⁻⁸.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Visitor(pub(crate) u64);

/// The secret key of visitors' and addresses' hashes. Never logged, hence no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitorKey([u8; VisitorKey::BYTES]);

impl VisitorKey {
    /// Length of a key: that of a SHA-256.
    pub(crate) const BYTES: usize = 32;

    /// A new key.
    pub fn random() -> VisitorKey {
        VisitorKey(rand::random())
    }

    /// A stored key. `None` if the length is wrong.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<VisitorKey> {
        bytes.try_into().ok().map(VisitorKey)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The visitor of a client. All addresses of an IPv6 /64 are the same.
    pub fn visitor(&self, client: &Client) -> Visitor {
        Visitor(self.hash(&[&Network::of(client.ip).bytes(), b"\0", &client.user_agent]))
    }

    /// The hash of a client address in Redis. Never equals a visitor's input.
    pub(crate) fn address(&self, network: Network) -> u64 {
        self.hash(&[&network.bytes(), b"\x01address"])
    }

    fn hash(&self, parts: &[&[u8]]) -> u64 {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        parts.iter().for_each(|part| mac.update(part));
        let hash = mac.finalize().into_bytes();
        u64::from_be_bytes(hash[..8].try_into().expect("a SHA-256 has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str, user_agent: &str) -> Client {
        Client { ip: address.parse().unwrap(), user_agent: user_agent.as_bytes().to_vec() }
    }

    #[test]
    fn a_visitor_is_an_address_with_a_user_agent() {
        let key = VisitorKey::random();
        let alice = key.visitor(&client("203.0.113.5", "Firefox"));
        assert_eq!(alice, key.visitor(&client("203.0.113.5", "Firefox")));
        assert_eq!(alice, key.visitor(&client("::ffff:203.0.113.5", "Firefox")), "the same address, written as IPv6");
        assert_ne!(alice, key.visitor(&client("203.0.113.6", "Firefox")));
        assert_ne!(alice, key.visitor(&client("203.0.113.5", "Chromium")));
    }

    #[test]
    fn another_key_makes_other_visitors() {
        let client = client("203.0.113.5", "Firefox");
        assert_ne!(VisitorKey::random().visitor(&client), VisitorKey::random().visitor(&client));
    }
}
