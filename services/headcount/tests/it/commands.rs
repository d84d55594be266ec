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

/// Decodes a PNG into its width, height and pixels.
fn pixels(png: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    (info.width, info.height, pixels)
}

#[test]
fn draw_draws_the_served_pictures() {
    let node = start([]);
    let mut viewers = [Stream::open(&node, "/online.png"), Stream::open(&node, "/online.png")];
    viewers[0].wait_for(2);
    let directory = tempfile::tempdir().unwrap();
    for look in ["", "style=odometer&height=32", "style=plain&fg=navy&scale=2", "label=readers&bg=teal"] {
        let file = directory.path().join("two.png");
        let drawn = headcount(&["draw", "2", "--look", look, "--out", file.to_str().unwrap()], &[]);
        assert!(drawn.status.success(), "{look}: {}", text(&drawn.stderr));
        let drawn = fs::read(&file).unwrap();
        let served = get(&node, &format!("/online/snapshot.png?{look}"));
        assert_eq!(pixels(&drawn), pixels(&served.body), "{look}");
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
        .args(["watch", "--json", &node.url("online.png")])
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
    assert!(frames.all(|frame| frame["count"] == 1));
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
        .args(["watch", "--json", &node.url("online.png")])
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
