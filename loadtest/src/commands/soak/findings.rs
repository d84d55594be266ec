//! Holds every number that was shown against the truth, and reports those that were not true.

use clap::ValueEnum;

use super::{
    super::checks::name_of,
    disturbance::Kind,
    observer::{Shown, Source},
    traffic::Shape,
    truth::{Bounds, Measure, Point, bounds},
};
use crate::report::{Plot, Report, Table, Weight};

/// A number must have been true at some moment of this time before. The time of a push is part of what is true.
const WINDOW: f64 = 1.0;

/// Wrong numbers of the same kind that are no further apart are one finding.
const SAME: f64 = 2.0;

/// Findings in the table.
const LISTED: usize = 30;

/// Before and after a finding, for its course.
const AROUND: f64 = 2.0;

/// A time in which nodes did not hear of each other, until it has healed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disturbed {
    pub(super) kind: Kind,
    pub(super) begin: f64,
    pub(super) end: f64,
}

/// A number that was shown and was not true.
#[derive(Clone, Debug)]
struct Finding {
    counter: usize,
    measure: Measure,
    from: f64,
    until: f64,
    number: u64,
    allowed: Bounds,
    /// How often.
    times: usize,
}

impl Finding {
    fn is_too_high(&self) -> bool {
        self.number > self.allowed.high
    }

    fn what(&self) -> &'static str {
        match (self.is_too_high(), self.measure) {
            (true, Measure::Viewers) => "too many: a lost leave, or a ghost",
            (true, Measure::Visitors) => "too many visitors: a ghost",
            (false, Measure::Viewers) => "too few: a dip, or a lost join",
            (false, Measure::Visitors) => "too few visitors",
        }
    }

    fn follows(&self, other: &Self) -> bool {
        let key = |finding: &Self| (finding.counter, finding.measure, finding.is_too_high());
        key(self) == key(other) && self.from <= other.until + SAME
    }
}

/// The numbers of all observers against the truth of their counters.
pub(super) fn report(
    report: &mut Report,
    truths: &[Vec<Point>],
    seen: &[(usize, Source, Vec<Shown>)],
    disturbed: &[Disturbed],
) {
    let mut findings: Vec<Finding> = Vec::new();
    let mut table = Table::new("What was shown", &["counter", "changes", "most viewers", "numbers", "wrong"]);
    let mut numbers = 0;
    for (counter, truth) in truths.iter().enumerate() {
        let shown = seen.iter().filter(|(its, ..)| *its == counter).flat_map(|(.., shown)| shown);
        let mut wrong: Vec<Finding> =
            shown.clone().filter_map(|&shown| check(counter, truth, shown, disturbed)).collect();
        let most = truth.iter().map(|point| point.bounds(Measure::Viewers).high).max().unwrap_or(0);
        let (checked, found) = (shown.count(), wrong.len());
        numbers += checked;
        let name = Shape::value_variants()[counter].name();
        table.row([name, truth.len().to_string(), most.to_string(), checked.to_string(), found.to_string()].into());
        wrong.sort_by(|one, other| one.from.total_cmp(&other.from));
        let first = findings.len();
        for one in wrong {
            match findings[first..].iter_mut().rev().find(|before| one.follows(before)) {
                Some(before) => {
                    before.until = before.until.max(one.until);
                    before.times += 1;
                }
                None => findings.push(one),
            }
        }
    }
    findings.sort_by(|one, other| one.from.total_cmp(&other.from));
    report.table(table);
    if !findings.is_empty() {
        report.table(list(&findings, truths, seen));
    }
    report.fact("numbers", numbers);
    report.fact("findings", findings.len());
    let what = "every number shown was true within the last second";
    let measured = format!("{numbers} numbers, {} findings", findings.len());
    report.verdict(Weight::Promise, what, measured, "no finding", numbers > 0 && findings.is_empty());
    // Of the counter with the first finding; or of one with ordinary traffic.
    let counter = findings.first().map_or_else(
        || Shape::value_variants().iter().position(|shape| *shape == Shape::Ordinary).unwrap_or(0),
        |finding| finding.counter,
    );
    report.plot(plot(counter, &truths[counter], seen, &findings, disturbed));
}

