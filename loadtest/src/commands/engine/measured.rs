//! [`Measured`]: the figures of one server.

use std::{thread, time::Duration};

use headcount_testkit::{Latencies, Snapshot, Viewers, clock::now_ns};

use super::subject::{PATIENCE, Subject};

/// The figures of one turn, or of all turns of a server.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) memory_bytes: Vec<f64>,
    pub(super) cpu_micros: Vec<f64>,
    pub(super) opens_per_second: Vec<f64>,
    pub(super) frame_bytes: f64,
    /// For each push: milliseconds until the first, from there to the median, the 99th of a hundred, and the last.
    pub(super) first: Vec<f64>,
    pub(super) middle: Vec<f64>,
    pub(super) p99: Vec<f64>,
    pub(super) last: Vec<f64>,
    pub(super) all: Latencies,
    pub(super) snapshot: Snapshot,
}

impl Measured {
    /// Adds a push's times.
    pub(super) fn pushed(&mut self, marked: &Latencies) {
        let first = marked.min();
        let after = |time: Duration| (time.saturating_sub(first)).as_secs_f64() * 1e3;
        self.first.push(first.as_secs_f64() * 1e3);
        self.middle.push(after(marked.quantile(0.5)));
        self.p99.push(after(marked.quantile(0.99)));
        self.last.push(after(marked.max()));
        for (micros, count) in marked.points() {
            self.all.record_n(Duration::from_micros(micros).saturating_sub(first), count);
        }
    }
}

/// Makes a push after a pause that is well above the time that a server takes for one, and records when each viewer has it.
pub(super) fn push_at_leisure(subject: &mut Subject, viewers: &Viewers, measured: &mut Measured) -> anyhow::Result<()> {
    thread::sleep(subject.pause());
    let due = subject.numbers().1;
    viewers.mark(due, now_ns())?;
    subject.push()?;
    viewers.all_see(due, PATIENCE)?;
    measured.pushed(&viewers.snapshot()?.marked);
    Ok(())
}
