//! [`Phase`]: one node, its viewers, and one reload after another.

use std::time::{Duration, Instant};

use headcount_testkit::{Goal, Latencies, Snapshot};

use super::{
    crowd::{Crowd, Traffic},
    node::{Holdings, ReloadedNode, Store},
};
use crate::{
    commands::checks::{check_parts, look, millis},
    interrupt,
    progress::Progress,
    report::{Plot, Report, Table, Weight},
};

/// What is promised for the last viewer's next frame.
const PROMISED: Duration = Duration::from_secs(1);
/// Time to wait for it all the same.
const PATIENCE: Duration = Duration::from_secs(20);
/// How far the memory may differ after the last reload from that after the first: caches and the allocator's pages.
const MEMORY_MARGIN: f64 = 0.25;

/// One node, its viewers, and one reload after another.
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) viewers: usize,
    pub(super) reloads: usize,
}

/// What the reloads of a phase have shown.
#[derive(Default)]
struct Seen {
    next_frame: Latencies,
    pause: Latencies,
    /// Numbers that were not true.
    untrue: Vec<String>,
}

impl Phase {
    pub(super) fn run(&self, store: Store, traffic: Traffic, report: &mut Report) -> anyhow::Result<()> {
        let node = ReloadedNode::start(store)?;
        let mut crowd = Crowd::open(self.viewers, &node.node, node.other.as_ref(), traffic)?;
        let mut seen = Seen::default();
        let mut after_first: Option<Holdings> = None;
        let mut done = 0;
        let mut progress = Progress::new(format!("reloads {}", self.name), self.reloads as u64);
        while done < self.reloads && !interrupt::requested() {
            self.reload(&node, &crowd, done as u64 + 1, &mut seen)?;
            done += 1;
            progress.at(done as u64);
            if after_first.is_none() {
                after_first = Some(node.holdings()?);
            }
        }
        drop(progress);
        let changed = crowd.settle()?;
        if let Some(stalled) = &crowd.stalled {
            stalled.resume()?;
        }
        let exact = crowd.all_see_the_truth();
        let measured = exact.as_ref().map_or_else(ToString::to_string, |()| "exact".into());
        report.verdict(Weight::Promise, self.of("the number in the end"), measured, "exact", exact.is_ok());
        self.tell(report, &crowd, changed, &seen, done)?;
        if let Some(first) = after_first {
            self.compare(report, first, node.holdings()?, traffic);
        }
        Ok(())
    }

    /// Replaces the program once.
    fn reload(&self, node: &ReloadedNode, crowd: &Crowd, number: u64, seen: &mut Seen) -> anyhow::Result<()> {
        node.install()?;
        for viewers in crowd.reading() {
            viewers.forget_extremes()?;
        }
        let before = crowd.staying.snapshot()?;
        let signalled = Instant::now();
        node.signal()?;
        // With changes on the way this is reached earlier; then the pause says how long nobody was sent anything.
        look(&crowd.staying, Goal::Parts(before.parts + before.live as u64), PATIENCE)?;
        let next_frame = signalled.elapsed();
        node.has_reloaded("done", number)?;
        seen.next_frame.record(next_frame);
        seen.pause.record(node.pause()?);
        for viewers in crowd.reading() {
            let shown = viewers.snapshot()?;
            let (low, high) = crowd.bounds(signalled, Instant::now());
            if let (Some(lowest), Some(highest)) = (shown.lowest, shown.highest)
                && (lowest < low || highest > high)
            {
                seen.untrue.push(format!("{lowest} to {highest}, where {low} to {high} were true"));
            }
        }
        Ok(())
    }

    fn tell(
        &self,
        report: &mut Report,
        crowd: &Crowd,
        changed: Option<Snapshot>,
        seen: &Seen,
        reloads: usize,
    ) -> anyhow::Result<()> {
        let mut all = changed.unwrap_or_default();
        for viewers in crowd.reading().chain(crowd.stalled.as_ref()) {
            all.merge(viewers.snapshot()?);
        }
        report.verdict(
            Weight::Promise,
            self.of("streams that ended"),
            all.lost().to_string(),
            format!("0 in {reloads} reloads"),
            all.lost() == 0 && reloads > 0,
        );
        check_parts(report, &self.of("all viewers"), &all);
        let measured =
            seen.untrue.first().map_or_else(|| "none".into(), |first| format!("{}: {first}", seen.untrue.len()));
        let what = self.of("numbers that were not true within the last second");
        report.verdict(Weight::Promise, what, measured, "none", seen.untrue.is_empty());
        let longest = seen.next_frame.max();
        let what = self.of("the last viewer's next frame after the signal");
        report.verdict(Weight::Promise, what, millis(longest), "≤ 1 s", longest <= PROMISED);

        let mut table = Table::new(&self.of("Reloads"), &["", "shortest", "p50", "p90", "longest"]);
        for (what, times) in [("from the signal to the last next frame", &seen.next_frame), ("pause", &seen.pause)] {
            let figures = [times.min(), times.quantile(0.5), times.quantile(0.9), times.max()];
            table.row([what.to_owned()].into_iter().chain(figures.map(millis)).collect());
        }
        report.table(table);
        let name = format!("reload-{}", self.name.replace(' ', "-"));
        let mut plot = Plot::new(&name, &self.of("Reloads"), "ms", "%");
        plot.distribution("signal to the last next frame", &seen.next_frame);
        plot.distribution("pause", &seen.pause);
        report.plot(plot);
        Ok(())
    }

    /// Holds what the process uses in the end against what it used after the first reload.
    /// While others come and go, the number of their connections may differ.
    fn compare(&self, report: &mut Report, first: Holdings, last: Holdings, traffic: Traffic) {
        let may_differ = if traffic == Traffic::None { 0 } else { super::crowd::OTHERS };
        let kept = last.pss_bytes as f64 <= first.pss_bytes as f64 * (1.0 + MEMORY_MARGIN)
            && last.descriptors <= first.descriptors + may_differ
            && last.threads <= first.threads;
        let text = |holdings: Holdings| {
            let Holdings { pss_bytes, descriptors, threads } = holdings;
            format!("{:.1} MB, {descriptors} descriptors, {threads} threads", pss_bytes as f64 / 1e6)
        };
        report.verdict(
            Weight::Promise,
            self.of("what the process holds"),
            text(last),
            format!("as after the first: {}", text(first)),
            kept,
        );
    }

    fn of(&self, what: &str) -> String {
        format!("{}: {what}", self.name)
    }
}