/// The moment from which on a number shown at `at` may have been true.
fn since(at: f64, disturbed: &[Disturbed]) -> f64 {
    disturbed.iter().rev().fold(at - WINDOW, |from, one| {
        let overlaps = one.end > one.begin && from < one.end && one.begin < at;
        if overlaps { from.min(one.begin - WINDOW) } else { from }
    })
}

/// Finds the first moment at which a number that was shown was not true.
fn check(counter: usize, truth: &[Point], shown: Shown, disturbed: &[Disturbed]) -> Option<Finding> {
    let Shown { from, until, number, measure } = shown;
    // A number that is true when it comes can become wrong only when its last true moment is too long ago.
    let first = truth.partition_point(|point| point.at + WINDOW <= from);
    let changes = truth[first..].iter().map(|point| point.at + WINDOW);
    let healed = disturbed.iter().map(|one| one.end + WINDOW);
    let moments = [from].into_iter().chain(changes.take_while(|&at| at < until));
    let mut moments: Vec<f64> = moments.chain(healed.filter(|&at| from < at && at < until)).collect();
    moments.sort_by(f64::total_cmp);
    moments.into_iter().find_map(|at| {
        let allowed = bounds(truth, since(at, disturbed), at, measure);
        let is_true = (allowed.low..=allowed.high).contains(&number);
        (!is_true).then_some(Finding { counter, measure, from: at, until, number, allowed, times: 1 })
    })
}

fn list(findings: &[Finding], truths: &[Vec<Point>], seen: &[(usize, Source, Vec<Shown>)]) -> Table {
    let columns = ["s", "until", "counter", "what", "shown", "true", "times", "course"];
    let mut table = Table::new("Numbers that were not true", &columns);
    for finding in findings.iter().take(LISTED) {
        let Finding { counter, measure, from, until, number, allowed, times } = *finding;
        let truth = truths[counter].iter().filter(|point| (from - AROUND..from).contains(&point.at));
        let truth: Vec<String> = truth.map(|point| point.bounds(measure).high.to_string()).collect();
        let mut shown: Vec<(f64, u64)> = seen
            .iter()
            .filter(|(its, ..)| *its == counter)
            .flat_map(|(.., shown)| shown)
            .filter(|shown| shown.measure == measure && (from - AROUND..from + AROUND).contains(&shown.from))
            .map(|shown| (shown.from, shown.number))
            .collect();
        shown.sort_by(|one, other| one.0.total_cmp(&other.0));
        shown.dedup_by_key(|shown| shown.1);
        let shown: Vec<String> = shown.iter().take(20).map(|(at, number)| format!("{number} at {at:.2}")).collect();
        let tail = truth[truth.len().saturating_sub(8)..].join(" ");
        table.row(vec![
            format!("{from:.2}"),
            format!("{until:.2}"),
            Shape::value_variants()[counter].name(),
            finding.what().into(),
            number.to_string(),
            format!("{} to {}", allowed.low, allowed.high),
            times.to_string(),
            format!("true: {tail}; shown: {}", shown.join(", ")),
        ]);
    }
    table
}

fn plot(
    counter: usize,
    truth: &[Point],
    seen: &[(usize, Source, Vec<Shown>)],
    findings: &[Finding],
    disturbed: &[Disturbed],
) -> Plot {
    let title = format!("Counter {}: what was true, and what was shown", Shape::value_variants()[counter].name());
    let mut plot = Plot::new("course", &title, "s", "");
    for (measure, name) in [(Measure::Viewers, "viewers"), (Measure::Visitors, "visitors")] {
        let steps = truth.iter().map(|point| (point.at, point.bounds(measure).high as f64));
        plot.line(name, steps.collect());
        // Of one observer: another may be a little behind.
        let its = |source: &Source| *source == Source::Stream(measure);
        let one = seen.iter().find(|(of, source, _)| *of == counter && its(source));
        let shown = one.into_iter().flat_map(|(.., shown)| shown);
        let points = shown.flat_map(|shown| [shown.from, shown.until].map(|at| (at, shown.number as f64)));
        plot.line(&format!("{name} shown"), points.collect());
    }
    for one in disturbed {
        plot.mark(one.begin, name_of(&one.kind));
    }
    for finding in findings.iter().filter(|finding| finding.counter == counter).take(LISTED) {
        plot.mark(finding.from, "wrong");
    }
    plot
}
