//! Which counters exist, and how an address names one: any well-formed name, a list, or names that the operator has
//! signed.

use std::fmt::Write as _;

use headcount_presence::{CounterName, NameError};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Stands between a name and its signature in an address. No counter's name can hold it, and no URL needs to escape it.
const SEPARATOR: char = '~';
/// Bytes of the signature that an address carries: 2⁶⁴ guesses over HTTP are out of anybody's reach.
const SIGNATURE_BYTES: usize = 8;
/// Shortest key accepted, in bytes: 128 bits where they are random.
pub(crate) const MIN_KEY_BYTES: usize = 16;

/// Which counters exist.
#[derive(Clone, Debug)]
pub(crate) enum Counters {
    /// Every well-formed name.
    Any,
    /// These names alone.
    Listed(Vec<CounterName>),
    /// Names whose address carries this key's signature.
    Signed(SigningKey),
}

/// Why an address names no counter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnknownCounter {
    /// Malformed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not on the list, or without the signature. Which of the two is not told.
    #[error("no such counter is kept here")]
    Unknown,
}

impl Counters {
    /// Reads a counter's part of an address.
    ///
    /// # Errors
    /// [`UnknownCounter`].
    pub(crate) fn read(&self, text: &str) -> Result<CounterRef, UnknownCounter> {
        let (name, signature) = match (self, text.split_once(SEPARATOR)) {
            (Self::Signed(_), Some((name, signature))) => (CounterName::parse(name)?, signature),
            _ => (CounterName::parse(text)?, ""),
        };
        let exists = match self {
            Self::Any => true,
            Self::Listed(names) => names.contains(&name),
            Self::Signed(key) => key.has_signed(&name, signature),
        };
        let path_segment = text.to_owned();
        if exists { Ok(CounterRef { name, path_segment }) } else { Err(UnknownCounter::Unknown) }
    }
}

/// A counter that exists, and what addresses call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CounterRef {
    /// The counter.
    pub(crate) name: CounterName,
    /// Its part of an address: the name, with its signature where names are signed.
    pub(crate) path_segment: String,
}

/// The key that signs names. Shows nothing of itself.
#[derive(Clone)]
pub(crate) struct SigningKey(Vec<u8>);

impl SigningKey {
    /// The key of these bytes; `None` where they are fewer than [`MIN_KEY_BYTES`].
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= MIN_KEY_BYTES).then(|| Self(bytes.to_vec()))
    }

    /// A name as addresses carry it: `online~9f86d081884c7d65`.
    pub(crate) fn sign(&self, name: &CounterName) -> String {
        let mut address = format!("{}{SEPARATOR}", name.as_str());
        for byte in &self.mac(name).finalize().into_bytes()[..SIGNATURE_BYTES] {
            write!(address, "{byte:02x}").expect("a String takes all that is written to it");
        }
        address
    }

    /// Compares in constant time.
    fn has_signed(&self, name: &CounterName, signature: &str) -> bool {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if signature.len() != 2 * SIGNATURE_BYTES || !signature.bytes().all(lower) {
            return false;
        }
        let bytes = u64::from_str_radix(signature, 16).expect("sixteen hexadecimal digits").to_be_bytes();
        self.mac(name).verify_truncated_left(&bytes).is_ok()
    }

    fn mac(&self, name: &CounterName) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.chain_update(b"headcount counter ").chain_update(name.as_str())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::new(b"0123456789abcdef").expect("sixteen bytes")
    }

    #[test]
    fn a_signed_name_is_read_and_no_other() {
        let name = CounterName::parse("online").expect("a good name");
        let address = key().sign(&name);
        let counters = Counters::Signed(key());
        assert_eq!(counters.read(&address).expect("our own signature").name, name);
        let other = SigningKey::new(b"fedcba9876543210").expect("sixteen bytes").sign(&name);
        let forged = address.replace("online", "offline");
        let short = &address[..address.len() - 1];
        for wrong in ["online", "online~", &other, &forged, short, &address.to_uppercase(), &format!("{address}0")] {
            assert!(counters.read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn signatures_mean_nothing_where_names_are_not_signed() {
        let name = CounterName::parse("online").expect("a good name");
        assert!(Counters::Any.read(&key().sign(&name)).is_err());
        assert!(Counters::Any.read("online").is_ok());
        let listed = Counters::Listed(vec![name]);
        assert!(listed.read("online").is_ok());
        assert!(listed.read("offline").is_err());
    }

    #[test]
    fn short_keys_are_none() {
        assert!(SigningKey::new(b"0123456789abcde").is_none());
    }
}
