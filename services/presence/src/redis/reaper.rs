//! Removes the registrations of ended sessions.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::counter_view::CounterView;
use super::keys::CounterKeys;
use super::node::Node;

/// Removes ended sessions, `first` first, until none is left. Ends when a call fails: Redis then asks another node.
pub(super) async fn run(node: Arc<Node>, view: Arc<CounterView>, keys: CounterKeys, first: String) {
    let mut next = Some(first);
    while let Some(session) = next {
        let started = Instant::now();
        let call = node.scripts.reap(&keys, view.seen(), &session, node.commands.clock());
        let Ok(reply) = node.commands.call(&call).await else { return };
        view.reply_received(reply.state, started, None);
        next = reply.reap;
        if let (None, Some(held)) = (&next, reply.held) {
            // The last change may have to wait for its publication: the reporter's next call publishes it.
            sleep(held).await;
            return view.call_wanted.notify_one();
        }
        // A pause as long as the step leaves at least half of Redis's time to others.
        sleep(started.elapsed()).await;
    }
}
