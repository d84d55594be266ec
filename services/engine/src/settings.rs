//! The engine's settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The name under which a feed's viewers count in limits and metrics: that of its counter. Feeds may share a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedLabel(Arc<str>);

impl FeedLabel {
    /// The label as text.
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

/// An engine's settings. The defaults need no tuning.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The number of shards, one thread each. By default one per core. On two cores, two shards deliver a frame to the last of
    /// 8,000 viewers a third sooner than one if the cores are idle, and no later if they are busy, for 6 % to 10 % more CPU
    /// time.
    pub shards: usize,
    /// The most viewers in all feeds together; further ones are rejected.
    pub max_viewers: usize,
    /// The most viewers under one [`FeedLabel`]; further ones are rejected.
    pub max_viewers_per_counter: usize,
    /// The most frames per second of a feed, after a burst of three; 0.1 is one in ten seconds. The minimum is one an hour.
    pub frame_rate: f64,
    /// The longest time between two frames; without a new one, the newest is sent again. Must be below the idle timeouts of
    /// common proxies (30 s to 60 s).
    pub keepalive: Duration,
    /// How long a viewer may take or acknowledge none of the bytes sent to it before it is dropped.
    ///
    /// A viewer that vanishes is detected because a frame, sent at most [`keepalive`](Self::keepalive) later, stays
    /// unacknowledged: by default within 15 s + 25 s, below the promised 45 s.
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
