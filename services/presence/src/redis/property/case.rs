//! One random case: a counter on a real Redis, a few nodes, and faults.

use std::sync::Arc;
use std::time::Duration;

use headcount_wire::history::Span;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::aio::MultiplexedConnection;

use super::model::{Model, Sent, SentRenewal, Step};
use super::timing::TIMING;
use crate::CounterName;
use crate::redis::history::{self as stored_history, StoredHistory};
use crate::redis::keys::{CounterKeys, Prefix, Recording};
use crate::redis::reply::{Renewed, Reply, Status};
use crate::redis::scripts::{Call, KnownClock, Phase, Renewal, Report, Scripts, Seen, Upkeep};
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;

const STEPS: usize = 40;
const NODES: usize = 3;
/// Few visitors, so that one often has several viewers.
const VISITORS: u64 = 6;

/// A key, what is left of its life in milliseconds, and its content.
type Dumped = (String, i64, Vec<u8>);

/// A node as the scripts see it.
#[derive(Default, Clone)]
struct TestNode {
    session: Option<String>,
    seq: u64,
    viewers: Vec<(ViewerId, Visitor)>,
    seen: Seen,
    last_reply: u64,
}

pub(super) struct Case {
    name: String,
    random: StdRng,
    connection: MultiplexedConnection,
    scripts: Scripts,
    keys: Arc<CounterKeys>,
    model: Model,
    nodes: Vec<TestNode>,
    /// All reports so far, to be sent again.
    sent: Vec<Sent>,
    renewals: Vec<SentRenewal>,
    next_viewer: u64,
    /// The data of a replica that lags behind, the model of it, and the most that was known then.
    replica: Option<(Vec<Dumped>, Model, u64)>,
    log: Vec<String>,
    /// The most that was published since the last loss, without being held after that.
    most_known: u64,
}

impl Case {
    /// A case of this seed, on the counter of this name.
    pub(super) fn new(seed: u64, name: String, scripts: Scripts, connection: MultiplexedConnection) -> Case {
        Case {
            random: StdRng::seed_from_u64(seed),
            connection,
            scripts,
            keys: Arc::new(CounterKeys {
                recording: Recording::On { life: Duration::from_secs(3_600) },
                ..Prefix("hc:".to_owned()).counter(&CounterName::parse(&name).unwrap())
            }),
            most_known: 0,
            model: Model::new(TIMING),
            nodes: vec![TestNode::default(); NODES],
            sent: Vec::new(),
            renewals: Vec::new(),
            next_viewer: 0,
            replica: None,
            log: Vec::new(),
            name,
        }
    }

    /// Panics where the scripts and the model differ.
    pub(super) async fn run(mut self) {
        for _ in 0..STEPS {
            let node = self.random.random_range(0..NODES);
            match self.random.random_range(0..100) {
                0..30 => self.report(node).await,
                30..45 => self.renew().await,
                45..55 => self.again().await,
                55..65 => self.register(node).await,
                65..72 => self.read(node).await,
                72..78 => self.reap().await,
                78..82 => self.end(node).await,
                82..85 => self.die(node),
                85..88 => self.flush().await,
                88..90 => self.copy().await,
                90..92 => self.fail_over().await,
                _ => self.sleep().await,
            }
        }
        self.leave_nothing().await;
    }

    /// A node reports joins and leaves, or sends a heartbeat. If Redis disagrees, it registers again.
    async fn report(&mut self, at: usize) {
        if self.nodes[at].session.is_none() {
            return self.register(at).await;
        }
        let joins = self.new_viewers(3);
        let node = &mut self.nodes[at];
        let leaving = self.random.random_range(0..=node.viewers.len().min(3));
        let leaves: Vec<_> = node.viewers.drain(..leaving).map(|(viewer, _)| viewer).collect();
        node.viewers.extend(&joins);
        let upkeep = [Upkeep::None, Upkeep::Audit][self.random.random_range(0..2)];
        let status = self.send(at, Step::Same, joins, leaves, upkeep, None).await;
        if status != Status::Ok {
            self.register(at).await;
        }
    }

