//! What the commands wait for and check alike.

use std::time::Duration;

use clap::ValueEnum;
use headcount_testkit::{Error, Goal, Node, Snapshot, Viewers, ViewersError, wait_until};

use crate::{
    interrupt,
    progress::Progress,
    report::{Report, Weight},
};

/// Waits for a goal, for at most this time. Returns whether it is reached, and what the viewers see.
pub(super) fn look(viewers: &Viewers, goal: Goal, within: Duration) -> Result<(bool, Snapshot), ViewersError> {
    match viewers.reach(goal, within) {
        Ok((_, snapshot)) => Ok((true, snapshot)),
        Err(ViewersError::TimedOut { snapshot, .. }) => Ok((false, *snapshot)),
        Err(error) => Err(error),
    }
}

/// Waits with a bar until all viewers have been opened, the time is up or the run is interrupted, and returns what they see.
pub(super) fn wait_until_open(viewers: &Viewers, what: &str, within: Duration) -> Result<Snapshot, ViewersError> {
    let begun = std::time::Instant::now();
    let mut progress = None;
    loop {
        let (all, snapshot) = look(viewers, Goal::Opened, Duration::from_millis(200))?;
        if all || begun.elapsed() >= within || interrupt::requested() {
            return Ok(snapshot);
        }
        let total = snapshot.waiting + snapshot.asking + snapshot.live;
        progress.get_or_insert_with(|| Progress::new(what, total as u64)).at(snapshot.live as u64);
    }
}

/// Waits until a node's JSON shows `number`.
pub(super) fn wait_for_count(node: &Node, counter: &str, number: u64, within: Duration) -> Result<(), Error> {
    wait_until(&format!("{number} in {counter}.json"), within, || match node.reading(counter) {
        Ok(reading) if reading.count == number => Ok(()),
        Ok(reading) => Err(format!("it says {}", reading.count)),
        Err(error) => Err(error.to_string()),
    })
}

/// Records whether every part that viewers read was whole and in order.
pub(super) fn check_parts(report: &mut Report, whose: &str, snapshot: &Snapshot) {
    let what = format!("{whose}: parts whole and in order");
    let measured = match snapshot.complaints.first() {
        Some(complaint) if snapshot.broken > 0 => format!("{} streams broken, first: {complaint}", snapshot.broken),
        _ => format!("{} parts in {} streams, none broken", snapshot.parts, snapshot.first_image.len()),
    };
    report.verdict(Weight::Promise, what, measured, "none broken", snapshot.broken == 0);
}

/// The name of a value as in the options.
pub(super) fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().expect("no value is skipped").get_name().to_owned()
}

/// A time in milliseconds, as text.
pub(super) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// The median; zero if there are no values.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
