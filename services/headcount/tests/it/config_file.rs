//! The configuration file: its precedence, its values, its secrets.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Output,
};

use headcount_testkit::{Node, NodeOptions};
use tempfile::TempDir;

use crate::{
    exchange::{get, request},
    node::PATIENCE,
    options::{EX_USAGE, headcount, text},
    stream::Stream,
};

/// A configuration file in a folder of its own.
pub(crate) struct ConfigFile {
    folder: TempDir,
}

impl ConfigFile {
    pub(crate) fn new(content: impl AsRef<[u8]>) -> ConfigFile {
        let file = ConfigFile { folder: tempfile::tempdir().unwrap() };
        fs::write(file.path(), content).unwrap();
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("headcount.toml")
    }

    pub(crate) fn argument(&self) -> String {
        format!("--config={}", self.path().display())
    }

    /// Runs `headcount check` on it.
    pub(crate) fn check(&self) -> Output {
        headcount(&["check", &self.argument()], &[])
    }

    /// Returns the errors that `headcount check` lists, each without the file's path: `3: listen "here": must be …`.
    pub(crate) fn errors(&self) -> Vec<String> {
        let output = self.check();
        assert_eq!(text(&output.stdout), "");
        assert_eq!(output.status.code(), Some(1));
        let prefix = format!("headcount: {}:", self.path().display());
        let mut lines: Vec<&str> = text(&output.stderr).lines().collect();
        assert_eq!(lines.pop(), Some("headcount: a node would not start with this configuration"));
        let bare =
            lines.into_iter().map(|line| line.strip_prefix(&prefix).unwrap_or_else(|| panic!("no path in {line}")));
        bare.map(str::to_owned).collect()
    }

    fn node(&self) -> NodeOptions {
        let program = Some(env!("CARGO_BIN_EXE_headcount").into());
        NodeOptions { program, ..NodeOptions::default() }.with([self.argument()])
    }
}

fn status(node: &Node, counter: &str) -> u16 {
    get(node, &format!("/{counter}.json")).status()
}

#[test]
fn the_command_line_comes_before_the_environment_and_the_environment_before_the_file() {
    let file = ConfigFile::new("counters = [\"lobby\", \"kitchen\"]\npublic-url = \"https://file.example\"\n");
    let mut node = Node::start(&file.node()).unwrap();
    assert_eq!([status(&node, "lobby"), status(&node, "kitchen"), status(&node, "online")], [200, 200, 404]);
    assert!(get(&node, "/").text().contains("https://file.example/lobby.png"));
    assert!(
        node.log().iter().any(|line| line.contains(file.path().to_str().unwrap())),
        "the log does not name the file"
    );
    assert!(node.stop(PATIENCE).unwrap().success());

    let mut options = file.node();
    options.environment = vec![("HEADCOUNT_COUNTERS".into(), "attic".into())];
    let node = Node::start(&options).unwrap();
    assert_eq!([status(&node, "attic"), status(&node, "lobby")], [200, 404]);
    assert!(get(&node, "/").text().contains("https://file.example/attic.png"), "the file's other option is lost");

    // An empty value is a value: the option is absent, whatever the file says.
    let node = Node::start(&options.with(["--counters", "cellar", "--public-url="])).unwrap();
    assert_eq!([status(&node, "cellar"), status(&node, "attic"), status(&node, "lobby")], [200, 404, 404]);
    assert!(!get(&node, "/").text().contains("file.example"));
}

#[test]
fn the_environment_can_name_the_file() {
    let (one, other) = (ConfigFile::new("shards = 0"), ConfigFile::new("shards = 65"));
    let variable = [("HEADCOUNT_CONFIG", one.path().to_str().unwrap().to_owned())];
    let variable = variable.each_ref().map(|(name, value)| (*name, value.as_str()));
    for command in [&[][..], &["serve"], &["check"]] {
        let output = headcount(command, &variable);
        assert!(text(&output.stderr).contains(":1: shards \"0\": must be"), "{command:?}: {}", text(&output.stderr));
        let output = headcount(&[command, &[&other.argument()]].concat(), &variable);
        let report = text(&output.stderr);
        assert!(report.contains(":1: shards \"65\"") && !report.contains("\"0\""), "{command:?}: {report}");
    }
    // Empty: no file.
    assert!(headcount(&["check"], &[("HEADCOUNT_CONFIG", "")]).status.success());
    assert!(headcount(&["check", "--config="], &variable).status.success());
    // The other commands have no file.
    assert!(headcount(&["draw", "1", "--out", "-"], &variable).status.success());
}

