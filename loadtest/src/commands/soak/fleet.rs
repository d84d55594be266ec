//! [`SoakFleet`]: three nodes behind proxies and one Redis. A node can be replaced.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use headcount_testkit::{Node, NodeOptions, Proxy, RedisServer};

use super::crowd::Target;

/// How long a node may take until it is ready, or has ended.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node that runs.
pub(super) struct SoakNode {
    /// Not used again when the node is replaced.
    pub(super) id: usize,
    pub(super) node: Node,
    pub(super) proxy: Proxy,
}

/// The nodes and their Redis.
pub(super) struct SoakFleet {
    pub(super) redis: RedisServer,
    pub(super) nodes: Vec<SoakNode>,
    program: Option<PathBuf>,
    scale: u32,
    started: usize,
}

impl SoakFleet {
    /// Starts three nodes.
    pub(super) fn start(program: Option<PathBuf>, scale: u32) -> anyhow::Result<Self> {
        let redis = RedisServer::start()?;
        let mut fleet = Self { redis, nodes: Vec::new(), program, scale, started: 0 };
        for _ in 0..3 {
            let node = fleet.new_node()?;
            fleet.nodes.push(node);
        }
        Ok(fleet)
    }

    /// Starts another node, and waits until it is ready.
    pub(super) fn new_node(&mut self) -> anyhow::Result<SoakNode> {
        let proxy = Proxy::start(self.redis.address()).context("a proxy before Redis")?;
        let options = NodeOptions { program: self.program.clone(), ..NodeOptions::redis(proxy.url()) };
        // A visitor opens more streams than a person does.
        let options = options.with(["--drain", "1s", "--limit-exempt", "0.0.0.0/0"]);
        let options = options.behind_balancer().scaled(self.scale);
        let node = Node::start(&options)?;
        node.ready(PATIENCE)?;
        self.started += 1;
        Ok(SoakNode { id: self.started, node, proxy })
    }

    /// Where viewers connect.
    pub(super) fn targets(&self) -> Vec<Target> {
        self.nodes.iter().map(|node| Target { node: node.id, address: node.node.address() }).collect()
    }
}
