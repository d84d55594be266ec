//! `headcount completions SHELL`: prints what a shell needs to complete commands and options.

use std::io::Write;

use anyhow::Context;
use clap::Command;

use crate::options::{self, CompletionsOptions};

/// Prints the completions.
///
/// # Errors
/// Fails if standard output cannot be written to.
pub(crate) fn run(options: &CompletionsOptions) -> anyhow::Result<()> {
    let mut command = visible(&options::described());
    let name = command.get_name().to_owned();
    // The generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, name, &mut script);
    std::io::stdout().write_all(&script).context("cannot write to standard output")
}

/// Returns what of a command its completions show: all but hidden options, which the generator would offer too.
fn visible(command: &Command) -> Command {
    let version = command.get_version().map(str::to_owned);
    let about = command.get_about().cloned();
    let shown =
        Command::new(command.get_name().to_owned()).args(command.get_arguments().filter(|arg| !arg.is_hide_set()));
    let shown = shown.subcommands(command.get_subcommands().map(visible));
    let shown = version.into_iter().fold(shown, Command::version);
    about.into_iter().fold(shown, Command::about)
}
