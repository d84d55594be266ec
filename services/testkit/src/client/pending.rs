//! [`PendingBatch`]: lets a batch of viewers in at its pace.

use std::rc::Rc;

use super::viewer::ViewerSpec;

/// Viewers still to be opened.
pub(super) struct PendingBatch {
    specs: Vec<Rc<ViewerSpec>>,
    count: usize,
    opened: usize,
    per_second: Option<f64>,
    since_ns: u64,
}

impl PendingBatch {
    pub(super) fn new(specs: Vec<Rc<ViewerSpec>>, count: usize, per_second: Option<f64>, since_ns: u64) -> Self {
        Self { specs, count, opened: 0, per_second, since_ns }
    }

    /// The number still to be opened.
    pub(super) fn left(&self) -> usize {
        self.count - self.opened
    }

    /// The number due now.
    pub(super) fn due(&self, now_ns: u64) -> usize {
        let Some(per_second) = self.per_second else { return self.left() };
        let seconds = now_ns.saturating_sub(self.since_ns) as f64 / 1e9;
        // The first is due at once.
        let by_now = (seconds * per_second) as usize + 1;
        by_now.min(self.count).saturating_sub(self.opened)
    }

    /// Takes the next: returns its spec, all in turn.
    pub(super) fn next(&mut self) -> Rc<ViewerSpec> {
        let spec = &self.specs[self.opened % self.specs.len()];
        self.opened += 1;
        Rc::clone(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::target::{Behaviour, Target};

    #[test]
    fn a_pace_is_kept() {
        let target = Target::parse("http://127.0.0.1/").unwrap();
        let spec = Rc::new(ViewerSpec { target, behaviour: Behaviour::default() });
        let mut batch = PendingBatch::new(vec![spec], 100, Some(50.0), 0);
        assert_eq!(batch.due(0), 1);
        batch.next();
        assert_eq!(batch.due(500_000_000), 25);
        assert_eq!(batch.due(10_000_000_000), 99);
        assert_eq!(PendingBatch { per_second: None, ..batch }.due(0), 99);
    }
}
