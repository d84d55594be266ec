//! The admin port's page: all nodes and counters, in a document that loads itself anew.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use askama::Template;
use headcount_presence::{CounterStatus, NodeStatus};

use crate::status_board::StatusReport;

/// How often the page loads itself anew.
const REFRESH: Duration = Duration::from_secs(5);

/// Most counters in the page: what a person reads.
const MAX_COUNTERS: usize = 200;

#[derive(Template)]
#[template(path = "status.html")]
struct Page<'a> {
    refresh_seconds: u64,
    readiness: &'a str,
    error: Option<&'a str>,
    nodes: Vec<NodeRow>,
    /// How many there are.
    counters: usize,
    listed: Vec<CounterRow<'a>>,
}

struct NodeRow {
    id: String,
    address: String,
    version: String,
    viewers: u64,
    since: String,
}

struct CounterRow<'a> {
    name: &'a str,
    count: u64,
    visitors: u64,
    sessions: String,
}

/// Returns the page. `readiness` is what `/readyz` says, without the end of the line.
pub(crate) fn render(report: &StatusReport, readiness: &str) -> String {
    let mut largest: Vec<&CounterStatus> = report.status.counters.iter().collect();
    largest.sort_by_key(|counter| (Reverse(counter.count), counter.name.as_str()));
    largest.truncate(MAX_COUNTERS);
    let page = Page {
        refresh_seconds: REFRESH.as_secs(),
        readiness,
        error: report.error.as_deref(),
        nodes: report.status.nodes.iter().map(node_row).collect(),
        counters: report.status.counters.len(),
        listed: largest.into_iter().map(|counter| counter_row(counter, &report.status.nodes)).collect(),
    };
    page.render().expect("the template writes to a String")
}

fn node_row(node: &NodeStatus) -> NodeRow {
    let unknown = || "not reported".to_owned();
    NodeRow {
        id: node.node.clone(),
        address: node.address.clone().unwrap_or_else(unknown),
        version: node.version.clone().unwrap_or_else(unknown),
        viewers: node.viewers,
        since: node.since.map_or_else(unknown, since),
    }
}

fn since(moment: SystemTime) -> String {
    let ago = Duration::from_secs(moment.elapsed().unwrap_or_default().as_secs());
    format!("{} ({})", humantime::format_rfc3339_seconds(moment), humantime::format_duration(ago))
}

fn counter_row<'a>(counter: &'a CounterStatus, nodes: &[NodeStatus]) -> CounterRow<'a> {
    let name = |id: &str| {
        let node = nodes.iter().find(|node| node.node == id);
        node.and_then(|node| node.address.clone()).unwrap_or_else(|| id.to_owned())
    };
    let sessions = counter.sessions.iter().map(|session| format!("{} on {}", session.viewers, name(&session.node)));
    CounterRow {
        name: &counter.name,
        count: counter.count,
        visitors: counter.visitors,
        sessions: sessions.collect::<Vec<_>>().join(", "),
    }
}
