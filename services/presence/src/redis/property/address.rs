//! Compares the address script with a model: three nodes with streams of one address, and reports that are lost,
//! doubled, or end with their node.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::Value;
use redis::aio::MultiplexedConnection;

use super::timing::TIMING;
use super::{all_pass, finds};
use crate::address_limiter::AddressStreams;
use crate::redis::addresses::{AddressReply, Verdict};
use crate::redis::keys::Prefix;
use crate::redis::scripts::{RequestedStream, Scripts};
use crate::viewer_id::ViewerId;
use crate::{AddressLimits, CounterName};

const CASES: u64 = 300;
const STEPS: usize = 60;
const NODES: usize = 3;
const COUNTERS: [&str; 2] = ["one", "two"];

/// Bugs in the script that the model must find: the right text, and the wrong one.
const BUGS: [(&str, &str); 14] = [
    ("if counter_streams >= max_of_counter then", "if counter_streams > max_of_counter then"),
    ("elseif total_streams >= max_total then", "elseif total_streams > max_total then"),
    ("if earned > now_us + burst then", "if false then"),
    // a rejected attempt is not paced
    ("earned_at = earned\n", "earned_at = verdict == WITHIN and earned_at or earned\n"),
    // streams of dead nodes stay counted
    ("local has_left = has_ended(owner)", "local has_left = false"),
    // a stream whose removal was lost stays counted
    ("and not keep[field] and", "and false and"),
    // a late report removes later streams
    ("and tonumber(number, 16) < next_viewer then", "then"),
    // a stream that is requested twice is paced twice
    ("if viewer ~= '' and not streams[requested] then", "if viewer ~= '' then"),
    // lost streams are not stored again
    ("if not streams[field] then", "if false then"),
    // only requests renew a lease
    ("if total_streams > elsewhere then", "if viewer ~= '' and total_streams > elsewhere then"),
    // a renewal by a node that is forgotten goes unnoticed
    ("is_known and redis.call('HLEN', key) or -1", "redis.call('HLEN', key)"),
    // a renewal lets the key live no longer
    ("redis.call('PEXPIRE', key, LEASE, 'GT') == 0 and not is_known", "not is_known"),
    // a renewal lets the key live less long
    ("redis.call('PEXPIRE', key, LEASE, 'GT') == 0 and not is_known", "redis.call('PEXPIRE', key, LEASE) == 0"),
    // the key expires before the leases in it
    ("math.max(LEASE, math.ceil((earned_at - now_us) / 1000))", "math.ceil(LEASE / 2)"),
];

fn limits() -> AddressLimits {
    AddressLimits { per_counter: 4, in_all: 6, per_second: 50, exempt: Vec::new() }
}

/// A report of a node. May be sent again.
#[derive(Debug, Clone)]
struct Sent {
    node: usize,
    requested: Option<(u64, usize)>,
    admitted: BTreeMap<u64, usize>,
    pending: Vec<u64>,
    next_viewer: u64,
}

#[derive(Debug, Default)]
struct Model {
    /// Each node's streams and their counters, and the end of its lease in milliseconds.
    nodes: [(BTreeMap<u64, usize>, u64); NODES],
    earned_at: u64,
    /// Nodes whose lease is stored, or may be: it may have ended.
    stored: [bool; NODES],
}

impl Model {
    /// Whether the reply to a renewal is right.
    fn renew(&mut self, node: usize, fields: i64, now_us: u64) -> bool {
        let now = now_us / 1_000;
        let is_known = std::mem::replace(&mut self.stored[node], true);
        let (streams, lease) = &mut self.nodes[node];
        let is_alive = *lease > now + 1;
        if fields < 0 {
            streams.clear();
        }
        *lease = now + TIMING.address_lease().as_millis() as u64;
        // One that has ended may be stored, or not.
        if fields < 0 { !(is_known && is_alive) } else { is_known }
    }

