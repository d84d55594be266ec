//! The output of `headcount status --json`.

use std::{
    process::{Command, Output},
    time::Duration,
};

use serde::Deserialize;

/// All nodes and counters.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) nodes: Vec<Node>,
    pub(crate) counters: Vec<Counter>,
    /// Why it has only what a node knows by itself.
    pub(crate) error: Option<String>,
}

/// A node that runs.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) node: String,
    pub(crate) version: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) viewers: u64,
    pub(crate) since: Option<String>,
    pub(crate) reported_ms: Option<u64>,
}

/// A counter in Redis.
#[derive(Debug, Deserialize)]
pub(crate) struct Counter {
    pub(crate) counter: String,
    pub(crate) count: u64,
    pub(crate) visitors: u64,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) sessions: Vec<Session>,
}

/// A node's registration under it.
#[derive(Debug, Deserialize)]
pub(crate) struct Session {
    pub(crate) node: String,
    pub(crate) viewers: u64,
    pub(crate) lease_left_ms: Option<u64>,
    pub(crate) registering: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headcount")).arg("status").args(arguments).output().unwrap()
}

/// All nodes and counters, as the command prints them with these arguments.
pub(crate) fn of(arguments: &[&str]) -> Status {
    let output = run(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All counters in a Redis.
pub(crate) fn counters(url: &str) -> Vec<Counter> {
    of(&["--redis", url]).counters
}

/// The time left of the lease of the only node with this many viewers.
pub(crate) fn lease_left(url: &str, viewers: usize) -> Duration {
    let counters = counters(url);
    let mut sessions = counters.iter().flat_map(|counter| &counter.sessions);
    let session = sessions.find(|session| session.viewers == viewers as u64);
    let session = session.unwrap_or_else(|| panic!("nobody has {viewers}: {counters:?}"));
    Duration::from_millis(session.lease_left_ms.unwrap())
}
