//! [`Promise`]: an event, the time within which something must be true after it, and the time that it took.

use std::time::{Duration, Instant};

/// A node that was killed, or cut off from Redis, stops counting within it.
pub(crate) const GONE: Duration = Duration::from_secs(10);
/// A node that was stopped stops counting within it, once its streams have ended.
pub(crate) const STOPPED: Duration = Duration::from_secs(1);
/// A node that was frozen or cut off counts again within it.
pub(crate) const BACK: Duration = Duration::from_secs(5);
/// The number is exact again within it, after Redis lost what it had, came back, or was replaced by another.
pub(crate) const HEALED: Duration = Duration::from_secs(10);
/// A number that nothing confirms is marked within it.
pub(crate) const MARKED: Duration = Duration::from_secs(10);
/// A subscription that delivers nothing is replaced within it.
pub(crate) const REPLACED: Duration = Duration::from_secs(10);
/// A viewer whose machine vanished is gone within it.
pub(crate) const VANISHED: Duration = Duration::from_secs(45);
/// Changes of an address that changes all the time show within it, and half a second to draw and send the picture.
pub(crate) const DAMPED: Duration = Duration::from_millis(10_500);
/// Where nothing is promised in figures: what takes a fraction of a second may take this long on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Something that must become true within a time.
pub(crate) struct Promise {
    event: String,
    bound: Duration,
    since: Instant,
}

impl Promise {
    /// The event happens now.
    pub(crate) fn begin(event: impl Into<String>, bound: Duration) -> Self {
        Self { event: event.into(), bound, since: Instant::now() }
    }

    /// What is left of the time.
    pub(crate) fn left(&self) -> Duration {
        self.bound.saturating_sub(self.since.elapsed())
    }

    /// The time since the event.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// It is true now: prints how long that took. Panics where it took too long.
    pub(crate) fn kept(&self) -> Duration {
        let took = self.since.elapsed();
        println!("{}: bound {:.2?}, measured {took:.2?}", self.event, self.bound);
        assert!(took <= self.bound, "{}: {took:.2?}, promised is {:.2?}", self.event, self.bound);
        took
    }

    /// The end of a promise that was not kept.
    pub(crate) fn broken(&self, found: impl std::fmt::Display) -> ! {
        panic!("{}: not after {:.2?}, promised is {:.2?}: {found}", self.event, self.since.elapsed(), self.bound)
    }
}
