//! `/online/history.json`, and the file that keeps it where there is no Redis.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use headcount_testkit::{Node, NodeOptions, wait_until};
use headcount_wire::history::{History, Span};
use serde_json::Value;

use crate::{
    exchange::{get, request},
    node::{PATIENCE, start, wait_for_count},
    reload::ReloadedNode,
    stream::Stream,
};

/// What a killed process loses at most.
const LOSS: Duration = Duration::from_secs(60);

fn history(node: &Node, query: &str) -> History {
    let answer = get(node, &format!("/online/history.json{query}"));
    assert_eq!(answer.status(), 200, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

fn last(history: &History) -> (u32, f64) {
    history.points.last().copied().flatten().map_or_else(|| panic!("nothing is known: {history:?}"), <(u32, f64)>::from)
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn the_past_tells_of_the_highest_and_of_its_time() {
    let node = start([]);
    assert!(history(&node, "").points.iter().all(Option::is_none), "there was nobody");
    let begun = seconds();
    let mut streams: Vec<_> = (0..3).map(|_| Stream::open(&node, "/online.png")).collect();
    wait_for_count(&node, "online", 3);
    let reached = seconds();
    streams.pop();
    wait_for_count(&node, "online", 2);
    for span in Span::ALL {
        let history = history(&node, &format!("?span={}", span.name()));
        assert_eq!((history.counter.as_str(), history.span, history.count), ("online", span, 2));
        assert_eq!((history.points.len(), history.step_seconds), (span.points(), span.step_seconds()));
        assert!((begun..=seconds()).contains(&history.now), "{}", history.now);
        // A step may have ended meanwhile.
        let known: Vec<_> = history.points.iter().flatten().collect();
        assert!(known.iter().any(|point| point.highest == 3), "{known:?}");
        assert!(known.iter().all(|point| point.mean <= f64::from(point.highest)), "{known:?}");
        for peak in [history.peak_today, history.peak].into_iter().flatten() {
            assert!(peak.count == 3 && (begun..=reached).contains(&peak.at), "{peak:?} within {begun}..={reached}");
        }
        assert!(history.peak.is_some());
    }
    assert_eq!(history(&node, "").span, Span::Day);
    drop(streams);
    wait_for_count(&node, "online", 0);
    assert_eq!(history(&node, "").peak.unwrap().count, 3);
}

#[test]
fn every_site_may_read_it_and_wrong_questions_get_a_sentence() {
    let node = start([]);
    let answer = request(&node, "GET", "/online/history.json", &[("Origin", "https://elsewhere.example")]);
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("cache-control", "no-store"),
        ("content-type", "application/json"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{answer:?}");
    }
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(
        json["fields"]["points"].as_str().unwrap().contains("UTC")
            || json["fields"]["now"].as_str().unwrap().contains("UTC")
    );
    for query in ["?span=week", "?span=", "?spam=day", "?span=day&span=day", "?span=1e9"] {
        let answer = get(&node, &format!("/online/history.json{query}"));
        assert_eq!(answer.status(), 400, "{query}: {answer:?}");
        assert!(answer.sentence().contains("hour, day, month, year or all"), "{answer:?}");
    }
    assert_eq!(get(&node, "/Online/history.json").status(), 404);
    let listed = start(["--counters", "forum"]);
    assert_eq!(get(&listed, "/online/history.json").status(), 404);
    assert_eq!(get(&listed, "/forum/history.json?span=all").status(), 200);
    let signed = start(["--counters", "signed", "--sign-key", "0123456789abcdef"]);
    assert_eq!(get(&signed, "/online/history.json").status(), 404);
}

#[test]
fn small_numbers_are_hidden_in_the_past_too() {
    let node = start(["--small", "3"]);
    let json = || serde_json::from_slice::<Value>(&get(&node, "/online/history.json?span=hour").body).unwrap();
    let mut streams = vec![Stream::open(&node, "/online.png")];
    let viewers = |wanted: usize| {
        wait_until("the viewers", PATIENCE, || match node.metric("headcount_presence_viewers").unwrap() {
            found if found == wanted as f64 => Ok(()),
            found => Err(found),
        })
        .unwrap();
    };
    viewers(1);
    let is_hidden = |json: &Value| {
        let points = json["points"].as_array().unwrap().iter().all(Value::is_null);
        points && json["peak"].is_null() && json["peak_today"].is_null() && json.get("count").is_none()
    };
    assert!(is_hidden(&json()), "{}", json());
    streams.extend((0..2).map(|_| Stream::open(&node, "/online.png")));
    viewers(3);
    let shown = json();
    assert_eq!((&shown["count"], &shown["peak"]["count"], &shown["fewer_than"]), (&3.into(), &3.into(), &3.into()));
    streams.pop();
    viewers(2);
    let after = json();
    assert_eq!((after.get("count"), &after["peak"]["count"]), (None, &3.into()));
    let shown: Vec<_> = after["points"].as_array().unwrap().iter().filter(|point| !point.is_null()).collect();
    assert!(shown.iter().all(|point| **point == serde_json::json!([3, 3.0])), "a mean tells of 2: {shown:?}");
}

#[test]
fn without_history_nothing_is_kept() {
    let node = start(["--history", "0"]);
    let _stream = Stream::open(&node, "/online.png");
    wait_for_count(&node, "online", 1);
    let history = history(&node, "");
    assert!(history.points.iter().all(Option::is_none) && history.peak.is_none(), "{history:?}");
}

#[test]
fn invented_counters_are_bounded() {
    let node = start(["--history", "2"]);
    for counter in ["a", "b", "c"] {
        let stream = Stream::open(&node, &format!("/{counter}.png"));
        wait_for_count(&node, counter, 1);
        drop(stream);
    }
    let has_past = |counter: &str| {
        let answer = get(&node, &format!("/{counter}/history.json"));
        serde_json::from_slice::<History>(&answer.body).unwrap().peak.is_some()
    };
    assert_eq!(["a", "b", "c"].map(has_past), [true, true, false]);
}

fn with_data(file: &Path) -> NodeOptions {
    let options = NodeOptions { program: Some(env!("CARGO_BIN_EXE_headcount").into()), ..NodeOptions::default() };
    options.with(["--data", file.to_str().unwrap()])
}

#[test]
fn the_past_outlives_a_process_and_a_killed_one_loses_a_minute_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history");
    let mut node = Node::start(&with_data(&file)).unwrap();
    let streams: Vec<_> = (0..3).map(|_| Stream::open(&node, "/online.png")).collect();
    wait_for_count(&node, "online", 3);
    node.stop(PATIENCE).unwrap();
    drop(streams);
    let mut node = Node::start(&with_data(&file)).unwrap();
    let before = history(&node, "");
    assert_eq!((before.count, before.peak.unwrap().count), (0, 3));
    let streams: Vec<_> = (0..5).map(|_| Stream::open(&node, "/online.png")).collect();
    wait_for_count(&node, "online", 5);
    let reached = seconds();
    std::thread::sleep(LOSS + Duration::from_secs(5));
    let killed = seconds();
    node.kill();
    drop(streams);
    let node = Node::start(&with_data(&file)).unwrap();
    let after = history(&node, "?span=hour");
    assert_eq!(after.peak.unwrap().count, 5, "{after:?}");
    assert!((reached - 5..=reached).contains(&after.peak.unwrap().at));
    let known_until =
        (after.start..).step_by(60).zip(&after.points).filter(|(_, point)| point.is_some_and(|it| it.highest == 5));
    let known_until = known_until.map(|(start, _)| start + 60).max().unwrap();
    assert!(known_until + LOSS.as_secs() >= killed, "known until {known_until}, killed at {killed}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn the_past_goes_on_over_a_reload() {
    let reloaded = ReloadedNode::start([]);
    let node = &reloaded.node;
    let mut streams: Vec<_> = (0..4).map(|_| Stream::open(node, "/online.png")).collect();
    wait_for_count(node, "online", 4);
    streams.truncate(2);
    wait_for_count(node, "online", 2);
    let before = history(node, "?span=hour");
    reloaded.reload("done");
    let after = history(node, "?span=hour");
    assert_eq!((after.peak, after.count), (before.peak, 2));
    let lowest = after.points.iter().flatten().map(|point| point.highest).min().unwrap();
    assert!(lowest == 4 || last(&after).0 == 2, "the number fell by the reload: {after:?}");
}

#[test]
fn a_file_that_is_no_history_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history");
    let run = |command: &str, more: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_headcount"));
        program.args([command, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"]).arg(&file).args(more);
        let output = program.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    for content in [&b""[..], b"somebody's thesis", b"headcount history 1\nbut the rest is missing or wrong"] {
        fs::write(&file, content).unwrap();
        for command in ["serve", "check"] {
            let (is_fine, said) = run(command, &[]);
            assert!(!is_fine && said.contains(file.to_str().unwrap()), "{command}: {said}");
            assert!(said.contains("no history") || said.contains("damaged"), "{command}: {said}");
        }
        assert_eq!(fs::read(&file).unwrap(), content, "it is not overwritten");
    }
    fs::remove_file(&file).unwrap();
    let (is_fine, said) = run("check", &["--redis", "redis://127.0.0.1:1/"]);
    assert!(!is_fine && said.contains("--data") && said.contains("--redis"), "{said}");
    assert!(run("check", &[]).0);
    assert!(!file.exists(), "a check writes nothing");
}
