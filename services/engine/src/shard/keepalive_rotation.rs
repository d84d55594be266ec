//! Which viewers' turn it is to be kept alive: each viewer has a place on a wheel, by its key, and the wheel turns once
//! a round. Two numbers serve any number of viewers, and spread them evenly.

use std::time::{Duration, Instant};

/// Places on the wheel. At 100,000 viewers some 400 share one, which takes about 4 ms.
pub(super) const SLOTS: usize = 1 << u8::BITS;

/// The wheel.
#[derive(Debug)]
pub(super) struct KeepaliveRotation {
    /// The time between two places.
    step: Duration,
    /// When the next place's turn comes.
    next_at: Instant,
    /// Counts the turns, over and over.
    next: u8,
}

impl KeepaliveRotation {
    pub(super) fn new(round: Duration, now: Instant) -> Self {
        let step = (round / SLOTS as u32).max(Duration::from_micros(100));
        Self { step, next_at: now + step, next: 0 }
    }

    /// When the next place's turn comes.
    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// The place whose turn has come. Viewers at it are those whose keys leave it as the remainder by [`SLOTS`].
    ///
    /// The places' turns come in bit-reversed order: keys are given out from 0 up, and a few viewers, with keys that
    /// follow each other, are to be spread over the whole round as well.
    pub(super) fn turn(&mut self, now: Instant) -> Option<usize> {
        if now < self.next_at {
            return None;
        }
        let turn = self.next;
        self.next = self.next.wrapping_add(1);
        // A wheel that stood still, because the machine slept, does not make up for it: it turns on from here.
        let late = now - self.next_at;
        self.next_at = if late > self.step * SLOTS as u32 { now } else { self.next_at } + self.step;
        Some(usize::from(turn.reverse_bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_its_turn_once_a_round_evenly() {
        let start = Instant::now();
        let round = Duration::from_secs(12);
        let mut wheel = KeepaliveRotation::new(round, start);
        let mut turns = vec![Vec::new(); SLOTS];
        for millisecond in 0..=24_000 {
            let now = start + Duration::from_millis(millisecond);
            while let Some(place) = wheel.turn(now) {
                turns[place].push(millisecond);
            }
        }
        for (place, turns) in turns.iter().enumerate() {
            assert_eq!(turns.len(), 2, "place {place}");
            assert!(turns[1].abs_diff(turns[0]).abs_diff(12_000) <= 1, "place {place}: {turns:?}");
            let turn = u64::from((place as u8).reverse_bits());
            assert!(turns[0].abs_diff((turn + 1) * 12_000 / 256) <= 1, "place {place}: {turns:?}");
        }
        // Eight viewers with keys that follow each other: one in each eighth of the round.
        let mut eighths: Vec<_> = turns[..8].iter().map(|turns| turns[0] / 1_500).collect();
        eighths.sort_unstable();
        assert_eq!(eighths, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_long_sleep_is_not_made_up_for() {
        let start = Instant::now();
        let mut wheel = KeepaliveRotation::new(Duration::from_secs(1), start);
        let later = start + Duration::from_secs(3600);
        let mut turns = 0;
        while wheel.turn(later).is_some() {
            turns += 1;
        }
        assert_eq!(turns, 1);
    }
}