    /// Nodes renew their leases in one call. Mostly a message has brought each of them what is published.
    async fn renew(&mut self) {
        let mut sessions = Vec::new();
        let (first, last_reply) = (self.random.random_range(0..NODES), self.clock().at);
        for at in (0..NODES).map(|node| (first + node) % NODES).take(self.random.random_range(1..=NODES)) {
            let is_told = self.random.random_bool(0.7);
            let (node, published) = (&mut self.nodes[at], self.model.published());
            let Some(session) = node.session.clone() else { continue };
            if is_told && (node.seen.epoch, node.seen.version) < (published.epoch, published.version) {
                node.seen = published;
            }
            // Now and then a node does not know of another one.
            let nodes = self.model.nodes() + u32::from(self.random.random_bool(0.1));
            sessions.push((session, node.seq, node.viewers.len(), node.seen, nodes));
        }
        let elapsed = self.random.random_range(0..3);
        let upkeep = [Upkeep::None, Upkeep::Audit][self.random.random_range(0..2)];
        let sent = SentRenewal { last_reply, elapsed, sessions, upkeep };
        self.renewals.push(sent.clone());
        self.deliver_renewal(sent).await;
    }

    async fn deliver_renewal(&mut self, sent: SentRenewal) {
        let renewal = |(session, seq, registered, seen, nodes): &(String, u64, usize, Seen, u32)| {
            let (keys, session, seq, registered) = (Arc::clone(&self.keys), session.clone(), *seq, *registered);
            (Renewal { keys, session, seq, registered, nodes: *nodes, upkeep: sent.upkeep }, *seen)
        };
        let renewals: Vec<_> = sent.sessions.iter().map(renewal).collect();
        let clock = KnownClock { at: sent.last_reply, age: Duration::from_millis(sent.elapsed) };
        let call = self.scripts.renew(renewals.iter().map(|(renewal, seen)| (renewal, *seen)), clock);
        let reply = Renewed::parse(evaluate(&mut self.connection, &call).await).expect("a reply");
        self.log.push(format!("{sent:?} -> {reply:?}"));
        assert_eq!(reply.due.len(), sent.sessions.len());
        let compared = self.model.renew(&sent, &reply);
        self.check_leases(compared).await;
    }

    /// A node registers all of its viewers in a new session, in chunks, and ends the old one with the last.
    async fn register(&mut self, at: usize) {
        let clock = self.clock();
        let call = self.scripts.hello(&self.keys, self.nodes[at].seen, &format!("{at}"), clock);
        let reply = call_redis(&mut self.connection, &call).await;
        let before = self.nodes[at].seen;
        self.log.push(format!("hello {at} seen {before:?} -> {reply:?}"));
        self.model.hello(before, &reply);
        self.check(&reply, Status::Ok).await;
        let old = self.nodes[at].session.replace(reply.session.clone()).unwrap_or_default();
        self.apply(at, &reply);
        self.nodes[at].seq = 0;
        let new_viewers = self.new_viewers(2);
        self.nodes[at].viewers.extend(new_viewers);
        let all = self.nodes[at].viewers.clone();
        let chunk = self.random.random_range(1..=4);
        let mut chunks: Vec<_> = all.chunks(chunk).map(<[_]>::to_vec).collect();
        let last = chunks.pop().unwrap_or_default();
        let mut registered = 0;
        for joins in chunks {
            registered += joins.len();
            if self.random.random_bool(0.05) {
                return self.nodes[at] = TestNode::default(); // dies during registration
            }
            if self.send(at, Step::Same, joins, vec![], Upkeep::None, Some(registered)).await != Status::Ok {
                return;
            }
        }
        self.send(at, Step::Live { old }, last, vec![], Upkeep::None, None).await;
    }

    async fn end(&mut self, at: usize) {
        if self.nodes[at].session.is_some() {
            self.send(at, Step::Ended, vec![], vec![], Upkeep::None, None).await;
            let seen = self.nodes[at].seen;
            self.nodes[at] = TestNode { seen, ..TestNode::default() };
        }
    }

    /// A report that was sent before arrives again: a retry, or a late duplicate.
    async fn again(&mut self) {
        // Mostly a recent one, as retries are.
        let furthest = if self.random.random_bool(0.7) { 3 } else { usize::MAX };
        if self.random.random_bool(0.3) && !self.renewals.is_empty() {
            let back = self.random.random_range(0..furthest.min(self.renewals.len()));
            return self.deliver_renewal(self.renewals[self.renewals.len() - 1 - back].clone()).await;
        }
        if !self.sent.is_empty() {
            let back = self.random.random_range(0..furthest.min(self.sent.len()));
            self.deliver(self.sent[self.sent.len() - 1 - back].clone()).await;
        }
    }

