//! A node is stopped while it registers its viewers and Redis errs: it gives all its leases back all the same.

use std::time::Duration;

use headcount_testkit::{
    Behaviour, Fleet, Goal, NodeWithViewers, Promise, RedisServer, http,
    promise::{SOON, STOPPED},
    proxy::{Direction, ScriptFaults},
    visitors, wait_until,
};
use nix::sys::signal::Signal;

use crate::{
    fleet::{self, PATIENCE, binary, with_redis},
    status, store,
};

/// How late replies are: time to change something between two calls of a registration.
const LATE: Duration = Duration::from_millis(700);

/// More than fit into one report.
const MANY: usize = 1_500;

/// The first registration is applied, but its reply is lost: Redis counts the viewers, and the node does not know. Then Redis
/// is full, and refuses the repetition.
pub(crate) fn a_node_stops_while_it_registers() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = Fleet::start(&with_redis(redis.url()).behind_balancer(), &[0])?;
    join(&mut fleet.nodes[0], 5, 1)?;
    let options = binary(Default::default()).behind_balancer();
    let mut node = NodeWithViewers::behind_proxy(redis.address(), &options, 0)?;
    node.proxy().delay(Direction::ToClient, LATE);
    node.begin_to_join(20, people(10))?;
    registers(&redis, "a registration begins", |session| session.registering && session.viewers == 0)?;
    node.proxy().disturb_scripts(ScriptFaults { lose_reply: 1.0, ..ScriptFaults::default() });
    registers(&redis, "it is complete", |session| !session.registering && session.viewers == 20)?;
    refuse_joins(&redis, &node)?;
    assert_eq!(fleet.nodes[0].node.reading(headcount_testkit::COUNTER).unwrap().count, 25);
    gives_all_back(&redis, fleet, node, "the reply to its first registration is lost")
}

/// A node registers all its viewers again, because Redis has lost its last reports. When Redis is full, half of them are
/// registered in the new session, and all of them in the former one, which counts.
pub(crate) fn a_node_stops_while_it_registers_again() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = Fleet::start(&with_redis(redis.url()).behind_balancer(), &[0])?;
    join(&mut fleet.nodes[0], 5, 1)?;
    let options = binary(Default::default()).behind_balancer();
    let mut node = NodeWithViewers::behind_proxy(redis.address(), &options, 0)?;
    join(&mut node, MANY, 300)?;
    registers(&redis, "all are registered", |session| !session.registering && session.viewers == MANY as u64)?;
    forget_reports(&redis, MANY);
    node.proxy().delay(Direction::ToClient, LATE);
    join(&mut node, 1, 300)?;
    registers(&redis, "half are registered again", |session| session.registering && session.viewers > 0)?;
    refuse_joins(&redis, &node)?;
    assert_eq!(status::counters(&redis.url())[0].sessions.len(), 3, "both sessions of the node, and the other node's");
    gives_all_back(&redis, fleet, node, "two sessions, one of them not complete")
}

/// The node is stopped: at once nothing of it counts, neither viewers nor visitors, and Redis has no session of it.
fn gives_all_back(redis: &RedisServer, fleet: Fleet, mut node: NodeWithViewers, event: &str) -> anyhow::Result<()> {
    node.node.process().signal(Signal::SIGTERM).unwrap();
    node.viewers.reach(Goal::AtMostLive(0), PATIENCE).unwrap();
    let gone =
        Promise::begin(format!("SIGTERM while a node registers and Redis errs ({event}): nothing counts"), STOPPED);
    fleet.exact(&gone)?;
    let visitors = Promise::begin("its visitors leave too", SOON);
    fleet.visitors_exact(&visitors)?;
    assert_eq!(status::counters(&redis.url())[0].sessions.len(), 1, "a session of the node is left");
    let status = node.node.stop(PATIENCE).unwrap();
    assert!(status.success(), "{status}");
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    store::holds_besides_addresses(redis, &fleet)?;
    fleet::leave_nothing(fleet, &[redis])
}

fn people(distinct: u32) -> Behaviour {
    // Of a private network, which has no limits.
    visitors([10, 1, 0, 1].into(), distinct, "one browser")
}

fn join(node: &mut NodeWithViewers, viewers: usize, distinct: u32) -> anyhow::Result<()> {
    Ok(node.join_as(viewers, people(distinct))?)
}

/// Waits until Redis has such a session.
fn registers(redis: &RedisServer, what: &str, is_so: impl Fn(&status::Session) -> bool) -> anyhow::Result<()> {
    wait_until(what, PATIENCE, || {
        let counters = status::counters(&redis.url());
        if counters.iter().flat_map(|counter| &counter.sessions).any(&is_so) {
            Ok(())
        } else {
            Err(format!("{counters:?}"))
        }
    })?;
    Ok(())
}

/// Redis refuses joins from now on, and the node, which hears replies again, has noticed.
fn refuse_joins(redis: &RedisServer, node: &NodeWithViewers) -> anyhow::Result<()> {
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    node.proxy().heal();
    wait_until("a refusal", SOON, || match http::get(node.node.admin(), "/readyz") {
        Ok(answer) if answer.text().contains("OOM") => Ok(()),
        Ok(answer) => Err(answer.text()),
        Err(error) => Err(error.to_string()),
    })?;
    Ok(())
}

/// Redis has lost the last reports of the session with this many viewers, as by a failover.
fn forget_reports(redis: &RedisServer, viewers: usize) {
    let state = format!("hc:{{{}}}:state", headcount_testkit::COUNTER);
    let fields: Vec<(String, String)> = redis.query(&["HGETALL", &state]).unwrap();
    let (field, session) = fields
        .iter()
        .filter(|(field, _)| field.starts_with("s:"))
        .find(|(_, session)| session.split(' ').nth(1) == Some(&viewers.to_string()))
        .unwrap();
    let (_, rest) = session.split_once(' ').unwrap();
    redis.command(&["HSET", &state, field, &format!("0 {rest}")]).unwrap();
}
