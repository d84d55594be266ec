//! A [`Look`] as the query of a URL: parsed, and written in one canonical form.

use std::fmt::Write;

use headcount_wire::history::Span;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    colour::Colour,
    look::{Look, Shows, Style},
    number::Writing,
    sprites::SetName,
};

/// The options of a look and the values each of them takes, in canonical order.
pub const OPTIONS: [(&str, &str); 13] = [
    ("bg", "three or six hexadecimal digits, or a CSS colour name"),
    ("fg", "three or six hexadecimal digits, or a CSS colour name"),
    ("format", "full, grouped or compact"),
    ("height", HEIGHTS),
    ("label", "up to 32 characters in UTF-8, no control characters"),
    ("label_bg", "three or six hexadecimal digits, or a CSS colour name"),
    ("scale", "1, 2 or 3"),
    ("set", SetName::ALLOWED),
    ("show", "count or visitors"),
    ("small", "a whole number from 0 to 1000"),
    ("span", "hour, day, month, year or all"),
    ("style", "flat, plain, odometer, sprites, chart or spark"),
    ("width", "a whole number from 120 to 1200"),
];

/// The heights, as an error says them.
const HEIGHTS: &str = "a whole number from 12 to 96, or for a chart from 60 to 600";

/// Most device pixels of a chart: it takes about as long to draw as the largest picture in another style, and 12 MB.
const MAX_CHART_PIXELS: u64 = 3_000_000;

/// Longest label, in characters.
const LABEL_CHARACTERS: usize = 32;

/// Everything but RFC 3986's unreserved characters is escaped in a query.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a query is not a look: one sentence that says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// An option of this name does not exist.
    #[error(
        "there is no option {0:?}: allowed are bg, fg, format, height, label, label_bg, scale, set, show, small, span, style and width"
    )]
    Unknown(String),
    /// An option is given more than once.
    #[error("the option {0:?} is given twice: each is allowed once")]
    Repeated(&'static str),
    /// An option's value is not allowed.
    #[error("{name}={value:?} is not allowed: {name} takes {allowed}")]
    Value {
        /// The option's name.
        name: &'static str,
        /// The given value, truncated.
        value: String,
        /// The values that the option takes.
        allowed: &'static str,
    },
    /// There is no set of sprites with this name.
    #[error("set=\"{name}\" is not allowed: the sets of sprites here are {known}")]
    Set {
        /// The given name.
        name: SetName,
        /// The names of the sets that there are.
        known: String,
    },
    /// A chart is too large.
    #[error(
        "a chart of {pixels} pixels (width × height × scale × scale) is not allowed: it may have {MAX_CHART_PIXELS}"
    )]
    Large {
        /// How many it would have.
        pixels: u64,
    },
    /// The label has a character that no font can draw.
    #[error("the label's character {0:?} (U+{code:04X}) cannot be drawn: allowed are the characters of the font", code = *.0 as u32)]
    Character(char),
}

