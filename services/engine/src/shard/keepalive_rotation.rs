//! When each viewer's frame is repeated to keep a quiet stream alive. Every viewer belongs to a slot by its key, and every
//! slot has its turn once per round: constant state for any number of viewers, and repeats spread evenly over time.

use std::time::{Duration, Instant};

/// At 100,000 viewers about 400 share a slot, whose repeats take about 4 ms.
const SLOTS: usize = 1 << u8::BITS;

/// The rotation of a shard.
#[derive(Debug)]
pub(super) struct KeepaliveRotation {
    /// See [`fresh`](Self::fresh).
    fresh: Duration,
    /// The time between the turns of two slots.
    step: Duration,
    /// When the next slot has its turn.
    next_at: Instant,
    /// The number of the next turn; wraps around.
    next_turn: u8,
}

impl KeepaliveRotation {
    /// The longest time without a frame is `keepalive`: one round, and the time for which a frame counts as fresh.
    pub(super) fn new(keepalive: Duration, now: Instant) -> Self {
        let fresh = keepalive / 5;
        let round = keepalive - fresh;
        let step = (round / SLOTS as u32).max(Duration::from_micros(100));
        Self { fresh, step, next_at: now + step, next_turn: 0 }
    }

    /// A frame received less than this ago is not repeated.
    pub(super) fn fresh(&self) -> Duration {
        self.fresh
    }

    /// When the next slot has its turn.
    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// The keys below `end_key` whose slot has its turn now. Call again until it returns `None`.
    pub(super) fn next_keys(&mut self, end_key: usize, now: Instant) -> Option<impl Iterator<Item = usize> + use<>> {
        Some((self.next_slot(now)?..end_key).step_by(SLOTS))
    }

    /// The slot that has its turn now. A viewer's slot is its key modulo [`SLOTS`].
    ///
    /// The order is bit-reversed: keys are assigned from 0 up, so even a few viewers with consecutive keys are spread over
    /// the whole round.
    fn next_slot(&mut self, now: Instant) -> Option<usize> {
        if now < self.next_at {
            return None;
        }
        let turn = self.next_turn;
        self.next_turn = self.next_turn.wrapping_add(1);
        // After a suspend of the machine, missed turns are not made up for.
        let late = now - self.next_at;
        self.next_at = if late > self.step * SLOTS as u32 { now } else { self.next_at } + self.step;
        Some(usize::from(turn.reverse_bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_one_turn_per_round_evenly_spread() {
        let start = Instant::now();
        // A round takes four fifths of the interval: 12 s.
        let mut rotation = KeepaliveRotation::new(Duration::from_secs(15), start);
        let mut turns = vec![Vec::new(); SLOTS];
        for millisecond in 0..=24_000 {
            let now = start + Duration::from_millis(millisecond);
            while let Some(slot) = rotation.next_slot(now) {
                turns[slot].push(millisecond);
            }
        }
        for (slot, turns) in turns.iter().enumerate() {
            assert_eq!(turns.len(), 2, "slot {slot}");
            assert!(turns[1].abs_diff(turns[0]).abs_diff(12_000) <= 1, "slot {slot}: {turns:?}");
            let turn = u64::from((slot as u8).reverse_bits());
            assert!(turns[0].abs_diff((turn + 1) * 12_000 / 256) <= 1, "slot {slot}: {turns:?}");
        }
        // Eight viewers with consecutive keys: one in each eighth of the round.
        let mut eighths: Vec<_> = turns[..8].iter().map(|turns| turns[0] / 1_500).collect();
        eighths.sort_unstable();
        assert_eq!(eighths, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn turns_missed_in_a_long_sleep_are_not_made_up_for() {
        let start = Instant::now();
        let mut rotation = KeepaliveRotation::new(Duration::from_secs(1), start);
        let later = start + Duration::from_secs(3600);
        let mut turns = 0;
        while rotation.next_slot(later).is_some() {
            turns += 1;
        }
        assert_eq!(turns, 1);
    }
}
