//! Parses the scripts' replies and the messages of counters.

use std::time::{Duration, SystemTime};

use redis::Value;
use serde::{Deserialize, Serialize};

use super::scripts::Seen;
use crate::Reading;
use crate::settings::Timing;

/// A published state of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) epoch: u64,
    pub(super) version: u64,
    pub(super) count: u64,
    pub(super) visitors: u64,
    /// Number of publications in this epoch; 0 if nothing has been published.
    pub(super) seq: u64,
    /// For this long nodes may still be registering again after a loss.
    pub(super) settling: Duration,
}

/// A message of a counter's channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) state: State,
    /// All nodes are asked to report now: a lease has run out.
    pub(super) report_now: bool,
}

/// The result of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It is applied, or there was nothing to apply.
    Ok,
    /// The session is unknown: it expired, was ended, or was lost.
    Unknown,
    /// Reports before this one are missing.
    Gap,
    /// The session does not have the number of viewers that its node expects.
    Differs,
}

/// The reply of a counter's script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: Status,
    /// Redis's clock, in milliseconds.
    pub(super) now: u64,
    pub(super) state: State,
    /// A change waits to be published for this long.
    pub(super) held: Option<Duration>,
    /// No lease of the counter ends before this time has passed. `None` if it has no lease.
    pub(super) due: Option<Duration>,
    /// Living sessions of the counter.
    pub(super) nodes: u64,
    /// An ended session whose registrations the caller should remove.
    pub(super) reap: Option<String>,
    /// The caller's session, or the one that has begun.
    pub(super) session: String,
}

impl Message {
    /// Parses a message of the counter's channel. `None` if it has another form.
    pub(super) fn parse(message: &[u8]) -> Option<Message> {
        let mut numbers = std::str::from_utf8(message).ok()?.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let state = State {
            epoch: next()?,
            version: next()?,
            count: next()?,
            visitors: next()?,
            seq: next()?,
            settling: Duration::from_millis(next()?),
        };
        Some(Message { state, report_now: next()? > 0 })
    }
}

/// The reply to a call that renews leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Renewed {
    /// Redis's clock, in milliseconds.
    pub(super) now: u64,
    /// For each counter: its earliest lease ends no sooner. `None` if the node is to report.
    pub(super) due: Vec<Option<Duration>>,
}

impl Renewed {
    /// Parses a reply. `None` if it has another form.
    pub(super) fn parse(value: Value) -> Option<Renewed> {
        let Value::Array(values) = value else { return None };
        let mut numbers = values.into_iter().map(|value| match value {
            Value::Int(number) => Some(number),
            _ => None,
        });
        let now = u64::try_from(numbers.next()??).ok()?;
        let due = numbers.map(|due| due.map(|due| u64::try_from(due).ok().map(Duration::from_millis)));
        Some(Renewed { now, due: due.collect::<Option<_>>()? })
    }
}

impl State {
    /// The key by which states are ordered.
    pub(super) fn order(&self) -> (u64, u64) {
        (self.epoch, self.version)
    }

    /// The reading of this state.
    pub(super) fn reading(&self, as_of: SystemTime, stale: bool) -> Reading {
        let State { epoch, version, count, visitors, .. } = *self;
        Reading { count, visitors, epoch, version, as_of, stale }
    }

    /// The state as an argument of calls.
    pub(super) fn seen(&self) -> Seen {
        Seen { epoch: self.epoch, version: self.version, count: self.count, visitors: self.visitors }
    }
}

impl Reply {
    /// For how long nodes may still report whose leases have run out, or are about to: their viewers are in the state, and
    /// perhaps they are dead. `None` if there are no such leases. A node that lives renews its lease long before.
    pub(super) fn doubt(&self, timing: &Timing) -> Option<Duration> {
        self.due.filter(|due| *due <= timing.suspicion)
    }

    /// Parses a reply of a counter's script. `None` if it has another form.
    pub(super) fn parse(value: Value) -> Option<Reply> {
        let Value::Array(values) = value else { return None };
        let mut values = values.into_iter();
        let mut number = || match values.next()? {
            Value::Int(number) => Some(number),
            _ => None,
        };
        let status = match number()? {
            0 => Status::Ok,
            1 => Status::Unknown,
            2 => Status::Gap,
            3 => Status::Differs,
            _ => return None,
        };
        let mut natural = || u64::try_from(number()?).ok();
        let now = natural()?;
        let state = State {
            epoch: natural()?,
            version: natural()?,
            count: natural()?,
            visitors: natural()?,
            seq: natural()?,
            settling: Duration::from_millis(natural()?),
        };
        let held = Some(Duration::from_millis(natural()?)).filter(|held| !held.is_zero());
        let due = u64::try_from(number()?).ok().map(Duration::from_millis);
        let nodes = u64::try_from(number()?).ok()?;
        let mut text = || match values.next()? {
            Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
            Value::SimpleString(text) => Some(text),
            _ => None,
        };
        let reap = Some(text()?).filter(|session| !session.is_empty());
        Some(Reply { status, now, state, held, due, nodes, reap, session: text()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_seven_numbers() {
        let Message { state, report_now } = Message::parse(b"1763827200000000 2 3 4 5 600 1").unwrap();
        assert!(report_now);
        assert_eq!(state.order(), (1_763_827_200_000_000, 2));
        assert_eq!((state.count, state.visitors, state.seq), (3, 4, 5));
        assert_eq!(state.settling, Duration::from_millis(600));
    }

    #[test]
    fn other_messages_are_refused() {
        for wrong in [&b""[..], b"1 2 3 4 5 6", b"1 2 3 4 5 6 x", b"1 2 3 4 5 6 -7", b"1  2 3 4 5 6 7", b"\xff\xff"] {
            assert_eq!(Message::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_reply_of_another_shape_is_refused() {
        for wrong in [Value::Nil, Value::Int(1), Value::Array(vec![]), Value::Array(vec![Value::Int(9); 13])] {
            assert_eq!(Reply::parse(wrong), None);
        }
    }
}
