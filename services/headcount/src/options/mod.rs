//! The command line, the environment's `HEADCOUNT_…` and the configuration file, in this order of precedence. clap
//! describes each option once and checks its value, wherever it was given; every error is reported at once.
//!
//! `ServeOptions::augment_args` lists all options of `serve` by name: a [`clap::Arg`]'s id is its option's name with
//! underscores.

mod cli;
mod command_line;
mod commands;
mod config_errors;
mod config_file;
mod digests;
mod environment;
#[cfg(test)]
mod example;
mod file_settings;
mod kind;
mod parse;
mod resolve;
mod rules;
mod serve;
mod setting;

use std::ffi::OsString;
use std::process::ExitCode;

pub(crate) use self::cli::Command;
pub(crate) use self::commands::{
    CompletionsOptions, DrawOptions, HealthcheckOptions, ManOptions, ReloadOptions, SignOptions, StatusOptions,
    WatchOptions,
};
pub(crate) use self::digests::OptionDigests;
pub(crate) use self::resolve::{Resolved, described};
use self::resolve::{Unresolved, resolve, selected};
pub(crate) use self::serve::ServeOptions;

/// Exit status for a wrong command line: `EX_USAGE` of BSD's sysexits.h.
const EX_USAGE: u8 = 64;
/// Exit status of `headcount check` if something is wrong.
const CHECK_FAILED: u8 = 1;

/// What a command line results in.
pub(crate) enum Invocation {
    /// A command to run.
    Run(Resolved),
    /// Help, the version or errors have been printed. Exit with this status.
    Answered(ExitCode),
}

/// Reads the process's command line and environment. Prints help, the version or all errors if that is the answer.
pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Invocation {
    let arguments: Vec<OsString> = arguments.collect();
    match resolve(&arguments, &std::env::vars_os().collect()) {
        Ok(resolved) => Invocation::Run(resolved),
        Err(Unresolved::Answered) => Invocation::Answered(ExitCode::SUCCESS),
        Err(Unresolved::Wrong(errors)) => {
            for error in &errors {
                eprintln!("headcount: {error}");
            }
            let checks = selected(&described(), &arguments).is_some_and(|name| name == "check");
            let (verdict, status) = if checks {
                ("a node would not start with this configuration", CHECK_FAILED)
            } else {
                ("nothing was started; see headcount --help", EX_USAGE)
            };
            eprintln!("headcount: {verdict}");
            Invocation::Answered(ExitCode::from(status))
        }
    }
}
