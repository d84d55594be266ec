//! The commands of `headcount-load`.

mod checks;
mod churn;
mod counters;
mod engine;
mod faults;
mod history;
mod hold;
mod million;
mod reload;
mod soak;

use std::process::ExitCode;

use clap::Subcommand;
use headcount_testkit::client::worker_handle;

use crate::{peers::BuiltIn, report::Output};

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
    /// Hold ten thousand quiet counters, measure what they cost, and see all of them recover from faults
    Counters(counters::Arguments),
    /// Break things in a random order, and check the promise after each
    Faults(faults::Arguments),
    /// A million viewers on one machine, and one exact number on all nodes
    Million(million::Arguments),
    /// Replace a node's program again and again under its viewers: nobody may notice
    Reload(reload::Arguments),
    /// Ordinary traffic of every shape for a long time, and every number that is shown held against the truth
    Soak(soak::Arguments),
    /// Moves a part of another `headcount-load`'s viewers, by orders on standard input.
    #[command(name = worker_handle::CHILD_COMMAND, hide = true)]
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
            Self::Counters(arguments) => counters::run(&arguments)?.finish(output),
            Self::Faults(arguments) => faults::run(&arguments)?.finish(output),
            Self::Million(arguments) => million::run(&arguments)?.finish(output),
            Self::Reload(arguments) => reload::run(&arguments)?.finish(output),
            Self::Soak(arguments) => soak::run(&arguments)?.finish(output),
            Self::Crowd => Ok(worker_handle::run_child().map(|()| ExitCode::SUCCESS)?),
            Self::Peer { which } => which.run().map(|()| ExitCode::SUCCESS),
        }
    }
}
