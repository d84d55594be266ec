//! [`EventFrames`]: the frames of one counter's stream of events.

use std::time::Duration;

use headcount_engine::Frame;
use headcount_presence::{CounterName, Reading};
use headcount_wire::events;

use crate::counter_json::{CounterJson, ShownNumbers};

/// Shortest and longest time after which a client of a stream that has ended connects again, in milliseconds: soon, but not
/// all clients of a node at once.
const RETRY_MS: std::ops::Range<u64> = 1_000..5_000;

/// Returns a random time after which a client connects again.
pub(crate) fn random_retry() -> Duration {
    Duration::from_millis(rand::random_range(RETRY_MS))
}

/// The frames of one counter's events.
pub(crate) struct EventFrames {
    counter: CounterName,
    /// Below this count, numbers are hidden.
    small: u64,
    /// What the newest event says. `None` if a former program has sent it.
    shown: Option<ShownNumbers>,
}

impl EventFrames {
    /// Begins with the frame of a reading.
    pub(crate) fn begin(counter: CounterName, small: u64, reading: &Reading) -> (Self, Frame) {
        let mut frames = Self { counter, small, shown: None };
        let frame = frames.frame(reading);
        (frames, frame)
    }

    /// Whether the newest event says something else than one of this reading would.
    pub(crate) fn are_outdated_by(&self, reading: &Reading) -> bool {
        self.shown != Some(ShownNumbers::of(reading, self.small))
    }

    /// The frame of a reading. Streams end with the same, but stale.
    pub(crate) fn frame(&mut self, reading: &Reading) -> Frame {
        self.shown = Some(ShownNumbers::of(reading, self.small));
        let last = Reading { stale: true, ..*reading };
        let ending = events::retry(random_retry()) + &self.event(&last);
        Frame::new(self.event(reading)).with_keepalive(events::KEEPALIVE).with_ending(ending)
    }

    fn event(&self, reading: &Reading) -> String {
        let json = CounterJson::new(&self.counter, reading, self.small);
        let data = serde_json::to_string(&json).expect("strings and numbers are JSON");
        events::event(&json.id(), &data)
    }
}
