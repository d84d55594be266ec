//! [`ConfigErrors`]: everything that is wrong with a command line and its environment, to report it at once.

use std::fmt::Display;
use std::process::ExitCode;

/// Exit status for a wrong command line: `EX_USAGE` of BSD's sysexits.h.
const EX_USAGE: u8 = 64;

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    /// Adds that `option` cannot have `value`, and why.
    pub(super) fn add(&mut self, option: &str, value: &str, why: impl Display) {
        self.0.push(format!("{option} {value:?}: {why}"));
    }

    /// Adds one of clap's errors.
    pub(super) fn add_clap_error(&mut self, error: &clap::Error) {
        let text = error.to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let mut message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
        // The names of missing arguments are on lines of their own.
        for line in lines.take_while(|line| line.starts_with('<') || line.starts_with("--")) {
            message = format!("{message} {line}");
        }
        self.0.push(message);
    }

    /// Returns whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Prints every error to standard error and returns the exit status.
    pub(super) fn report(&self) -> ExitCode {
        for error in &self.0 {
            eprintln!("headcount: {error}");
        }
        eprintln!("headcount: nothing was started; see headcount --help");
        ExitCode::from(EX_USAGE)
    }
}
