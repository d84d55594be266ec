//! [`FileSettings`]: a configuration file's values of options. Its names are the options' long names; how a value is
//! written follows from the option's type (see [`Kind`]).

use std::any::TypeId;
use std::ops::RangeInclusive;

use clap::Arg;
use headcount_presence::RedisUrl;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::config_errors::{ConfigErrors, wrong_value};
use super::config_file::ConfigFile;
use super::kind::{Kind, WrongPart};
use super::parse::Optional;
use super::setting::{self, Setting, Settings};

/// The option that names the file. It cannot stand in one.
pub(super) const OPTION: &str = "config";
/// Most errors of one file that are listed: more than there are options. A file with more is not a configuration file.
const MAX_ERRORS: usize = 100;
/// Names at least as alike are suggested for an unknown one. The measure and the bound are clap's for the command line.
const LIKENESS: f64 = 0.7;

/// Reads a file's values of a command's options.
pub(super) struct FileSettings<'a> {
    file: &'a ConfigFile,
    command: &'a clap::Command,
    /// What is wrong, and the offset of the byte where it is.
    wrong: Vec<(usize, String)>,
    /// The number of errors that are not listed.
    more: usize,
    /// The options that hold secrets.
    secrets: Vec<&'a str>,
}

impl<'a> FileSettings<'a> {
    /// Adds the file's values to `settings`, and everything that is wrong to `errors`. Returns a warning if everybody may
    /// read its secrets.
    pub(super) fn read(
        file: &'a ConfigFile,
        command: &'a clap::Command,
        settings: &mut Settings,
        errors: &mut ConfigErrors,
    ) -> Option<String> {
        let mut reader = Self { file, command, wrong: Vec::new(), more: 0, secrets: Vec::new() };
        let (table, syntax_errors) = DeTable::parse_recoverable(&file.text);
        reader.add_syntax_errors(table.get_ref(), &syntax_errors);
        if syntax_errors.is_empty() {
            reader.add_values(table.get_ref(), &Lines::default(), settings);
        } else {
            // The parser stops to collect values behind some errors, and what it finds on the wrong lines is a guess. It
            // is asked again, without those lines.
            let mut broken = Lines::of(file, &syntax_errors);
            reader.refuse(table.get_ref(), &broken, settings);
            let rest = file.without(&broken.0);
            let (table, mut syntax_errors) = DeTable::parse_recoverable(&rest);
            syntax_errors.retain(|error| !broken.contains_any(file.lines(error.span().unwrap_or_default())));
            reader.add_syntax_errors(table.get_ref(), &syntax_errors);
            broken.extend(file, &syntax_errors);
            reader.refuse(table.get_ref(), &broken, settings);
            reader.add_values(table.get_ref(), &broken, settings);
        }
        reader.report(errors)
    }

    /// Adds the values that are on none of the `broken` lines.
    fn add_values(&mut self, table: &DeTable<'_>, broken: &Lines, settings: &mut Settings) {
        for (key, value) in table {
            if broken.contains_any(self.file.lines(key.span().start..value.span().end)) {
                continue;
            }
            let Some(arg) = self.option(key.get_ref()) else {
                let why = self.unknown(key.get_ref(), value.get_ref());
                self.wrong.push((key.span().start, why));
                continue;
            };
            match self.value(arg, value) {
                Some(text) => {
                    let name = format!("{}:{}: {}", self.file.path, self.file.line(key.span().start), key.get_ref());
                    settings.set(Setting { id: arg.get_id().clone(), text, name });
                }
                None => settings.refuse(arg),
            }
        }
    }

    /// Refuses the options that are on `broken` lines.
    fn refuse(&self, table: &DeTable<'_>, broken: &Lines, settings: &mut Settings) {
        for (key, value) in table {
            let is_broken = broken.contains_any(self.file.lines(key.span().start..value.span().end));
            if let (true, Some(arg)) = (is_broken, self.option(key.get_ref())) {
                settings.refuse(arg);
            }
        }
    }

    /// Returns an option's value as it would stand on the command line, or adds what is wrong with it.
    fn value(&mut self, arg: &'a Arg, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let (name, kind) = (arg.get_long().unwrap_or_default(), Kind::of(arg));
        let check = |text: &str, offset: usize| {
            let why = setting::check(arg, text.as_ref()).err()?;
            Some((offset, wrong_value(name, setting::shown(arg, text), why)))
        };
        let (parts, wrong_parts) = kind.parts(arg, value);
        let text = kind.join(&parts);
        let mut wrong: Vec<_> =
            wrong_parts.into_iter().map(|WrongPart { why, offset }| (offset, format!("{name}: {why}"))).collect();
        let wrong_text = check(&text, value.span().start).filter(|_| wrong.is_empty());
        if wrong.is_empty() && wrong_text.is_none() {
            if holds_secret(arg, &text) {
                self.secrets.push(name);
            }
            return Some(text);
        }
        // Each part by itself, so that its line is named.
        wrong.extend(parts.iter().filter_map(|part| check(&part.text, part.offset)));
        if wrong.is_empty() {
            wrong.extend(wrong_text);
        }
        for key in value.get_ref().as_table().into_iter().flat_map(|table| table.keys()) {
            let key_name = key.get_ref();
            if self.option(key_name).is_some() {
                let why = format!("{name}: {key_name} belongs to the table {name} here; options stand before it");
                wrong.push((key.span().start, why));
            }
        }
        self.wrong.append(&mut wrong);
        None
    }

