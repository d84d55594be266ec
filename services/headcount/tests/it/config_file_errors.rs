//! Everything that can be wrong with a configuration file.

use crate::{
    config_file::ConfigFile,
    options::{EX_USAGE, headcount, text},
};

/// Largest file that is read.
const MAX_BYTES: usize = 1 << 20;

#[test]
fn unknown_names_are_reported_with_the_nearest_known_one() {
    for (line, hint) in [
        ("keepalve = \"1s\"", "\"keepalve\" is not an option; did you mean keepalive?"),
        ("max_viewers = 5", "\"max_viewers\" is not an option; did you mean max-viewers?"),
        ("\"--listen\" = \"127.0.0.1:0\"", "\"--listen\" is not an option; did you mean listen?"),
        ("Drain = \"1s\"", "\"Drain\" is not an option; did you mean drain?"),
        ("xyz = 1", "\"xyz\" is not an option; must be one of those in headcount serve --help"),
        ("\"\\u0007\" = 1", "\"\\u{7}\" is not an option"),
        ("config = \"a.toml\"", "config: a configuration file cannot name another one"),
        ("help = true", "\"help\" is not an option"),
        ("[qqq]\nlisten = \"127.0.0.1:0\"", "\"qqq\" is not an option; options stand in no table"),
        ("[[keepaliv]]", "\"keepaliv\" is not an option; did you mean keepalive?"),
    ] {
        let errors = ConfigFile::new(line).errors();
        assert_eq!(errors.len(), 1, "{line}: {errors:?}");
        assert!(errors[0].starts_with(&format!("1: {hint}")), "{line}: {errors:?}");
    }
}

#[test]
fn wrong_types_are_reported_with_the_right_one() {
    for (line, expected) in [
        ("listen = 8080", "listen: a whole number cannot stand here; must be text in quotes, as \"0.0.0.0:8080\""),
        ("keepalive = 15", "keepalive: a whole number cannot stand here; must be text in quotes, as \"15s\""),
        ("log = [\"info\"]", "log: a list cannot stand here; must be text in quotes, as \"info\""),
        ("log = true", "log: true or false cannot stand here; must be text in quotes"),
        ("drain = 12:00:00", "drain: a date or time cannot stand here; must be text in quotes"),
        ("[keepalive]", "keepalive: a table cannot stand here; must be text in quotes"),
        (
            "max-looks = \"5\"",
            "max-looks: text in quotes cannot stand here; must be a whole number without quotes, as 1024",
        ),
        ("max-looks = \"\"", "max-looks: text in quotes cannot stand here"),
        ("max-looks = 1.0", "max-looks: a number with a fraction cannot stand here; must be a whole number"),
        ("max-viewers = \"5\"", "max-viewers: text in quotes cannot stand here; must be a whole number without quotes"),
        ("frame-rate = \"10\"", "frame-rate: text in quotes cannot stand here; must be a number without quotes, as 10"),
        (
            "counters = 5",
            "counters: a whole number cannot stand here; must be text in quotes, or a list of such, as \"any\"",
        ),
        ("counters = [5]", "counters: a whole number cannot be an item; must be text in quotes"),
        ("counters = [\"a,b\"]", "counters: \"a,b\" must be several items, each in quotes of its own"),
        ("counters = [\"\"]", "counters: an item is empty"),
        ("counters = []", "counters \"\": "),
        ("embed-from = [\"a\"]", "embed-from: a list cannot stand here; must be a table of lists, as { online = ["),
        ("embed-from = { a = 5 }", "embed-from: \"a\" cannot be a whole number; must be a list of texts in quotes"),
        ("embed-from = { a = [5] }", "embed-from: a whole number cannot be an item"),
        ("embed-from = { a = [] }", "embed-from \"a=\": \"\" is no site; must be an origin, as https://forum.example"),
        ("embed-from = { A = [\"http://a\"] }", "embed-from \"A=http://a\": a counter's name has"),
        ("embed-from = { \"a=http://b;c\" = [\"http://d\"] }", "embed-from: \"a=http://b;c\" is no counter's name"),
        // Bounds, for numbers that TOML can write and the command line cannot.
        ("small = -1", "small \"-1\": must be a whole number from 0"),
        ("small = 99999999999999999999999999", "small \"99999999999999999999999999\": must be"),
        ("max-looks = 0x0", "max-looks \"0\": must be"),
        ("frame-rate = nan", "frame-rate \"nan\": must be a number from 0.01 to 60"),
        ("frame-rate = -inf", "frame-rate \"-inf\": must be"),
    ] {
        let errors = ConfigFile::new(line).errors();
        assert_eq!(errors.len(), 1, "{line}: {errors:?}");
        assert!(errors[0].starts_with(&format!("1: {expected}")), "{line}: {errors:?}");
    }
    for right in ["max-looks = +1_000", "max-looks = 0x10", "frame-rate = 1", "frame-rate = 0.5", "frame-rate = 5e-1"] {
        let output = ConfigFile::new(right).check();
        assert!(output.status.success(), "{right}: {}", text(&output.stderr));
    }
}

