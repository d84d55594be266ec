//! The model: what the scripts should do.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::redis::reply::{Renewed, Reply, State, Status};
use crate::redis::scripts::{Seen, Upkeep};
use crate::settings::Timing;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;

/// Two readings of Redis's clock in one call may differ by this, in milliseconds.
const CLOCK_STEP: u64 = 2;

/// A renewal of several sessions' leases that was sent.
#[derive(Debug, Clone)]
pub(super) struct SentRenewal {
    pub(super) last_reply: u64,
    pub(super) elapsed: u64,
    /// Each with the number of its last report, its viewers, the state that its node shows, and the nodes that it knows of.
    pub(super) sessions: Vec<(String, u64, usize, Seen, u32)>,
    pub(super) upkeep: Upkeep,
}

/// A report that was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) session: String,
    pub(super) seq: u64,
    pub(super) last_reply: u64,
    pub(super) elapsed: u64,
    pub(super) expected: usize,
    pub(super) step: Step,
    pub(super) joins: Vec<(ViewerId, Visitor)>,
    pub(super) leaves: Vec<ViewerId>,
    pub(super) upkeep: Upkeep,
    pub(super) seen: Seen,
}

#[derive(Debug, Clone, Default)]
struct Session {
    seq: u64,
    is_live: bool,
    ends: u64,
    /// The lease has run out, and the node has not reported since.
    is_suspect: bool,
    viewers: BTreeMap<u64, u64>,
}

/// The model of one counter.
#[derive(Debug, Clone)]
pub(super) struct Model {
    timing: Timing,
    exists: bool,
    sessions: BTreeMap<String, Session>,
    reaping: Vec<(String, BTreeMap<u64, u64>)>,
    /// When the epoch began, and until when it settles.
    begun: u64,
    settle: u64,
    floor: (u64, u64),
    /// When the state expires because there are no sessions.
    idle_until: Option<u64>,
    /// The state in the last reply.
    published: State,
    /// The newest epoch so far: none is used twice.
    newest_epoch: u64,
    every_session: BTreeSet<String>,
    begins_epoch: bool,
    /// In the last reply, a change waited for its publication, or the epoch had not settled.
    is_pending: bool,
    /// The reply is about a counter that has no state and needs none.
    is_empty: bool,
}

impl Model {
    pub(super) fn new(timing: Timing) -> Model {
        let published =
            State { epoch: 0, version: 0, count: 0, visitors: 0, seq: 0, settling: std::time::Duration::ZERO };
        Model {
            timing,
            exists: false,
            sessions: BTreeMap::new(),
            reaping: Vec::new(),
            begun: 0,
            settle: 0,
            floor: (0, 0),
            idle_until: None,
            published,
            newest_epoch: 0,
            every_session: BTreeSet::new(),
            begins_epoch: false,
            is_pending: false,
            is_empty: false,
        }
    }

    pub(super) fn flush(&mut self) {
        self.exists = false;
        self.idle_until = None;
        self.sessions.clear();
        self.reaping.clear();
    }

    /// The writes since this copy are lost, but their epochs and session ids stay used.
    pub(super) fn lost(&mut self, newer: &Model) {
        self.newest_epoch = newer.newest_epoch;
        self.every_session.clone_from(&newer.every_session);
    }

    pub(super) fn hello(&mut self, seen: Seen, reply: &Reply) {
        self.begin(seen, reply, true);
        self.expire(reply.now);
        assert!(self.every_session.insert(reply.session.clone()), "{} is used twice", reply.session);
        let ends = reply.now + self.timing.lease.as_millis() as u64;
        self.sessions.insert(reply.session.clone(), Session { ends, ..Session::default() });
    }

    pub(super) fn read(&mut self, seen: Seen, reply: &Reply) {
        self.begin(seen, reply, seen.count > 0);
        self.expire(reply.now);
    }

