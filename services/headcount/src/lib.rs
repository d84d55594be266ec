//! `headcount`: a live count of who is here, in one `<img>` tag, with no JavaScript.
//!
//! The whole program, apart from its `main`: [`run`] reads a command line and does what it says. This file only wires: the
//! command line goes to `options`, each subcommand to its module.

mod admin;
mod commands;
mod counters;
mod descriptors;
mod draw_queue;
mod feeds;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod logging;
mod options;
mod phase;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use options::{Command, Invocation};

/// Does what a command line says, the program's name first, and gives the process's exit status.
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
