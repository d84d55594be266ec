//! [`Kind`]: how an option's value is written in TOML. It follows from the type that clap parses the option into, so that
//! each option is described only once.

use std::any::TypeId;

use clap::Arg;
use toml::de::{DeInteger, DeString, DeValue};

use super::parse::{CounterRule, Networks, Optional};
use super::setting;
use crate::http::EmbedPolicy;

/// Separates the values of a list on the command line.
const LIST_SEPARATOR: &str = ",";
/// Separates the entries of a table on the command line.
const TABLE_SEPARATOR: &str = ";";

/// How an option's value is written in TOML. Text in the command line's form is allowed where it is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `"15s"`
    Text,
    /// `32`
    Integer,
    /// `10` or `0.5`
    Number,
    /// `["10.0.0.0/8", "::1"]`; on the command line with commas between.
    List,
    /// `{ online = ["https://a.example", "https://b.example"] }`; on the command line
    /// `online=https://a.example,https://b.example`, with semicolons between entries.
    Table,
}

/// A part of a value that can be checked by itself, with its offset in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The part, as it would stand alone on the command line.
    pub(super) text: String,
    /// Its first byte.
    pub(super) offset: usize,
}

/// A value of the wrong type, or one that cannot be written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrongPart {
    /// What is wrong, and what is allowed.
    pub(super) why: String,
    /// Its first byte.
    pub(super) offset: usize,
}

type Spanned<'i> = toml::Spanned<DeValue<'i>>;

impl Kind {
    /// Returns the kind of an option's value.
    pub(super) fn of(arg: &Arg) -> Self {
        let parsed = arg.get_value_parser().type_id();
        let is_one_of = |types: &[TypeId]| types.iter().any(|one| parsed == *one);
        if is_one_of(&[TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()])
            || is_one_of(&[TypeId::of::<Optional<u64>>(), TypeId::of::<Optional<usize>>()])
        {
            Self::Integer
        } else if is_one_of(&[TypeId::of::<f64>()]) {
            Self::Number
        } else if is_one_of(&[TypeId::of::<Networks>(), TypeId::of::<CounterRule>()]) {
            Self::List
        } else if is_one_of(&[TypeId::of::<EmbedPolicy>()]) {
            Self::Table
        } else {
            Self::Text
        }
    }

    /// Returns the parts of a value, and those of the wrong type.
    pub(super) fn parts(self, arg: &Arg, value: &Spanned<'_>) -> (Vec<Part>, Vec<WrongPart>) {
        let one = |text: String| vec![Ok(Part { text, offset: value.span().start })];
        let parts = match (self, value.get_ref()) {
            (Self::Text | Self::List | Self::Table, DeValue::String(text)) => one(text.to_string()),
            (Self::Integer | Self::Number, DeValue::String(text)) if text.is_empty() && setting::is_optional(arg) => {
                one(String::new())
            }
            (Self::Integer | Self::Number, DeValue::Integer(integer)) => one(decimal(integer)),
            (Self::Number, DeValue::Float(float)) => one(float.as_str().to_owned()),
            (Self::List, DeValue::Array(items)) => items.iter().map(|item| list_item(item, LIST_SEPARATOR)).collect(),
            (Self::Table, DeValue::Table(entries)) => {
                entries.iter().flat_map(|(counter, origins)| table_entry(counter, origins)).collect()
            }
            _ => vec![Err(self.wrong_type(arg, value))],
        };
        divided(parts)
    }

    /// Joins a value's parts to what would stand on the command line.
    pub(super) fn join(self, parts: &[Part]) -> String {
        let separator = if self == Self::Table { TABLE_SEPARATOR } else { LIST_SEPARATOR };
        parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(separator)
    }

    /// Writes a value of the command line as TOML.
    pub(super) fn to_toml(self, text: &str) -> String {
        match self {
            Self::Integer | Self::Number if !text.is_empty() => text.to_owned(),
            Self::List if text.is_empty() => "[]".to_owned(),
            Self::List if text.contains(LIST_SEPARATOR) => {
                format!("{:?}", text.split(LIST_SEPARATOR).collect::<Vec<_>>())
            }
            Self::Table if text.is_empty() => "{}".to_owned(),
            _ => format!("{text:?}"),
        }
    }

    fn wrong_type(self, arg: &Arg, value: &Spanned<'_>) -> WrongPart {
        let allowed = match self {
            Self::Text => "text in quotes",
            Self::Integer => "a whole number without quotes",
            Self::Number => "a number without quotes",
            Self::List => "text in quotes, or a list of such",
            Self::Table => "a table of lists, as { online = [\"https://forum.example\"] }",
        };
        let default = arg.get_default_values().first().and_then(|text| text.to_str()).filter(|text| !text.is_empty());
        let example = default.map(|text| format!(", as {}", self.to_toml(text))).unwrap_or_default();
        WrongPart {
            why: format!("{} cannot stand here; must be {allowed}{example}", described(value.get_ref())),
            offset: value.span().start,
        }
    }
}

fn divided(parts: Vec<Result<Part, WrongPart>>) -> (Vec<Part>, Vec<WrongPart>) {
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Ok(part) => good.push(part),
            Err(part) => wrong.push(part),
        }
    }
    (good, wrong)
}

/// Returns an item of a list.
fn list_item(item: &Spanned<'_>, separators: &str) -> Result<Part, WrongPart> {
    let offset = item.span().start;
    let wrong = |why: String| Err(WrongPart { why, offset });
    match item.get_ref() {
        DeValue::String(text) if text.is_empty() => wrong("an item is empty; must be text".to_owned()),
        DeValue::String(text) if text.contains(|c| separators.contains(c)) => {
            wrong(format!("{text:?} must be several items, each in quotes of its own"))
        }
        DeValue::String(text) => Ok(Part { text: text.to_string(), offset }),
        other => wrong(format!("{} cannot be an item; must be text in quotes", described(other))),
    }
}

/// Returns an entry of a table, a counter's name with its origins, or everything that is wrong with it.
fn table_entry(counter: &toml::Spanned<DeString<'_>>, origins: &Spanned<'_>) -> Vec<Result<Part, WrongPart>> {
    const SEPARATORS: &str = ",;";
    let (name, offset) = (counter.get_ref(), counter.span().start);
    if name.contains(|c| SEPARATORS.contains(c) || c == '=') {
        return vec![Err(WrongPart { why: format!("{name:?} is no counter's name"), offset })];
    }
    // Only a list: an option that stands behind `[embed-from]` by mistake is then never taken for a counter.
    let DeValue::Array(items) = origins.get_ref() else {
        let why = format!("{name:?} cannot be {}; must be a list of texts in quotes", described(origins.get_ref()));
        return vec![Err(WrongPart { why, offset })];
    };
    let (good, wrong) = divided(items.iter().map(|item| list_item(item, SEPARATORS)).collect());
    if wrong.is_empty() {
        let text = format!("{name}={}", Kind::List.join(&good));
        return vec![Ok(Part { text, offset })];
    }
    wrong.into_iter().map(Err).collect()
}

/// Returns an integer in decimal digits. Its sign may be anything that no option allows.
fn decimal(integer: &DeInteger<'_>) -> String {
    let number = i128::from_str_radix(integer.as_str(), integer.radix());
    number.map_or_else(|_| integer.to_string(), |number| number.to_string())
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text in quotes",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
