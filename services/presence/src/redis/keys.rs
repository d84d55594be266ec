//! Every key and channel in Redis, after the prefix. All keys of a counter share the hash tag `{name}`, so that they
//! are in one slot of a cluster. Every other key is the only one of its script, except in calls that renew many.
//!
//! `{name}:state`, HASH: what is published of the counter, and the state of the protocol.
//! - `epoch`, `version`, `count`, `visitors`: the published state.
//! - `quiet`: "epoch version count visitors nodes" as published, or empty while a change waits, the epoch settles, or
//!   registrations are being removed: what a renewal compares.
//! - `seq`: number of publications in this epoch. `published`: time of the last one, or of the last call that found it
//!   half a heartbeat old. `held`: 1 if a change waits for its publication.
//! - `begun`: when the epoch began. `settle`: until when it settles. `floor`, `visitors_floor`: the numbers published are not lower until
//!   then.
//! - `nodes`: number of sessions. `people`: number of visitors. `expiry`: no lease ends before. `last_session`: the
//!   newest session's number.
//! - `reap`: the session whose registrations are being removed. `waiting`: number of such sessions. `cursor`: of the
//!   scan. `claim`: until when a node does that.
//! - `kept`: when the life of the keys was last prolonged.
//! - `recorded`: since when changes go into the history, 0 if they do not.
//! - `s:<session>`: "seq size phase kept suspect" of each session that has a lease. A session's id is the beginning of its
//!   node's id and a number: "5a1b2c3d-hq3z0k8x2w".
//! - Life: `keep`, prolonged while there are sessions; settle + lease after the last one. Writer: all scripts of
//!   counters. Of these, renew alone touches several counters in one call, except in a cluster.
//!
//! `{name}:sessions`, ZSET: session → end of its lease.
//! - Life: as the state; removed with the last session. Writer: hello, report, renew; the first call after a lease's end.
//!
//! `{name}:viewers:<session>`, HASH: viewer (6 bytes) → visitor (8 bytes), the registrations themselves.
//! - Life: `keep`, prolonged by the session's node; removed in steps after the session's end. Writer: report, reap.
//!
//! `{name}:visitors`, HASH: visitor (8 bytes) → number of registrations.
//! - Life: `keep`, prolonged; removed with the last session. Writer: report, reap.
//!
//! `{name}:reaping`, LIST: ended sessions whose registrations are still to be removed.
//! - Life: `keep`; removed with its last element. Writer: as sessions, and reap.
//!
//! `{name}:history`, STRING: what was counted in the past. Its head is doubles, and has room for 81:
//! - The format, 1; the key's life; up to when the rings are written; up to when the slices are; the count since then, -1 if it is not
//!   known; 1 if nobody is there until somebody comes; when the count was last confirmed without a call that changes it.
//! - Of the minute, the quarter of an hour and the day that have not ended: sum of count × time, time of which the count is known,
//!   highest, -1 if nothing is known.
//! - The most of the day and when, the most ever and when; number of slices.
//! - Of each slice: its end, sum, time and highest as above, and when that was reached.
//! - The rings follow: 1,440 minutes, 2,880 quarters of an hour, 1,830 days, each at its number since 1970 modulo the ring's size, in
//!   8 bytes: two integers of 32 bits, the lowest byte first: one more than the highest, and the mean in hundredths. 0: not known.
//! - Life: five years for a counter that exists by name, 30 days for others, prolonged with each step that is written. Writer: hello,
//!   report, reap, when something has changed; renew confirms it.
//!
//! `{name}`, channel: "epoch version count visitors seq settling report" of each publication; `report` 1
//!   asks all nodes to report now.
//! - Writer: hello, report, reap.
//!
//! `probe`, channel: "node number data-id visitor-key", the last two as digests. Published by whichever node has heard nothing
//! here for half a heartbeat: nodes compare the digests with what they know, and one that does not hear itself has a
//! subscription that delivers nothing.
//!
//! `address:<hash>`, HASH: the streams of one client address on all nodes. The hash has 64 bits, keyed with
//! `visitor-key`.
//! - `s:<node>:<viewer>`: the stream's counter. `n:<node>`: until when the node's streams count.
//! - `earned`: the theoretical arrival time of the address's pace, in microseconds.
//! - Life: two heartbeats and a half, or the pace's burst if that is longer, prolonged by each call. Writer: address,
//!   renew_addresses; departures by HDEL.
//!
//! `visitor-key`, STRING: 32 random bytes that key the hashes of addresses and visitors.
//! - Life: 24 h. Writer: the first node that needs it.
//!
//! `data-id`, STRING: 16 random bytes, another value after each loss of data.
//! - Life: `keep`, prolonged with each probe. Writer: the first node that misses it.
//!
//! `nodes`, HASH: node → "reported started version address": all nodes that run, with viewers or without.
//! - Life: `keep`, prolonged by each node; a node that has been silent for twelve heartbeats is removed. Writer: node.
//!
//! Times are milliseconds of Redis's clock; `keep` is [`Timing::keep`](crate::Timing::keep). No key outlives the last
//! node by more than that, except `visitor-key` and histories. Redis must not evict any of them: run it with
//! `maxmemory-policy noeviction`. If some are missing all the same, a script notices by `nodes`, `people` and `waiting`,
//! and the counter begins anew.