    async fn read(&mut self, at: usize) {
        let seen = self.nodes[at].seen;
        let clock = self.clock();
        let reply = call_redis(&mut self.connection, &self.scripts.read(&self.keys, seen, clock)).await;
        self.log.push(format!("read by {at} seen {seen:?} -> {reply:?}"));
        self.model.read(seen, &reply);
        self.check(&reply, Status::Ok).await;
        self.apply(at, &reply);
    }

    async fn reap(&mut self) {
        let Some(session) = self.model.first_to_reap() else { return };
        let seen = Seen::default();
        let clock = self.clock();
        let reply = call_redis(&mut self.connection, &self.scripts.reap(&self.keys, seen, &session, clock)).await;
        self.log.push(format!("reap {session} -> {reply:?}"));
        self.model.reap(&session, &reply);
        self.check(&reply, Status::Ok).await;
    }

    fn die(&mut self, at: usize) {
        self.log.push(format!("{at} dies"));
        self.nodes[at] = TestNode::default();
    }

    async fn flush(&mut self) {
        self.check_history().await;
        self.most_known = 0;
        self.log.push("flush".to_owned());
        for (key, ..) in self.dump().await {
            redis::cmd("DEL").arg(key).exec_async(&mut self.connection).await.unwrap();
        }
        self.model.flush();
    }

    /// A replica copies the state, then lags behind.
    async fn copy(&mut self) {
        self.log.push("copy".to_owned());
        self.replica = Some((self.dump().await, self.model.clone(), self.most_known));
    }

    /// The lagging replica becomes the master.
    async fn fail_over(&mut self) {
        let Some((keys, mut model, most_known)) = self.replica.take() else { return };
        self.most_known = self.most_known.max(most_known);
        self.log.push("fail over".to_owned());
        for (key, ..) in self.dump().await {
            redis::cmd("DEL").arg(key).exec_async(&mut self.connection).await.unwrap();
        }
        for (key, left, value) in keys {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(left.max(1)).arg(value).exec_async(&mut self.connection).await.unwrap();
        }
        model.lost(&self.model);
        self.model = model;
    }

    async fn sleep(&mut self) {
        let most = if self.random.random_bool(0.3) { TIMING.lease.as_millis() as u64 + 10 } else { 10 };
        tokio::time::sleep(Duration::from_millis(self.random.random_range(1..=most))).await;
    }

    /// When all sessions have ended and are removed, only the state is left, and has a short life.
    async fn leave_nothing(&mut self) {
        for at in 0..NODES {
            self.end(at).await;
        }
        // The sessions of nodes that died are at first only suspected to have ended.
        tokio::time::sleep(TIMING.lease + Duration::from_millis(10)).await;
        self.read(0).await;
        tokio::time::sleep(TIMING.suspicion + TIMING.settle + Duration::from_millis(10)).await;
        self.read(0).await;
        while self.model.first_to_reap().is_some() {
            self.reap().await;
        }
        tokio::time::sleep(TIMING.publish_gap * 2).await;
        self.read(0).await;
        let left = self.dump().await;
        let is_only_the_state = left.iter().all(|(key, ..)| *key == self.keys.state || *key == self.keys.history);
        self.check_history().await;
        assert!(is_only_the_state, "{}: {:?} is left\n{}", self.name, left, self.log.join("\n"));
    }

    /// Sends a report. `expected` viewers are those that Redis should know after it: all, if not given.
    async fn send(
        &mut self,
        at: usize,
        step: Step,
        joins: Vec<(ViewerId, Visitor)>,
        leaves: Vec<ViewerId>,
        upkeep: Upkeep,
        expected: Option<usize>,
    ) -> Status {
        let node = &mut self.nodes[at];
        let has_content = !joins.is_empty() || !leaves.is_empty() || step != Step::Same;
        node.seq += u64::from(has_content);
        let elapsed = self.random.random_range(0..3);
        let session = node.session.clone().expect("only nodes with a session report");
        let expected = expected.unwrap_or(node.viewers.len());
        let (seq, last_reply, seen) = (node.seq, node.last_reply, node.seen);
        let sent = Sent { session, seq, last_reply, elapsed, expected, step, joins, leaves, upkeep, seen };
        self.sent.push(sent.clone());
        let reply = self.deliver(sent).await;
        self.apply(at, &reply);
        reply.status
    }

