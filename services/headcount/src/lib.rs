//! `headcount`: a live count of who is here, in one `<img>` tag, with no JavaScript.
//!
//! The whole program except `main`: [`run`] reads a command line and runs its command. This file only wires `options` to
//! the subcommands.

mod admin;
mod commands;
mod counters;
mod descriptors;
mod draw_cost;
mod draw_lane;
mod draw_pace;
mod draw_queue;
mod feeds;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod logging;
mod look_limits;
mod options;
mod phase;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use options::{Command, Invocation};

/// Runs a command line, which begins with the program's name. Returns the process's exit status.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let command = match options::read(arguments) {
        Invocation::Run(command) => command,
        Invocation::Answered(exit) => return exit,
    };
    let outcome = match command {
        Command::Serve(options) => serve::run(*options),
        Command::Draw(options) => commands::draw::run(&options),
        Command::Watch(options) => commands::watch::run(&options),
        Command::Sign(options) => commands::sign::run(&options),
        Command::Status(options) => commands::status::run(&options),
        Command::Healthcheck(options) => commands::healthcheck::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headcount: {error:#}");
            ExitCode::FAILURE
        }
    }
}
