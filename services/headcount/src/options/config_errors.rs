//! [`ConfigErrors`]: everything that is wrong with a command line, its environment and its configuration file, to report it
//! at once.

use std::fmt::Display;

use clap::error::{ContextKind, ContextValue};

/// Longest value and longest reason that are shown, in characters: a file can hold a value of any length.
const MAX_SHOWN: usize = 400;
/// Longest error, in characters: both of them, and room for a path.
const MAX_ERROR: usize = 3 * MAX_SHOWN;

/// The errors found so far, a line each.
#[derive(Debug, Default)]
pub(super) struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    /// Adds that `name`, an option as it is called where it was given, cannot have `value`, and why.
    pub(super) fn add(&mut self, name: &str, value: &str, why: impl Display) {
        self.0.push(wrong_value(name, value, why));
    }

    /// Adds an error that concerns no value.
    pub(super) fn push(&mut self, error: &str) {
        self.0.push(shortened(error, MAX_ERROR));
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
        if let Some(ContextValue::String(known)) = error.get(ContextKind::SuggestedArg) {
            message = format!("{message}; did you mean {known}?");
        }
        self.0.push(message);
    }

    /// Adds all of `others`.
    pub(super) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// Returns whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a String;
    type IntoIter = std::slice::Iter<'a, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Returns the error that `name` cannot have `value`, and why.
pub(super) fn wrong_value(name: &str, value: &str, why: impl Display) -> String {
    format!("{name} {:?}: {}", shortened(value, MAX_SHOWN), shortened(&why.to_string(), MAX_SHOWN))
}

fn shortened(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
