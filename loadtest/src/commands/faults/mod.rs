//! `headcount-load faults`: breaks things in an order that a seed decides, and checks the promise after each.

mod fault;
mod nodes;
mod stores;
mod world;

use std::time::Instant;

use anyhow::bail;
use clap::Args;
use fault::Fault;
use headcount_load::Snapshot;
use rand::{Rng, SeedableRng, rngs::StdRng};
use world::World;

use super::hold::Course;
use crate::{
    interrupt,
    progress::Progress,
    report::{Plot, Report, Table, Weight},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Decides what is broken, in which order, and whom it hits: one seed, or a range as 1..20
    #[arg(long, default_value = "1")]
    seed: Seeds,
    /// Faults for each seed
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Only these faults
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Fault>,
    /// Do all of it so many times
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..))]
    nodes: u16,
    /// Viewers of each node to begin with
    #[arg(long, default_value_t = 100)]
    viewers: usize,
    /// The binary of the nodes, where it is not the one beside this program: to see that a faulty one is caught
    #[arg(long)]
    program: Option<std::path::PathBuf>,
}

/// Seeds from the first to the last.
#[derive(Clone, Copy, Debug)]
struct Seeds {
    first: u64,
    last: u64,
}

impl std::str::FromStr for Seeds {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        Ok(Self { first: first.parse()?, last: last.trim_start_matches('=').parse()? })
    }
}

/// What happened when.
pub(super) struct Timeline {
    begun: Instant,
    events: Vec<(f64, String)>,
    course: Course,
}

impl Timeline {
    fn new() -> Self {
        Self { begun: Instant::now(), events: Vec::new(), course: Course::default() }
    }

    /// Records how all viewers stand now.
    fn sample(&mut self, snapshot: &Snapshot) {
        self.course.at(self.begun.elapsed().as_secs_f64(), snapshot);
    }

    /// The plot of it, with what was broken marked on it.
    fn plot(self, seed: u64) -> Plot {
        let mut plot = self.course.plot();
        for (at, what) in self.events {
            if let Some((_, fault)) = what.strip_prefix("step ").and_then(|step| step.split_once(": ")) {
                plot.mark(at, fault);
            }
        }
        plot.named(&format!("course-{seed}"))
    }

    /// Records that something happened now.
    fn add(&mut self, what: impl Into<String>) {
        self.events.push((self.begun.elapsed().as_secs_f64(), what.into()));
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::new("Faults, and whether the number was right after each");
    let faults = if arguments.only.is_empty() { Fault::possible(&mut report) } else { arguments.only.clone() };
    if faults.is_empty() {
        bail!("no fault is left to inject");
    }
    let seeds = arguments.seed.first..=arguments.seed.last;
    let runs = seeds.clone().count() * arguments.repeat;
    let mut progress = Progress::new("faults", (runs * arguments.steps) as u64);
    let mut held = Table::new("Promises kept", &["seed", "fault", "promise", "bound", "measured"]);
    let mut done = 0;
    'runs: for seed in (0..arguments.repeat).flat_map(|_| seeds.clone()) {
        progress.say(&format!("seed {seed}"));
        let mut timeline = Timeline::new();
        let mut choice = StdRng::seed_from_u64(seed);
        let mut world = None;
        for step in 0..arguments.steps {
            if interrupt::requested() {
                break 'runs;
            }
            // One fault alone is repeated; of several, each seed takes its own choice.
            let fault = faults[choice.random_range(0..faults.len())];
            progress.say(&format!("  {}", fault.name()));
            timeline.add(format!("step {step}: {}", fault.name()));
            let kept = world::for_fault(fault, &mut world, arguments, &mut timeline)
                .and_then(|world: &mut World| fault.inject(world, &mut choice, &mut timeline));
            match kept {
                Ok(kept) => {
                    for promise in kept {
                        held.row(vec![
                            seed.to_string(),
                            fault.name().into(),
                            promise.what,
                            format!("≤ {:.0?}", promise.within),
                            format!("{:.2?}", promise.took),
                        ]);
                    }
                }
                Err(error) => {
                    timeline.add(format!("broken: {error:#}"));
                    let what = format!("seed {seed}, step {step}: {}", fault.name());
                    report.verdict(Weight::Promise, what, format!("{error:#}"), "every promise kept", false);
                    report.table(told(seed, &timeline));
                    report.plot(timeline.plot(seed));
                    break 'runs;
                }
            }
            done += 1;
            progress.at(done);
        }
        report.table(told(seed, &timeline));
        report.plot(timeline.plot(seed));
    }
    drop(progress);
    let due = (runs * arguments.steps) as u64;
    report.verdict(Weight::Promise, "faults survived", done.to_string(), due.to_string(), done == due);
    report.table(held);
    Ok(report)
}

fn told(seed: u64, timeline: &Timeline) -> Table {
    let mut table = Table::new(&format!("Timeline of seed {seed}"), &["s", "what"]);
    for (at, what) in &timeline.events {
        table.row(vec![format!("{at:.2}"), what.clone()]);
    }
    table
}
