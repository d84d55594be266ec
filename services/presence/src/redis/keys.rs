//! Every key and channel in Redis. `{name}` is the counter's hash tag: all keys of a counter live in one slot of a cluster. Every other key is alone in
//! its script.
//!
//! | key (after the prefix) | type | content | life | written by |
//! |---|---|---|---|---|
//! | `{name}:state` | HASH | the published state: `epoch`, `version`, `count`, `visitors`, `seq` (of publications), `published` (when, ms); `held` 1 if a change waits to be published; `settle` (until when a new epoch settles, ms), `floor` and `visitors_floor` (what is shown at least until then); `expiry` (no lease ends before, ms), `last_session`, `nodes` (sessions); `reap` (the session being taken apart), `cursor`, `claim` (until when a node does it, ms); `kept` (when lives were last prolonged, ms); `s:<session>` "seq size phase" of each living session | [`KEEP`], prolonged while there are sessions; settle + lease after the last one | all scripts |
//! | `{name}:sessions` | ZSET | session → end of its lease, ms of Redis's clock | as the state; gone with the last session | hello, report; whichever call comes first after a lease's end |
//! | `{name}:viewers:<session>` | HASH | viewer (6 bytes) → visitor (8 bytes): the registrations themselves | [`KEEP`], prolonged by the session's node; taken apart when the session ends | report, reap |
//! | `{name}:visitors` | HASH | visitor (8 bytes) → number of registrations | [`KEEP`], prolonged; gone with the last session | report, reap |
//! | `{name}:reaping` | LIST | sessions that have ended and are still to be taken apart | [`KEEP`]; gone when all are | as sessions, and reap |
//! | `{name}` | channel | "epoch version count visitors seq settling" of each publication | – | hello, report, reap |
//! | `address:<hash>` | HASH | the streams of one client address on all nodes: `s:<node>:<viewer>` the stream's counter; `n:<node>` until when the node's streams count, ms; `earned` until when the address is ahead of its pace, µs. The hash has 64 bits and is keyed with `visitor-key` | a lease, or the pace's burst if that is longer, prolonged by each call | address; streams that leave are taken out by HDEL |
//! | `visitor-key` | STRING | 32 random bytes that make hashes of addresses and visitors | 24 h | the first node to need it |
//!
//! Times are milliseconds of Redis's clock. No key outlives the last node by more than [`KEEP`]. Redis must not evict any
//! of them: run it with `maxmemory-policy noeviction`.

use std::time::Duration;

use crate::CounterName;

/// How long a key lives that nobody prolongs: longer than any outage of the nodes that should heal by itself, short
/// enough that nothing lies around.
pub(super) const KEEP: Duration = Duration::from_secs(300);

/// What stands before every key of an installation.
#[derive(Debug, Clone)]
pub(super) struct Prefix(pub(super) String);

/// The keys of one counter.
#[derive(Debug, Clone)]
pub(super) struct CounterKeys {
    pub(super) state: String,
    pub(super) sessions: String,
    pub(super) visitors: String,
    pub(super) reaping: String,
    pub(super) channel: String,
}

impl Prefix {
    pub(super) fn counter(&self, name: &CounterName) -> CounterKeys {
        let tag = format!("{}{{{name}}}", self.0);
        CounterKeys {
            state: format!("{tag}:state"),
            sessions: format!("{tag}:sessions"),
            visitors: format!("{tag}:visitors"),
            reaping: format!("{tag}:reaping"),
            channel: tag,
        }
    }

    /// The key of a client address, by its hash.
    pub(super) fn address(&self, hash: u64) -> String {
        format!("{}address:{hash:016x}", self.0)
    }

    pub(super) fn visitor_key(&self) -> String {
        format!("{}visitor-key", self.0)
    }

    /// The SCAN pattern of all counters' states.
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

    /// The counter whose state this key is.
    pub(super) fn counter_of_state<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.0.as_str())?.strip_prefix('{')?.strip_suffix("}:state")
    }
}

impl CounterKeys {
    /// The registrations of a session.
    pub(super) fn viewers(&self, session: &str) -> String {
        format!("{}:viewers:{session}", self.channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counters_name_can_be_read_from_its_state_key() {
        let prefix = Prefix("a[b]:".to_owned());
        let name = CounterName::parse("online").unwrap();
        assert_eq!(prefix.counter_of_state(&prefix.counter(&name).state), Some("online"));
        assert_eq!(prefix.states(), "a\\[b\\]:{*}:state");
    }
}
