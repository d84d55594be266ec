//! What is promised about the number when something breaks: the bounds, and [`Promise`], which measures one of them.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// The viewers of a node that was killed, or cut off from Redis, leave the count within this time.
pub const GONE: Duration = Duration::from_secs(10);

/// They stay at least this long: a lease of 8.5 s, minus a heartbeat of 5.5 s that may have passed since it was renewed.
pub const NOT_GONE_BEFORE: Duration = Duration::from_secs(3);

/// The viewers of a node that was stopped leave the count within this time after their streams have ended.
pub const STOPPED: Duration = Duration::from_secs(1);

/// The viewers of a node that was frozen or cut off count again within this time after its return.
pub const BACK: Duration = Duration::from_secs(5);

/// The number is exact again within this time after Redis lost its data, came back, or was replaced.
pub const HEALED: Duration = Duration::from_secs(10);

/// A number that nothing confirms is marked as stale within this time.
pub const MARKED: Duration = Duration::from_secs(10);

/// A subscription that delivers nothing is replaced within this time.
pub const REPLACED: Duration = Duration::from_secs(10);

/// The changes of an address that changes all the time show within this time: 10 s, and half a second to draw and send.
pub const DAMPED: Duration = Duration::from_millis(10_500);

/// A viewer whose machine vanished without a packet leaves the count within this time.
pub const VANISHED: Duration = Duration::from_secs(45);

/// Everything else, which takes a fraction of a second on an idle machine, is done within this time on a busy one.
pub const SOON: Duration = Duration::from_secs(5);

/// Something that must become true within a time.
#[derive(Clone, Debug)]
pub struct Promise {
    event: String,
    bound: Duration,
    since: Instant,
    output: Output,
}

/// Whether a kept promise is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Stdout,
    Nothing,
}

/// A promise that was not kept.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{event}: not after {took:.2?}, promised is {bound:.2?}: {found}")]
pub struct BrokenPromise {
    event: String,
    bound: Duration,
    took: Duration,
    found: String,
}

impl Promise {
    /// Starts the clock: the event happens now. [`kept`](Self::kept) prints the measured time beside the bound.
    pub fn begin(event: impl Into<String>, bound: Duration) -> Self {
        Self { event: event.into(), bound, since: Instant::now(), output: Output::Stdout }
    }

    /// The same without printing, for programs that report in another form.
    pub fn silent(event: impl Into<String>, bound: Duration) -> Self {
        Self { output: Output::Nothing, ..Self::begin(event, bound) }
    }

    /// The time that is left.
    pub fn left(&self) -> Duration {
        self.bound.saturating_sub(self.since.elapsed())
    }

    /// The time since the event.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Returns the time that it took: what was promised is true now.
    ///
    /// # Errors
    /// If it took longer than the bound.
    pub fn kept(&self) -> Result<Duration, BrokenPromise> {
        let took = self.since.elapsed();
        if self.output == Output::Stdout {
            println!("{}: bound {:.2?}, measured {took:.2?}", self.event, self.bound);
        }
        if took > self.bound { Err(self.broken("too late")) } else { Ok(took) }
    }

    /// The error of this promise for an error that was found, if there is one.
    ///
    /// # Errors
    /// If `result` is an error.
    pub fn check<T, E: fmt::Display>(&self, result: Result<T, E>) -> Result<T, BrokenPromise> {
        result.map_err(|found| self.broken(found))
    }

    /// The error of this promise, with what was found instead.
    pub fn broken(&self, found: impl fmt::Display) -> BrokenPromise {
        let (event, found) = (self.event.clone(), found.to_string());
        BrokenPromise { event, bound: self.bound, took: self.since.elapsed(), found }
    }
}
