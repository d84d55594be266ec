//! What `headcount-load` can be told to do.

mod churn;
mod engine;
mod engine_checks;
mod faults;
mod hold;
mod million;

use std::{process::ExitCode, time::Duration};

use clap::Subcommand;
use headcount_testkit::{
    Goal, Snapshot, Viewers, ViewersError,
    client::link,
    rig::{Node, RigError, wait_until},
};

use crate::{
    interrupt,
    peers::BuiltIn,
    progress::Progress,
    report::{Output, Report, Weight},
};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compare a node with other servers of streams, in the same run: memory, processor time, and delay for each viewer
    #[command(visible_alias = "peers")]
    Engine(engine::Arguments),
    /// Open viewers, hold them, and check every part that they get
    Hold(hold::Arguments),
    /// Let viewers come and go, and measure how long it takes until everybody's number includes it
    Churn(churn::Arguments),
    /// Break things in a random order, and check the promise after each
    Faults(faults::Arguments),
    /// A million viewers on one machine, and one exact number on all nodes
    Million(million::Arguments),
    /// Moves a part of another `headcount-load`'s viewers, by orders on standard input.
    #[command(name = link::CHILD_COMMAND, hide = true)]
    Crowd,
    /// Runs one of the servers that the engine is compared with.
    #[command(hide = true)]
    Peer {
        #[command(subcommand)]
        which: BuiltIn,
    },
}

impl Command {
    /// Does it, and reports.
    pub(crate) fn run(self, output: &Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Engine(arguments) => engine::run(&arguments)?.finish(output),
            Self::Hold(arguments) => hold::run(&arguments)?.finish(output),
            Self::Churn(arguments) => churn::run(&arguments)?.finish(output),
            Self::Faults(arguments) => faults::run(&arguments)?.finish(output),
            Self::Million(arguments) => million::run(&arguments)?.finish(output),
            Self::Crowd => Ok(link::run_child().map(|()| ExitCode::SUCCESS)?),
            Self::Peer { which } => which.run().map(|()| ExitCode::SUCCESS),
        }
    }
}

/// Waits until all viewers have been opened, with a bar.
fn opened(viewers: &Viewers, what: &str, within: Duration) -> Result<Snapshot, ViewersError> {
    let begun = std::time::Instant::now();
    let mut progress = None;
    loop {
        let snapshot = match viewers.reach(Goal::Opened, Duration::from_millis(200)) {
            Ok((_, snapshot)) => return Ok(snapshot),
            Err(ViewersError::TimedOut { snapshot, .. }) if begun.elapsed() < within && !interrupt::requested() => {
                snapshot
            }
            Err(error) => return Err(error),
        };
        let total = snapshot.waiting + snapshot.asking + snapshot.live;
        progress.get_or_insert_with(|| Progress::new(what, total as u64)).at(snapshot.live as u64);
    }
}

/// Waits until a node says that a counter stands at `number`.
fn settled(node: &Node, counter: &str, number: u64, within: Duration) -> Result<(), RigError> {
    wait_until(&format!("{number} in {counter}.json"), within, || match node.reading(counter) {
        Ok(reading) if reading.count == number => Ok(()),
        Ok(reading) => Err(format!("it says {}", reading.count)),
        Err(error) => Err(error.to_string()),
    })
}

/// Records whether every part that viewers read was whole and in order.
fn judge_parts(report: &mut Report, whose: &str, snapshot: &Snapshot) {
    let what = format!("{whose}: parts whole and in order");
    let measured = match snapshot.complaints.first() {
        Some(complaint) if snapshot.broken > 0 => format!("{} streams broken, first: {complaint}", snapshot.broken),
        _ => format!("{} parts in {} streams, none broken", snapshot.parts, snapshot.first_image.len()),
    };
    report.verdict(Weight::Promise, what, measured, "none broken", snapshot.broken == 0);
}

/// A time in milliseconds, in words.
fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// The middle one; zero where there is none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
