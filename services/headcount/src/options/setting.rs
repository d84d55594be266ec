//! [`Setting`]: a value from the environment or the configuration file. [`Settings`]: those that stand below the command
//! line.

use std::collections::{HashMap, HashSet};
use std::error::Error as _;
use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, Id};

/// A valid value of an option, and where it was given.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The option.
    pub(super) id: Id,
    /// The value, as it would stand on the command line.
    pub(super) text: String,
    /// Its name where it was given: `HEADCOUNT_LISTEN`, or `headcount.toml:3: listen`.
    pub(super) name: String,
}

/// The values that hold where the command line has none.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: HashMap<Id, Setting>,
    refused: HashSet<Id>,
}

impl Settings {
    /// Adds a value. It takes precedence over an earlier one.
    pub(super) fn set(&mut self, setting: Setting) {
        self.refused.remove(&setting.id);
        self.values.insert(setting.id.clone(), setting);
    }

    /// Notes that the option has a wrong value, which takes precedence over an earlier one.
    pub(super) fn refuse(&mut self, arg: &Arg) {
        self.values.remove(arg.get_id());
        self.refused.insert(arg.get_id().clone());
    }

    /// Returns the option's value.
    pub(super) fn get(&self, id: &str) -> Option<&Setting> {
        self.values.get(id)
    }

    /// Returns whether the option has a wrong value.
    pub(super) fn is_refused(&self, id: &str) -> bool {
        self.refused.contains(id)
    }

    /// Makes the option's value its default, so that clap finds it where the command line has none.
    pub(super) fn apply(&self, arg: Arg) -> Arg {
        match self.values.get(arg.get_id()) {
            Some(setting) => arg.default_value(setting.text.clone()).required(false),
            None => arg,
        }
    }
}

/// Checks a value as clap does on the command line. Returns it as text.
///
/// # Errors
/// Says what is allowed.
pub(super) fn check<'a>(arg: &Arg, value: &'a OsStr) -> Result<&'a str, String> {
    let text = value.to_str().ok_or("must be UTF-8")?;
    let arg = without_variable(arg.clone());
    let argument = OsString::from(format!("--{}={text}", arg.get_long().unwrap_or_default()));
    let command = clap::Command::new("").no_binary_name(true).disable_help_flag(true).arg(arg);
    command.try_get_matches_from([argument]).map(|_| text).map_err(|error| match error.kind() {
        ErrorKind::ValueValidation => error.source().map(ToString::to_string).unwrap_or_default(),
        _ => error.to_string().lines().next().unwrap_or_default().to_owned(),
    })
}

/// Returns an option that clap itself does not look up in the process's environment.
pub(super) fn without_variable(arg: Arg) -> Arg {
    arg.env(Resettable::<clap::builder::OsStr>::Reset)
}

/// Returns whether the option's value may be a secret, which is never shown.
pub(super) fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

/// Returns a value as errors may show it.
pub(super) fn shown<'a>(arg: &Arg, text: &'a str) -> &'a str {
    if is_secret(arg) { "…" } else { text }
}

/// Returns whether the option may be absent: an empty default stands for that.
pub(super) fn is_optional(arg: &Arg) -> bool {
    arg.get_default_values() == [""]
}
