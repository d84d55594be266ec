//! The Lua scripts of `src/lua`, and their arguments. All decisions about leases and counts are made in the scripts.

use std::time::Duration;

use redis::Cmd;

use super::keys::{CounterKeys, KEEP};
use crate::address_limiter::AddressStreams;
use crate::settings::Timing;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;
use crate::{AddressLimits, CounterName};

/// How long a node that removes an ended session's registrations may be silent before another is asked to continue.
const REAPING_CLAIM: Duration = Duration::from_secs(1);

/// Registrations of an ended session that are removed in one call: a millisecond of Redis's time, three once the hash
/// has become sparse.
const REAPING_STEP: usize = 250;

/// Most joins and leaves in one report: a few milliseconds of Redis's time.
pub(super) const MAX_RECORDS: usize = 1_000;

/// Bytes of a viewer in a record: no process has 2⁴⁸ viewers, and six bytes fit Redis's smallest allocation.
const VIEWER_BYTES: usize = 6;

/// The scripts, with this installation's times.
pub(super) struct Scripts {
    hello: Script,
    report: Script,
    reap: Script,
    address: Script,
}

/// One script.
pub(super) struct Script {
    /// Its name in metrics.
    pub(super) name: &'static str,
    /// Its complete text.
    pub(super) code: String,
    /// Its SHA-1, by which Redis knows it once it is loaded.
    pub(super) hash: String,
}

/// A call of a script. May be sent several times.
pub(super) struct Call<'a> {
    pub(super) script: &'a Script,
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<Vec<u8>>,
    /// What every such call needs, not only those that have something to write.
    pub(super) access: Access,
}

/// What a command needs from Redis, in ascending order. A Redis that is full still answers reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// A reply.
    Ping,
    /// To read. It may write as well.
    Read,
    /// To write.
    Write,
}

/// The state that the caller shows. All 0 if it shows none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) epoch: u64,
    pub(super) version: u64,
    pub(super) count: u64,
    pub(super) visitors: u64,
}

/// A stream that a client asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestedStream<'a> {
    pub(super) viewer: ViewerId,
    pub(super) counter: &'a CounterName,
}

/// What a report does to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase<'a> {
    /// Nothing: it continues.
    Same,
    /// The session is complete and counts from now. The node's former session ends in the same call.
    Live { old: &'a str },
    /// The session ends.
    Ended,
}

/// What a report asks for in addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// Nothing: the cheapest.
    None,
    /// To compare the number of registrations with what the node expects.
    Audit,
    /// To compare it, and to prolong the life of the registrations.
    Keep,
}

/// One report. A retry has the same content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report<'a> {
    pub(super) session: &'a str,
    /// One more than the last report's, or the same without content.
    pub(super) seq: u64,
    /// Redis's clock in its last reply (milliseconds), and how long ago that came.
    pub(super) last_reply: (u64, Duration),
    /// The number of viewers that the session should have after this report.
    pub(super) expected: usize,
    pub(super) phase: Phase<'a>,
    pub(super) joins: &'a [(ViewerId, Visitor)],
    pub(super) leaves: &'a [ViewerId],
    pub(super) upkeep: Upkeep,
}

impl Scripts {
    pub(super) fn new(timing: &Timing) -> Scripts {
        let constants = [
            ("LEASE", timing.lease),
            ("SETTLE", timing.settle),
            ("PUBLISH_GAP", timing.publish_gap),
            ("KEEPALIVE", timing.keepalive()),
            ("KEEP", KEEP),
            ("IDLE", timing.idle()),
            ("CLAIM", REAPING_CLAIM),
        ];
        let head: String =
            constants.iter().map(|(name, time)| format!("local {name} = {}\n", time.as_millis())).collect();
        let script = |name, parts: &[&str]| {
            let code = [&[head.as_str()], parts].concat().concat();
            let hash = redis::Script::new(&code).get_hash().to_owned();
            Script { name, code, hash }
        };
        let prelude = include_str!("../lua/prelude.lua");
        Scripts {
            hello: script("hello", &[prelude, include_str!("../lua/hello.lua")]),
            report: script("report", &[prelude, include_str!("../lua/report.lua")]),
            reap: script("reap", &[prelude, include_str!("../lua/reap.lua")]),
            address: script("address", &[include_str!("../lua/address.lua")]),
        }
    }

    /// The scripts with a bug, to test that the tests find it.
    #[cfg(test)]
    pub(super) fn with_bug(mut self, right: &str, wrong: &str) -> Scripts {
        let scripts = [&mut self.hello, &mut self.report, &mut self.reap, &mut self.address];
        assert!(scripts.iter().any(|script| script.code.contains(right)), "no script contains {right:?}");
        for script in scripts {
            script.code = script.code.replace(right, wrong);
        }
        self
    }