    fn report(&mut self, sent: &Sent, now_us: u64) -> (Verdict, u64) {
        let now = now_us / 1_000;
        for (node, (streams, lease)) in self.nodes.iter_mut().enumerate() {
            if *lease <= now {
                streams.clear();
                // Its own lease stays.
                self.stored[node] &= node == sent.node;
            }
            if node == sent.node {
                let known = |viewer: &u64| sent.admitted.contains_key(viewer) || sent.pending.contains(viewer);
                streams.retain(|viewer, _| known(viewer) || *viewer >= sent.next_viewer);
                streams.extend(sent.admitted.clone());
            }
        }
        let all = || self.nodes.iter().flat_map(|(streams, _)| streams.values());
        let elsewhere = all().count() - self.nodes[sent.node].0.len();
        let verdict = match sent.requested {
            Some((viewer, counter)) if !self.nodes[sent.node].0.contains_key(&viewer) => {
                let (gap, burst) = (limits().gap().as_micros() as u64, limits().burst().as_micros() as u64);
                let earned_at = self.earned_at.max(now_us) + gap;
                if earned_at > now_us + burst {
                    Verdict::TooFast
                } else {
                    self.earned_at = earned_at;
                    if all().filter(|its| **its == counter).count() >= limits().per_counter {
                        Verdict::TooManyOfCounter
                    } else if all().count() >= limits().in_all {
                        Verdict::TooMany
                    } else {
                        self.nodes[sent.node].0.insert(viewer, counter);
                        Verdict::Within
                    }
                }
            }
            _ => Verdict::Within,
        };
        let (streams, lease) = &mut self.nodes[sent.node];
        if !streams.is_empty() {
            *lease = now + TIMING.address_lease().as_millis() as u64;
            self.stored[sent.node] = true;
        }
        (verdict, elsewhere as u64)
    }
}

struct Case {
    name: String,
    random: StdRng,
    connection: MultiplexedConnection,
    scripts: Scripts,
    key: String,
    model: Model,
    /// The streams that each node has.
    nodes: [BTreeMap<u64, usize>; NODES],
    sent: Vec<Sent>,
    next_viewer: u64,
    log: Vec<String>,
}

impl Case {
    fn new(seed: u64, name: String, scripts: Scripts, connection: MultiplexedConnection) -> Case {
        Case {
            random: StdRng::seed_from_u64(seed),
            connection,
            scripts,
            key: Prefix(format!("{name}:")).address(seed),
            model: Model::default(),
            nodes: Default::default(),
            sent: Vec::new(),
            next_viewer: 0,
            log: Vec::new(),
            name,
        }
    }

    async fn run(mut self) {
        for _ in 0..STEPS {
            let node = self.random.random_range(0..NODES);
            match self.random.random_range(0..100) {
                0..50 => self.request(node).await,
                50..54 => drop(self.report(node, None).await),
                54..60 => self.renew(node).await,
                60..70 => self.leave(node).await,
                // The removal is lost.
                70..75 => drop(self.nodes[node].pop_first()),
                75..83 => self.again().await,
                83..86 => {
                    self.log.push(format!("{node} dies"));
                    self.nodes[node].clear();
                }
                86..88 => self.flush().await,
                _ => {
                    let most =
                        if self.random.random_bool(0.2) { TIMING.address_lease().as_millis() as u64 } else { 10 };
                    tokio::time::sleep(Duration::from_millis(self.random.random_range(1..=most))).await;
                }
            }
        }
        // Without further reports the key expires.
        tokio::time::sleep(TIMING.address_lease().max(limits().burst()) + Duration::from_millis(5)).await;
        let left: bool = redis::cmd("EXISTS").arg(&self.key).query_async(&mut self.connection).await.unwrap();
        assert!(!left, "{} is left\n{}", self.key, self.log.join("\n"));
    }

    async fn request(&mut self, node: usize) {
        self.next_viewer += 1;
        let (viewer, counter) = (self.next_viewer, self.random.random_range(0..COUNTERS.len()));
        if self.report(node, Some((viewer, counter))).await == Verdict::Within {
            self.nodes[node].insert(viewer, counter);
        }
    }

    async fn report(&mut self, node: usize, requested: Option<(u64, usize)>) -> Verdict {
        let pending = requested.iter().map(|(viewer, _)| *viewer).collect();
        let admitted = self.nodes[node].clone();
        self.send(Sent { node, requested, admitted, pending, next_viewer: self.next_viewer + 1 }).await
    }

