//! The script of client addresses against a model of it: three nodes with streams of one address, which come, go, get lost on
//! the way, arrive twice, or die with their node.

use std::collections::BTreeMap;
use std::time::Duration;

use headcount_testkit::RedisServer;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::Value;
use redis::aio::MultiplexedConnection;

use super::{TIMING, environment};
use crate::gate::Standing;
use crate::roll::ViewerId;
use crate::shared::addresses::{Answer, Verdict};
use crate::shared::keys::Prefix;
use crate::shared::scripts::{Asked, Scripts};
use crate::{AddressLimits, CounterName};

const CASES: u64 = 300;
const STEPS: usize = 60;
const NODES: usize = 3;
const COUNTERS: [&str; 2] = ["one", "two"];

/// Mistakes in the script that the model must notice: what is written, and what might be.
const MISTAKES: [(&str, &str); 11] = [
    ("if of_counter >= most_of then", "if of_counter > most_of then"),
    ("elseif in_all >= most then", "elseif in_all > most then"),
    ("if earned > now_us + burst then", "if false then"),
    // a refused attempt costs nothing
    ("earned_at = earned\n", "earned_at = verdict == WITHIN and earned_at or earned\n"),
    // the dead keep their places
    ("local is_over = has_ended(owner)", "local is_over = false"),
    // a leave that got lost is never made up for
    ("and not keep[field] and", "and false and"),
    // a late message drops who came after it
    ("and tonumber(number, 16) < next_viewer then", "then"),
    // a stream that was asked for twice counts twice
    ("if viewer ~= '' and not streams[asked] then", "if viewer ~= '' then"),
    // what was lost is not told again
    ("if not streams[field] then", "if false then"),
    // only newcomers renew a lease
    ("if in_all > elsewhere then", "if viewer ~= '' and in_all > elsewhere then"),
    // the key goes before the leases in it
    ("math.max(LEASE, math.ceil((earned_at - now_us) / 1000))", "math.ceil(LEASE / 2)"),
];

fn limits() -> AddressLimits {
    AddressLimits { per_counter: 4, in_all: 6, per_second: 50, exempt: Vec::new() }
}

/// What a node says, and may say again.
#[derive(Debug, Clone)]
struct Said {
    node: usize,
    asked: Option<(u64, usize)>,
    held: BTreeMap<u64, usize>,
    asking: Vec<u64>,
    next: u64,
}

#[derive(Debug, Default)]
struct Model {
    /// Each node's streams and their counters, and the end of its lease in milliseconds.
    nodes: [(BTreeMap<u64, usize>, u64); NODES],
    earned_at: u64,
}

impl Model {
    fn answers(&mut self, said: &Said, now_us: u64) -> (Verdict, u64) {
        let now = now_us / 1_000;
        for (node, (streams, lease)) in self.nodes.iter_mut().enumerate() {
            if *lease <= now {
                streams.clear();
            }
            if node == said.node {
                let known = |viewer: &u64| said.held.contains_key(viewer) || said.asking.contains(viewer);
                streams.retain(|viewer, _| known(viewer) || *viewer >= said.next);
                streams.extend(said.held.clone());
            }
        }
        let all = || self.nodes.iter().flat_map(|(streams, _)| streams.values());
        let elsewhere = all().count() - self.nodes[said.node].0.len();
        let verdict = match said.asked {
            Some((viewer, counter)) if !self.nodes[said.node].0.contains_key(&viewer) => {
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
                        self.nodes[said.node].0.insert(viewer, counter);
                        Verdict::Within
                    }
                }
            }
            _ => Verdict::Within,
        };
        let (streams, lease) = &mut self.nodes[said.node];
        if !streams.is_empty() {
            *lease = now + TIMING.lease.as_millis() as u64;
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
    /// What the nodes believe to have.
    nodes: [BTreeMap<u64, usize>; NODES],
    sent: Vec<Said>,
    next_viewer: u64,
    log: Vec<String>,
}

impl Case {
    async fn run(mut self) {
        for _ in 0..STEPS {
            let node = self.random.random_range(0..NODES);
            match self.random.random_range(0..100) {
                0..50 => self.ask(node).await,
                50..60 => self.tell(node).await,
                60..70 => self.leave(node).await,
                // The leave gets lost on the way.
                70..75 => drop(self.nodes[node].pop_first()),
                75..83 => self.again().await,
                83..86 => {
                    self.log.push(format!("{node} dies"));
                    self.nodes[node].clear();
                }
                86..88 => self.flush().await,
                _ => {
                    let most = if self.random.random_bool(0.2) { TIMING.lease.as_millis() as u64 } else { 10 };
                    tokio::time::sleep(Duration::from_millis(self.random.random_range(1..=most))).await;
                }
            }
        }
        // Nobody says anything any more.
        tokio::time::sleep(TIMING.lease.max(limits().burst()) + Duration::from_millis(5)).await;
        let left: bool = redis::cmd("EXISTS").arg(&self.key).query_async(&mut self.connection).await.unwrap();
        assert!(!left, "{} is left\n{}", self.key, self.log.join("\n"));
    }

    async fn ask(&mut self, node: usize) {
        self.next_viewer += 1;
        let (viewer, counter) = (self.next_viewer, self.random.random_range(0..COUNTERS.len()));
        let said = Said {
            node,
            asked: Some((viewer, counter)),
            held: self.nodes[node].clone(),
            asking: vec![viewer],
            next: self.next_viewer + 1,
        };
        if self.say(said).await == Verdict::Within {
            self.nodes[node].insert(viewer, counter);
        }
    }