    /// Begins a session.
    pub(super) fn hello(&self, keys: &CounterKeys, seen: Seen, node: &str) -> Call<'_> {
        let mut call = Call::new(&self.hello, keys, seen, "");
        call.access = Access::Write;
        call.argument(node);
        call
    }

    /// Reads the state without a session.
    pub(super) fn read(&self, keys: &CounterKeys, seen: Seen) -> Call<'_> {
        let nothing = Report {
            session: "",
            seq: 0,
            last_reply: (0, Duration::ZERO),
            expected: 0,
            phase: Phase::Same,
            joins: &[],
            leaves: &[],
            upkeep: Upkeep::None,
        };
        self.report(keys, seen, &nothing)
    }

    /// Reports changes of a session, or only renews its lease.
    pub(super) fn report(&self, keys: &CounterKeys, seen: Seen, report: &Report<'_>) -> Call<'_> {
        let mut call = Call::new(&self.report, keys, seen, report.session);
        call.keys.push(keys.viewers(report.session));
        call.argument(report.seq);
        call.argument(report.last_reply.0);
        call.argument(report.last_reply.1.as_millis());
        call.argument(report.expected);
        let (phase, old) = match report.phase {
            Phase::Same => ("", ""),
            Phase::Live { old } => ("live", old),
            Phase::Ended => ("ended", ""),
        };
        call.argument(phase);
        call.argument(old);
        let joins = report.joins.iter().flat_map(|(viewer, visitor)| {
            let viewer = viewer_bytes(*viewer);
            viewer.into_iter().chain(visitor.0.to_be_bytes())
        });
        call.arguments.push(joins.collect());
        call.arguments.push(report.leaves.iter().copied().flat_map(viewer_bytes).collect());
        call.argument(match report.upkeep {
            Upkeep::None => "",
            Upkeep::Audit => "audit",
            Upkeep::Keep => "keep",
        });
        call
    }

    /// Removes some registrations of an ended session.
    pub(super) fn reap(&self, keys: &CounterKeys, seen: Seen, session: &str) -> Call<'_> {
        let mut call = Call::new(&self.reap, keys, seen, session);
        call.keys.push(keys.viewers(session));
        call.argument(REAPING_STEP);
        call
    }

    /// Reports the streams that a node has of an address, and may request another one.
    pub(super) fn address(
        &self,
        key: &str,
        node: &str,
        limits: &AddressLimits,
        streams: &AddressStreams,
        requested: Option<RequestedStream<'_>>,
    ) -> Call<'_> {
        let mut call =
            Call { script: &self.address, keys: vec![key.to_owned()], arguments: Vec::new(), access: Access::Read };
        call.argument(node);
        match requested {
            Some(RequestedStream { viewer, counter }) => {
                call.argument(stream_name(viewer));
                call.argument(counter);
            }
            None => {
                call.argument("");
                call.argument("");
            }
        }
        call.argument(limits.per_counter);
        call.argument(limits.in_all);
        call.argument(limits.gap().as_micros());
        call.argument(limits.burst().as_micros());
        call.argument(streams.next_viewer);
        call.argument(streams.admitted.len());
        for (viewer, counter) in &streams.admitted {
            call.argument(stream_name(*viewer));
            call.argument(counter);
        }
        for viewer in &streams.pending {
            call.argument(stream_name(*viewer));
        }
        call
    }

    /// The command that removes streams of an address. Their node's lease runs out by itself.
    pub(super) fn remove_streams(&self, key: &str, node: &str, viewers: &[ViewerId]) -> Cmd {
        let mut command = redis::cmd("HDEL");
        command.arg(key);
        for viewer in viewers {
            command.arg(format!("s:{node}:{}", stream_name(*viewer)));
        }
        command
    }
}

/// The name of a stream in the address script: short hexadecimal.
fn stream_name(viewer: ViewerId) -> String {
    format!("{:x}", viewer.0)
}

impl<'a> Call<'a> {
    fn new(script: &'a Script, keys: &CounterKeys, seen: Seen, session: &str) -> Call<'a> {
        let CounterKeys { state, sessions, visitors, reaping, channel } = keys.clone();
        let mut call = Call {
            script,
            keys: vec![state, sessions, visitors, reaping],
            arguments: Vec::new(),
            access: if session.is_empty() { Access::Read } else { Access::Write },
        };
        call.argument(channel);
        for number in [seen.epoch, seen.version, seen.count, seen.visitors] {
            call.argument(number);
        }
        call.argument(session);
        call
    }

    fn argument(&mut self, value: impl ToString) {
        self.arguments.push(value.to_string().into_bytes());
    }
}

fn viewer_bytes(viewer: ViewerId) -> [u8; VIEWER_BYTES] {
    let [_, _, bytes @ ..] = viewer.0.to_be_bytes();
    bytes
}