    /// A node prolongs its streams, and reports them if Redis does not have its lease.
    async fn renew(&mut self, node: usize) {
        let call = self.scripts.renew_addresses(vec![self.key.clone()], &node.to_string());
        let mut both = redis::pipe();
        both.atomic().cmd("TIME").cmd("PTTL").arg(&self.key);
        both.cmd("EVAL").arg(&call.script.code).arg(call.keys.len()).arg(&call.keys).arg(&call.arguments);
        both.cmd("PTTL").arg(&self.key);
        let ((seconds, microseconds), life_before, fields, life): ((u64, u64), i64, [i64; 1], i64) =
            both.query_async(&mut self.connection).await.unwrap();
        self.log.push(format!("{node} renews -> {fields:?}"));
        // The key may live longer, for the pace.
        assert!(life > 0 && life + 1 >= life_before, "{life_before} ms of life, then {life}\n{}", self.log.join("\n"));
        let before = format!("{:?}", self.model);
        let is_right = self.model.renew(node, fields[0], seconds * 1_000_000 + microseconds);
        assert!(is_right, "{}\n{}\n{before}", self.name, self.log.join("\n"));
        if fields[0] < 0 {
            self.report(node, None).await;
        }
    }

    async fn leave(&mut self, node: usize) {
        let Some((viewer, _)) = self.nodes[node].pop_first() else { return };
        self.log.push(format!("{viewer} leaves {node}"));
        let command = self.scripts.remove_streams(&self.key, &node.to_string(), &[ViewerId(viewer)]);
        command.exec_async(&mut self.connection).await.unwrap();
        self.model.nodes[node].0.remove(&viewer);
    }

    async fn again(&mut self) {
        let recent = self.sent.len().min(4);
        if recent > 0 {
            let sent = self.sent[self.sent.len() - self.random.random_range(1..=recent)].clone();
            self.send(sent).await;
        }
    }

    async fn flush(&mut self) {
        self.log.push("flush".to_owned());
        redis::cmd("DEL").arg(&self.key).exec_async(&mut self.connection).await.unwrap();
        self.model = Model::default();
    }

    async fn send(&mut self, sent: Sent) -> Verdict {
        self.sent.push(sent.clone());
        let counters = COUNTERS.map(|name| CounterName::parse(name).unwrap());
        let streams = AddressStreams {
            admitted: sent
                .admitted
                .iter()
                .map(|(&viewer, &counter)| (ViewerId(viewer), counters[counter].clone()))
                .collect(),
            pending: sent.pending.iter().copied().map(ViewerId).collect(),
            next_viewer: sent.next_viewer,
        };
        let requested = sent
            .requested
            .map(|(viewer, counter)| RequestedStream { viewer: ViewerId(viewer), counter: &counters[counter] });
        let call = self.scripts.address(&self.key, &sent.node.to_string(), &limits(), &streams, requested);
        // In one transaction: a lease may end in between.
        let mut both = redis::pipe();
        both.atomic().cmd("EVAL").arg(&call.script.code).arg(call.keys.len()).arg(&call.keys).arg(&call.arguments);
        both.cmd("HGETALL").arg(&self.key);
        let (reply, mut stored): (Value, Vec<(String, String)>) = both.query_async(&mut self.connection).await.unwrap();
        let reply = AddressReply::parse(reply).expect("a reply");
        self.log.push(format!("{sent:?} -> {reply:?}"));
        let expected = self.model.report(&sent, reply.now);
        let log = || format!("{}\n{}\n{:?}", self.name, self.log.join("\n"), self.model);
        assert_eq!((reply.verdict, reply.elsewhere), expected, "{}", log());

        let mut streams: Vec<(String, String)> = Vec::new();
        for (node, (viewers, lease)) in self.model.nodes.iter().enumerate() {
            let its =
                viewers.iter().map(|(viewer, counter)| (format!("s:{node}:{viewer:x}"), COUNTERS[*counter].to_owned()));
            streams.extend(its.filter(|_| *lease > reply.now / 1_000));
        }
        streams.sort();
        stored.retain(|(field, _)| field.starts_with("s:"));
        stored.sort();
        assert_eq!(stored, streams, "{}", log());
        reply.verdict
    }
}

#[tokio::test]
async fn the_address_script_behaves_like_the_model() {
    all_pass(CASES, |seed, name, scripts, connection| Case::new(seed, name, scripts, connection).run()).await;
}

#[tokio::test]
async fn the_address_model_finds_bugs() {
    finds(&BUGS, 20 * CASES, |seed, name, scripts, connection| Case::new(seed, name, scripts, connection).run()).await;
}
