//! How an engine is set up, and the times that follow from that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The name that a feed's viewers are counted under in limits and metrics: its counter's. Feeds may share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedLabel(Arc<str>);

impl FeedLabel {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for FeedLabel {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for FeedLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An engine's settings. The defaults hold without tuning.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that own viewers' sockets. One a core: on two cores, the last of 8,000 viewers has its frame a third sooner
    /// from two shards than from one where the cores are free, and no later where they are not; it costs 6 % to 10 % more
    /// processor time.
    pub shards: usize,
    /// Viewers held at most, all feeds together; further ones are refused.
    pub max_viewers: usize,
    /// Viewers held at most under one [`FeedLabel`].
    pub max_viewers_per_counter: usize,
    /// Frames that a feed shows in a second at most, once its burst of three is used up; 0.1 is one in ten seconds. Less than
    /// one an hour is taken for that.
    pub frame_rate: f64,
    /// No viewer waits longer than this for a frame: where nothing is new, the newest comes again. Below the idle
    /// timeouts of common proxies (30 s to 60 s).
    pub keepalive: Duration,
    /// A viewer that takes no byte of what is due to it, or acknowledges none, for so long is dropped.
    ///
    /// A viewer that vanishes is found out by the frame that is sent to it after [`keepalive`](Self::keepalive) at the
    /// latest, and stays unacknowledged: with the defaults within 15 s + 25 s, below the 45 s promised.
    pub stall_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            max_viewers: usize::MAX,
            max_viewers_per_counter: usize::MAX,
            frame_rate: 10.0,
            keepalive: Duration::from_secs(15),
            stall_limit: Duration::from_secs(25),
        }
    }
}
