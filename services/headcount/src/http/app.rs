//! [`App`]: what request handlers share.

use std::sync::Arc;
use std::time::Duration;

use headcount_presence::Presence;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::metrics::Metrics;
use super::routes::EmbedPolicy;
use crate::counters::Counters;
use crate::feeds::Feeds;
use crate::phase::Phase;

/// What request handlers share.
pub(crate) struct App {
    /// The live feeds.
    pub(crate) feeds: Arc<Feeds>,
    /// Counts viewers and visitors.
    pub(crate) presence: Presence,
    /// Which counters exist.
    pub(crate) counters: Counters,
    /// Which sites may embed them.
    pub(crate) embed_policy: EmbedPolicy,
    /// The base URL in embed codes. If absent, the one that the browser requested.
    pub(crate) public_url: Option<String>,
    /// Below this count, the JSON says "fewer than".
    pub(crate) small: u64,
    /// Time after which an unchanged frame is sent again to an HTTP/2 viewer.
    pub(crate) keepalive: Duration,
    /// Time after which a frame loads its document anew, or up to twice as long.
    pub(crate) frame_refresh: Duration,
    /// Counts refused requests.
    pub(crate) metrics: Metrics,
    /// Whether the node is shutting down.
    pub(crate) phase: watch::Receiver<Phase>,
    /// The HTTP/2 viewers: a token each.
    pub(crate) http2_viewers: TaskTracker,
}
