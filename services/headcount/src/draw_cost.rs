//! [`DrawCost`]: the CPU time that a look takes to draw.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A look that takes longer is costly.
const COSTLY: Duration = Duration::from_millis(1);
/// Share of the newest drawing in the mean: one in this many.
const NEWEST_SHARE: u32 = 4;
/// Estimates are between half and twice the time that a drawing takes.
const ESTIMATE_FACTOR: u32 = 2;

/// An exponential mean of the CPU time of a look's drawings, or an estimate before the first. CPU time, because on a busy
/// machine the default badge takes long as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DrawCost(Duration);

impl DrawCost {
    /// The cost of a look that has never been drawn. Nothing that is costly may be taken for cheap.
    pub(crate) fn of_estimate(cpu_time: Duration) -> Self {
        Self(cpu_time * ESTIMATE_FACTOR)
    }

    /// The cost of a look that has been drawn once.
    pub(crate) fn of_first(cpu_time: Duration) -> Self {
        Self(cpu_time)
    }

    /// Adds the time of another drawing to the mean.
    pub(crate) fn add(&mut self, cpu_time: Duration) {
        self.0 = (self.0 * (NEWEST_SHARE - 1) + cpu_time) / NEWEST_SHARE;
    }

    /// Whether the look is costly.
    pub(crate) fn is_costly(self) -> bool {
        self.0 > COSTLY
    }
}

/// Runs `work` on this thread. Returns its result and the CPU time that it took.
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let start = now();
    let result = work();
    (result, now().saturating_sub(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_drawing_does_not_make_a_look_costly_for_long() {
        let mut cost = DrawCost::of_first(Duration::from_micros(100));
        cost.add(Duration::from_millis(6));
        assert!(cost.is_costly());
        for _ in 0..3 {
            cost.add(Duration::from_micros(100));
        }
        assert!(!cost.is_costly(), "{cost:?}");
    }

    #[test]
    fn sleeping_costs_nothing() {
        let ((), cpu_time) = measured(|| std::thread::sleep(Duration::from_millis(20)));
        assert!(cpu_time < Duration::from_millis(10), "{cpu_time:?}");
        let (_, cpu_time) = measured(|| (0..10_000_000_u64).map(std::hint::black_box).sum::<u64>());
        assert!(cpu_time > Duration::ZERO);
    }
}