#[test]
fn the_items_of_a_list_are_reported_each_with_its_line() {
    let file = ConfigFile::new(
        "limit-exempt = [\n  \"10.0.0.0/8\",\n  \"office\",\n  7,\n  \"10.0.0.0/99\",\n]\n\n[embed-from]\n\
         a = [\"https://a.example\"]\nb = [\"b.example\"]\nkeepalive = \"15s\"\nlisten = [\"127.0.0.1:0\"]\n",
    );
    let errors = file.errors();
    for (error, expected) in errors.iter().zip([
        "3: limit-exempt \"office\": ",
        "4: limit-exempt: a whole number cannot be an item",
        "5: limit-exempt \"10.0.0.0/99\": ",
        "10: embed-from \"b=b.example\": ",
        "11: embed-from: \"keepalive\" cannot be text in quotes; must be a list",
        "11: embed-from: keepalive belongs to the table embed-from here; options stand before it",
        "12: embed-from \"listen=127.0.0.1:0\": ",
        "12: embed-from: listen belongs to the table embed-from here",
    ]) {
        assert!(error.starts_with(expected), "{error:?} is not {expected:?}");
    }
    assert_eq!(errors.len(), 8, "{errors:#?}");
}

#[test]
fn what_is_not_toml_is_reported_once_with_its_line() {
    for (content, expected) in [
        ("listen = here\n", &["1: listen: string values must be quoted"][..]),
        ("keepalive = 15s\nshards = 0", &["1: keepalive: string values must be quoted", "2: shards \"0\": must be"]),
        ("drain = \"1s\"\n\nshards = 1\ndrain = \"2s\"", &["4: drain: duplicate key, first on line 1"]),
        ("[embed-from]\na = [\"http://a\"]\na = [\"http://b\"]", &["3: a: duplicate key"]),
        ("[embed-from]\na = [\"http://a\"]\n[embed-from]", &["3: embed-from: duplicate key"]),
        ("shards 2\nkeepalive = \"1\"", &["1: this line is not TOML: ", "2: keepalive \"1\": must be"]),
        (
            "shards = 0\nkeepalive 1\ndrain 2\ngrace = 5m\nlog = 3\n",
            &["1: shards \"0\": must be", "2: this line", "3: this line", "4: grace: string values", "5: log: a whole"],
        ),
        ("drain = \"1s\nshards = 0", &["1: drain: invalid basic string", "2: shards \"0\": must be"]),
        ("drain = \n", &["1: drain: string values must be quoted"]),
        ("{\"drain\": \"1s\"}", &["1: this line is not TOML: "]),
        ("drain = \"\\q\"", &["1: drain: missing escaped value"]),
        ("counters = [\"a\"\ndrain = \"1s\"", &["2: counters: "]),
    ] {
        let errors = ConfigFile::new(content).errors();
        let mut found = errors.iter();
        for expected in expected {
            assert!(found.any(|error| error.starts_with(expected)), "no {expected:?} in {errors:#?} of {content:?}");
        }
        assert!(errors.len() == expected.len() || content.contains('['), "{content:?}: {errors:#?}");
    }
}