use std::time::Duration;

use crate::CounterName;

/// The prefix of every key of an installation.
#[derive(Debug, Clone)]
pub(super) struct Prefix(pub(super) String);

/// The keys of one counter.
#[derive(Debug, Clone)]
pub(super) struct CounterKeys {
    pub(super) state: String,
    pub(super) sessions: String,
    pub(super) visitors: String,
    pub(super) reaping: String,
    pub(super) history: String,
    pub(super) channel: String,
    /// What becomes of the history.
    pub(super) recording: Recording,
}

/// What calls say of a counter's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recording {
    /// It goes on if there is one.
    AsIs,
    /// It ends.
    Off,
    /// It begins, or goes on, and lives for this time after its last change.
    On {
        /// The time.
        life: Duration,
    },
}

impl Prefix {
    /// The keys of a counter.
    pub(super) fn counter(&self, name: &CounterName) -> CounterKeys {
        let tag = format!("{}{{{name}}}", self.0);
        CounterKeys {
            state: format!("{tag}:state"),
            sessions: format!("{tag}:sessions"),
            visitors: format!("{tag}:visitors"),
            reaping: format!("{tag}:reaping"),
            history: format!("{tag}:history"),
            channel: tag,
            recording: Recording::AsIs,
        }
    }

    /// The key of a client address, by its hash.
    pub(super) fn address(&self, hash: u64) -> String {
        format!("{}address:{hash:016x}", self.0)
    }

    /// The channel on which all nodes hear each other.
    pub(super) fn probe_channel(&self) -> String {
        format!("{}probe", self.0)
    }

    /// The key of the key of visitors' hashes.
    pub(super) fn visitor_key(&self) -> String {
        format!("{}visitor-key", self.0)
    }

    /// The key of the id that is lost with the data.
    pub(super) fn data_id(&self) -> String {
        format!("{}data-id", self.0)
    }

    /// The key of the list of all nodes.
    pub(super) fn nodes(&self) -> String {
        format!("{}nodes", self.0)
    }

    /// The SCAN pattern that matches all counters' states.
    pub(super) fn states(&self) -> String {
        let mut pattern = String::new();
        for character in self.0.chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern + "{*}:state"
    }

    /// The name of the counter whose state has this key. `None` for other keys.
    pub(super) fn counter_of_state<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.0.as_str())?.strip_prefix('{')?.strip_suffix("}:state")
    }
}

impl Recording {
    /// The argument of calls.
    pub(super) fn argument(self) -> String {
        match self {
            Recording::AsIs => String::new(),
            Recording::Off => "off".to_owned(),
            Recording::On { life } => life.as_millis().to_string(),
        }
    }
}

impl CounterKeys {
    /// The key of a session's registrations.
    pub(super) fn viewers(&self, session: &str) -> String {
        format!("{}:viewers:{session}", self.channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_state_contains_the_counters_name() {
        let prefix = Prefix("a[b]:".to_owned());
        let name = CounterName::parse("online").unwrap();
        assert_eq!(prefix.counter_of_state(&prefix.counter(&name).state), Some("online"));
        assert_eq!(prefix.states(), "a\\[b\\]:{*}:state");
    }
}
