//! Parses a command line with clap. clap stops at its first error; here, each is recorded and parsing goes on without it.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches};

use super::config_errors::ConfigErrors;
use super::setting;

/// What a command line results in.
pub(super) enum Parsed {
    /// The options' values, if nothing was wrong.
    Matches(ArgMatches),
    /// Help or the version, which clap has printed.
    Answered,
    /// An error after which nothing can be parsed.
    Failed,
}

/// The arguments about which an error has been recorded.
#[derive(Default)]
struct Known {
    /// Any value is accepted, or none.
    wrong: Vec<String>,
    /// May be given several times.
    repeated: Vec<String>,
}

/// Parses `arguments`, which begin with the program's name, with `command`. Help is printed from `described`, the same
/// command with its own defaults.
pub(super) fn parse(
    mut arguments: Vec<OsString>,
    command: &clap::Command,
    described: &clap::Command,
    errors: &mut ConfigErrors,
) -> Parsed {
    let mut known = Known::default();
    loop {
        let error = match known.tolerate(command).try_get_matches_from(&arguments) {
            Ok(matches) => return Parsed::Matches(matches),
            Err(error) => error,
        };
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.as_str(),
            _ => "",
        };
        let name = bare_name(context(ContextKind::InvalidArg));
        let value = context(ContextKind::InvalidValue);
        match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                // A closed pipe is no reason to fail.
                let _ = known.tolerate(described).try_get_matches_from(&arguments).map_err(|help| help.print());
                return Parsed::Answered;
            }
            ErrorKind::ValueValidation => {
                let why = error.source().map(ToString::to_string).unwrap_or_default();
                errors.add(&name, if is_secret(command, &name) { "…" } else { value }, why);
                if !name.starts_with('-') {
                    remove(&mut arguments, |argument| argument == value);
                }
                known.wrong.push(name);
            }
            ErrorKind::UnknownArgument => {
                errors.add_clap_error(&error);
                let is_unknown = |argument: &str| argument.split('=').next() == Some(&name) || argument == name;
                let Some(at) = arguments.iter().position(|argument| argument.to_str().is_some_and(is_unknown)) else {
                    return Parsed::Failed;
                };
                let removed = arguments.remove(at);
                // What follows is its value, where nothing else can stand.
                let value = arguments.get(at).and_then(|argument| argument.to_str());
                if removed == *name
                    && value.is_some_and(|value| !value.starts_with('-') && !takes_others(command, &arguments))
                {
                    arguments.remove(at);
                }
            }
            // An option is given twice.
            ErrorKind::ArgumentConflict if name.starts_with("--") && !known.repeated.contains(&name) => {
                errors.add_clap_error(&error);
                known.repeated.push(name);
            }
            // An option has no value.
            ErrorKind::InvalidValue if value.is_empty() && name.starts_with("--") => {
                errors.add_clap_error(&error);
                if !remove(&mut arguments, |argument| argument == name) {
                    return Parsed::Failed;
                }
            }
            _ => {
                errors.add_clap_error(&error);
                return Parsed::Failed;
            }
        }
    }
}

/// Returns the value of an option such as `--config`, without parsing the others.
pub(super) fn value_of<'a>(arguments: &'a [OsString], option: &str) -> Option<&'a str> {
    let mut arguments = arguments.iter().map(|argument| argument.to_str().unwrap_or_default());
    while let Some(argument) = arguments.next() {
        if argument == option {
            return arguments.next().filter(|value| !value.starts_with('-'));
        }
        if let Some(value) = argument.strip_prefix(option).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value);
        }
    }
    None
}

impl Known {
    /// Returns a command that does not stop at what has been recorded.
    fn tolerate(&self, command: &clap::Command) -> clap::Command {
        let tolerant = |arg: Arg| {
            let name = name(&arg);
            let arg = match self.wrong.contains(&name) {
                true if name.starts_with('-') => arg.value_parser(clap::value_parser!(OsString)),
                true => arg.required(false),
                false => arg,
            };
            let id = arg.get_id().clone();
            if self.repeated.contains(&name) { arg.overrides_with(id) } else { arg }
        };
        let command = command.clone().mut_args(tolerant);
        command.mut_subcommands(|subcommand| subcommand.mut_args(tolerant))
    }
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

fn is_secret(command: &clap::Command, name: &str) -> bool {
    let mut arguments = command.get_arguments().chain(command.get_subcommands().flat_map(clap::Command::get_arguments));
    arguments.any(|arg| setting::is_secret(arg) && self::name(arg) == name)
}

/// Returns whether the command that the arguments name takes arguments that are not options.
fn takes_others(command: &clap::Command, arguments: &[OsString]) -> bool {
    let name = arguments.get(1).and_then(|argument| argument.to_str());
    let command = name.and_then(|name| command.find_subcommand(name)).unwrap_or(command);
    command.get_positionals().next().is_some()
}

/// Removes the first argument that matches. Returns whether there was one.
fn remove(arguments: &mut Vec<OsString>, matches: impl Fn(&str) -> bool) -> bool {
    let position = arguments.iter().position(|argument| argument.to_str().is_some_and(&matches));
    position.map(|position| arguments.remove(position)).is_some()
}
