//! `headcount`: a live count of who is here, in one `<img>` tag, with no JavaScript.
//!
//! The whole program except `main`: [`run`] reads a command line and runs its command. This file only wires `options` to
//! the subcommands.

mod admin;
mod commands;
mod counter_gauges;
mod counter_json;
mod counters;
mod descriptors;
mod draw_cost;
mod draw_lane;
mod draw_pace;
mod draw_queue;
mod event_frames;
mod feed;
mod feed_driver;
mod feed_frames;
mod feed_pictures;
mod feeds;
#[doc(hidden)]
pub mod fuzzing;
mod history_json;
mod html_document;
mod html_frames;
mod http;
mod key_locks;
mod logging;
mod look_limits;
mod node;
mod node_description;
mod options;
mod past;
mod phase;
mod reload;
mod returning_viewers;
mod sample;
mod serve;
mod sprite_sheets;
mod status_board;
mod status_page;
mod stream_format;
mod systemd;
mod watching_viewers;

use std::ffi::OsString;
use std::process::ExitCode;

use options::{Command, Invocation, Resolved};

/// Runs a command line, which begins with the program's name. Returns the process's exit status.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Resolved { command, warnings } = match options::read(arguments) {
        Invocation::Run(resolved) => resolved,
        Invocation::Answered(exit) => {
            // A reload has checked it, but it may have changed since.
            reload::end_inherited();
            return exit;
        }
    };
    let outcome = match command {
        Command::Serve(options) => serve::run(*options, &warnings),
        Command::Check(options) => commands::check::run(&options, &warnings),
        Command::Reload(options) => commands::reload::run(&options),
        Command::Draw(options) => commands::draw::run(&options),
        Command::Watch(options) => commands::watch::run(&options),
        Command::Sign(options) => commands::sign::run(&options),
        Command::Status(options) => commands::status::run(&options),
        Command::Healthcheck(options) => commands::healthcheck::run(&options),
        Command::Completions(options) => commands::completions::run(&options),
        Command::Man(options) => commands::man::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headcount: {error:#}");
            reload::end_inherited();
            ExitCode::FAILURE
        }
    }
}
