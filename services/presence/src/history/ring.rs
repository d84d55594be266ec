//! [`Ring`]: the most and the mean of each step of time, as far back as the ring goes.

use headcount_wire::history::Point;
use serde::{Deserialize, Serialize};

/// The length of a ring's steps, and how many it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Milliseconds of a step. Steps begin at multiples of it since 1970.
    pub(crate) step: u64,
    /// Number of steps.
    pub(crate) size: usize,
}

/// A day by the minute.
pub(crate) const MINUTES: Shape = Shape { step: 60_000, size: 24 * 60 };
/// 30 days by the quarter of an hour.
pub(crate) const QUARTERS: Shape = Shape { step: 15 * 60_000, size: 30 * 24 * 4 };
/// Five years by the day, UTC.
pub(crate) const DAYS: Shape = Shape { step: 24 * 60 * 60_000, size: 5 * 366 };

/// Bytes of a step in Redis.
pub(crate) const SLOT_BYTES: usize = 8;

/// Means are stored in hundredths.
const HUNDREDTHS: f64 = 100.0;

/// Steps of one length, of which the newest ones are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ring {
    /// A step is at its number since 1970, modulo the size. 0 is a step of which nothing is known; otherwise one more than the
    /// most in the lower half, and the mean in hundredths in the upper one. Empty before the first step has ended.
    slots: Vec<u64>,
    running: Running,
}

/// The step that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Sum of count × milliseconds.
    pub(crate) integral: f64,
    /// Milliseconds of which the count is known.
    pub(crate) known: u64,
    /// The most at any moment. `None` if nothing is known.
    pub(crate) highest: Option<u64>,
}

impl Running {
    fn hold(&mut self, time: u64, count: Option<u64>) {
        if let Some(count) = count.filter(|_| time > 0) {
            self.add(Running { integral: count as f64 * time as f64, known: time, highest: Some(count) });
        }
    }

    fn add(&mut self, other: Running) {
        self.integral += other.integral;
        self.known += other.known;
        self.highest = self.highest.max(other.highest);
    }

    fn point(self) -> Option<Point> {
        let highest = self.highest?;
        let mean = if self.known > 0 { self.integral / self.known as f64 } else { highest as f64 };
        let mean = (mean * HUNDREDTHS).round() / HUNDREDTHS;
        Some(Point { highest: u32::try_from(highest).unwrap_or(u32::MAX), mean })
    }

    fn slot(self) -> u64 {
        let Some(Point { highest, mean }) = self.point() else { return 0 };
        // A cast from a float saturates.
        u64::from(highest.saturating_add(1)) | u64::from((mean * HUNDREDTHS).round() as u32) << 32
    }
}

impl Ring {
    /// One of which nothing is known.
    pub(crate) fn new() -> Ring {
        Ring { slots: Vec::new(), running: Running::default() }
    }

    /// One that was stored: its slots as in Redis, or none, and the step that has not ended.
    pub(crate) fn stored(bytes: &[u8], running: Running) -> Ring {
        let slots = bytes.chunks_exact(SLOT_BYTES).map(|slot| u64::from_le_bytes(slot.try_into().unwrap_or_default()));
        Ring { slots: slots.collect(), running }
    }

    /// Adds what is known of a time that does not go over the end of a step.
    pub(crate) fn add(&mut self, shape: Shape, from: u64, to: u64, slice: Running) {
        self.running.add(slice);
        if from / shape.step < to / shape.step {
            let ended = std::mem::take(&mut self.running);
            self.write(shape, from / shape.step, ended.slot());
        }
    }

    /// The count was the same from one time to another; `None` if it is not known.
    pub(crate) fn hold(&mut self, shape: Shape, from: u64, to: u64, count: Option<u64>) {
        let (first, last) = (from / shape.step, to / shape.step);
        if first == last {
            return self.running.hold(to - from, count);
        }
        self.running.hold((first + 1) * shape.step - from, count);
        let mut whole = Running::default();
        whole.hold(shape.step, count);
        let ended = std::mem::take(&mut self.running);
        self.write(shape, first, ended.slot());
        // Of a longer time than the ring's, only the end stays.
        for step in (first + 1).max(last.saturating_sub(shape.size as u64))..last {
            self.write(shape, step, whole.slot());
        }
        self.running.hold(to - last * shape.step, count);
    }

    /// Notes a count that is reached in the running step.
    pub(crate) fn touch(&mut self, count: u64) {
        self.running.highest = self.running.highest.max(Some(count));
    }

    /// Forgets all steps after `now` and up to `end`, which were recorded by a clock that was wrong.
    pub(crate) fn begin_again(&mut self, shape: Shape, now: u64, end: u64) {
        let (first, last) = (now / shape.step, end / shape.step);
        for step in first..=last.min(first + shape.size as u64) {
            self.write(shape, step, 0);
        }
        self.running = Running::default();
    }

    /// The newest `count` steps, the oldest first. The last one is running at `now`, up to when the ring must be held.
    pub(crate) fn points(&self, shape: Shape, now: u64, count: usize) -> Vec<Option<Point>> {
        let last = now / shape.step;
        let ended = (last + 1).saturating_sub(count as u64)..last;
        ended.map(|step| self.read(shape, step)).chain([self.running.point()]).collect()
    }

    fn write(&mut self, shape: Shape, step: u64, slot: u64) {
        if self.slots.len() != shape.size {
            if slot == 0 {
                return;
            }
            self.slots = vec![0; shape.size];
        }
        self.slots[(step % shape.size as u64) as usize] = slot;
    }

    fn read(&self, shape: Shape, step: u64) -> Option<Point> {
        let slot = self.slots.get((step % shape.size as u64) as usize).copied().unwrap_or(0);
        let highest = (slot as u32).checked_sub(1)?;
        Some(Point { highest, mean: (slot >> 32) as f64 / HUNDREDTHS })
    }
}
