//! The command line and the environment's `HEADCOUNT_…`. clap parses and checks them; every error is reported at once.
//!
//! `ServeOptions::augment_args` lists all options of `serve` by name: a [`clap::Arg`]'s id is its option's name with
//! underscores.

mod commands;
mod config_errors;
mod parse;
mod serve;

use std::error::Error as _;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use self::commands::{DrawOptions, HealthcheckOptions, SignOptions, StatusOptions, WatchOptions};
use self::config_errors::ConfigErrors;
use self::parse::CounterRule;
pub(crate) use self::serve::ServeOptions;

/// What a command line results in.
pub(crate) enum Invocation {
    /// A command to run.
    Run(Command),
    /// Help, the version or errors have been printed. Exit with this status.
    Answered(ExitCode),
}

/// A live count of who is here, in one <img> tag, with no JavaScript.
///
/// With no subcommand it serves: `headcount` alone listens on port 8080 and keeps the count in its own process.
/// Open the URL that it prints. With --redis URL any number of nodes share one count.
#[derive(Parser)]
#[command(name = "headcount", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeOptions,
}

/// A subcommand with its options.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a stream node (the default without a subcommand)
    Serve(Box<ServeOptions>),
    /// Draw one picture into a file, in the same looks as over HTTP
    Draw(DrawOptions),
    /// Follow a stream in the terminal: its numbers, times, frames and bytes
    Watch(WatchOptions),
    /// Print the signed names of counters (for serve --counters signed)
    Sign(SignOptions),
    /// Show the nodes, leases, counters and counts that Redis holds
    Status(StatusOptions),
    /// Exit 0 if a node's admin port says that the node is alive, 1 if not (for containers without curl)
    Healthcheck(HealthcheckOptions),
}

/// Reads a command line and the environment. Prints help, the version or all errors if that is the answer.
pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Invocation {
    let mut arguments: Vec<OsString> = arguments.collect();
    let mut errors = ConfigErrors::default();
    // clap stops at its first error. Each error is recorded and its argument ignored, and all others are parsed again.
    let mut ignored = Vec::new();
    let matches = loop {
        let error = match command(&arguments, &ignored).try_get_matches_from(&arguments) {
            Ok(matches) => break matches,
            Err(error) => error,
        };
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.as_str(),
            _ => "",
        };
        let name = bare_name(context(ContextKind::InvalidArg));
        match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                // A closed pipe is no reason to fail.
                let _ = error.print();
                return Invocation::Answered(ExitCode::SUCCESS);
            }
            ErrorKind::ValueValidation => {
                let value = context(ContextKind::InvalidValue);
                let shown = if is_secret(&name) { "…" } else { value };
                errors.add(&name, shown, error.source().map(ToString::to_string).unwrap_or_default());
                if !name.starts_with('-') {
                    remove(&mut arguments, |argument| argument == value);
                }
                ignored.push(name);
            }
            ErrorKind::UnknownArgument => {
                errors.add_clap_error(&error);
                if !remove(&mut arguments, |argument| argument.split('=').next() == Some(&name) || argument == name) {
                    return Invocation::Answered(errors.report());
                }
            }
            _ => {
                errors.add_clap_error(&error);
                return Invocation::Answered(errors.report());
            }
        }
    };
    check_sign_key(&matches, &mut errors);
    if !errors.is_empty() {
        return Invocation::Answered(errors.report());
    }
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => Invocation::Run(cli.command.unwrap_or_else(|| Command::Serve(Box::new(cli.serve)))),
        Err(error) => {
            errors.add_clap_error(&error);
            Invocation::Answered(errors.report())
        }
    }
}

/// Returns clap's command for these arguments, in which `ignored` options take any value and `ignored` positional
/// arguments may be absent.
fn command(arguments: &[OsString], ignored: &[String]) -> clap::Command {
    let ignore = |arg: Arg| match name(&arg) {
        name if !ignored.contains(&name) => arg,
        name if name.starts_with('-') => arg.value_parser(clap::value_parser!(OsString)),
        _ => arg.required(false),
    };
    let variable = |arg: Arg| {
        let name = format!("HEADCOUNT_{}", arg.get_id().as_str().to_uppercase());
        // An empty default stands for an absent option.
        let is_absent = arg.get_default_values() == [""];
        arg.env(name).hide_default_value(is_absent)
    };
    let command = Cli::command()
        .mut_subcommand("serve", |serve| serve.mut_args(variable))
        .mut_args(ignore)
        .mut_subcommands(|subcommand| subcommand.mut_args(ignore));
    let first = arguments.get(1).and_then(|argument| argument.to_str()).unwrap_or_default();
    // Variables for `serve` do not concern the other subcommands.
    if command.find_subcommand(first).is_some() { command } else { command.mut_args(variable) }
}

/// Returns the name within clap's notation: `--listen` of `--listen <ADDR>`, `NAME` of `<NAME>...`.
fn bare_name(notation: &str) -> String {
    notation.split(' ').next().unwrap_or_default().trim_matches(['<', '>', '[', ']', '.']).to_owned()
}

/// Returns an argument's name as [`bare_name`] finds it in errors.
fn name(arg: &Arg) -> String {
    let value_name = || arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    arg.get_long().map(|long| format!("--{long}")).or_else(value_name).unwrap_or_default()
}

fn is_secret(name: &str) -> bool {
    let command = Cli::command();
    command
        .get_arguments()
        .chain(command.get_subcommands().flat_map(clap::Command::get_arguments))
        .any(|arg| arg.is_hide_env_values_set() && self::name(arg) == name)
}

/// Removes the first argument that matches. Returns whether there was one.
fn remove(arguments: &mut Vec<OsString>, matches: impl Fn(&str) -> bool) -> bool {
    let position = arguments.iter().position(|argument| argument.to_str().is_some_and(&matches));
    position.map(|position| arguments.remove(position)).is_some()
}

/// Checks the one rule that spans two options: `--counters signed` needs a `--sign-key`.
fn check_sign_key(matches: &ArgMatches, errors: &mut ConfigErrors) {
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    if let Ok(Some(rule)) = matches.try_get_one::<CounterRule>("counters")
        && let Ok(key) = matches.try_get_one::<String>("sign_key")
        && let Err(why) = rule.with_key(key.map(String::as_str))
    {
        errors.add("--counters", "signed", why);
    }
}