    pub(super) fn report(&mut self, sent: &Sent, reply: &Reply) -> Status {
        self.begin(sent.seen, reply, true);
        let is_heartbeat = sent.joins.is_empty() && sent.leaves.is_empty() && sent.step == Step::Same;
        if let Some(session) = self.sessions.get_mut(&sent.session) {
            let is_current = sent.seq == session.seq || (sent.seq == session.seq + 1 && !is_heartbeat);
            let ends = reply.now.min(sent.last_reply + sent.elapsed) + self.timing.lease.as_millis() as u64;
            if is_current {
                session.ends = session.ends.max(ends);
                session.is_suspect &= ends <= reply.now;
            }
        }
        self.expire(reply.now);
        let Some(session) = self.sessions.get_mut(&sent.session) else { return Status::Unknown };
        if sent.step == Step::Ended && sent.seq != session.seq + 1 {
            self.end(&sent.session);
            return Status::Ok;
        }
        if sent.seq > session.seq + 1 || (is_heartbeat && sent.seq > session.seq) {
            return Status::Gap;
        }
        if sent.seq < session.seq {
            return Status::Ok;
        }
        if sent.seq == session.seq + 1 {
            session.seq = sent.seq;
            session.viewers.extend(sent.joins.iter().map(|(viewer, visitor)| (viewer.0, visitor.0)));
            session.viewers.retain(|viewer, _| !sent.leaves.contains(&ViewerId(*viewer)));
            if !session.is_live && sent.step != Step::Ended && reply.now < self.settle {
                let latest = self.begun + self.timing.max_settle().as_millis() as u64;
                self.settle = self.settle.max(latest.min(reply.now + self.timing.settle.as_millis() as u64 / 3));
            }
            match &sent.step {
                Step::Same => {}
                Step::Live { old } => {
                    session.is_live = true;
                    self.end(old);
                }
                Step::Ended => {
                    self.end(&sent.session);
                    return Status::Ok;
                }
            }
        }
        let size = self.sessions[&sent.session].viewers.len();
        if size == sent.expected { Status::Ok } else { Status::Differs }
    }

    /// Compares the reply to a renewal with the model: which leases it renews, and which nodes are to report.
    pub(super) fn renew(&mut self, sent: &SentRenewal, reply: &Renewed) -> Result<(), String> {
        let ends = reply.now.min(sent.last_reply + sent.elapsed) + self.timing.lease.as_millis() as u64;
        for ((id, seq, viewers, seen, nodes), due) in sent.sessions.iter().zip(&reply.due) {
            let is_shown = self.exists && self.published.seen() == *seen && self.nodes() == *nodes;
            let is_quiet = is_shown && !self.is_pending && self.reaping.is_empty() && ends > reply.now;
            let renewed = self.sessions.get_mut(id).filter(|it| {
                let is_known = it.is_live && !it.is_suspect && (it.seq, it.viewers.len()) == (*seq, *viewers);
                is_quiet && is_known && ends > it.ends
            });
            let is_renewed = renewed.map(|it| it.ends = ends).is_some();
            let earliest = self.sessions.values().map(|it| it.ends).min().filter(|earliest| *earliest > reply.now);
            match (due, earliest.filter(|_| is_renewed)) {
                (None, None) => {}
                (Some(due), Some(earliest)) if due.as_millis() as u64 <= earliest - reply.now => {}
                (_, should) => return Err(format!("renewal of {id} is {due:?}, should be before {should:?}")),
            }
        }
        Ok(())
    }

    /// The sessions that have a lease.
    pub(super) fn nodes(&self) -> u32 {
        self.sessions.len() as u32
    }

    /// The published state, as a message brings it to the nodes.
    pub(super) fn published(&self) -> Seen {
        self.published.seen()
    }

    pub(super) fn first_to_reap(&self) -> Option<String> {
        self.reaping.first().map(|(session, _)| session.clone())
    }

    /// Small sessions are removed in one step.
    pub(super) fn reap(&mut self, session: &str, reply: &Reply) {
        self.begin(Seen::default(), reply, false);
        self.expire(reply.now);
        if self.exists && self.first_to_reap().as_deref() == Some(session) {
            self.reaping.remove(0);
        }
    }

    /// Compares the reply with the model.
    pub(super) fn check(&mut self, reply: &Reply, status: Status) -> Result<(), String> {
        let expected = |what: &str, is: &dyn std::fmt::Debug, should: &dyn std::fmt::Debug| {
            Err(format!("{what} is {is:?}, should be {should:?}"))
        };
        let is_idle = self.exists && self.sessions.is_empty() && self.reaping.is_empty();
        // Each change prolongs it: this is the latest possible end.
        self.idle_until = is_idle.then(|| self.idle_until.unwrap_or(reply.now + self.timing.idle().as_millis() as u64));
        if reply.status != status {
            return expected("status", &reply.status, &status);
        }
        let State { epoch, version, count, visitors, .. } = reply.state;
        if std::mem::take(&mut self.is_empty) {
            return if count == 0 && visitors == 0 {
                Ok(())
            } else {
                expected("count of an empty counter", &count, &0)
            };
        }
        self.is_pending = reply.held.is_some() || reply.now < self.settle;
        let should = self.numbers(reply.now);
        let before = self.published;
        if std::mem::take(&mut self.begins_epoch) {
            if epoch <= self.newest_epoch || version != 1 {
                return expected("epoch, version", &(epoch, version), &(self.newest_epoch + 1, 1));
            }
            self.newest_epoch = epoch;
        } else if epoch != before.epoch {
            return expected("epoch", &epoch, &before.epoch);
        } else if reply.held.is_some() {
            if (version, count, visitors) != (before.version, before.count, before.visitors) {
                return expected("held state", &reply.state, &before);
            }
            return Ok(());
        } else {
            let step = u64::from((count, visitors) != (before.count, before.visitors));
            if version != before.version + step {
                return expected("version", &version, &(before.version + step));
            }
        }
        if (count, visitors) != should {
            return expected("count, visitors", &(count, visitors), &should);
        }
        self.published = reply.state;
        Ok(())
    }

