//! [`History`]: the number and the open connections over time.

use headcount_testkit::Snapshot;

use crate::report::Plot;

/// Numbers and connections over time.
#[derive(Default)]
pub(super) struct History {
    live: Vec<(f64, f64)>,
    lowest: Vec<(f64, f64)>,
    highest: Vec<(f64, f64)>,
    marks: Vec<(f64, String)>,
}

impl History {
    /// Records the state of viewers at a time, in seconds.
    pub(super) fn at(&mut self, seconds: f64, snapshot: &Snapshot) {
        self.live.push((seconds, snapshot.live as f64));
        if let (Some((low, _)), Some((high, _))) =
            (snapshot.showing.first_key_value(), snapshot.showing.last_key_value())
        {
            self.lowest.push((seconds, *low as f64));
            self.highest.push((seconds, *high as f64));
        }
    }

    /// Marks an event at a time, in seconds.
    pub(super) fn mark(&mut self, seconds: f64, what: impl Into<String>) {
        self.marks.push((seconds, what.into()));
    }

    /// The plot of it.
    pub(super) fn plot(self) -> Plot {
        let mut plot = Plot::new("course", "The number and the open connections", "s", "viewers");
        plot.line("open connections", self.live);
        plot.line("lowest number shown", self.lowest);
        plot.line("highest number shown", self.highest);
        for (seconds, what) in self.marks {
            plot.mark(seconds, what);
        }
        plot
    }
}
