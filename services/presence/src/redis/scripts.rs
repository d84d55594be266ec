//! The Lua scripts and how they are spoken to. All decisions about leases and counts are theirs; see `src/lua`.

use std::time::Duration;

use redis::Cmd;

use super::keys::{CounterKeys, KEEP};
use crate::address_limiter::AddressStreams;
use crate::local_viewers::ViewerId;
use crate::settings::Timing;
use crate::visitor::Visitor;
use crate::{AddressLimits, CounterName};

/// How long a node that takes an ended session apart may be silent before another is asked to go on.
const REAPING_CLAIM: Duration = Duration::from_secs(1);

/// Registrations of an ended session that are taken apart in one call: a millisecond of Redis's time, three where the
/// hash has become sparse and the scan has to look for them.
const REAPING_STEP: usize = 250;

/// Most joins and leaves in one report: a few milliseconds of Redis's time.
pub(super) const MAX_RECORDS: usize = 1_000;

/// Bytes of a viewer in a record: 2⁴⁸ viewers are more than a process ever sees, and six bytes fit Redis's smallest
/// allocation.
const VIEWER_BYTES: usize = 6;

/// The scripts with this installation's times.
pub(super) struct Scripts {
    hello: Script,
    report: Script,
    reap: Script,
    address: Script,
}

/// One script.
pub(super) struct Script {
    /// What it is called in metrics.
    pub(super) name: &'static str,
    /// Its whole text.
    pub(super) code: String,
    /// What Redis calls it once it is loaded.
    pub(super) hash: String,
}

/// A call of a script that can be made again: the same keys and arguments.
pub(super) struct Call<'a> {
    pub(super) script: &'a Script,
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<Vec<u8>>,
    /// What it does whenever it is called, not only when there happens to be something to write.
    pub(super) access: Access,
}

/// What a command does. A Redis that is full goes on to answer those that only read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Asks whether Redis is there.
    Ping,
    /// Reads, or what may be no more than that.
    Read,
    /// Writes.
    Write,
}

/// The state that a node shows, as it tells Redis. All 0: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) epoch: u64,
    pub(super) version: u64,
    pub(super) count: u64,
    pub(super) visitors: u64,
}

/// A stream that an address asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) viewer: ViewerId,
    pub(super) counter: &'a CounterName,
}

/// What a report says about its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase<'a> {
    /// Nothing new: changes of a registration that goes on.
    Same,
    /// The registration is complete and counts from now; the node's former session ends in the same moment.
    Live { old: &'a str },
    /// The session ends.
    Ended,
}

/// What a report asks for besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// Nothing: the cheapest heartbeat.
    None,
    /// To count the registrations themselves.
    Audit,
    /// To count them, and to prolong their life.
    Keep,
}

/// The content of one report: stays the same when the report is sent again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report<'a> {
    pub(super) session: &'a str,
    /// One more than the last report's, or the last report's if there is no content.
    pub(super) seq: u64,
    /// Redis's clock in its last answer, and how long ago that came.
    pub(super) heard: (u64, Duration),
    /// How many viewers the session has after this report.
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

    /// The scripts with a mistake in them, for the test of the test.
    #[cfg(test)]
    pub(super) fn with_mistake(mut self, right: &str, wrong: &str) -> Scripts {
        let scripts = [&mut self.hello, &mut self.report, &mut self.reap, &mut self.address];
        assert!(scripts.iter().any(|script| script.code.contains(right)), "{right:?} is not written any more");
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
            heard: (0, Duration::ZERO),
            expected: 0,
            phase: Phase::Same,
            joins: &[],
            leaves: &[],
            upkeep: Upkeep::None,
        };
        self.report(keys, seen, &nothing)
    }

    /// Reports to a session, or only prolongs it.
    pub(super) fn report(&self, keys: &CounterKeys, seen: Seen, report: &Report<'_>) -> Call<'_> {
        let mut call = Call::new(&self.report, keys, seen, report.session);
        call.keys.push(keys.viewers(report.session));
        call.argument(report.seq);
        call.argument(report.heard.0);
        call.argument(report.heard.1.as_millis());
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

    /// Takes an ended session apart by one step.
    pub(super) fn reap(&self, keys: &CounterKeys, seen: Seen, session: &str) -> Call<'_> {
        let mut call = Call::new(&self.reap, keys, seen, session);
        call.keys.push(keys.viewers(session));
        call.argument(REAPING_STEP);
        call
    }

    /// Tells the streams that a node has of an address, and asks for another.
    pub(super) fn address(
        &self,
        key: &str,
        node: &str,
        limits: &AddressLimits,
        streams_of: &AddressStreams,
        asked: Option<Asked<'_>>,
    ) -> Call<'_> {
        let mut call =
            Call { script: &self.address, keys: vec![key.to_owned()], arguments: Vec::new(), access: Access::Read };
        call.argument(node);
        match asked {
            Some(Asked { viewer, counter }) => {
                call.argument(stream_of(viewer));
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
        call.argument(streams_of.next);
        call.argument(streams_of.held.len());
        for (viewer, counter) in &streams_of.held {
            call.argument(stream_of(*viewer));
            call.argument(counter);
        }
        for viewer in &streams_of.asking {
            call.argument(stream_of(*viewer));
        }
        call
    }

    /// The command by which streams of an address are forgotten. Their node's lease is left to run out.
    pub(super) fn forget(&self, key: &str, node: &str, viewers: &[ViewerId]) -> Cmd {
        let mut command = redis::cmd("HDEL");
        command.arg(key);
        for viewer in viewers {
            command.arg(format!("s:{node}:{}", stream_of(*viewer)));
        }
        command
    }
}

/// What a stream is called among its node's, as short as can be.
fn stream_of(viewer: ViewerId) -> String {
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