    /// Compares the leases that Redis has stored.
    pub(super) fn check_leases(&self, kept: Vec<(String, u64)>) -> Result<(), String> {
        let kept = BTreeMap::from_iter(kept);
        let should: BTreeMap<_, _> = self.sessions.iter().map(|(id, session)| (id.clone(), session.ends)).collect();
        if kept == should { Ok(()) } else { Err(format!("leases are {kept:?}, should be {should:?}")) }
    }

    /// The first part of every call: compares epochs.
    fn begin(&mut self, seen: Seen, reply: &Reply, creates: bool) {
        let now = reply.now;
        if self.idle_until.is_some_and(|until| now + CLOCK_STEP >= until) {
            // The state may have expired: its end is rounded, and changes have prolonged it. The reply shows whether
            // it has.
            if reply.state.seq == 0 || reply.state.epoch != self.published.epoch {
                self.flush();
            }
        }
        if !self.exists {
            self.is_empty = !creates;
            if !creates {
                return;
            }
            self.exists = true;
            self.new_epoch(seen, now);
        } else if self.is_behind(seen) {
            self.new_epoch(seen, now);
        } else if now < self.settle && seen.epoch > 0 && seen.epoch < self.published.epoch {
            self.floor = (self.floor.0.max(seen.count), self.floor.1.max(seen.visitors));
        }
    }

    /// Whether the caller has seen a newer state, or another one under the same version.
    fn is_behind(&self, seen: Seen) -> bool {
        let State { epoch, version, count, visitors, .. } = self.published;
        match (seen.epoch, seen.version).cmp(&(epoch, version)) {
            Ordering::Less => false,
            Ordering::Equal => (seen.count, seen.visitors) != (count, visitors),
            Ordering::Greater => true,
        }
    }

    /// The end of a lease is at first a suspicion, and the session ends if its node does not report.
    fn expire(&mut self, now: u64) {
        let expired: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.ends <= now)
            .map(|(id, it)| (it.ends, id.clone()))
            .collect();
        for (_, id) in BTreeSet::from_iter(expired) {
            match self.sessions.get_mut(&id) {
                Some(session) if !session.is_suspect => {
                    session.is_suspect = true;
                    session.ends = now + self.timing.suspicion.as_millis() as u64;
                }
                _ => self.end(&id),
            }
        }
    }

    fn new_epoch(&mut self, seen: Seen, now: u64) {
        self.begins_epoch = true;
        self.newest_epoch = self.newest_epoch.max(seen.epoch);
        (self.begun, self.settle) = (now, now + self.timing.settle.as_millis() as u64);
        self.floor = (seen.count, seen.visitors);
    }

    fn end(&mut self, id: &str) {
        if let Some(session) = self.sessions.remove(id).filter(|session| !session.viewers.is_empty()) {
            self.reaping.push((id.to_owned(), session.viewers));
        }
    }

    /// The numbers of viewers and visitors that should be published now.
    fn numbers(&self, now: u64) -> (u64, u64) {
        let count: usize = self.sessions.values().filter(|it| it.is_live).map(|it| it.viewers.len()).sum();
        let registered =
            self.sessions.values().map(|it| &it.viewers).chain(self.reaping.iter().map(|(_, viewers)| viewers));
        let visitors: BTreeSet<_> = registered.flat_map(BTreeMap::values).collect();
        let floor = if now < self.settle { self.floor } else { (0, 0) };
        ((count as u64).max(floor.0), (visitors.len().min(count) as u64).max(floor.1))
    }
}

/// A [`Phase`](crate::redis::scripts::Phase) that owns its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Same,
    Live { old: String },
    Ended,
}
