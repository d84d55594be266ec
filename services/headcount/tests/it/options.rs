//! The command line and the environment: help, and every error at once.

use std::process::{Command, Output, Stdio};

use headcount_testkit::{Node, NodeOptions};

use crate::{exchange::get, node::PATIENCE};

/// Exit status for a wrong command line: EX_USAGE in BSD's sysexits.h.
pub(crate) const EX_USAGE: i32 = 64;

/// Runs the binary until it exits, with these environment variables.
pub(crate) fn headcount(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headcount"));
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command.output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_error_is_reported_at_once() {
    let arguments = [
        "serve",
        "--listen=here",
        "--admin=127.0.0.1",
        "--redis=http://127.0.0.1/",
        "--counters=UPPER",
        "--grace=5",
        "--small=few",
        "--max-address-streams=0",
        "--max-address-streams-in-all=many",
        "--max-address-rate=0",
        "--limit-exempt=private",
        "--proxy-protocol-from=10.0.0.0/99",
        "--forwarded-header=x-real-ip",
        "--shards=0",
        "--max-viewers=0",
        "--frame-rate=1000",
        "--head-timeout=never",
        "--drain=1d",
        "--font=/nowhere/font.ttf",
        "--log=headcount=loud",
        "--log-format=xml",
    ];
    let environment = [("HEADCOUNT_KEEPALIVE", "15"), ("HEADCOUNT_PUBLIC_URL", "count.example")];
    let output = headcount(&arguments, &environment);
    assert_eq!(output.status.code(), Some(EX_USAGE));
    assert_eq!(text(&output.stdout), "");
    let report = text(&output.stderr);
    let given = arguments[1..].iter().map(|argument| argument.split('=').next().unwrap());
    for option in given.chain(["HEADCOUNT_KEEPALIVE", "HEADCOUNT_PUBLIC_URL"]) {
        let lines: Vec<&str> = report.lines().filter(|line| line.contains(&format!(" {option} "))).collect();
        assert_eq!(lines.len(), 1, "{option} in {report}");
    }
    assert_eq!(report.lines().count(), arguments.len() - 1 + environment.len() + 1, "{report}");
}

#[test]
fn wrong_arguments_are_errors() {
    for wrong in [
        &["serve", "--nonsense"][..],
        &["nonsense"],
        &["serve", "--listen"],
        &["draw"],
        &["draw", "many", "--out", "a.png"],
        &["draw", "1", "--out", "a.gif"],
        &["draw", "1", "--out", "-", "--look", "height=5"],
        &["watch", "ftp://a/online.png"],
        &["watch", "http://127.0.0.1:1/online.png", "--frames", "0"],
        &["healthcheck", "--admin", "nowhere"],
    ] {
        let output = headcount(wrong, &[]);
        assert_eq!(output.status.code(), Some(EX_USAGE), "{wrong:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{wrong:?}");
        assert!(text(&output.stderr).lines().count() >= 2, "{wrong:?}: {}", text(&output.stderr));
    }
}

#[test]
fn no_error_hides_another() {
    let arguments = [
        &["--keepalve", "15s", "--nonsense=1"][..],
        &["--drain=1s", "--drain=2s", "--drain=3s"],
        &["--max-looks", "--shards=0"],
    ];
    for command in [&[][..], &["serve"], &["check"]] {
        let output = headcount(&[command, &arguments.concat()].concat(), &[("HEADCOUNT_GRACE", "5")]);
        let report: Vec<&str> = text(&output.stderr).lines().collect();
        for (line, expected) in [
            "'--keepalve' found; did you mean --keepalive?",
            "'--nonsense'",
            "'--drain <TIME>' cannot be used multiple times",
            "a value is required for '--max-looks <N>'",
            "--shards \"0\": must be a whole number from 1 to 64",
            "HEADCOUNT_GRACE \"5\": must be a time",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(report[line].contains(expected), "no {expected} in line {line} of {report:#?}");
        }
        assert_eq!(report.len(), 7, "{report:#?}");
    }
}

#[test]
fn help_shows_no_secret() {
    let secrets = [("HEADCOUNT_REDIS", "redis://:s3cret@127.0.0.1/"), ("HEADCOUNT_SIGN_KEY", "0123456789s3cret")];
    for command in ["serve", "check", "status", "sign", "help"] {
        let arguments = if command == "help" { vec!["--help"] } else { vec![command, "--help"] };
        let help = headcount(&arguments, &secrets);
        assert!(help.status.success() && !text(&help.stdout).contains("s3cret"), "{command}: {}", text(&help.stdout));
    }
}

#[test]
fn an_empty_optional_option_counts_as_absent() {
    let arguments = ["serve", "--redis=", "--shards", "", "--proxy-protocol-from=", "--listen=here"];
    let output = headcount(&arguments, &[("HEADCOUNT_MAX_VIEWERS", ""), ("HEADCOUNT_FONT", "")]);
    let report = text(&output.stderr);
    assert!(report.starts_with("headcount: --listen \"here\": must be ") && report.lines().count() == 2, "{report}");
    let output = headcount(&["serve", "--grace=", "--listen=here"], &[]);
    assert_eq!(text(&output.stderr).lines().count(), 3, "--grace has a default and may not be empty: {output:?}");
}

#[test]
fn other_commands_ignore_variables_of_serve() {
    let output =
        headcount(&["draw", "1", "--out", "-"], &[("HEADCOUNT_KEEPALIVE", "15"), ("HEADCOUNT_LISTEN", "here")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn every_wrong_name_is_reported_and_no_key() {
    let output = headcount(&["sign", "UPPER", "online", "a b", "--sign-key", "short"], &[]);
    let report = text(&output.stderr);
    assert_eq!(report.lines().filter(|line| line.contains(" NAME ")).count(), 2, "{report}");
    assert!(report.contains("--sign-key \"…\"") && !report.contains("short"), "{report}");
    let output = headcount(&["serve", "--counters=signed", "--sign-key=short", "--shards=0"], &[]);
    let report = text(&output.stderr);
    assert!(report.contains("--counters \"signed\": needs a --sign-key of 16 bytes"), "{report}");
    assert!(report.contains("--shards \"0\"") && !report.contains("short"), "{report}");
}

#[test]
fn help_lists_every_option_with_its_variable() {
    let brief = headcount(&["--help"], &[]);
    assert!(brief.status.success());
    for command in ["serve", "check", "draw", "watch", "status", "healthcheck"] {
        let help = headcount(&[command, "--help"], &[]);
        assert!(help.status.success(), "{command}");
        assert!(text(&brief.stdout).lines().any(|line| line.trim().starts_with(command)), "{command} is not in --help");
    }
    let help = headcount(&["serve", "--help"], &[]);
    // Long lines are wrapped.
    let help = text(&help.stdout).replace("\n      --", "\u{0}--");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut options = Vec::new();
    for paragraph in help.split("\u{0}--").skip(1) {
        let name = paragraph.split(' ').next().unwrap();
        let variable = format!("[env: HEADCOUNT_{}", name.to_uppercase().replace('-', "_"));
        assert!(paragraph.contains(&variable), "no {variable} with --{name}: {paragraph}");
        options.push(name);
    }
    for option in [
        "config",
        "listen",
        "admin",
        "public-url",
        "redis",
        "redis-prefix",
        "counters",
        "sign-key",
        "embed-from",
        "grace",
        "small",
        "max-address-streams",
        "max-address-streams-in-all",
        "max-address-rate",
        "limit-exempt",
        "proxy-protocol-from",
        "forwarded-from",
        "forwarded-header",
        "shards",
        "max-viewers",
        "max-viewers-per-counter",
        "max-counters",
        "max-looks",
        "frame-rate",
        "keepalive",
        "stall-limit",
        "head-timeout",
        "max-heads",
        "accept-rate",
        "drain-delay",
        "drain",
        "font",
        "sprites",
        "log",
        "log-format",
    ] {
        assert!(options.contains(&option), "--{option} is not in {options:?}");
    }
    // The same options exist without the subcommand, and to check.
    let check = headcount(&["check", "--help"], &[]);
    for option in options {
        assert!(text(&brief.stdout).contains(&format!("--{option}")), "--{option} is not in headcount --help");
        assert!(text(&check.stdout).contains(&format!("--{option}")), "--{option} is not in headcount check --help");
    }
}

#[test]
fn options_can_be_set_by_environment_variables() {
    let options = NodeOptions {
        program: Some(env!("CARGO_BIN_EXE_headcount").into()),
        environment: vec![
            ("HEADCOUNT_COUNTERS".into(), "lobby,kitchen".into()),
            ("HEADCOUNT_PUBLIC_URL".into(), "https://env.example/".into()),
        ],
        ..NodeOptions::default()
    };
    let mut node = Node::start(&options).unwrap();
    assert_eq!(get(&node, "/kitchen.json").status(), 200);
    assert_eq!(get(&node, "/online.json").status(), 404);
    assert!(get(&node, "/").text().contains("[img]https://env.example/lobby.png[/img]"));
    assert!(node.stop(PATIENCE).unwrap().success());
    // The command line takes precedence.
    let node = Node::start(&options.with(["--counters", "attic"])).unwrap();
    assert_eq!((get(&node, "/attic.json").status(), get(&node, "/lobby.json").status()), (200, 404));
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (option, other) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let output = headcount(&["serve", option, &address, other, "127.0.0.1:0"], &[]);
        assert_eq!(output.status.code(), Some(1), "{option}");
        assert!(text(&output.stderr).contains(&address), "{option}: {}", text(&output.stderr));
    }
}
