//! Removes the registrations of ended sessions.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::counter_view::CounterView;
use super::keys::CounterKeys;
use super::node::Node;

/// How long a node that ends its leases goes on with a removal: enough for a few thousand viewers. Other nodes would begin with
/// their next heartbeat.
const WHILE_RELEASING: Duration = Duration::from_secs(1);

/// Removes ended sessions, `first` first, until none is left, and has the last change published. Ends when a call fails, or
/// where this node has ended its leases a while ago and there are others: Redis then asks another node.
pub(super) async fn run(node: Arc<Node>, view: Arc<CounterView>, keys: Arc<CounterKeys>, first: String) {
    let mut next = Some(first);
    let mut released: Option<Instant> = None;
    loop {
        let (started, clock) = (Instant::now(), node.commands.clock());
        let call = match &next {
            Some(session) => node.scripts.reap(&keys, view.seen(), session, clock),
            // Not left to the reporter, which may have ended: this node may be about to stop.
            None => node.scripts.read(&keys, view.seen(), clock),
        };
        let turn = node.turn().await;
        let Ok(reply) = node.commands.call(&call).await else { return };
        drop(turn);
        view.reply_received(reply.state, started, None);
        if node.releasing.is_cancelled() {
            let released = released.get_or_insert_with(Instant::now);
            if reply.nodes > 0 && released.elapsed() >= WHILE_RELEASING {
                return;
            }
        }
        next = reply.reap;
        match (&next, reply.held) {
            // A pause as long as the step leaves at least half of Redis's time to others.
            (Some(_), _) => sleep(started.elapsed()).await,
            (None, Some(held)) => sleep(held).await,
            (None, None) => return,
        }
    }
}
