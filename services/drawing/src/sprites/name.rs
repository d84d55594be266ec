//! [`SetName`]: names a set of sprites.

use std::{fmt, sync::Arc};

/// Longest name, in bytes.
const MOST_BYTES: usize = 32;

/// The name of a set of sprites: 1 to 32 lower-case letters, digits, dashes and underscores, the first of them a letter or a
/// digit. It is the name of a folder, and can name no other place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetName(Arc<str>);

impl SetName {
    /// What names may be, for those who have given another.
    pub const ALLOWED: &str = "a name of up to 32 lower-case letters, digits, dashes and underscores";

    /// Parses a name. Returns `None` for anything else.
    pub fn parse(text: &str) -> Option<SetName> {
        let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = text.len() <= MOST_BYTES
            && text.bytes().next().is_some_and(is_alphanumeric)
            && text.bytes().all(|byte| is_alphanumeric(byte) || matches!(byte, b'-' | b'_'));
        fits.then(|| SetName(text.into()))
    }

    /// The name of the built-in set, which draws where no other is named.
    pub fn built_in() -> SetName {
        SetName("nixie".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_be_paths() {
        for text in ["nixie", "3d-num", "rule_34", "0", &"a".repeat(32), SetName::built_in().as_str()] {
            assert_eq!(SetName::parse(text).as_ref().map(SetName::as_str), Some(text));
        }
        for text in
            ["", ".", "..", "a/b", "../a", "/etc", "a\\b", "a.b", "-a", "_a", "A", "ä", "a\0", "a b", &"a".repeat(33)]
        {
            assert_eq!(SetName::parse(text), None, "{text:?}");
        }
    }
}
