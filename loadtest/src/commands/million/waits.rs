//! Waits for a million viewers: for one number everywhere, for its staying, for the end of some streams.

use std::time::{Duration, Instant};

use headcount_testkit::{Goal, Snapshot, ViewersError};

use super::{
    super::checks::{look, wait_for_count},
    run::{COUNTER, Run},
};
use crate::{
    interrupt,
    progress::Progress,
    report::{Report, Weight},
};

/// Time for one exact number everywhere: a push to a million takes ten seconds and more of two cores, and at their frame rate
/// nodes may wait for twenty before it. Six such waits and the opening stay within 25 minutes.
pub(super) const EXACT: Duration = Duration::from_secs(90);

/// The number stays right for this time while no viewer comes or goes. By then the nodes may push the next changes at once.
const HOLDS: Duration = Duration::from_secs(60);

/// Checks that all viewers and all nodes' JSON show this number.
pub(super) fn exact(run: &mut Run, report: &mut Report, what: &str, number: u64) -> anyhow::Result<()> {
    let seen = all_see(run, number);
    let mut wrong = Vec::new();
    for (index, node) in run.nodes.iter().enumerate() {
        if let Err(error) = wait_for_count(node, COUNTER, number, Duration::from_secs(5)) {
            wrong.push(format!("node {index}: {error}"));
        }
    }
    let measured = match (&seen, wrong.first()) {
        (Ok(took), None) => format!("on all viewers and {} nodes after {:.1} s", run.nodes.len(), took.as_secs_f64()),
        (Err(error), _) => error.to_string(),
        (_, Some(wrong)) => wrong.clone(),
    };
    let bound = format!("{number} everywhere");
    report.verdict(Weight::Promise, format!("exact: {what}"), measured, bound, seen.is_ok() && wrong.is_empty());
    Ok(())
}

/// Waits until all viewers see this number or the run is interrupted, with a bar, and returns how long it took.
fn all_see(run: &mut Run, number: u64) -> Result<Duration, ViewersError> {
    let begun = Instant::now();
    let mut progress = None;
    loop {
        let before = begun.elapsed();
        match run.viewers.reach(Goal::Number(number), Duration::from_secs(2)) {
            Ok((took, snapshot)) => {
                run.record(&snapshot);
                return Ok(before + took);
            }
            Err(ViewersError::TimedOut { snapshot, .. }) if begun.elapsed() < EXACT && !interrupt::requested() => {
                run.record(&snapshot);
                let live = snapshot.live as u64;
                let right = snapshot.showing.get(&number).copied().unwrap_or(0);
                let what = || Progress::new(format!("viewers that see {number}"), live);
                progress.get_or_insert_with(what).at(right as u64);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Checks that no viewer sees another number for a while.
pub(super) fn holds(run: &mut Run, report: &mut Report, number: u64) -> anyhow::Result<()> {
    run.viewers.forget_extremes()?;
    let begun = Instant::now();
    let mut progress = Progress::new("holding them, in seconds", HOLDS.as_secs());
    while begun.elapsed() < HOLDS && !interrupt::requested() {
        progress.at(begun.elapsed().as_secs());
        // Waits for a second, or until no viewer is left.
        only(run, 0, Duration::from_secs(1))?;
    }
    let held = begun.elapsed();
    drop(progress);
    let snapshot = run.viewers.snapshot()?;
    let seen = (snapshot.lowest, snapshot.highest);
    let measured = match seen {
        (Some(low), Some(high)) => {
            format!("{} live saw {low} to {high} for {:.0} s", snapshot.live, held.as_secs_f64())
        }
        _ => snapshot.to_string(),
    };
    let held = seen == (Some(number), Some(number)) && snapshot.live as u64 == number;
    report.verdict(Weight::Promise, "nobody leaves, and the number stays", measured, format!("{number} alone"), held);
    Ok(())
}

/// Waits until at most this many viewers are live.
pub(super) fn only(run: &mut Run, live: usize, within: Duration) -> Result<Snapshot, ViewersError> {
    let begun = Instant::now();
    loop {
        let (none, snapshot) = look(&run.viewers, Goal::AtMostLive(0), Duration::from_millis(500))?;
        run.record(&snapshot);
        if none || snapshot.live <= live || begun.elapsed() > within {
            return Ok(snapshot);
        }
    }
}