    /// Returns the option with this name.
    fn option(&self, name: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| arg.get_long() == Some(name) && name != OPTION)
    }

    fn unknown(&self, name: &str, value: &DeValue<'_>) -> String {
        if name == OPTION {
            return format!("{name}: a configuration file cannot name another one");
        }
        let written = name.trim_start_matches('-').to_lowercase().replace('_', "-");
        let known = self.command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(Arg::get_long);
        let nearest = known
            .filter(|known| *known != OPTION)
            .map(|known| (strsim::jaro(&written, known), known))
            .filter(|(likeness, _)| *likeness > LIKENESS)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        let hint = match (nearest, value) {
            (Some((_, nearest)), _) => format!("did you mean {nearest}?"),
            (None, DeValue::Table(_)) => "options stand in no table".to_owned(),
            (None, _) => "must be one of those in headcount serve --help".to_owned(),
        };
        format!("{name:?} is not an option; {hint}")
    }

    fn add_syntax_errors(&mut self, table: &DeTable<'_>, errors: &[toml::de::Error]) {
        let mut errors: Vec<_> =
            errors.iter().map(|error| (error.span().unwrap_or_default(), error.message())).collect();
        errors.sort_by_key(|(at, _)| at.start);
        self.more += errors.len().saturating_sub(MAX_ERRORS);
        for (at, why) in errors.into_iter().take(MAX_ERRORS) {
            let entry = table.iter().find(|(key, value)| {
                !key.get_ref().is_empty() && (key.span().start..=value.span().end).contains(&at.start)
            });
            // A name is no secret, but other text may be one.
            let duplicate = self.file.text.get(at.clone()).filter(|_| why.contains("duplicate key"));
            let first = duplicate.and_then(|name| table.get_key_value(name));
            let first_line = first.map(|(key, _)| self.file.line(key.span().start));
            let message = match (entry, duplicate, first_line) {
                (Some((key, _)), ..) => format!("{}: {why}", key.get_ref()),
                (None, Some(name), Some(line)) => format!("{name}: {why}, first on line {line}"),
                (None, Some(name), None) => format!("{name}: {why}"),
                (None, None, _) => format!("this line is not TOML: {why}"),
            };
            self.wrong.push((at.start, message));
        }
    }

    fn report(mut self, errors: &mut ConfigErrors) -> Option<String> {
        let file = self.file;
        self.wrong.sort_by_key(|(offset, _)| *offset);
        for (offset, why) in self.wrong.iter().take(MAX_ERRORS) {
            errors.push(&format!("{}:{}: {why}", file.path, file.line(*offset)));
        }
        let more = self.more + self.wrong.len().saturating_sub(MAX_ERRORS);
        if more > 0 {
            errors.push(&format!("{}: and {more} more errors; is this a configuration file?", file.path));
        }
        (file.is_public && !self.secrets.is_empty()).then(|| {
            let secrets = self.secrets.join(" and ");
            format!(
                "{} holds a secret ({secrets}), and everybody may read it: chgrp it to the group of the node's user, then \
                 chmod 640",
                file.path
            )
        })
    }
}

/// Numbers of lines, sorted.
#[derive(Default)]
struct Lines(Vec<usize>);

impl Lines {
    /// Returns the lines with errors.
    fn of(file: &ConfigFile, errors: &[toml::de::Error]) -> Self {
        let mut lines = Self::default();
        lines.extend(file, errors);
        lines
    }

    /// Adds the lines with errors.
    fn extend(&mut self, file: &ConfigFile, errors: &[toml::de::Error]) {
        self.0.extend(errors.iter().map(|error| file.line(error.span().unwrap_or_default().start)));
        self.0.sort_unstable();
        self.0.dedup();
    }

    fn contains_any(&self, lines: RangeInclusive<usize>) -> bool {
        let next = self.0.partition_point(|line| line < lines.start());
        self.0.get(next).is_some_and(|line| line <= lines.end())
    }
}

fn holds_secret(arg: &Arg, text: &str) -> bool {
    let is_redis = arg.get_value_parser().type_id() == TypeId::of::<Optional<RedisUrl>>();
    let is_open = || is_redis && RedisUrl::parse(text).is_ok_and(|url| !url.has_password());
    setting::is_secret(arg) && !text.is_empty() && !is_open()
}
