//! The keys that belong to all nodes, as one of them has just read them: nodes take turns to read them, and tell each other, so
//! that they cost Redis the same however many nodes there are.

use redis::Value;
use sha2::{Digest, Sha256};

use super::call_error::CallError;
use super::command_connection::CommandConnection;
use super::keys::Prefix;
use crate::settings::Timing;

/// What PTTL replies for a key that does not expire.
pub(super) const NO_EXPIRY: i64 = -1;

/// Digests of the keys: a node compares them with what it knows. 0 for a key that is missing, or that has no end and needs one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SharedKeys {
    pub(super) data_id: u64,
    pub(super) visitor_key: u64,
}

/// What a node publishes to all nodes, itself among them: that shows also that its subscription delivers messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Probe<'a> {
    pub(super) node: &'a str,
    /// Of the node's probes.
    pub(super) number: u64,
    pub(super) shared: SharedKeys,
}

/// 64 bits of a hash of a key's value, which do not tell the value.
pub(super) fn digest(value: &[u8]) -> u64 {
    let hash = Sha256::digest(value);
    u64::from_be_bytes(hash[..8].try_into().expect("a SHA-256 has 32 bytes"))
}

impl SharedKeys {
    /// Reads the keys in one round trip, and prolongs the life of `data-id`.
    pub(super) async fn read(
        commands: &CommandConnection,
        prefix: &Prefix,
        timing: &Timing,
    ) -> Result<SharedKeys, CallError> {
        let life = timing.keep.as_millis() as u64;
        let data_id = redis::cmd("GETEX").arg(prefix.data_id()).arg("PX").arg(life).clone();
        let visitor_key = redis::cmd("GET").arg(prefix.visitor_key()).clone();
        let left = redis::cmd("PTTL").arg(prefix.visitor_key()).clone();
        let (data_id, visitor_key, left) =
            tokio::try_join!(commands.query(&data_id), commands.query(&visitor_key), commands.query(&left))?;
        let digest_of = |value| match value {
            Value::BulkString(bytes) => digest(&bytes),
            _ => 0,
        };
        let visitor_key = if left == Value::Int(NO_EXPIRY) { 0 } else { digest_of(visitor_key) };
        Ok(SharedKeys { data_id: digest_of(data_id), visitor_key })
    }
}

impl<'a> Probe<'a> {
    /// Parses a message of the channel of probes. `None` if it has another form.
    pub(super) fn parse(message: &'a [u8]) -> Option<Probe<'a>> {
        let mut parts = std::str::from_utf8(message).ok()?.split(' ');
        let (node, number) = (parts.next()?, parts.next()?.parse().ok()?);
        let mut digest = || u64::from_str_radix(parts.next()?, 16).ok();
        Some(Probe { node, number, shared: SharedKeys { data_id: digest()?, visitor_key: digest()? } })
    }

    /// The message.
    pub(super) fn message(&self) -> String {
        let Probe { node, number, shared: SharedKeys { data_id, visitor_key } } = self;
        format!("{node} {number} {data_id:x} {visitor_key:x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_parsed_as_it_was_written() {
        let shared = SharedKeys { data_id: digest(b"data"), visitor_key: 0 };
        let probe = Probe { node: "5a1b2c3d5a1b2c3d", number: 7, shared };
        assert_eq!(Probe::parse(probe.message().as_bytes()), Some(probe));
        for wrong in [&b""[..], b"n", b"n 1", b"n 1 2", b"n x 2 3", b"n 1 2 g", b"\xff 1 2 3"] {
            assert_eq!(Probe::parse(wrong), None, "{wrong:?}");
        }
    }
}
