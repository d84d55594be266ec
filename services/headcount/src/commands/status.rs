//! `headcount status`: the nodes, leases, counters and counts that Redis holds.

use std::collections::HashSet;

use headcount_presence::{CounterStatus, Presence, SessionStatus, Status};
use serde::Serialize;

use crate::options::StatusOptions;

/// A counter in the JSON output.
#[derive(Serialize)]
struct Counter<'a> {
    counter: &'a str,
    count: u64,
    visitors: u64,
    epoch: u64,
    version: u64,
    sessions: Vec<Session<'a>>,
}

/// A node's session of a counter in the JSON output.
#[derive(Serialize)]
struct Session<'a> {
    node: &'a str,
    viewers: u64,
    lease_left_ms: u128,
    registering: bool,
}

/// Prints what Redis holds.
///
/// # Errors
/// Fails if Redis cannot be reached or answers with an error.
pub(crate) fn run(options: &StatusOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(Presence::status(&options.redis, &options.redis_prefix))?;
    if options.json {
        let counters: Vec<_> = status.counters.iter().map(counter_json).collect();
        println!("{}", serde_json::to_string_pretty(&counters)?);
    } else {
        print_table(&status);
    }
    Ok(())
}

fn counter_json(counter: &CounterStatus) -> Counter<'_> {
    Counter {
        counter: &counter.name,
        count: counter.count,
        visitors: counter.visitors,
        epoch: counter.epoch,
        version: counter.version,
        sessions: counter.sessions.iter().map(session_json).collect(),
    }
}

fn session_json(session: &SessionStatus) -> Session<'_> {
    Session {
        node: &session.node,
        viewers: session.viewers,
        lease_left_ms: session.lease_left.as_millis(),
        registering: session.registering,
    }
}

fn print_table(status: &Status) {
    let width = status.counters.iter().map(|counter| counter.name.len()).max().unwrap_or(0).max("counter".len());
    println!("{:<width$}  {:>9}  {:>9}  {:<16}  {:>9}  lease left", "counter", "count", "visitors", "node", "viewers");
    for counter in &status.counters {
        let CounterStatus { name, count, visitors, .. } = counter;
        let mut head = format!("{name:<width$}  {count:>9}  {visitors:>9}");
        for session in &counter.sessions {
            let SessionStatus { node, viewers, lease_left, registering } = session;
            let mark = if *registering { "  registering" } else { "" };
            println!("{head}  {node:<16}  {viewers:>9}  {:>8.1} s{mark}", lease_left.as_secs_f64());
            head = " ".repeat(head.len());
        }
        if counter.sessions.is_empty() {
            println!("{head}  no node has viewers of it");
        }
    }
    let nodes: HashSet<_> = status.counters.iter().flat_map(|counter| &counter.sessions).map(|it| &it.node).collect();
    println!("{} counters, {} nodes", status.counters.len(), nodes.len());
}