#[test]
fn what_is_no_readable_text_is_an_error() {
    let file = ConfigFile::new("drain = \"1s\"\n");
    let path = file.path();
    let named = |path: &str| headcount(&["serve", "--config", path, "--shards=0"], &[]);
    let missing = path.with_extension("missing");
    for (path, why) in [
        (missing.to_str().unwrap(), "cannot be read: No such file or directory"),
        (path.parent().unwrap().to_str().unwrap(), "cannot be read: must be a file, not a directory"),
        ("/dev/null", "cannot be read: must be a file"),
        (&format!("{}/a", path.display()), "cannot be read: Not a directory"),
    ] {
        let output = named(path);
        let report = text(&output.stderr);
        assert_eq!(output.status.code(), Some(EX_USAGE), "{report}");
        assert!(report.contains(&format!("headcount: --config {path:?}: {why}")), "{report}");
        assert!(report.contains("--shards \"0\"") && report.lines().count() == 3, "{report}");
        let output = headcount(&["check"], &[("HEADCOUNT_CONFIG", path)]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(&format!("headcount: HEADCOUNT_CONFIG {path:?}: {why}")), "{output:?}");
    }
    let output = ConfigFile::new(b"drain = \"1s\"\nlog = \"\xff\"\n").check();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("line 2 is not UTF-8; must be TOML"), "{}", text(&output.stderr));
}

#[test]
fn a_file_of_a_mebibyte_is_read_and_a_larger_one_is_refused() {
    let mut origins = String::from("embed-from.online = [\n");
    while origins.len() < MAX_BYTES - 100 {
        origins.push_str(&format!("  \"https://{}.example\",\n", origins.len()));
    }
    origins.push_str("]\n#");
    origins.extend(std::iter::repeat_n('x', MAX_BYTES - origins.len()));
    let output = ConfigFile::new(&origins).check();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = ConfigFile::new(format!("{origins}x")).check();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is too large; must be at most 1048576 bytes"), "{}", text(&output.stderr));
}

#[test]
fn a_mebibyte_of_anything_is_answered_with_a_bounded_report() {
    let numbered = |line: fn(usize) -> String| (0..MAX_BYTES / 20).map(line).collect::<String>();
    for content in [
        "[".repeat(MAX_BYTES),
        format!("a={}", "[".repeat(MAX_BYTES - 2)),
        "a.".repeat(MAX_BYTES / 2),
        "=\n".repeat(MAX_BYTES / 2),
        "a=1\n".repeat(MAX_BYTES / 4),
        numbered(|i| format!("k{i}=1\n")),
        numbered(|i| format!("k{i}=x\n")),
        numbered(|i| format!("k{i}\n")),
        numbered(|i| format!("[t{i}]\n")),
        format!("log = \"{}\"", "x=".repeat(MAX_BYTES / 2 - 10)),
        format!("{}=1", "x".repeat(MAX_BYTES - 10)),
        format!("counters = [\"{}\"]", "x,".repeat(MAX_BYTES / 2 - 10)),
        format!("limit-exempt = [{}]", "\"x\",\n".repeat(MAX_BYTES / 5 - 20)),
        format!("embed-from.a = [{}]", "\"x\",\n".repeat(MAX_BYTES / 5 - 20)),
    ] {
        let begin = content[..20].to_owned();
        let output = ConfigFile::new(content).check();
        assert_eq!(output.status.code(), Some(1), "{begin}");
        let report = text(&output.stderr);
        assert!((2..=102).contains(&report.lines().count()), "{begin}: {} lines", report.lines().count());
        assert!(report.len() < 200_000, "{begin}: {} bytes", report.len());
    }
}
