//! Takes ended sessions apart.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::Node;
use super::counter_view::CounterView;
use super::keys::CounterKeys;

/// Goes on until nothing is left to take apart. Whoever was asked to does it; if it fails, Redis asks another.
pub(super) async fn run(node: Arc<Node>, view: Arc<CounterView>, keys: CounterKeys, first: String) {
    let mut next = Some(first);
    while let Some(session) = next {
        let started = Instant::now();
        let call = node.scripts.reap(&keys, view.seen(), &session);
        let Ok(reply) = node.commands.call(&call).await else { return };
        view.replied(reply.state, None);
        next = reply.reap;
        if let (None, Some(held)) = (&next, reply.held) {
            // The last change, which others may have to wait for: the reporter asks for it to be published.
            sleep(held).await;
            return view.wake_reporter.notify_one();
        }
        // As long a pause as the step took leaves at least half of Redis to others.
        sleep(started.elapsed()).await;
    }
}
