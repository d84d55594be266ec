//! What operators ask: which nodes run, and what is counted.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// All nodes and counters of an installation, or of one node. Serialized, it is the output of `headcount status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Every node that runs, sorted by its address.
    pub nodes: Vec<NodeStatus>,
    /// Every counter, sorted by name.
    pub counters: Vec<CounterStatus>,
}

/// One node. What only its own report tells is `None` where there is none: a node of an earlier version, or one that has just
/// started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its random id; `this` for a node without Redis.
    pub node: String,
    /// The program's version.
    pub version: Option<String>,
    /// Where it is found, as `name:port`.
    pub address: Option<String>,
    /// Its viewers, of all counters.
    pub viewers: u64,
    /// When it was started. RFC 3339 in JSON.
    #[serde(with = "rfc3339")]
    pub since: Option<SystemTime>,
    /// How long ago it last reported what it is. Milliseconds in JSON.
    #[serde(rename = "reported_ms", with = "millis")]
    pub reported: Option<Duration>,
}

/// One counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterStatus {
    /// Its name.
    #[serde(rename = "counter")]
    pub name: String,
    /// Viewers, as published.
    pub count: u64,
    /// Distinct visitors, as published.
    pub visitors: u64,
    /// The epoch of the published state.
    pub epoch: u64,
    /// The version of the published state.
    pub version: u64,
    /// The sessions of nodes at this counter.
    pub sessions: Vec<SessionStatus>,
}

/// The session of one node at a counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The node's id.
    pub node: String,
    /// Its viewers of this counter.
    pub viewers: u64,
    /// What is left of the lease. `None` without Redis: no lease is needed. Milliseconds in JSON.
    #[serde(rename = "lease_left_ms", with = "millis")]
    pub lease_left: Option<Duration>,
    /// The node is still registering its viewers: they do not count yet.
    pub registering: bool,
}

impl Status {
    /// Joins what nodes have said of themselves with what is registered at counters: from that come the nodes' viewers, and the
    /// nodes that have not said anything.
    pub(crate) fn new(mut nodes: Vec<NodeStatus>, mut counters: Vec<CounterStatus>) -> Status {
        name_nodes(&nodes, &mut counters);
        let mut viewers: HashMap<&str, u64> = HashMap::new();
        for session in counters.iter().flat_map(|counter| &counter.sessions) {
            *viewers.entry(&session.node).or_default() += session.viewers;
        }
        for node in &mut nodes {
            node.viewers = viewers.remove(node.node.as_str()).unwrap_or(0);
        }
        nodes.extend(viewers.into_iter().map(|(node, viewers)| NodeStatus {
            node: node.to_owned(),
            version: None,
            address: None,
            viewers,
            since: None,
            reported: None,
        }));
        nodes.sort_by(|a, b| (&a.address, &a.node).cmp(&(&b.address, &b.node)));
        counters.sort_by(|a, b| a.name.cmp(&b.name));
        Status { nodes, counters }
    }
}

/// Completes the ids of sessions' nodes, of which a session's id may have the beginning only.
fn name_nodes(nodes: &[NodeStatus], counters: &mut [CounterStatus]) {
    let mut ids: Vec<_> = nodes.iter().map(|node| node.node.as_str()).collect();
    ids.sort_unstable();
    for session in counters.iter_mut().flat_map(|counter| &mut counter.sessions) {
        // The first that is not less: if any begins so, it does.
        let at = ids.partition_point(|id| *id < session.node.as_str());
        if let Some(id) = ids.get(at).filter(|id| id.starts_with(&session.node)) {
            session.node = (*id).to_owned();
        }
    }
}

/// A time as a number of milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_millis() as u64).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// A moment as RFC 3339 has it.
mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|time| humantime::format_rfc3339_millis(time).to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| humantime::parse_rfc3339(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(node: &str, viewers: u64) -> SessionStatus {
        SessionStatus { node: node.to_owned(), viewers, lease_left: None, registering: false }
    }

    fn counter(name: &str, sessions: Vec<SessionStatus>) -> CounterStatus {
        CounterStatus { name: name.to_owned(), count: 0, visitors: 0, epoch: 1, version: 1, sessions }
    }

    fn node(id: &str, address: &str) -> NodeStatus {
        NodeStatus {
            node: id.to_owned(),
            version: Some("1.2.3".to_owned()),
            address: Some(address.to_owned()),
            viewers: 0,
            since: Some(SystemTime::UNIX_EPOCH),
            reported: Some(Duration::from_millis(5)),
        }
    }

    #[test]
    fn a_session_has_the_beginning_of_its_nodes_id() {
        let sessions = vec![session("5a01", 3), session("5a02", 2), session("5a0", 1), session("ffff", 4)];
        let nodes = vec![node("5a0277", "b:1"), node("5a0155", "a:1")];
        let status = Status::new(nodes, vec![counter("a", sessions)]);
        let named: Vec<_> = status.counters[0].sessions.iter().map(|it| it.node.as_str()).collect();
        assert_eq!(named, ["5a0155", "5a0277", "5a0155", "ffff"]);
        let listed: Vec<_> = status.nodes.iter().map(|node| (node.node.as_str(), node.viewers)).collect();
        assert_eq!(listed, [("ffff", 4), ("5a0155", 4), ("5a0277", 2)]);
    }

    #[test]
    fn viewers_are_summed_and_unknown_nodes_are_listed() {
        let counters =
            vec![counter("b", vec![session("n1", 3), session("n9", 2)]), counter("a", vec![session("n1", 4)])];
        let status = Status::new(vec![node("n2", "z:1"), node("n1", "y:1")], counters);
        let listed: Vec<_> = status.nodes.iter().map(|node| (node.node.as_str(), node.viewers)).collect();
        assert_eq!(listed, [("n9", 2), ("n1", 7), ("n2", 0)]);
        assert_eq!(status.nodes[0].version, None);
        assert_eq!(status.counters[0].name, "a");
    }
}
