//! The Lua scripts of `src/lua`, and their arguments. All decisions about leases and counts are made in the scripts.

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use serde::{Deserialize, Serialize};

use super::history;
use super::keys::CounterKeys;
use crate::address_limiter::AddressStreams;
use crate::settings::{NodeDescription, Timing};
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;
use crate::{AddressLimits, CounterName};

/// How long a node that removes an ended session's registrations may be silent before another is asked to continue.
const REAPING_CLAIM: Duration = Duration::from_secs(1);

/// By how much a lease may seem to end later than one that is given now, before Redis's clock is known to have gone back.
const CLOCK_SLACK: Duration = Duration::from_millis(500);

/// Lets a script exceed the memory limit of a full Redis (7.0 and later). Of those that need no more memory.
const ALLOW_OOM: &str = "#!lua flags=allow-oom\n";

/// Registrations of an ended session that are removed in one call: a millisecond of Redis's time, three once the hash
/// has become sparse.
const REAPING_STEP: usize = 250;

/// Most joins and leaves in one report: a few milliseconds of Redis's time.
pub(super) const MAX_RECORDS: usize = 1_000;

/// Bytes of a viewer in a record: no process has 2⁴⁸ viewers, and six bytes fit Redis's smallest allocation.
const VIEWER_BYTES: usize = 6;

/// Characters of a node's id that its sessions' ids begin with: 32 bits, which tell the nodes of an installation apart.
pub(super) const NODE_IN_SESSION: usize = 8;

/// The scripts, with this installation's times.
pub(super) struct Scripts {
    hello: Script,
    /// For reports with joins: a full Redis refuses them.
    report: Script,
    /// For all other reports.
    report_when_full: Script,
    reap: Script,
    renew: Script,
    address: Script,
    renew_addresses: Script,
    node: Script,
    history: Script,
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
    /// To write what needs no more memory.
    Write,
    /// To write more than there is.
    Grow,
}

/// The state that the caller shows. All 0 if it shows none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) epoch: u64,
    pub(super) version: u64,
    pub(super) count: u64,
    pub(super) visitors: u64,
}

/// What a node knows of Redis's clock: what it said in a reply, and how long ago that came. All 0 if there was none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KnownClock {
    /// Milliseconds.
    pub(super) at: u64,
    pub(super) age: Duration,
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
    /// There is no session, and the reader removes nothing.
    Look,
}

/// What a report asks for in addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Upkeep {
    /// Nothing: the cheapest.
    None,
    /// To compare the number of registrations with what the node expects.
    Audit,
}

/// What a lease is renewed with where its node knows of no change.
#[derive(Debug, Clone)]
pub(super) struct Renewal {
    pub(super) keys: Arc<CounterKeys>,
    pub(super) session: String,
    /// Number of the session's last report.
    pub(super) seq: u64,
    /// Viewers that are registered with it.
    pub(super) registered: usize,
    /// Nodes that have a session at the counter, by the last reply.
    pub(super) nodes: u32,
    pub(super) upkeep: Upkeep,
}