impl Look {
    /// Parses a look from a URL's query, given without its question mark. The options may come in any order. `+` is a
    /// space, as in HTML forms. An empty query is the default look.
    ///
    /// # Errors
    /// Fails with the first option that is unknown, repeated or out of bounds.
    pub fn from_query(query: &str) -> Result<Look, LookError> {
        let mut values = [const { None }; OPTIONS.len()];
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name);
            let option = OPTIONS.iter().position(|(option, _)| *option == name);
            let option = option.ok_or_else(|| LookError::Unknown(excerpt(&name)))?;
            if values[option].replace(decoded(value)).is_some() {
                return Err(LookError::Repeated(OPTIONS[option].0));
            }
        }
        Look::from_values(|name| {
            OPTIONS.iter().zip(&values).find_map(|((option, _), value)| value.as_deref().filter(|_| *option == name))
        })
    }

    fn from_values<'v>(value_of: impl Fn(&str) -> Option<&'v str>) -> Result<Look, LookError> {
        let style = value_of("style").map_or(Ok(Style::default()), |text| choose("style", text, &STYLES))?;
        let mut look = Look::of_style(style);
        for (name, _) in OPTIONS {
            if let Some(value) = value_of(name) {
                look.set(name, value)?;
            }
        }
        if look.style.shows_past() {
            look.check_chart()?;
        }
        Ok(look.canonical())
    }

    fn check_chart(&self) -> Result<(), LookError> {
        if self.shows != Shows::Count {
            let value = name_of(self.shows, &SHOWS);
            return Err(LookError::Value { name: "show", value, allowed: "count where the past is shown" });
        }
        let pixels = u64::from(self.width) * u64::from(self.height) * u64::from(self.scale) * u64::from(self.scale);
        if pixels > MAX_CHART_PIXELS { Err(LookError::Large { pixels }) } else { Ok(()) }
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), LookError> {
        match name {
            "bg" => self.background = Some(checked(name, value, Colour::parse(value))?),
            "fg" => self.foreground = Some(checked(name, value, Colour::parse(value))?),
            "format" => self.writing = choose(name, value, &WRITINGS)?,
            "height" if self.style == Style::Chart => self.height = whole(name, value, 60, 600)? as u16,
            "height" => self.height = whole(name, value, 12, 96)? as u16,
            "label" => self.label = checked(name, value, label(value))?,
            "label_bg" => self.label_background = Some(checked(name, value, Colour::parse(value))?),
            "scale" => self.scale = whole(name, value, 1, 3)? as u8,
            "set" => self.set = Some(checked(name, value, SetName::parse(value))?),
            "show" => self.shows = choose(name, value, &SHOWS)?,
            "small" => self.small = whole(name, value, 0, 1000)?,
            "span" => self.span = checked(name, value, Span::from_name(value))?,
            "width" => self.width = whole(name, value, 120, 1200)? as u16,
            _ => self.style = choose(name, value, &STYLES)?,
        }
        Ok(())
    }

    /// Returns the look as a query: options in alphabetical order, without defaults. Equal looks have equal queries, and
    /// [`from_query`](Self::from_query) restores the look.
    pub fn query(&self) -> String {
        written(&self.values())
    }

    /// Returns the options that differ from the style's defaults, in canonical order, not percent-encoded.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let default = Look::of_style(self.style);
        let (mine, defaults) = (self.all_values(), default.all_values());
        let differing = mine.into_iter().zip(defaults).filter(|((name, mine), (_, default))| match *name {
            "bg" => self.background.is_some(),
            "fg" => self.foreground.is_some(),
            "label_bg" => self.label_background.is_some(),
            "set" => self.set.is_some(),
            "style" => self.style != Style::default(),
            _ => mine != default,
        });
        differing.map(|(value, _)| value).collect()
    }

    /// Returns every option with its value, in canonical order, not percent-encoded. A transparent background is an empty
    /// value, and so is what other styles do not have of a chart.
    pub fn all_values(&self) -> [(&'static str, String); OPTIONS.len()] {
        [
            ("bg", self.background().map(|colour| colour.to_string()).unwrap_or_default()),
            ("fg", self.text_colour().to_string()),
            ("format", name_of(self.writing, &WRITINGS)),
            ("height", self.height.to_string()),
            ("label", self.label.clone()),
            ("label_bg", self.label_background().to_string()),
            ("scale", self.scale.to_string()),
            ("set", self.sprite_set().to_string()),
            ("show", name_of(self.shows, &SHOWS)),
            ("small", self.small.to_string()),
            ("span", self.span().map(|span| span.name().to_owned()).unwrap_or_default()),
            ("style", name_of(self.style, &STYLES)),
            ("width", self.width().map(|width| width.to_string()).unwrap_or_default()),
        ]
    }
}

const STYLES: [(&str, Style); 6] = [
    ("flat", Style::Flat),
    ("plain", Style::Plain),
    ("odometer", Style::Odometer),
    ("sprites", Style::Sprites),
    ("chart", Style::Chart),
    ("spark", Style::Spark),
];
const WRITINGS: [(&str, Writing); 3] =
    [("full", Writing::Full), ("grouped", Writing::Grouped), ("compact", Writing::Compact)];
const SHOWS: [(&str, Shows); 2] = [("count", Shows::Count), ("visitors", Shows::Visitors)];

fn choose<T: Copy>(name: &'static str, value: &str, choices: &[(&str, T)]) -> Result<T, LookError> {
    checked(name, value, choices.iter().find_map(|(choice, meaning)| (*choice == value).then_some(*meaning)))
}

fn name_of<T: PartialEq>(value: T, choices: &[(&str, T)]) -> String {
    choices.iter().find(|(_, meaning)| *meaning == value).map(|(name, _)| (*name).to_owned()).unwrap_or_default()
}

fn whole(name: &'static str, value: &str, least: u64, most: u64) -> Result<u64, LookError> {
    let digits = value.len() <= 4 && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { value.parse().ok() } else { None };
    checked(name, value, number.filter(|number| (least..=most).contains(number)))
}

fn label(value: &str) -> Option<String> {
    let label = value.trim();
    let unfit = |character: char| character.is_control() || character == char::REPLACEMENT_CHARACTER;
    let fits = label.chars().count() <= LABEL_CHARACTERS && !label.chars().any(unfit);
    fits.then(|| label.to_owned())
}

fn checked<T>(name: &'static str, value: &str, parsed: Option<T>) -> Result<T, LookError> {
    parsed.ok_or_else(|| {
        let allowed = OPTIONS.iter().find(|(option, _)| *option == name).map_or("", |(_, allowed)| allowed);
        LookError::Value { name, value: excerpt(value), allowed }
    })
}

fn excerpt(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { short + "…" } else { short }
}

/// Decodes a name or value. Bytes that are not UTF-8 become U+FFFD, which no option accepts.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn written(values: &[(&str, String)]) -> String {
    let mut query = String::new();
    for (name, value) in values {
        let separator = if query.is_empty() { "" } else { "&" };
        let _ = write!(query, "{separator}{name}={}", utf8_percent_encode(value, ESCAPED));
    }
    query
}
