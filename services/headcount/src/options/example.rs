//! Holds `deploy/headcount.toml` to the options: each with its help text and its default.
//!
//! `HEADCOUNT_APPROVE=1 cargo test -p headcount --lib example` rewrites it.

use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::Arg;

use super::config_errors::ConfigErrors;
use super::config_file::ConfigFile;
use super::file_settings::{FileSettings, OPTION};
use super::kind::Kind;
use super::resolve::described;
use super::setting::{self, Settings};

/// Longest line of the file, in characters.
const WIDTH: usize = 100;

const HEAD: &str = "\
The configuration of a node: headcount serve --config headcount.toml

Every option with its default. Take away the # before those that you change. A value on the command line (--keepalive 15s)
or in the environment (HEADCOUNT_KEEPALIVE=15s) counts before the one here. Relative paths start at the working directory.
Whoever may read this file learns the secrets in it. If it has a sign-key or a password of Redis, let only the node's user
read it: give it to that user's group (chgrp headcount for deploy/systemd), and chmod 640.

headcount check --config headcount.toml lists everything that is wrong.";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/headcount.toml")
}

/// Appends a text as comments.
fn comment(file: &mut String, text: &str) {
    for paragraph in text.split("\n\n") {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                file.push_str(&format!("{line}\n"));
                line = "#".to_owned();
            }
            line = format!("{line} {word}");
        }
        file.push_str(&format!("{line}\n#\n"));
    }
    file.truncate(file.len() - 2);
}

fn default(arg: &Arg) -> &str {
    arg.get_default_values().first().and_then(|text| text.to_str()).unwrap_or_default()
}

/// Returns what an option's empty value, or its form in this file, means.
fn note(arg: &Arg) -> Option<String> {
    let name = arg.get_long()?;
    match Kind::of(arg) {
        Kind::Integer | Kind::Number if setting::is_optional(arg) => {
            Some("A whole number; \"\" is the default.".to_owned())
        }
        Kind::List if !default(arg).contains(',') => Some(format!("Here also a list: {name} = [\"…\", \"…\"]")),
        Kind::Table => Some(format!("Here: {name}.COUNTER = [\"https://forum.example\", …]")),
        _ => None,
    }
}

fn example(command: &clap::Command) -> String {
    let mut file = String::new();
    comment(&mut file, HEAD);
    let mut heading = None;
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_long() != Some(OPTION)) {
        if heading != arg.get_help_heading() {
            heading = arg.get_help_heading();
            file.push_str(&format!("\n\n# ---- {} ----\n", heading.unwrap_or_default()));
        }
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        file.push('\n');
        comment(&mut file, &format!("{help}. {}", note(arg).unwrap_or_default()));
        let (name, value) = (arg.get_long().expect("an option"), Kind::of(arg).to_toml(default(arg)));
        file.push_str(&format!("#{name} = {value}\n"));
    }
    file
}

/// Returns the values in a file.
fn settings(file: &str, command: &clap::Command) -> Settings {
    let copy = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(copy.path(), file).expect("it can be written");
    let file = ConfigFile::read(copy.path().to_str().expect("it is UTF-8")).expect("it can be read");
    let (mut settings, mut errors) = (Settings::default(), ConfigErrors::default());
    FileSettings::read(&file, command, &mut settings, &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    settings
}

#[test]
fn the_example_file_has_every_option_with_its_default() {
    let described = described();
    let command = described.find_subcommand("serve").expect("it exists");
    let expected = example(command);
    if env::var_os("HEADCOUNT_APPROVE").is_some() {
        fs::write(path(), &expected).expect("the folder is writable");
    }
    let file = fs::read_to_string(path()).expect("the file exists");
    assert!(file == expected, "deploy/headcount.toml is not what HEADCOUNT_APPROVE=1 writes");

    let is_option = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line != "#";
    let all = file.lines().map(|line| if is_option(line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n");
    let (none, all) = (settings(&file, command), settings(&all, command));
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_long() != Some(OPTION)) {
        let id = arg.get_id().as_str();
        assert!(none.get(id).is_none(), "{id} is set");
        let is_number = matches!(Kind::of(arg), Kind::Integer | Kind::Number);
        assert!(
            is_number || default(arg).parse::<f64>().is_err(),
            "{id} is a number of a type that Kind does not know"
        );
        assert_eq!(all.get(id).map(|setting| setting.text.as_str()), Some(default(arg)), "{id}");
    }
}
