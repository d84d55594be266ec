//! [`Counters`]: which counters exist (every valid name, a list, or names that the operator has signed), and how a path names
//! one.

use std::fmt::Write as _;

use headcount_presence::{CounterName, NameError};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Separates a name from its signature in a path. No counter's name contains it, and URLs need not escape it.
const SEPARATOR: char = '~';
/// Bytes of the signature in a path: too many to guess over HTTP (2⁶⁴ values).
const SIGNATURE_BYTES: usize = 8;
/// Shortest key accepted, in bytes: 128 bits if they are random.
pub(crate) const MIN_KEY_BYTES: usize = 16;

/// Which counters exist.
#[derive(Clone, Debug)]
pub(crate) enum Counters {
    /// Every valid name.
    Any,
    /// These names.
    Listed(Vec<CounterName>),
    /// Names that come with this key's signature.
    Signed(SigningKey),
}

/// Why a path names no counter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnknownCounter {
    /// The name is malformed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name is not listed, or its signature is wrong or missing.
    #[error("no such counter is kept here")]
    Unknown,
}

impl Counters {
    /// Parses a counter's segment of a path.
    ///
    /// # Errors
    /// Fails if the name is malformed or the counter does not exist.
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

/// A counter that exists, and its segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CounterRef {
    /// The counter's name.
    pub(crate) name: CounterName,
    /// The name, with its signature if names are signed.
    pub(crate) path_segment: String,
}

/// The key that signs names. Its `Debug` hides it.
#[derive(Clone)]
pub(crate) struct SigningKey(Vec<u8>);

impl SigningKey {
    /// Creates a key. Returns `None` if there are fewer than [`MIN_KEY_BYTES`] bytes.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= MIN_KEY_BYTES).then(|| Self(bytes.to_vec()))
    }

    /// Returns a name with its signature, as in paths: `online~9f86d081884c7d65`.
    pub(crate) fn sign(&self, name: &CounterName) -> String {
        let mut signed = format!("{}{SEPARATOR}", name.as_str());
        for byte in &self.mac(name).finalize().into_bytes()[..SIGNATURE_BYTES] {
            write!(signed, "{byte:02x}").expect("writing to a String cannot fail");
        }
        signed
    }

    /// Returns whether the signature is the name's. Compares in constant time.
    fn has_signed(&self, name: &CounterName, signature: &str) -> bool {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if signature.len() != 2 * SIGNATURE_BYTES || !signature.bytes().all(lower) {
            return false;
        }
        let bytes = u64::from_str_radix(signature, 16).expect("sixteen hexadecimal digits").to_be_bytes();
        self.mac(name).verify_truncated_left(&bytes).is_ok()
    }

    fn mac(&self, name: &CounterName) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC accepts a key of any length");
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
    fn only_names_with_their_signature_are_parsed() {
        let name = CounterName::parse("online").expect("a valid name");
        let signed = key().sign(&name);
        let counters = Counters::Signed(key());
        assert_eq!(counters.read(&signed).expect("our own signature").name, name);
        let other = SigningKey::new(b"fedcba9876543210").expect("sixteen bytes").sign(&name);
        let forged = signed.replace("online", "offline");
        let short = &signed[..signed.len() - 1];
        for wrong in ["online", "online~", &other, &forged, short, &signed.to_uppercase(), &format!("{signed}0")] {
            assert!(counters.read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unsigned_counters_reject_signatures() {
        let name = CounterName::parse("online").expect("a valid name");
        assert!(Counters::Any.read(&key().sign(&name)).is_err());
        assert!(Counters::Any.read("online").is_ok());
        let listed = Counters::Listed(vec![name]);
        assert!(listed.read("online").is_ok());
        assert!(listed.read("offline").is_err());
    }

    #[test]
    fn short_keys_are_rejected() {
        assert!(SigningKey::new(b"0123456789abcde").is_none());
    }
}
