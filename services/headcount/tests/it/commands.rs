//! The subcommands other than `serve`.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use headcount_drawing::{Count, read_stamp};

use crate::{
    exchange::get,
    node::{PATIENCE, start, wait_for_count},
    options::{headcount, text},
    stream::Stream,
};

#[test]
fn draw_draws_the_served_pictures() {
    let node = start([]);
    let mut viewers = [Stream::open(&node, "/online.png"), Stream::open(&node, "/online.png")];
    viewers[0].wait_for(2);
    let directory = tempfile::tempdir().unwrap();
    for look in [
        "",
        "style=odometer&height=32",
        "style=plain&fg=navy&scale=2",
        "label=readers&bg=teal",
        "style=sprites&scale=2",
    ] {
        let file = directory.path().join("two.png");
        let drawn = headcount(&["draw", "2", "--look", look, "--out", file.to_str().unwrap()], &[]);
        assert!(drawn.status.success(), "{look}: {}", text(&drawn.stderr));
        let drawn = fs::read(&file).unwrap();
        let served = get(&node, &format!("/online/snapshot.png?{look}"));
        let pixels = |png: &[u8]| image::load_from_memory(png).unwrap().into_rgba8();
        assert!(pixels(&drawn) == pixels(&served.body), "{look}");
        let piped = headcount(&["draw", "2", "--look", look, "--out", "-"], &[]);
        assert_eq!(piped.stdout, drawn, "{look}");
    }
}

#[test]
fn draw_writes_each_format_with_its_number() {
    let directory = tempfile::tempdir().unwrap();
    for (name, begin) in [("a.png", &b"\x89PNG"[..]), ("a.jpg", b"\xff\xd8\xff"), ("a.svg", b"<svg")] {
        let file = directory.path().join(name);
        let output = headcount(&["draw", "12345", "--look", "format=compact", "--out", file.to_str().unwrap()], &[]);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        let picture = fs::read(&file).unwrap();
        assert!(picture.starts_with(begin), "{name}");
        assert_eq!(read_stamp(&picture).unwrap().count, Count::Exactly(12345), "{name}");
    }
    let nowhere = headcount(&["draw", "1", "--out", "/nowhere/a.png"], &[]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("/nowhere/a.png"));
}

