//! Looks that show the past: snapshots, live pictures and documents.

use std::{
    io::{Read, Write},
    thread,
    time::{Duration, Instant},
};

use headcount_drawing::{Count, Format, read_stamp};
use headcount_testkit::wait_until;

use crate::{
    exchange::{connect, get},
    node::{PATIENCE, start},
    stream::{Stream, number, restless},
};

/// What a picture is drawn for at most, in a second.
const FRAME_RATE: f64 = 1.0;
/// A minute, and what a chart may come after its beginning.
const MINUTE: Duration = Duration::from_secs(60 + 8);

fn said(svg: &[u8]) -> String {
    let svg = String::from_utf8_lossy(svg);
    let (_, rest) = svg.split_once("aria-label=\"").expect("an alternative");
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn snapshots_show_the_past_until_now() {
    let node = start([]);
    let mut viewers: Vec<_> = (0..3).map(|_| Stream::open(&node, "/online.png")).collect();
    viewers[0].wait_for(3);
    drop(viewers.pop());
    viewers[0].wait_for(2);
    for (style, size) in [("chart", (600, 160)), ("chart&span=year&width=300", (300, 160)), ("spark", (160, 40))] {
        for format in Format::ALL {
            let path = format!("/online/snapshot.{}?style={style}", format.extension());
            let answer = get(&node, &path);
            assert_eq!((answer.status(), answer.header("Content-Type")), (200, Some(format.content_type())), "{path}");
            assert_eq!(read_stamp(&answer.body).unwrap().count, Count::Exactly(2), "{path}");
            if format == Format::Png {
                assert_eq!(image::load_from_memory(&answer.body).unwrap().into_rgba8().dimensions(), size, "{path}");
            }
        }
    }
    let words = said(&get(&node, "/online/snapshot.svg?style=chart").body);
    assert!(words.starts_with("2 open now. Most at once today: 3 at ") && words.ends_with(" UTC"), "{words}");
    let words = said(&get(&node, "/online/snapshot.svg?style=chart&span=all&label=readers").body);
    assert!(words.starts_with("2 readers. Most at once ever: 3 on "), "{words}");
    let nobody = said(&get(&node, "/nobody/snapshot.svg?style=chart").body);
    assert_eq!(nobody, "0 open now. No record yet");
}

#[test]
fn small_numbers_of_the_past_are_hidden() {
    let node = start(["--small", "5"]);
    let mut viewer = Stream::open(&node, "/online/snapshot.svg?style=chart".replace("/snapshot.svg", ".png").as_str());
    assert_eq!(read_stamp(&viewer.next().unwrap()).unwrap().count, Count::FewerThan(5));
    let words = said(&get(&node, "/online/snapshot.svg?style=chart").body);
    assert_eq!(words, "fewer than 5 open now. Fewer than 5 in the last 24 hours");
}

#[test]
fn a_live_chart_shows_a_change_at_once_and_then_one_a_second() {
    let node = start([]);
    let mut chart = Stream::open(&node, "/online.png?style=chart&span=hour");
    chart.wait_for(1);
    // It has been quiet for longer than the time between two frames.
    thread::sleep(Duration::from_millis(1500));
    let begun = Instant::now();
    let _other = Stream::open(&node, "/online.png");
    chart.wait_for(2);
    assert!(begun.elapsed() <= Duration::from_secs(1), "{:?}", begun.elapsed());
    let _restless = restless(&node, "/online.png");
    let begun = Instant::now();
    let mut frames = 0;
    while begun.elapsed() < Duration::from_secs(8) {
        chart.next().unwrap();
        frames += 1;
    }
    let most = (begun.elapsed().as_secs_f64() * FRAME_RATE) as u64 + 1;
    assert!((4..=most).contains(&frames), "{frames} frames in {:?}", begun.elapsed());
}

#[test]
fn a_live_chart_goes_on_when_the_minute_passes() {
    let node = start(["--keepalive", "10m"]);
    let mut charts =
        ["/online.png?style=chart&span=hour", "/online.png?style=spark"].map(|path| Stream::open(&node, path));
    let before = charts.each_mut().map(|chart| {
        chart.socket().set_read_timeout(Some(2 * MINUTE)).unwrap();
        chart.wait_for(2)
    });
    let begun = Instant::now();
    for (chart, before) in charts.iter_mut().zip(before) {
        // The number is the same, and the picture is another one.
        let next = chart.next().unwrap();
        assert!(number(&next) == 2 && next != before);
    }
    assert!(begun.elapsed() <= MINUTE, "{:?}", begun.elapsed());
}

#[test]
fn a_document_shows_the_chart_as_text_and_as_a_drawing() {
    let node = start([]);
    let outer = get(&node, "/online.html?style=chart&width=300&theme=dark");
    assert!(outer.text().contains("/online/live.html?style=chart&amp;width=300&amp;theme=dark"), "{outer:?}");
    let mut socket = connect(&node);
    let request = "GET /online/live.html?style=chart&width=300&theme=dark HTTP/1.1\r\nHost: a\r\n\r\n";
    socket.write_all(request.as_bytes()).unwrap();
    let mut document = String::new();
    let mut read_until = |text: &str| {
        wait_until(text, PATIENCE, || {
            let mut bytes = [0; 65536];
            let read = socket.read(&mut bytes).unwrap();
            document += &String::from_utf8_lossy(&bytes[..read]);
            if document.contains(text) { Ok(()) } else { Err(document.len()) }
        })
        .unwrap();
        document.clone()
    };
    let first = read_until(">1 open now. Most at once today: 1 at ");
    assert!(first.contains("[fill=\"#ffffff\"]{fill:#1b2026}"), "it fits dark surroundings: {first}");
    assert!(first.contains("<svg ") && first.contains("width=\"300\""), "{first}");
    let _other = Stream::open(&node, "/online.png");
    read_until(">2 open now. Most at once today: 2 at ");
}

#[test]
fn watch_follows_a_charts_document_by_its_words() {
    let node = start([]);
    let url = node.url("online.html?style=chart&span=hour");
    let output = crate::options::headcount(&["watch", "--frames", "1", "--json", &url], &[]);
    let line: serde_json::Value = serde_json::from_slice(output.stdout.split(|byte| *byte == b'\n').next().unwrap())
        .unwrap_or_else(|error| panic!("{error}: {}", crate::options::text(&output.stderr)));
    assert!(!line.to_string().contains("<svg"), "{line}");
}
