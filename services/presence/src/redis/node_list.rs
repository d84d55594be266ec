//! The list of all nodes in Redis, whether they have viewers or not: each reports what it is now and then, and learns how many
//! there are. It is for operators; no count depends on it.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::sleep;

use super::node::Node;
use super::scripts::Call;

/// A report comes up to this part of its interval earlier, at random, so that nodes do not fall in step.
const JITTER: f64 = 0.1;

/// Reports this node again and again, until it ends its leases.
pub(super) async fn run(node: Arc<Node>) {
    let _left = node.releasing.run_until_cancelled(report(&node)).await;
}

async fn report(node: &Node) {
    let mut data_losses = node.data_losses.subscribe();
    loop {
        node.commands.connected().await;
        let uptime = node.description.started.elapsed();
        let call = call(node, Some(uptime));
        let interval = match node.commands.call_as(&call, parse).await {
            Ok(nodes) => {
                node.metrics.nodes.set(nodes);
                node.timing.node_report()
            }
            Err(error) => {
                tracing::debug!(%error, "this node is not in the list of nodes");
                node.timing.heartbeat
            }
        };
        tokio::select! {
            () = sleep(interval.mul_f64(1.0 - rand::random_range(0.0..JITTER))) => {}
            () = node.commands.replaced() => {}
            // The list is lost as well. The sender lives as long as the node.
            _ = data_losses.changed() => {}
        }
    }
}

/// Takes this node from the list.
pub(super) async fn leave(node: &Node) {
    let call = call(node, None);
    if let Err(error) = node.commands.call_as(&call, parse).await {
        tracing::debug!(%error, "this node stays in the list of nodes until it is forgotten");
    }
}

fn call(node: &Node, uptime: Option<Duration>) -> Call<'_> {
    node.scripts.node(&node.prefix.nodes(), &node.id, uptime, &node.description, node.metrics.nodes.get())
}

fn parse(value: Value) -> Option<i64> {
    match value {
        Value::Int(nodes) => Some(nodes),
        _ => None,
    }
}