    async fn deliver(&mut self, sent: Sent) -> Reply {
        let phase = match &sent.step {
            Step::Same => Phase::Same,
            Step::Live { old } => Phase::Live { old },
            Step::Ended => Phase::Ended,
        };
        let report = Report {
            session: &sent.session,
            seq: sent.seq,
            last_reply: KnownClock { at: sent.last_reply, age: Duration::from_millis(sent.elapsed) },
            expected: sent.expected,
            phase,
            joins: &sent.joins,
            leaves: &sent.leaves,
            upkeep: sent.upkeep,
        };
        let call = self.scripts.report(&self.keys, sent.seen, &report);
        let reply = call_redis(&mut self.connection, &call).await;
        self.log.push(format!("{sent:?} -> {reply:?}"));
        let status = self.model.report(&sent, &reply);
        self.check(&reply, status).await;
        reply
    }

    /// No number is recorded that has not been published as the right one.
    async fn check_history(&mut self) {
        let call = self.scripts.history(&self.keys, stored_history::ring_of(Span::Day));
        let stored = StoredHistory::parse(evaluate(&mut self.connection, &call).await).expect("a reply");
        let past = stored.recorder(Span::Day, &TIMING).history(&self.name, Span::Day, 0);
        let highest = past.points.iter().flatten().map(|point| u64::from(point.highest)).max().unwrap_or(0);
        let (peak, most) = (past.peak.map_or(0, |peak| peak.count), self.most_known);
        let is_true =
            peak <= most && highest <= most && past.points.iter().flatten().all(|it| it.mean <= it.highest.into());
        assert!(is_true, "{}: recorded {highest}, {peak}, published {most}\n{}", self.name, self.log.join("\n"));
    }

    /// Compares the reply and the stored leases with the model.
    async fn check(&mut self, reply: &Reply, status: Status) {
        if reply.held.is_none() && reply.state.settling.is_zero() {
            self.most_known = self.most_known.max(reply.state.count);
        }
        let compared = self.model.check(reply, status);
        self.check_leases(compared).await;
    }

    /// Compares the stored leases with the model, where the reply is as it should be.
    async fn check_leases(&mut self, compared: Result<(), String>) {
        let mut leases = redis::cmd("ZRANGE");
        leases.arg(&self.keys.sessions).arg(0).arg(-1).arg("WITHSCORES");
        let leases: Vec<(String, u64)> = leases.query_async(&mut self.connection).await.unwrap();
        if let Err(wrong) = compared.and_then(|()| self.model.check_leases(leases)) {
            panic!("{}: {wrong}\n{}\n{:?}", self.name, self.log.join("\n"), self.model);
        }
    }

    fn apply(&mut self, at: usize, reply: &Reply) {
        self.nodes[at].seen = reply.state.seen();
        self.nodes[at].last_reply = reply.now;
    }

    /// What a node knows of the clock that has just received a reply.
    fn clock(&self) -> KnownClock {
        let at = self.nodes.iter().map(|node| node.last_reply).max().unwrap_or_default();
        KnownClock { at, age: Duration::ZERO }
    }

    fn new_viewers(&mut self, most: usize) -> Vec<(ViewerId, Visitor)> {
        let number = self.random.random_range(0..=most);
        let mut new_viewer = || {
            self.next_viewer += 1;
            (ViewerId(self.next_viewer), Visitor(self.random.random_range(0..VISITORS)))
        };
        (0..number).map(|_| new_viewer()).collect()
    }

    /// Every key of the counter, with what is left of its life. All of them must have one.
    async fn dump(&mut self) -> Vec<Dumped> {
        let pattern = format!("{}:*", self.keys.channel);
        let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut self.connection).await.unwrap();
        let mut dumped = Vec::new();
        for key in keys {
            let mut both = redis::pipe();
            both.cmd("PTTL").arg(&key).cmd("DUMP").arg(&key);
            let (left, value): (i64, Option<Vec<u8>>) = both.query_async(&mut self.connection).await.unwrap();
            assert_ne!(left, -1, "{key} has no end of life\n{}", self.log.join("\n"));
            dumped.extend(value.map(|value| (key, left, value)));
        }
        dumped
    }
}

async fn call_redis(connection: &mut MultiplexedConnection, call: &Call<'_>) -> Reply {
    Reply::parse(evaluate(connection, call).await).expect("a reply")
}

async fn evaluate(connection: &mut MultiplexedConnection, call: &Call<'_>) -> redis::Value {
    let mut command = redis::cmd("EVAL");
    command.arg(&call.script.code).arg(call.keys.len()).arg(&call.keys).arg(&call.arguments);
    command.query_async(connection).await.unwrap()
}