#[test]
fn watch_follows_a_stream() {
    let mut node = start(["--drain", "0s"]);
    let mut watch = Command::new(env!("CARGO_BIN_EXE_headcount"))
        .args(["watch", "--count", "--json", &node.url("online.png")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut frames = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    assert!(frames.any(|frame| frame["count"] == 1));
    let other = Stream::open(&node, "/online.png");
    let two = frames.find(|frame| frame["count"] == 2).unwrap();
    for number in ["frames", "bytes", "image_bytes", "epoch", "version"] {
        assert!(two[number].as_u64().is_some_and(|number| number > 0), "{number} in {two}");
    }
    assert!(two["at"].as_str().unwrap().ends_with('Z') && two["stale"] == false, "{two}");
    drop(other);
    assert!(frames.any(|frame| frame["count"] == 1));
    // The stream ends with its closing boundary, so this is a success.
    assert!(node.stop(PATIENCE).unwrap().success());
    let rest: Vec<_> = frames.collect();
    let [live @ .., last, end] = &rest[..] else { panic!("a last frame and an end: {rest:?}") };
    assert!(live.iter().all(|frame| frame["count"] == 1 && frame["stale"] == false), "{rest:?}");
    assert!(last["count"] == 1 && last["stale"] == true && last["ended"].is_null(), "{rest:?}");
    assert!(end["ended"] == true && end["frames"] == last["frames"] && end["at"].is_string(), "{rest:?}");
    assert!(watch.wait().unwrap().success());
}

#[test]
fn watch_says_that_a_stream_has_ended() {
    let mut node = start(["--drain", "0s"]);
    let mut watch = Command::new(env!("CARGO_BIN_EXE_headcount"))
        .args(["watch", "--count", &node.url("online.png")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.split_whitespace().nth(1) == Some("1")));
    assert!(node.stop(PATIENCE).unwrap().success());
    let rest: Vec<String> = lines.collect();
    let [.., last, end] = &rest[..] else { panic!("a last frame and an end: {rest:?}") };
    assert!(last.ends_with("stale") && end.contains("has ended the stream"), "{rest:?}");
    assert!(watch.wait().unwrap().success());
}

#[test]
fn watch_stops_after_a_number_of_frames() {
    let node = start([]);
    let table = headcount(&["watch", "--frames", "1", &node.url("online.jpg")], &[]);
    assert!(table.status.success(), "{}", text(&table.stderr));
    assert_eq!(text(&table.stdout).lines().count(), 2, "a heading and a frame: {}", text(&table.stdout));
    wait_for_count(&node, "online", 0);
}

#[test]
fn watch_says_what_it_cannot_follow() {
    let mut node = start([]);
    for path in ["online.json", "online/snapshot.png", "Online.png"] {
        let output = headcount(&["watch", &node.url(path)], &[]);
        assert_eq!(output.status.code(), Some(1), "{path}");
        assert!(text(&output.stderr).contains(path), "{path}: {}", text(&output.stderr));
    }
    // A stream that ends without a word, as it does when its node is killed.
    let mut watch = Command::new(env!("CARGO_BIN_EXE_headcount"))
        .args(["watch", "--count", "--json", &node.url("online.png")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    node.kill();
    assert_eq!(watch.wait().unwrap().code(), Some(1));
}

#[test]
fn healthcheck_distinguishes_live_nodes_from_dead_ones() {
    let mut node = start([]);
    let admin = node.admin().to_string();
    assert!(headcount(&["healthcheck", "--admin", &admin], &[]).status.success());
    assert!(headcount(&["healthcheck"], &[("HEADCOUNT_ADMIN", &admin)]).status.success());
    // Listens on all interfaces, queried on loopback.
    let everywhere = format!("0.0.0.0:{}", node.admin().port());
    assert!(headcount(&["healthcheck", "--admin", &everywhere], &[]).status.success());
    node.process().freeze().unwrap();
    assert_eq!(headcount(&["healthcheck", "--admin", &admin], &[]).status.code(), Some(1));
    node.kill();
    assert_eq!(headcount(&["healthcheck", "--admin", &admin], &[]).status.code(), Some(1));
}

#[test]
fn draw_animates_a_series_of_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("moving.png");
    let file = file.to_str().unwrap();
    let moving = ["draw", "1", "--then", "2,3,2", "--pages", "2", "--frame-time", "500ms", "--out", file];
    let output = headcount(&moving, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let drawn = fs::read(file).unwrap();
    // An acTL chunk (4 frames, for ever), and a frame control for each.
    let control = drawn.windows(12).find(|it| it.starts_with(b"acTL")).unwrap();
    assert_eq!(control[4..], [0, 0, 0, 4, 0, 0, 0, 0]);
    assert_eq!(drawn.windows(4).filter(|it| it == b"fcTL").count(), 4);
    // Who knows only PNG sees the first one.
    assert!(image::load_from_memory(&drawn).is_ok());
    let wrong = headcount(&["draw", "1", "--then", "2", "--out", "moving.jpg"], &[]);
    assert!(text(&wrong.stderr).contains("must end in .png"), "{}", text(&wrong.stderr));
    for alone in [["--pages", "2"], ["--frame-time", "1s"]] {
        let wrong = headcount(&[&["draw", "1", "--out", file][..], &alone].concat(), &[]);
        assert!(!wrong.status.success() && text(&wrong.stderr).contains("--then"), "{}", text(&wrong.stderr));
    }
}

#[test]
fn the_readmes_moving_picture_is_drawn_by_this_program() {
    let drawn = headcount(
        &["draw", "1", "--then", "2,3,2", "--pages", "2", "--look", "label=here+now&scale=2", "--out", "-"],
        &[],
    );
    let kept = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../loadtest/figures/two-pages.png")).unwrap();
    assert!(drawn.stdout == kept, "draw it again: loadtest/README.md says how");
}

/// The names of all commands and options that `--help` shows, the options with their dashes.
fn shown_by_help() -> Vec<(String, Vec<String>)> {
    let help = |arguments: &[&str]| text(&headcount(arguments, &[]).stdout).to_owned();
    let options = |help: &str| -> Vec<String> {
        let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let names = lines.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
        names.map(str::to_owned).collect()
    };
    let overview = help(&["-h"]);
    let listed = overview.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let commands = listed.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    let names = commands.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").map(|name| (name.clone(), options(&help(&[&name, "-h"])))).collect()
}

#[test]
fn completions_have_every_command_and_option_that_help_shows() {
    let commands = shown_by_help();
    assert!(commands.len() >= 10 && commands.iter().map(|(_, options)| options.len()).sum::<usize>() > 70);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = headcount(&["completions", shell], &[]);
        assert!(output.status.success(), "{shell}: {}", text(&output.stderr));
        let script = text(&output.stdout);
        for (command, options) in &commands {
            assert!(script.contains(command), "{shell} does not complete {command}");
            for option in options {
                let name = if shell == "fish" { option.replacen("--", "-l ", 1) } else { option.clone() };
                assert!(script.contains(&name), "{shell} does not complete {command} {option}");
            }
        }
        assert!(!script.contains("time-scale"), "{shell} completes what --help hides");
    }
    let output = headcount(&["completions", "ksh"], &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("must be bash, elvish, fish, powershell or zsh"), "{}", text(&output.stderr));
}

#[test]
fn each_command_has_a_manual_page_with_its_options() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("new/man");
    let output = headcount(&["man", folder.to_str().unwrap()], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = |name: &str| {
        let page = fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Roff writes a dash in another way.
        page.replace("\\-", "-")
    };
    assert!(page("headcount.1").contains("HEADCOUNT_MAX_LOOKS"), "variables are named");
    let commands = shown_by_help();
    for (command, options) in &commands {
        let page = page(&format!("headcount-{command}.1"));
        for option in options {
            assert!(page.contains(option.as_str()), "headcount-{command}(1) does not have {option}");
        }
        assert!(!page.contains("time-scale"), "headcount-{command}(1) has what --help hides");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), commands.len() + 1, "there are other pages");
    let nowhere = headcount(&["man", "/dev/null/man"], &[]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("/dev/null/man"), "{}", text(&nowhere.stderr));
}

/// A counter's past of an hour, as JSON: 3 in each minute, and 41 in the tenth last one.
fn past() -> serde_json::Value {
    let start = 1_764_076_000 / 60 * 60;
    let mut points = vec![serde_json::json!([3, 2.5]); 60];
    points[50] = serde_json::json!([41, 9.0]);
    points[5] = serde_json::Value::Null;
    serde_json::json!({
        "counter": "online", "span": "hour", "now": start + 3599, "count": 3, "start": start, "step_seconds": 60,
        "points": points, "peak_today": { "count": 41, "at": start + 3010 }, "peak": { "count": 90, "at": 1_700_000_000 },
        "fields": { "count": "what it means" }
    })
}

#[test]
fn draw_draws_the_past_of_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let json = path("past.json");
    fs::write(&json, past().to_string()).unwrap();
    let svg = path("chart.svg");
    let drawn = headcount(&["draw", "--history", &json, "--out", &svg], &[]);
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    let picture = fs::read_to_string(&svg).unwrap();
    assert!(picture.contains("3 open now. Most at once this hour: 41 at 13:56 UTC"), "{}", &picture[..400]);
    assert_eq!(read_stamp(picture.as_bytes()).unwrap().count, Count::Exactly(3));
    let png = path("spark.png");
    let drawn = headcount(&["draw", "7", "--history", &json, "--look", "style=spark&width=200", "--out", &png], &[]);
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    let picture = fs::read(&png).unwrap();
    assert_eq!(image::load_from_memory(&picture).unwrap().into_rgba8().dimensions(), (200, 40));
    assert_eq!(read_stamp(&picture).unwrap().count, Count::Exactly(7));
}

#[test]
fn draw_says_what_is_wrong_with_a_past() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("past.json");
    let path = file.to_str().unwrap();
    let changed = |name: &str, value: serde_json::Value| {
        let mut past = past();
        past[name] = value;
        past.to_string()
    };
    for (json, sentence) in [
        ("{".to_owned(), "it is not a counter's past, as /online/history.json gives it: EOF"),
        ("[]".to_owned(), "it is not a counter's past"),
        (changed("span", "week".into()), "unknown variant `week`"),
        (changed("points", "none".into()), "invalid type: string"),
        (changed("step_seconds", 61.into()), "step_seconds of span \"hour\" is 60"),
        (changed("start", 61.into()), "start is a multiple of step_seconds"),
        (changed("points", vec![serde_json::Value::Null; 61].into()), "span \"hour\" has 60 points at most"),
    ] {
        fs::write(&file, json).unwrap();
        let output = headcount(&["draw", "--history", path, "--out", "-"], &[]);
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{error}");
        assert!(error.contains(&format!("--history {path}: ")) && error.contains(sentence), "{sentence}: {error}");
    }
    let none = headcount(&["draw", "--history", "/nowhere/past.json", "--out", "-"], &[]);
    assert!(text(&none.stderr).contains("/nowhere/past.json: No such file"), "{}", text(&none.stderr));
    fs::write(&file, past().to_string()).unwrap();
    let badge = headcount(&["draw", "--history", path, "--look", "style=plain", "--out", "-"], &[]);
    assert!(text(&badge.stderr).contains("style=chart or style=spark"), "{}", text(&badge.stderr));
}
