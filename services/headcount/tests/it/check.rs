//! `headcount check`: whether a node would start, with exit status and words.

use std::{fs, net::TcpListener};

use headcount_testkit::{Node, NodeOptions};

use crate::{
    config_file::ConfigFile,
    options::{headcount, text},
};

#[test]
fn a_good_configuration_is_one_line_and_exit_0() {
    let output = headcount(&["check"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "headcount: a node would start with this configuration\n");
    assert_eq!(text(&output.stderr), "");
    let file = ConfigFile::new("drain = \"1s\"\n");
    let output = headcount(&["check", &file.argument(), "--shards=2"], &[("HEADCOUNT_KEEPALIVE", "5s")]);
    assert_eq!(output.status.code(), Some(0));
    let path = file.path();
    let expected = format!("headcount: a node would start with this configuration ({})\n", path.display());
    assert_eq!(text(&output.stdout), expected);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn errors_are_listed_and_exit_1() {
    for (arguments, errors) in [
        (&["--shards=0"][..], &["--shards \"0\": must be"][..]),
        (&["--nonsense", "--small=few"], &["'--nonsense'", "--small \"few\""]),
        (&["nonsense"], &["'nonsense'"]),
        (&["--counters=signed"], &["--counters \"signed\": needs --sign-key"]),
        (&["--listen=0.0.0.0:8080", "--admin=127.0.0.1:8080"], &["--admin \"127.0.0.1:8080\": must be another port"]),
    ] {
        let output = headcount(&[&["check"], arguments].concat(), &[]);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        let report = text(&output.stderr);
        for error in errors {
            assert!(report.contains(error), "{report}");
        }
        assert_eq!(report.lines().count(), errors.len() + 1, "{report}");
        assert!(report.ends_with("headcount: a node would not start with this configuration\n"), "{report}");
    }
}

#[test]
fn the_files_that_options_name_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let text_file = file("text.ttf", b"not a font");
    let folder_path = folder.path().to_str().unwrap().to_owned();
    for (font, why) in [
        ("/nowhere/font.ttf", "cannot be read: No such file"),
        (&*text_file, "this is not a TrueType or OpenType font"),
        (&folder_path, "cannot be read: Is a directory"),
    ] {
        let config = ConfigFile::new(format!("shards = 1\nfont = {font:?}\n"));
        for command in ["check", "serve"] {
            let output = headcount(&[command, &config.argument(), "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"], &[]);
            assert!(!output.status.success());
            let report = text(&output.stderr);
            assert!(report.contains(&format!(":2: font {font:?}: {why}")), "{command}: {report}");
            assert_eq!(report.lines().count(), 2, "{command}: {report}");
        }
    }
    let certificates = file("empty.pem", b"");
    for (path, why) in [("/nowhere/ca.pem", "No such file"), (&*certificates, "must name")] {
        let redis = "rediss://:s3cret@127.0.0.1:1/";
        let variables = [("HEADCOUNT_REDIS", redis), ("SSL_CERT_FILE", path), ("SSL_CERT_DIR", "")];
        let output = headcount(&["check"], &variables);
        let report = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{report}");
        assert!(report.contains("HEADCOUNT_REDIS \"rediss://127.0.0.1:1\": ") && report.contains(why), "{report}");
        // Without TLS they do not matter.
        let variables = [("HEADCOUNT_REDIS", "redis://127.0.0.1:1/"), ("SSL_CERT_FILE", path)];
        assert!(headcount(&["check"], &variables).status.success());
    }
}

#[test]
fn ports_in_use_are_no_error_and_help_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = headcount(&["check", "--listen", &address, "--admin=127.0.0.1:0"], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let help = headcount(&["check", "--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    let words = text(&help.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("it does not say whether the ports are free or Redis answers"), "{words}");
    assert!(words.contains("exit 0 or 1"), "{words}");
    // It can be asked beside a running node, about the same ports.
    let options = NodeOptions { program: Some(env!("CARGO_BIN_EXE_headcount").into()), ..NodeOptions::default() };
    let node = Node::start(&options).unwrap();
    let (listen, admin) = (node.address().to_string(), node.admin().to_string());
    assert!(headcount(&["check", "--listen", &listen, "--admin", &admin], &[]).status.success());
}