/// One report. A retry has the same content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report<'a> {
    pub(super) session: &'a str,
    /// One more than the last report's, or the same without content.
    pub(super) seq: u64,
    /// What the lease is renewed from.
    pub(super) last_reply: KnownClock,
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
            ("MAX_SETTLE", timing.max_settle()),
            ("PUBLISH_GAP", timing.publish_gap),
            ("KEEPALIVE", timing.keepalive()),
            ("KEEP", timing.keep),
            ("SUSPICION", timing.suspicion),
            ("CLOCK_SLACK", CLOCK_SLACK),
            ("IDLE", timing.idle()),
            ("CLAIM", REAPING_CLAIM),
            ("DOUBT", timing.doubt()),
            ("SLICE", timing.history_slice()),
        ];
        let bytes = [("HISTORY_HEAD", history::HEAD_BYTES), ("CONFIRMED_AT", history::CONFIRMED_AT)];
        let head: String = constants
            .iter()
            .map(|(name, time)| (name, time.as_millis()))
            .chain(bytes.iter().map(|(name, bytes)| (name, *bytes as u128)))
            .map(|(name, number)| format!("local {name} = {number}\n"))
            .collect();
        let script = |name, flags: &str, parts: &[&str]| {
            let code = [&[flags, head.as_str()], parts].concat().concat();
            #[cfg(feature = "planted-mistakes")]
            let code = crate::planted_bugs::spoil(name, code);
            let hash = redis::Script::new(&code).get_hash().to_owned();
            Script { name, code, hash }
        };
        let address_lease = format!("LEASE = {}\n", timing.address_lease().as_millis());
        let prelude = concat!(include_str!("../lua/history.lua"), include_str!("../lua/prelude.lua"));
        Scripts {
            hello: script("hello", "", &[prelude, include_str!("../lua/hello.lua")]),
            report: script("report", "", &[prelude, include_str!("../lua/report.lua")]),
            report_when_full: script("report", ALLOW_OOM, &[prelude, include_str!("../lua/report.lua")]),
            reap: script("reap", ALLOW_OOM, &[prelude, include_str!("../lua/reap.lua")]),
            renew: script("renew", ALLOW_OOM, &[include_str!("../lua/renew.lua")]),
            address: script("address", "", &[&address_lease, include_str!("../lua/address.lua")]),
            renew_addresses: script(
                "renew_addresses",
                ALLOW_OOM,
                &[&address_lease, include_str!("../lua/renew_addresses.lua")],
            ),
            node: script(
                "node",
                ALLOW_OOM,
                &[&format!("local SILENCE = {}\n", timing.node_silence().as_millis()), include_str!("../lua/node.lua")],
            ),
            history: script("history", ALLOW_OOM, &[include_str!("../lua/history_read.lua")]),
        }
    }

    /// The scripts with a bug, to test that the tests find it.
    #[cfg(test)]
    pub(super) fn with_bug(mut self, right: &str, wrong: &str) -> Scripts {
        let Scripts { hello, report, report_when_full, reap, renew, address, renew_addresses, node, history } =
            &mut self;
        let scripts = [hello, report, report_when_full, reap, renew, address, renew_addresses, node, history];
        assert!(scripts.iter().any(|script| script.code.contains(right)), "no script contains {right:?}");
        for script in scripts {
            script.code = script.code.replace(right, wrong);
        }
        self
    }

    /// Begins a session.
    pub(super) fn hello(&self, keys: &CounterKeys, seen: Seen, node: &str, clock: KnownClock) -> Call<'_> {
        let mut call = Call::new(&self.hello, keys, seen, "");
        call.access = Access::Grow;
        call.argument(node.get(..NODE_IN_SESSION).unwrap_or(node));
        call.clock(clock);
        call.argument(keys.recording.argument());
        call
    }

    /// Reads the state without a session. The caller removes an ended session's registrations where the reply asks for that.
    pub(super) fn read(&self, keys: &CounterKeys, seen: Seen, clock: KnownClock) -> Call<'_> {
        self.read_as(Phase::Same, keys, seen, clock)
    }

    /// Reads the state, and nothing else: the reply never asks for a removal.
    pub(super) fn look(&self, keys: &CounterKeys, clock: KnownClock) -> Call<'_> {
        self.read_as(Phase::Look, keys, Seen::default(), clock)
    }

    fn read_as(&self, phase: Phase<'static>, keys: &CounterKeys, seen: Seen, clock: KnownClock) -> Call<'_> {
        let nothing = Report {
            session: "",
            seq: 0,
            last_reply: clock,
            expected: 0,
            phase,
            joins: &[],
            leaves: &[],
            upkeep: Upkeep::None,
        };
        self.report(keys, seen, &nothing)
    }

    /// Reports changes of a session, or only renews its lease.
    pub(super) fn report(&self, keys: &CounterKeys, seen: Seen, report: &Report<'_>) -> Call<'_> {
        let needs_memory = !report.joins.is_empty();
        let script = if needs_memory { &self.report } else { &self.report_when_full };
        let mut call = Call::new(script, keys, seen, report.session);
        if needs_memory {
            call.access = Access::Grow;
        }
        call.keys.push(keys.viewers(report.session));
        if let Phase::Live { old } = report.phase {
            call.keys.push(keys.viewers(old));
        }
        call.argument(report.seq);
        call.clock(report.last_reply);
        call.argument(report.expected);
        let (phase, old) = match report.phase {
            Phase::Same => ("", ""),
            Phase::Live { old } => ("live", old),
            Phase::Ended => ("ended", ""),
            Phase::Look => ("look", ""),
        };
        call.argument(phase);
        call.argument(old);
        let joins = report.joins.iter().flat_map(|(viewer, visitor)| {
            let viewer = viewer_bytes(*viewer);
            viewer.into_iter().chain(visitor.0.to_be_bytes())
        });
        call.arguments.push(joins.collect());
        call.arguments.push(report.leaves.iter().copied().flat_map(viewer_bytes).collect());
        call.argument(report.upkeep.argument());
        call.argument(keys.recording.argument());
        call
    }

    /// Reads the head of a history and one of its rings.
    pub(super) fn history(&self, keys: &CounterKeys, ring: std::ops::Range<usize>) -> Call<'_> {
        let keys = vec![keys.state.clone(), keys.history.clone()];
        let mut call = Call { script: &self.history, keys, arguments: Vec::new(), access: Access::Read };
        call.argument(ring.start);
        call.argument(ring.end - 1);
        call
    }

    /// Removes some registrations of an ended session.
    pub(super) fn reap(&self, keys: &CounterKeys, seen: Seen, session: &str, clock: KnownClock) -> Call<'_> {
        let mut call = Call::new(&self.reap, keys, seen, session);
        call.keys.push(keys.viewers(session));
        call.argument(REAPING_STEP);
        call.clock(clock);
        call.argument(keys.recording.argument());
        call
    }

    /// Renews leases, each of a counter that the node shows this state of.
    pub(super) fn renew<'a>(&self, renewals: impl Iterator<Item = (&'a Renewal, Seen)>, clock: KnownClock) -> Call<'_> {
        let mut call = Call { script: &self.renew, keys: Vec::new(), arguments: Vec::new(), access: Access::Write };
        call.clock(clock);
        for (Renewal { keys, session, seq, registered, nodes, upkeep }, seen) in renewals {
            call.keys.extend([keys.state.clone(), keys.sessions.clone()]);
            call.argument(session);
            call.argument(format_args!("{seq} {registered} live "));
            call.argument(format_args!("{} {} {} {} {nodes}", seen.epoch, seen.version, seen.count, seen.visitors));
            call.argument(upkeep.argument());
            if *upkeep == Upkeep::Audit {
                call.keys.extend([keys.viewers(session), keys.visitors.clone(), keys.history.clone()]);
            }
        }
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

    /// Prolongs what a node has of these addresses, by their keys.
    pub(super) fn renew_addresses(&self, keys: Vec<String>, node: &str) -> Call<'_> {
        let arguments = vec![node.as_bytes().to_vec()];
        Call { script: &self.renew_addresses, keys, arguments, access: Access::Write }
    }

    /// Enters a node that runs for so long into the list of nodes, or takes it from there. `known` is the number of nodes by the
    /// last reply.
    pub(super) fn node(
        &self,
        key: &str,
        node: &str,
        uptime: Option<Duration>,
        description: &NodeDescription,
        known: i64,
    ) -> Call<'_> {
        let uptime = uptime.map_or_else(String::new, |uptime| uptime.as_millis().to_string());
        let details = format!("{} {}", description.version, description.address);
        let arguments =
            [node, &uptime, &details, &known.to_string()].map(|argument| argument.as_bytes().to_vec()).into();
        Call { script: &self.node, keys: vec![key.to_owned()], arguments, access: Access::Write }
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

impl Upkeep {
    fn argument(self) -> &'static str {
        match self {
            Upkeep::None => "",
            Upkeep::Audit => "audit",
        }
    }
}

/// The name of a stream in the address script: short hexadecimal.
fn stream_name(viewer: ViewerId) -> String {
    format!("{:x}", viewer.0)
}

impl<'a> Call<'a> {
    fn new(script: &'a Script, keys: &CounterKeys, seen: Seen, session: &str) -> Call<'a> {
        let CounterKeys { state, sessions, visitors, reaping, history, channel, .. } = keys.clone();
        let mut call = Call {
            script,
            keys: vec![state, sessions, visitors, reaping, history],
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

    fn clock(&mut self, KnownClock { at, age }: KnownClock) {
        self.argument(at);
        self.argument(age.as_millis());
    }

    fn argument(&mut self, value: impl ToString) {
        self.arguments.push(value.to_string().into_bytes());
    }
}

fn viewer_bytes(viewer: ViewerId) -> [u8; VIEWER_BYTES] {
    let [_, _, bytes @ ..] = viewer.0.to_be_bytes();
    bytes
}
