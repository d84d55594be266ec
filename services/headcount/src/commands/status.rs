//! `headcount status`: all nodes and counters that Redis knows, or those of one node where there is no Redis.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use headcount_presence::{CounterStatus, NodeStatus, Presence, SessionStatus};
use http_body_util::{BodyExt, Limited};

use super::client;
use crate::options::StatusOptions;
use crate::status_board::StatusReport;

/// A node answers within its own limit for Redis, which is shorter.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of a node's answer: 100,000 counters on a hundred nodes each.
const MAX_ANSWER: usize = 1 << 30;

/// Prints all nodes and counters.
///
/// # Errors
/// Fails if Redis, or the node, cannot be reached or answers with an error.
pub(crate) fn run(options: &StatusOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        match &options.redis {
            Some(redis) => Ok(StatusReport::from(Presence::status(redis, &options.redis_prefix).await?)),
            None => tokio::time::timeout(TIMEOUT, ask(options)).await.context("the node does not answer in time")?,
        }
    })?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    if let Some(error) = &report.error {
        println!("{error}\n");
    }
    print_nodes(&report.status.nodes);
    println!();
    print_counters(&report.status.counters);
    println!("\n{} counters, {} nodes", report.status.counters.len(), report.status.nodes.len());
    Ok(())
}

async fn ask(options: &StatusOptions) -> anyhow::Result<StatusReport> {
    let uri = format!("http://{}/status.json", options.admin).parse()?;
    let answer = client::get(&uri).await.context("--redis is not given, so a node is asked")?;
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(anyhow::Error::from_boxed)?;
    serde_json::from_slice(&body.to_bytes()).with_context(|| format!("{uri} answers something else"))
}

fn print_nodes(nodes: &[NodeStatus]) {
    let address = |node: &NodeStatus| node.address.clone().unwrap_or_else(|| "not reported".to_owned());
    let width = nodes.iter().map(|node| address(node).len()).max().unwrap_or(0).max("address".len());
    println!("{:<16}  {:<width$}  {:<9}  {:>9}  since", "node", "address", "version", "viewers");
    for node in nodes {
        let version = node.version.as_deref().unwrap_or("?");
        let since = node.since.map_or_else(|| "?".to_owned(), since);
        println!("{:<16}  {:<width$}  {version:<9}  {:>9}  {since}", node.node, address(node), node.viewers);
    }
}

/// A moment, and how long ago it was.
fn since(moment: SystemTime) -> String {
    let ago = moment.elapsed().unwrap_or_default();
    let ago = humantime::format_duration(Duration::from_secs(ago.as_secs()));
    format!("{} ({ago})", humantime::format_rfc3339_seconds(moment))
}

fn print_counters(counters: &[CounterStatus]) {
    let width = counters.iter().map(|counter| counter.name.len()).max().unwrap_or(0).max("counter".len());
    println!("{:<width$}  {:>9}  {:>9}  {:<16}  {:>9}  lease left", "counter", "count", "visitors", "node", "viewers");
    for counter in counters {
        let CounterStatus { name, count, visitors, .. } = counter;
        let mut head = format!("{name:<width$}  {count:>9}  {visitors:>9}");
        for session in &counter.sessions {
            let SessionStatus { node, viewers, lease_left, registering } = session;
            let mark = if *registering { "  registering" } else { "" };
            let lease =
                lease_left.map_or_else(|| "none needed".to_owned(), |left| format!("{:.1} s", left.as_secs_f64()));
            println!("{head}  {node:<16}  {viewers:>9}  {lease:>10}{mark}");
            head = " ".repeat(head.len());
        }
        if counter.sessions.is_empty() {
            println!("{head}  no node has viewers of it");
        }
    }
}
