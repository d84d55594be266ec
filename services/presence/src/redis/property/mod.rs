//! Compares the Lua scripts on a real Redis with a model in Rust: random interleavings of hellos, reports, retries,
//! doubled and late messages, expiries, node deaths, flushes and failovers that lose the last writes.
//!
//! `HEADCOUNT_SEED` repeats a run, `HEADCOUNT_CASES` sets the number of cases. Redis's clock is real and the model
//! reads it from the replies, so a repeated run may differ in its expiries.

mod address;
mod case;
mod model;

use std::time::Duration;

use headcount_testkit::RedisServer;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::scripts::Scripts;
use crate::settings::Timing;
use case::Case;

const CASES: u64 = 1_000;
const CASES_AT_ONCE: u64 = 25;

/// Most cases in which the model must find a bug. The rarest takes a thousand on a busy machine, because no lease may
/// end in between. The search ends with the first case that finds it.
const SEARCH: u64 = 20 * CASES;

/// How long a reply of Redis may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Short enough that leases end within a case.
const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(30),
    lease: Duration::from_millis(60),
    suspicion: Duration::from_millis(15),
    settle: Duration::from_millis(25),
    stale_after: Duration::from_secs(10),
    keep: Duration::from_secs(300),
    report_gap: Duration::from_millis(5),
    publish_gap: Duration::from_millis(4),
    response_timeout: Duration::from_secs(1),
};

/// Bugs in the scripts that the model must find: the right text, and the wrong one.
const BUGS: [(&str, &str); 10] = [
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
    (
        "if seen.epoch > state.epoch or (seen.epoch == state.epoch and seen.version > state.version) then",
        "if false then",
    ),
    // a node that could not report in time is not waited for
    ("if it.suspect or not (is_recent or clock_leapt) then", "if true then"),
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
    let seed = environment("HEADCOUNT_SEED", rand::random());
    let cases = environment("HEADCOUNT_CASES", CASES);
    println!("HEADCOUNT_SEED={seed} HEADCOUNT_CASES={cases}");
    let server = RedisServer::start().unwrap();
    let connection = connect(&server).await;
    let all_pass = run(seed, "case", cases, || Scripts::new(&TIMING), &connection).await;
    assert!(all_pass, "HEADCOUNT_SEED={seed} repeats this");
}

#[tokio::test]
async fn the_model_finds_bugs() {
    let server = RedisServer::start().unwrap();
    let connection = connect(&server).await;
    for (number, (right, wrong)) in BUGS.into_iter().enumerate() {
        let scripts = || Scripts::new(&TIMING).with_bug(right, wrong);
        let all_pass = run(rand::random(), &format!("bug-{number}"), SEARCH, scripts, &connection).await;
        assert!(!all_pass, "the model does not find {wrong:?} instead of {right:?}");
    }
}

/// Runs the cases until one fails. Returns whether all have passed.
async fn run(
    seed: u64,
    name: &str,
    cases: u64,
    scripts: impl Fn() -> Scripts,
    connection: &MultiplexedConnection,
) -> bool {
    let mut running = JoinSet::new();
    for case in 0..cases {
        let new = Case::new(seed.wrapping_add(case), format!("{name}-{case}"), scripts(), connection.clone());
        running.spawn(new.run());
        if running.len() >= CASES_AT_ONCE as usize && running.join_next().await.is_some_and(|ended| ended.is_err()) {
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