    async fn tell(&mut self, node: usize) {
        let said =
            Said { node, asked: None, held: self.nodes[node].clone(), asking: Vec::new(), next: self.next_viewer + 1 };
        self.say(said).await;
    }

    async fn leave(&mut self, node: usize) {
        let Some((viewer, _)) = self.nodes[node].pop_first() else { return };
        self.log.push(format!("{viewer} leaves {node}"));
        let command = self.scripts.forget(&self.key, &node.to_string(), &[ViewerId(viewer)]);
        command.exec_async(&mut self.connection).await.unwrap();
        self.model.nodes[node].0.remove(&viewer);
    }

    async fn again(&mut self) {
        let recent = self.sent.len().min(4);
        if recent > 0 {
            let said = self.sent[self.sent.len() - self.random.random_range(1..=recent)].clone();
            self.say(said).await;
        }
    }

    async fn flush(&mut self) {
        self.log.push("flush".to_owned());
        redis::cmd("DEL").arg(&self.key).exec_async(&mut self.connection).await.unwrap();
        self.model = Model::default();
    }

    async fn say(&mut self, said: Said) -> Verdict {
        self.sent.push(said.clone());
        let counters = COUNTERS.map(|name| CounterName::parse(name).unwrap());
        let standing = Standing {
            held: said.held.iter().map(|(&viewer, &counter)| (ViewerId(viewer), counters[counter].clone())).collect(),
            asking: said.asking.iter().copied().map(ViewerId).collect(),
            next: said.next,
        };
        let asked = said.asked.map(|(viewer, counter)| Asked { viewer: ViewerId(viewer), counter: &counters[counter] });
        let call = self.scripts.address(&self.key, &said.node.to_string(), &limits(), &standing, asked);
        // Both in one moment: a lease may end before another.
        let mut both = redis::pipe();
        both.atomic().cmd("EVAL").arg(&call.script.code).arg(call.keys.len()).arg(&call.keys).arg(&call.arguments);
        both.cmd("HGETALL").arg(&self.key);
        let (answer, mut stored): (Value, Vec<(String, String)>) =
            both.query_async(&mut self.connection).await.unwrap();
        let answer = Answer::parse(answer).expect("an answer");
        self.log.push(format!("{said:?} -> {answer:?}"));
        let due = self.model.answers(&said, answer.now);
        let log = || format!("{}\n{}\n{:?}", self.name, self.log.join("\n"), self.model);
        assert_eq!((answer.verdict, answer.elsewhere), due, "{}", log());

        let mut streams: Vec<(String, String)> = Vec::new();
        for (node, (viewers, lease)) in self.model.nodes.iter().enumerate() {
            let its =
                viewers.iter().map(|(viewer, counter)| (format!("s:{node}:{viewer:x}"), COUNTERS[*counter].to_owned()));
            streams.extend(its.filter(|_| *lease > answer.now / 1_000));
        }
        streams.sort();
        stored.retain(|(field, _)| field.starts_with("s:"));
        stored.sort();
        assert_eq!(stored, streams, "{}", log());
        answer.verdict
    }
}

/// Runs the cases until one fails. Whether all have passed.
async fn run(
    name: &str,
    seed: u64,
    cases: u64,
    scripts: impl Fn() -> Scripts,
    connection: &MultiplexedConnection,
) -> bool {
    let mut running = tokio::task::JoinSet::new();
    for case in 0..cases {
        let name = format!("{name}-{case}");
        let case = Case {
            random: StdRng::seed_from_u64(seed.wrapping_add(case)),
            connection: connection.clone(),
            scripts: scripts(),
            key: Prefix(format!("{name}:")).address(case),
            model: Model::default(),
            nodes: Default::default(),
            sent: Vec::new(),
            next_viewer: 0,
            log: Vec::new(),
            name,
        };
        running.spawn(case.run());
        if running.len() >= 25 && running.join_next().await.is_some_and(|ended| ended.is_err()) {
            return false;
        }
    }
    while let Some(ended) = running.join_next().await {
        if ended.is_err() {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn the_script_of_addresses_does_what_the_model_does() {
    let seed = environment("HEADCOUNT_SEED", rand::random());
    let cases = environment("HEADCOUNT_CASES", CASES);
    println!("HEADCOUNT_SEED={seed} HEADCOUNT_CASES={cases}");
    let server = RedisServer::start().unwrap();
    let connection = super::connect(&server).await;
    assert!(
        run("case", seed, cases, || Scripts::new(&TIMING), &connection).await,
        "HEADCOUNT_SEED={seed} repeats this"
    );
}

#[tokio::test]
async fn the_model_of_addresses_notices_mistakes() {
    let server = RedisServer::start().unwrap();
    let connection = super::connect(&server).await;
    for (number, (right, wrong)) in MISTAKES.into_iter().enumerate() {
        let scripts = || Scripts::new(&TIMING).with_mistake(right, wrong);
        let all_pass = run(&format!("mistake-{number}"), rand::random(), 20 * CASES, scripts, &connection).await;
        assert!(!all_pass, "nobody notices {wrong:?} instead of {right:?}");
    }
}
