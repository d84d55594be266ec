//! `headcount-load`: opens real viewers, injects faults, and checks whether the number was right.

mod commands;
mod interrupt;
mod peers;
mod progress;
mod report;

use std::process::ExitCode;

use clap::Parser;

/// Opens real viewers, breaks things, and says whether the number was right, how fast, and at what cost.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: commands::Command,
    #[command(flatten)]
    output: report::Output,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome =
        interrupt::listen().map_err(anyhow::Error::from).and_then(|()| arguments.command.run(&arguments.output));
    outcome.unwrap_or_else(|error| {
        eprintln!("headcount-load: {error:#}");
        ExitCode::FAILURE
    })
}