#[test]
fn all_errors_of_all_sources_are_reported_at_once() {
    let file = ConfigFile::new("grace = \"5\"\nkeepalive = \"1\"\n\nshard = 2\nlog = 3\n");
    let arguments = ["serve", "--listen=here", &file.argument(), "--nonsense"];
    let output = headcount(&arguments, &[("HEADCOUNT_SMALL", "few"), ("HEADCOUNT_KEEPALIVE", "15")]);
    assert_eq!(output.status.code(), Some(EX_USAGE));
    let path = file.path().display().to_string();
    let expected = [
        "headcount: --listen \"here\": must be an address and a port".to_owned(),
        "headcount: unexpected argument '--nonsense'".to_owned(),
        "headcount: HEADCOUNT_SMALL \"few\": must be a whole number".to_owned(),
        "headcount: HEADCOUNT_KEEPALIVE \"15\": must be a time from 1s".to_owned(),
        format!("headcount: {path}:1: grace \"5\": must be a time"),
        format!("headcount: {path}:2: keepalive \"1\": must be a time"),
        format!("headcount: {path}:4: \"shard\" is not an option; did you mean shards?"),
        format!("headcount: {path}:5: log: a whole number cannot stand here; must be text in quotes, as \"info\""),
        "headcount: nothing was started".to_owned(),
    ];
    let mut report: Vec<&str> = text(&output.stderr).lines().collect();
    report[2..4].sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(report.len(), expected.len(), "{report:#?}");
    for (line, expected) in report.iter().zip(expected) {
        assert!(line.starts_with(&expected), "{line:?} is not {expected:?}");
    }
}

#[test]
fn a_wrong_value_is_an_error_also_where_another_takes_precedence() {
    let file = ConfigFile::new("keepalive = \"15\"");
    let output = headcount(&["serve", &file.argument(), "--keepalive=15s", "--listen=127.0.0.1:0"], &[]);
    assert_eq!(output.status.code(), Some(EX_USAGE), "{}", text(&output.stderr));
    let output = headcount(&["serve", "--keepalive=15s", "--listen=127.0.0.1:0"], &[("HEADCOUNT_KEEPALIVE", "15")]);
    assert_eq!(output.status.code(), Some(EX_USAGE), "{}", text(&output.stderr));
}

#[test]
fn lists_and_tables_have_their_effect() {
    let node = |content: &str| Node::start(&ConfigFile::new(content).node()).unwrap();
    // By default loopback is exempt from the limit; an empty list exempts nobody.
    for (exempt, second) in
        [("", 200), ("limit-exempt = []", 429), ("limit-exempt = [\"10.0.0.0/8\", \"127.0.0.0/8\"]", 200)]
    {
        let node = node(&format!("max-address-streams = 1\n{exempt}\n"));
        let mut first = Stream::open(&node, "/online.png");
        first.wait_for(1);
        match second {
            200 => drop(Stream::open(&node, "/online.png").wait_for(2)),
            refused => assert_eq!(get(&node, "/online.png").status(), refused, "{exempt:?}"),
        };
    }
    for table in [
        "[embed-from]\nonline = [\"https://a.example\", \"https://b.example\"]\nnews = [\"https://c.example\"]",
        "embed-from.online = [\"https://a.example\", \"https://b.example\"]",
        "embed-from = { online = [\"https://a.example\", \"https://b.example\"] }",
        "embed-from = \"online=https://a.example,https://b.example\"",
    ] {
        let node = node(table);
        let from = |site: &str| request(&node, "GET", "/online.png", &[("Referer", site)]).status();
        assert_eq!(from("https://evil.example/"), 403, "{table}");
        let page = b"GET /online.png HTTP/1.1\r\nHost: a\r\nReferer: https://b.example/topic\r\n\r\n";
        Stream::open_by(&node, page).wait_for(1);
    }
}

#[test]
fn files_without_options_are_good() {
    for content in ["", "\n\n", "# nothing\n", "\u{feff}", "\u{feff}drain = \"1s\"\r\nshards = 1\r\n"] {
        let output = ConfigFile::new(content).check();
        assert!(output.status.success(), "{content:?}: {}", text(&output.stderr));
    }
}

#[test]
fn secrets_are_not_shown_and_a_file_that_everybody_may_read_is_a_warning() {
    let wrong = "sign-key = 12345678901234567\nredis = \"http://:s3cret@a/\"\ncounters = \"signed\"\nlog = \"\\q\"\n\
                 drain = s3cret\n";
    let errors = ConfigFile::new(wrong).errors();
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(!errors.iter().any(|error| error.contains("s3cret") || error.contains("1234567")), "{errors:?}");

    let warns = |content: &str, mode: u32| {
        let file = ConfigFile::new(content);
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        let output = file.check();
        assert!(output.status.success(), "{content}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout).lines().count(), 1);
        text(&output.stderr).to_owned()
    };
    let key = "counters = \"signed\"\nsign-key = \"0123456789abcdef\"\n";
    let redis = "redis = \"redis://:s3cret@127.0.0.1:1/\"\n";
    for (content, secrets) in [(key, "sign-key"), (redis, "redis"), (&format!("{key}{redis}"), "redis and sign-key")] {
        let warning = warns(content, 0o644);
        assert!(warning.starts_with("headcount: warning: ") && warning.lines().count() == 1, "{warning}");
        assert!(warning.contains(&format!("holds a secret ({secrets}), and everybody may read it")), "{warning}");
        assert!(!warning.contains("s3cret") && !warning.contains("0123456789"), "{warning}");
        assert_eq!(warns(content, 0o640), "", "{content}");
    }
    assert_eq!(warns("redis = \"redis://127.0.0.1:1/\"\nsign-key = \"\"\n", 0o644), "", "nothing is secret");
    // The command line takes precedence, but the file holds the secret all the same.
    let file = ConfigFile::new(key);
    fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
    let node = Node::start(&file.node().with(["--sign-key=fedcba9876543210"])).unwrap();
    assert!(node.log().iter().any(|line| line.contains("\"WARN\"") && line.contains("holds a secret (sign-key)")));
}
