//! Runs the schedules of all seeds, and reports the promises that were kept.

use std::time::Duration;

use anyhow::{Context, bail};

use super::{
    arguments::Arguments,
    fault::Fault,
    inject::inject,
    kept::KeptPromises,
    schedule::{self, Step},
    setup::Setup,
    timeline::Timeline,
};
use crate::{
    interrupt,
    progress::Progress,
    report::{Report, Weight},
};

/// After the last fault of a seed the number stays right for this time: a node's whole heartbeat and what follows it.
const AFTERMATH: Duration = Duration::from_secs(6);

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::new("Faults, and whether the number was right after each");
    let runs = arguments.seed.clone().count() * arguments.repeat;
    let mut progress = Progress::new("faults", (runs * arguments.steps) as u64);
    let mut held = KeptPromises::default();
    let mut done = 0;
    for seed in (0..arguments.repeat).flat_map(|_| arguments.seed.clone()) {
        progress.say(&format!("seed {seed}"));
        let mut timeline = Timeline::new();
        let schedule = schedule::of_seed(seed, arguments.steps, &arguments.only);
        let mut on_step = |fault: Fault| {
            done += 1;
            progress.at(done);
            progress.say(&format!("  {}: held", fault.name()));
        };
        let outcome = run_seed(schedule, arguments, &mut timeline, &mut held, &mut on_step);
        if let Err(error) = &outcome {
            timeline.add(format!("broken: {error:#}"));
            let what = format!("seed {seed}");
            report.verdict(Weight::Promise, what, format!("{error:#}"), "every promise kept", false);
        }
        if outcome.is_err() || runs == 1 {
            report.table(timeline.table(seed));
        }
        report.plot(timeline.plot(seed));
        if outcome.is_err() || interrupt::requested() {
            break;
        }
    }
    drop(progress);
    let due = (runs * arguments.steps) as u64;
    if due == 0 {
        bail!("there is nothing to break: no seeds or no steps");
    }
    report.verdict(Weight::Promise, "faults survived", done.to_string(), due.to_string(), done == due);
    report.table(held.table());
    Ok(report)
}

/// Injects the faults of a schedule, and checks what is promised after each.
fn run_seed(
    schedule: Vec<Step>,
    arguments: &Arguments,
    timeline: &mut Timeline,
    held: &mut KeptPromises,
    mut on_step: impl FnMut(Fault),
) -> anyhow::Result<()> {
    let mut setup = None;
    for (index, Step { fault, mut choice }) in schedule.into_iter().enumerate() {
        if interrupt::requested() {
            return Ok(());
        }
        timeline.breaks(index, &fault.name());
        let setup = Setup::for_fault(fault, &mut setup, arguments, timeline)?;
        setup.sample(timeline)?;
        let kept =
            inject(fault, setup, &mut choice, timeline).with_context(|| format!("step {index}, {}", fault.name()))?;
        held.add(fault, kept);
        on_step(fault);
    }
    match &setup {
        Some(setup) if !interrupt::requested() => setup.stays_exact(AFTERMATH, timeline).context("in the end"),
        _ => Ok(()),
    }
}
