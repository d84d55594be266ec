//! [`Entrance`]: lets a batch of viewers in at its pace.

use std::rc::Rc;

use super::viewer::Errand;

/// Viewers still to be opened.
pub(super) struct Entrance {
    errands: Vec<Rc<Errand>>,
    count: usize,
    opened: usize,
    per_second: Option<f64>,
    since_ns: u64,
}

impl Entrance {
    pub(super) fn new(errands: Vec<Rc<Errand>>, count: usize, per_second: Option<f64>, since_ns: u64) -> Self {
        Self { errands, count, opened: 0, per_second, since_ns }
    }

    /// How many are still to be opened.
    pub(super) fn left(&self) -> usize {
        self.count - self.opened
    }

    /// How many of them are due.
    pub(super) fn due(&self, now_ns: u64) -> usize {
        let Some(per_second) = self.per_second else { return self.left() };
        let seconds = now_ns.saturating_sub(self.since_ns) as f64 / 1e9;
        // The first is due at once.
        let by_now = (seconds * per_second) as usize + 1;
        by_now.min(self.count).saturating_sub(self.opened)
    }

    /// Opens the next: its errand, all in turn.
    pub(super) fn next(&mut self) -> Rc<Errand> {
        let errand = &self.errands[self.opened % self.errands.len()];
        self.opened += 1;
        Rc::clone(errand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::target::{Manner, Target};

    #[test]
    fn a_pace_is_kept() {
        let target = Target::parse("http://127.0.0.1/").unwrap();
        let errand = Rc::new(Errand { target, manner: Manner::default() });
        let mut entrance = Entrance::new(vec![errand], 100, Some(50.0), 0);
        assert_eq!(entrance.due(0), 1);
        entrance.next();
        assert_eq!(entrance.due(500_000_000), 25);
        assert_eq!(entrance.due(10_000_000_000), 99);
        assert_eq!(Entrance { per_second: None, ..entrance }.due(0), 99);
    }
}
