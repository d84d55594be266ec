//! The engine's settings.

use std::num::{NonZeroU8, NonZeroU16};
use std::sync::Arc;
use std::time::Duration;

/// Frames that may follow each other at once after a quiet time, if nothing else is set. A visitor who reloads a page causes two
/// changes, and both should show at once.
pub(crate) const BURST: NonZeroU8 = NonZeroU8::new(3).expect("it is not 0");

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

/// A feed's settings.
#[derive(Clone, Copy, Debug)]
pub struct FeedSettings {
    /// The most frames per second, where that is less than the engine's [`frame_rate`](Settings::frame_rate).
    pub max_frame_rate: f64,
    /// How many frames may follow each other at once after a quiet time. Between two of a feed with 1, there is always the time
    /// that the rate gives.
    pub burst: NonZeroU8,
    /// Whether its streams end by themselves, and their viewers come back. By default they do not. A drain ends such streams
    /// last, see [`TurnOver::drain_delay`].
    pub turn_over: Option<TurnOver>,
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self { max_frame_rate: f64::INFINITY, burst: BURST, turn_over: None }
    }
}

/// When streams end by themselves, because their viewers would rather begin anew than grow: after a number of frames, those
/// that keep a quiet stream alive included. It differs from viewer to viewer, so that those who came together do not go
/// together: each pass ends a few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnOver {
    after: NonZeroU16,
}

impl TurnOver {
    /// After at least this many frames, and fewer than twice as many.
    pub const fn after(frames: NonZeroU16) -> Self {
        Self { after: frames }
    }

    /// How long a drain of this time waits before it ends the first of these streams: until its last second. Their viewers come
    /// back at once, and where there is no other node, whoever follows this one should be there.
    pub fn drain_delay(spread: Duration) -> Duration {
        spread.saturating_sub(Duration::from_secs(1))
    }

    /// Whether a stream that has been sent `frames` frames ends now. `viewer` is any number that stays the viewer's.
    #[inline]
    pub fn is_due(self, frames: u16, viewer: usize) -> bool {
        // Fibonacci hashing: numbers that follow one another are spread evenly.
        let spread = (viewer as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let more = (spread * u64::from(self.after.get())) >> 32;
        u64::from(frames) >= u64::from(self.after.get()) + more
    }
}
