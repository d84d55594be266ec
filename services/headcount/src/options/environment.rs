//! The environment's `HEADCOUNT_…` as values of options.

use std::collections::HashMap;
use std::ffi::OsString;

use super::config_errors::ConfigErrors;
use super::setting::{self, Setting, Settings};

/// Variables and their values.
pub(crate) type Environment = HashMap<OsString, OsString>;

/// Adds the values of a command's variables. Variables that are not of its options do not matter: a container platform may
/// set some that begin alike.
pub(super) fn read(
    environment: &Environment,
    command: &clap::Command,
    settings: &mut Settings,
    errors: &mut ConfigErrors,
) {
    for arg in command.get_arguments() {
        let Some(variable) = arg.get_env() else { continue };
        let Some(value) = environment.get(variable) else { continue };
        let name = variable.to_string_lossy().into_owned();
        match setting::check(arg, value) {
            Ok(text) => settings.set(Setting { id: arg.get_id().clone(), text: text.to_owned(), name }),
            Err(why) => {
                errors.add(&name, setting::shown(arg, &value.to_string_lossy()), why);
                settings.refuse(arg);
            }
        }
    }
}
