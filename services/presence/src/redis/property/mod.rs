//! Compares the Lua scripts on a real Redis with a model in Rust: random interleavings of hellos, reports, retries,
//! doubled and late messages, expiries, node deaths, flushes and failovers that lose the last writes.
//!
//! `HEADCOUNT_SEED` repeats a run, `HEADCOUNT_CASES` sets the number of cases. Redis's clock is real and the model
//! reads it from the replies, so a repeated run may differ in its expiries.

mod address;
mod case;
mod model;
mod timing;

use std::time::Duration;

use headcount_testkit::RedisServer;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::scripts::Scripts;
use case::Case;
pub(super) use timing::TIMING;

const CASES: u64 = 1_000;
const CASES_AT_ONCE: usize = 25;

/// Most cases in which the model must find a bug. The rarest takes a thousand on a busy machine, because no lease may
/// end in between. The search ends with the first case that finds it.
const SEARCH: u64 = 20 * CASES;

/// How long a reply of Redis may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bugs in the scripts that the model must find: the right text, and the wrong one.
const BUGS: [(&str, &str); 18] = [
    // a late message prolongs a lease
    ("math.min(now, last_reply + elapsed)", "now"),
    // a doubled message shortens one
    ("'ZADD', SESSIONS, 'GT',", "'ZADD', SESSIONS,"),
    // a late report is taken for a new one
    ("if seq < own.seq then return finish(OK) end", "if seq < own.seq then seq = own.seq + 1 end"),
    // a missing report goes unnoticed
    ("if seq > own.seq + 1 or (heartbeat and seq > own.seq) then", "if false then"),
    // an id is issued again after a flush
    ("math.max(now_us, state.last_session + 1)", "state.last_session + 1"),
    // a node counts twice after it has registered again
    ("if phase == 'live' and old ~= '' then", "if false then"),
    // visitors of removed registrations stay counted
    ("redis.call('HINCRBY', VISITORS, fields[i + 1], -1) <= 0", "false"),
    // lost writes go unnoticed
    ("if is_behind() then", "if false then"),
    // other writes under the same version go unnoticed
    ("return seen.count ~= state.count or seen.visitors ~= state.visitors", "return false"),
    // a node that could not report in time is not waited for
    ("    if it.suspect then\n", "    if true then\n"),
    // of renewals: a late one prolongs a lease
    ("math.min(now, tonumber(ARGV[1]) + tonumber(ARGV[2]))", "now"),
    // a doubled one shortens one
    ("'XX', 'GT', 'CH'", "'XX', 'CH'"),
    // another state goes unnoticed
    ("if it[1] ~= quiet or not own then", "if not own then"),
    // reports that are missing, or of other viewers, go unnoticed
    ("string.sub(own, 1, #report) ~= report", "false"),
    // leases of others that have run out go unnoticed
    ("    if expiry <= now then return REPORT end\n", ""),
    // what still waits goes unnoticed
    ("if state.held == 1 or state.settle > 0 or state.reap ~= '' then return '' end", ""),
    // a number that is held after a loss is recorded
    ("count = state.settle > 0 and -1 or state.count", "count = state.count"),
    // expired sessions stay counted
    ("if state.nodes == 0 or now < state.expiry then return end", "if true then return end"),
];

fn environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect("a number"))
}

/// A connection with a timeout that suits a busy machine.
pub(super) async fn connect(server: &RedisServer) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

#[tokio::test]
async fn the_scripts_behave_like_the_model() {
    all_pass(CASES, |seed, name, scripts, connection| Case::new(seed, name, scripts, connection).run()).await;
}

#[tokio::test]
async fn the_model_finds_bugs() {
    finds(&BUGS, SEARCH, |seed, name, scripts, connection| Case::new(seed, name, scripts, connection).run()).await;
}

/// Checks that all cases pass. Each has its seed, its name, the scripts, and a connection.
async fn all_pass<C>(cases: u64, case: impl Fn(u64, String, Scripts, MultiplexedConnection) -> C)
where
    C: Future<Output = ()> + Send + 'static,
{
    let seed = environment("HEADCOUNT_SEED", rand::random());
    let cases = environment("HEADCOUNT_CASES", cases);
    println!("HEADCOUNT_SEED={seed} HEADCOUNT_CASES={cases}");
    let server = RedisServer::start().unwrap();
    let connection = connect(&server).await;
    let start =
        |number| case(seed.wrapping_add(number), format!("case-{number}"), Scripts::new(&TIMING), connection.clone());
    assert!(run(cases, start).await, "HEADCOUNT_SEED={seed} repeats this");
}

/// Checks that one of so many cases fails, for each of these bugs in the scripts.
async fn finds<C>(bugs: &[(&str, &str)], cases: u64, case: impl Fn(u64, String, Scripts, MultiplexedConnection) -> C)
where
    C: Future<Output = ()> + Send + 'static,
{
    let server = RedisServer::start().unwrap();
    let connection = connect(&server).await;
    for (bug, (right, wrong)) in bugs.iter().enumerate() {
        let scripts = || Scripts::new(&TIMING).with_bug(right, wrong);
        let start = |number| case(rand::random(), format!("bug-{bug}-{number}"), scripts(), connection.clone());
        assert!(!run(cases, start).await, "the model does not find {wrong:?} instead of {right:?}");
    }
}

/// Runs the cases until one fails. Returns whether all have passed.
async fn run<C: Future<Output = ()> + Send + 'static>(cases: u64, start: impl Fn(u64) -> C) -> bool {
    let mut running = JoinSet::new();
    for case in 0..cases {
        running.spawn(start(case));
        if running.len() >= CASES_AT_ONCE && running.join_next().await.is_some_and(|ended| ended.is_err()) {
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
