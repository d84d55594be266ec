//! Where the past of a counter comes from.

use headcount_presence::{CounterName, Presence};
use headcount_wire::history::{History, Span};

/// Returns a counter's past until now. `None` where it is not recorded, or cannot be read now.
pub(crate) async fn history(presence: &Presence, counter: &CounterName, span: Span) -> Option<History> {
    presence.history(counter, span).await
}
