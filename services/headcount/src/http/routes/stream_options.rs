//! [`StreamOptions`]: what a stream's query asks for: a look, whether the viewer counts, and a document's theme.

use headcount_drawing::{Look, LookError};

use crate::feeds::Counting;
use crate::html_document::{RELOADED, Theme};
use crate::stream_format::StreamFormat;

/// What a stream's query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamOptions {
    /// The look.
    pub(super) look: Look,
    /// Whether the viewer counts.
    pub(super) counting: Counting,
    /// The theme of a document.
    pub(super) theme: Theme,
    /// The document around it has been refreshed.
    pub(super) is_reloaded: bool,
}

impl StreamOptions {
    /// Parses a query. Events have no look, and only documents have a theme.
    ///
    /// # Errors
    /// Fails if an option does not exist, is given twice, or has a wrong value.
    pub(super) fn from_query(query: &str, format: StreamFormat) -> Result<Self, LookError> {
        let (mut counting, mut theme) = (None, None);
        let mut is_reloaded = false;
        let mut rest = Vec::new();
        for pair in query.split('&') {
            if pair == RELOADED && format == StreamFormat::Html {
                is_reloaded = true;
                continue;
            }
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("count", value) => set(&mut counting, "count", value, parse_counting, "yes or no")?,
                ("theme", value) if format == StreamFormat::Html => {
                    set(&mut theme, "theme", value, Theme::parse, Theme::ALLOWED)?;
                }
                _ => rest.push(pair),
            }
        }
        let look = Look::from_query(&rest.join("&"))?;
        if format == StreamFormat::Events
            && let Some(option) = rest.iter().find(|pair| !pair.is_empty())
        {
            return Err(LookError::Unknown((*option).chars().take(40).collect()));
        }
        Ok(Self {
            look,
            counting: counting.unwrap_or(Counting::Counted),
            theme: theme.unwrap_or_default(),
            is_reloaded,
        })
    }
}

fn parse_counting(value: &str) -> Option<Counting> {
    match value {
        "yes" => Some(Counting::Counted),
        "no" => Some(Counting::Watching),
        _ => None,
    }
}

fn set<T>(
    option: &mut Option<T>,
    name: &'static str,
    value: &str,
    parse: impl Fn(&str) -> Option<T>,
    allowed: &'static str,
) -> Result<(), LookError> {
    let Some(parsed) = parse(value) else {
        return Err(LookError::Value { name, value: value.chars().take(40).collect(), allowed });
    };
    match option.replace(parsed) {
        Some(_) => Err(LookError::Repeated(name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed_beside_a_look() {
        let parsed = StreamOptions::from_query("label=a&count=no&theme=dark&height=30", StreamFormat::Html);
        let StreamOptions { look, counting, theme, .. } = parsed.expect("options");
        assert_eq!((look.label(), look.height(), counting, theme), ("a", 30, Counting::Watching, Theme::Dark));
        let parsed = StreamOptions::from_query("", StreamFormat::Events).expect("no options");
        assert_eq!((parsed.counting, parsed.theme), (Counting::Counted, Theme::Auto));
    }

    #[test]
    fn wrong_options_are_errors() {
        let error = |query, format| StreamOptions::from_query(query, format).expect_err(query).to_string();
        assert!(error("count=maybe", StreamFormat::Png).contains("yes or no"));
        assert!(error("count=no&count=no", StreamFormat::Png).contains("twice"));
        assert!(error("theme=dark", StreamFormat::Png).contains("theme"));
        assert!(error("theme=blue", StreamFormat::Html).contains("auto, light or dark"));
        assert!(error("label=a", StreamFormat::Events).contains("label"));
        assert!(error("height=9", StreamFormat::Html).contains("height"));
    }
}
