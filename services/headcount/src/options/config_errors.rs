//! Collects what is wrong with a command line, to say it all at once.

use std::fmt::Display;
use std::process::ExitCode;

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    /// Notes that `option`'s `value` is wrong, and what is allowed.
    pub(super) fn add(&mut self, option: &str, value: &str, why: impl Display) {
        self.0.push(format!("{option} {value:?}: {why}"));
    }

    /// Notes an error of clap's, in its first line.
    pub(super) fn add_error(&mut self, error: &clap::Error) {
        let text = error.to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let mut mistake = first.strip_prefix("error: ").unwrap_or(first).to_owned();
        // The names of missing arguments stand on lines of their own.
        for line in lines.take_while(|line| line.starts_with('<') || line.starts_with("--")) {
            mistake = format!("{mistake} {line}");
        }
        self.0.push(mistake);
    }

    /// What `read` makes of `value`; `fallback` where it is a mistake, which is noted (the caller starts nothing then).
    pub(super) fn take<T, E: Display>(
        &mut self,
        option: &str,
        value: &str,
        fallback: T,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> T {
        read(value).unwrap_or_else(|why| {
            self.add(option, value, why);
            fallback
        })
    }

    /// [`take`](Self::take) for an option that may be absent; an empty value is an absent one.
    pub(super) fn take_option<T, E: Display>(
        &mut self,
        option: &str,
        value: Option<&str>,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = value.filter(|text| !text.is_empty())?;
        read(value).map_err(|why| self.add(option, value, why)).ok()
    }

    /// Whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Prints every mistake; gives the exit status to leave with.
    pub(super) fn report(&self) -> ExitCode {
        for mistake in &self.0 {
            eprintln!("headcount: {mistake}");
        }
        eprintln!("headcount: nothing was started; see headcount --help");
        ExitCode::from(super::EX_USAGE)
    }
}
