//! [`resolve`]: from a command line, an environment and a configuration file to a command with its options, or to everything
//! that is wrong with them.

use std::ffi::OsString;

use clap::{Arg, CommandFactory, FromArgMatches};

use super::cli::{Cli, Command};
use super::command_line::{self, Parsed};
use super::config_errors::ConfigErrors;
use super::config_file::ConfigFile;
use super::digests::OptionDigests;
use super::environment::{self, Environment};
use super::file_settings::{self, FileSettings};
use super::rules::Rules;
use super::setting::{self, Settings};

/// A command with its options.
pub(crate) struct Resolved {
    /// The command.
    pub(crate) command: Command,
    /// What is allowed, but should be changed.
    pub(crate) warnings: Vec<String>,
}

/// Why there is no command.
pub(super) enum Unresolved {
    /// Help or the version has been printed.
    Answered,
    /// Something is wrong.
    Wrong(ConfigErrors),
}

/// Finds the command and its options in a command line, which begins with the program's name, an environment, and the
/// configuration file that they name. Nothing else matters but the files that options name, and the certificates that TLS
/// trusts where Redis is reached by it.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn resolve(arguments: &[OsString], environment: &Environment) -> Result<Resolved, Unresolved> {
    let described = described();
    let subcommand = selected(&described, arguments).map(str::to_owned);
    let command = subcommand.as_ref().and_then(|name| described.find_subcommand(name)).unwrap_or(&described);
    let (mut settings, mut warnings) = (Settings::default(), Vec::new());
    let (mut errors, mut lower_errors) = (ConfigErrors::default(), ConfigErrors::default());

    let mut file_errors = ConfigErrors::default();
    if let Some((name, path)) = config_file_of(command, arguments, environment) {
        match ConfigFile::read(&path) {
            Ok(file) => warnings.extend(FileSettings::read(&file, command, &mut settings, &mut file_errors)),
            Err(why) => file_errors.add(&name, &path, why),
        }
    }
    environment::read(environment, command, &mut settings, &mut lower_errors);
    lower_errors.append(file_errors);

    let configured = described.clone().mut_args(setting::without_variable);
    let configured = configured.mut_subcommands(|command| command.mut_args(setting::without_variable));
    let configured = with_args(configured, subcommand.as_deref(), |arg| settings.apply(arg));
    let matches = match command_line::parse(arguments.to_vec(), &configured, &described, &mut errors) {
        Parsed::Answered => return Err(Unresolved::Answered),
        Parsed::Failed => None,
        Parsed::Matches(matches) => Some(matches),
    };
    errors.append(lower_errors);
    let Some(matches) = matches else { return Err(Unresolved::Wrong(errors)) };
    let of_command = matches.subcommand().map_or(&matches, |(_, matches)| matches);
    Rules { matches: of_command, settings: &settings }.check(&mut errors);
    if !errors.is_empty() {
        return Err(Unresolved::Wrong(errors));
    }
    let digests = OptionDigests::of(command, of_command);
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => {
            let mut command = cli.command.unwrap_or_else(|| Command::Serve(Box::new(cli.serve)));
            if let Command::Serve(options) = &mut command {
                options.digests = digests;
            }
            Ok(Resolved { command, warnings })
        }
        Err(error) => {
            errors.add_clap_error(&error);
            Err(Unresolved::Wrong(errors))
        }
    }
}

/// Returns clap's command, in which each option of a node has its variable.
pub(crate) fn described() -> clap::Command {
    let variable = |arg: Arg| {
        let name = format!("HEADCOUNT_{}", arg.get_id().as_str().to_uppercase());
        let is_optional = setting::is_optional(&arg);
        arg.env(name).hide_default_value(is_optional)
    };
    let command = with_args(Cli::command(), None, variable);
    ["serve", "check"].into_iter().fold(command, |command, name| with_args(command, Some(name), variable))
}

/// Changes the options of a subcommand, or those of the command without one.
fn with_args(command: clap::Command, subcommand: Option<&str>, change: impl Fn(Arg) -> Arg) -> clap::Command {
    match subcommand {
        Some(name) => command.mut_subcommand(name, |subcommand| subcommand.mut_args(change)),
        None => command.mut_args(change),
    }
}

/// Returns the subcommand that the arguments name.
pub(super) fn selected<'a>(command: &'a clap::Command, arguments: &[OsString]) -> Option<&'a str> {
    let first = arguments.get(1)?.to_str()?;
    command.find_subcommand(first).map(clap::Command::get_name)
}

/// Returns the configuration file's path if the command has one, and the name of the option or variable.
fn config_file_of(
    command: &clap::Command,
    arguments: &[OsString],
    environment: &Environment,
) -> Option<(String, String)> {
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(file_settings::OPTION))?;
    let option = format!("--{}", file_settings::OPTION);
    let argument = command_line::value_of(arguments, &option).map(|path| (option, path.to_owned()));
    let variable = || {
        let name = arg.get_env()?;
        Some((name.to_str()?.to_owned(), environment.get(name)?.to_str()?.to_owned()))
    };
    argument.or_else(variable).filter(|(_, path)| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ServeOptions;

    fn resolved(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Box<ServeOptions>, Vec<String>> {
        let arguments: Vec<OsString> = ["headcount"].iter().chain(arguments).map(OsString::from).collect();
        let environment = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        match resolve(&arguments, &environment) {
            Ok(Resolved { command: Command::Serve(options) | Command::Check(options), .. }) => Ok(options),
            Ok(_) => panic!("another command"),
            Err(Unresolved::Wrong(errors)) => Err(errors.into_iter().cloned().collect()),
            Err(Unresolved::Answered) => panic!("help"),
        }
    }

    #[test]
    fn the_environment_is_the_one_that_is_given() {
        let options = resolved(&[], &[("HEADCOUNT_MAX_LOOKS", "7"), ("HEADCOUNT_SIGN_KEY", "")]).expect("valid");
        assert_eq!(options.viewers.max_looks, 7);
        let options = resolved(&["check", "--max-looks=8"], &[("HEADCOUNT_MAX_LOOKS", "7")]).expect("valid");
        assert_eq!(options.viewers.max_looks, 8);
        assert_eq!(resolved(&[], &[]).expect("valid").viewers.max_looks, 1024);
    }

    #[test]
    fn rules_say_where_their_options_were_given() {
        let variables = [("HEADCOUNT_COUNTERS", "signed"), ("HEADCOUNT_ADMIN", "127.0.0.1:8080")];
        let errors = resolved(&["--listen=0.0.0.0:8080"], &variables).err().expect("two rules are broken");
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].starts_with("HEADCOUNT_COUNTERS \"signed\": needs --sign-key"), "{errors:?}");
        assert!(errors[1].starts_with("HEADCOUNT_ADMIN \"127.0.0.1:8080\": must be another port"), "{errors:?}");
        assert!(errors[1].ends_with("--listen 0.0.0.0:8080"), "{errors:?}");
        // One mistake is one error: what a wrong option would have been breaks no rule.
        let variables = [("HEADCOUNT_ADMIN", "127.0.0.1:8080"), ("HEADCOUNT_LISTEN", "here")];
        assert_eq!(resolved(&[], &variables).err().expect("an address").len(), 1);
    }
}
