//! Names of counters.

use std::fmt;
use std::sync::Arc;

/// Longest name, in bytes. It is part of URLs, logs and each of the counter's keys in Redis.
const MAX_NAME_BYTES: usize = 64;

/// Endings that no name may have: a path with one of them requests the counter's picture or number.
const EXTENSIONS: [&str; 5] = [".png", ".jpg", ".jpeg", ".svg", ".json"];

/// A counter's name: `[a-z0-9][a-z0-9._-]{0,63}`, without an ending of a picture's or a number's path.
///
/// It needs no escaping in a URL, a Redis key or a log line. A clone is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterName(Arc<str>);

/// Why a text is not a counter name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a counter needs a name")]
    Empty,
    /// The text is longer than 64 bytes.
    #[error("a counter's name has at most {MAX_NAME_BYTES} characters, this one has {0}")]
    TooLong(usize),
    /// A character that is not allowed, or not as the first one.
    #[error(
        "a counter's name has a-z, 0-9, dots, dashes and underscores only, and begins with a letter or digit: {0:?} cannot stand there"
    )]
    Character(char),
    /// The text has an ending of a picture's or a number's path.
    #[error("a counter's name does not end in {0}")]
    Extension(&'static str),
}

impl CounterName {
    /// Parses a name. Case-sensitive; nothing is trimmed.
    pub fn parse(text: &str) -> Result<CounterName, NameError> {
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if text.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong(text.len()));
        }
        let begins = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !begins(first) {
            return Err(NameError::Character(first));
        }
        if let Some(wrong) = text.chars().find(|&c| !begins(c) && !"._-".contains(c)) {
            return Err(NameError::Character(wrong));
        }
        match EXTENSIONS.iter().find(|extension| text.ends_with(**extension)) {
            Some(extension) => Err(NameError::Extension(extension)),
            None => Ok(CounterName(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CounterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CounterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl std::str::FromStr for CounterName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<CounterName, NameError> {
        CounterName::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_is_wrong() {
        assert_eq!(CounterName::parse(""), Err(NameError::Empty));
        assert_eq!(CounterName::parse(&"x".repeat(65)), Err(NameError::TooLong(65)));
        for (name, wrong) in [
            ("-a", '-'),
            ("_a", '_'),
            (".a", '.'),
            ("Aa", 'A'),
            ("aA", 'A'),
            ("a{b}", '{'),
            ("a b", ' '),
            ("ä", 'ä'),
            ("a\n", '\n'),
        ] {
            assert_eq!(CounterName::parse(name), Err(NameError::Character(wrong)), "{name:?}");
        }
        assert_eq!(CounterName::parse("a.json"), Err(NameError::Extension(".json")));
        assert_eq!(CounterName::parse("a.jpeg"), Err(NameError::Extension(".jpeg")));
    }
}
