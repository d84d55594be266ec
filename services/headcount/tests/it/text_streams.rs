//! Streams of text: the documents of a frame, and events.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Node, NodeOptions, RedisServer};
use headcount_wire::{
    events::{Event, EventReader},
    html::{Liveness, Update, UpdateReader},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    exchange::{Answer, connect, get, request, send},
    node::{Holdings, PATIENCE, start, wait_for_count},
    stream::Stream,
};

/// An open stream of text.
pub(crate) struct TextStream {
    socket: TcpStream,
    pub(crate) head: Answer,
    updates: UpdateReader,
    events: EventReader,
    /// The body so far.
    pub(crate) body: String,
}

impl TextStream {
    pub(crate) fn open(node: &Node, path: &str) -> TextStream {
        TextStream::open_with(node, path, "")
    }

    /// Opens a stream with additional header lines.
    pub(crate) fn open_with(node: &Node, path: &str, headers: &str) -> TextStream {
        let mut socket = connect(node);
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", node.address()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = Answer::read(&head);
        assert_eq!(head.status(), 200, "{head:?}");
        let (updates, events) = (UpdateReader::new(), EventReader::new());
        TextStream { socket, head, updates, events, body: String::new() }
    }

    /// Reads more. Returns false at the stream's end.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let read = self.socket.read(&mut bytes).expect("the stream goes on, or ends without a reset");
        self.body.push_str(std::str::from_utf8(&bytes[..read]).expect("ASCII is not cut"));
        self.updates.push(&bytes[..read]).unwrap();
        self.events.push(&bytes[..read]).unwrap();
        read > 0
    }

    /// Reads to the clean end, and returns the body.
    pub(crate) fn read_to_end(mut self) -> String {
        while self.read() {}
        self.body
    }

    pub(crate) fn next_update(&mut self) -> Option<Update> {
        loop {
            match self.updates.next_update() {
                None if self.read() => {}
                update => return update,
            }
        }
    }

    pub(crate) fn next_event(&mut self) -> Option<(Event, Value)> {
        loop {
            match self.events.next_event() {
                None if self.read() => {}
                event => return event.map(|event| (event.clone(), serde_json::from_str(&event.data).unwrap())),
            }
        }
    }

    /// Reads until an update shows this live text.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let wanted = Update { text: text.to_owned(), liveness: Liveness::Live };
        while self.next_update().unwrap_or_else(|| panic!("{text} before the end of {}", self.body)) != wanted {}
    }

    /// Reads until an event has this count.
    pub(crate) fn wait_for_event(&mut self, count: u64) -> (Event, Value) {
        loop {
            let event = self.next_event().expect("the stream goes on");
            if event.1["count"] == count {
                return event;
            }
        }
    }
}

#[test]
fn a_document_follows_the_count_and_is_text() {
    let node = start([]);
    let mut document = TextStream::open(&node, "/online/live.html?label=caf%C3%A9%20%3Cb%3E");
    assert_eq!(document.head.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(document.head.header("cache-control"), Some("no-store, no-transform"));
    document.wait_for("1");
    let other = Stream::open(&node, "/online.png");
    document.wait_for("2");
    drop(other);
    document.wait_for("1");
    let start = &document.body[..document.body.find("<b id=n").unwrap()];
    assert!(start.starts_with("<!doctype html>\n<html lang=\"en\">") && start.len() >= 1024, "{start}");
    assert!(start.contains("<title>online: how many are here now</title>"), "{start}");
    assert!(start.contains("http-equiv=\"refresh\"") && !start.contains("<script"), "{start}");
    assert!(start.contains("<span class=l lang=\"\">café &lt;b&gt; </span>"), "{start}");
    drop(document);
    wait_for_count(&node, "online", 0);
}

#[test]
fn the_outer_document_is_complete_and_counts_nobody() {
    let node = start(["--embed-from", "listed=https://forum.example"]);
    let outer = get(&node, "/online.html?label=a&theme=dark");
    assert_eq!((outer.status(), outer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(outer.text().contains(r#"<iframe loading="lazy" src="/online/live.html?label=a&amp;theme=dark""#));
    assert!(outer.text().trim_end().ends_with("</html>"), "{}", outer.text());
    assert!(outer.header("content-security-policy").unwrap().ends_with("frame-ancestors * file:"));
    for path in ["/listed.html", "/listed/live.html"] {
        let answer = request(&node, "HEAD", path, &[]);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.ends_with("frame-ancestors 'self' https://forum.example"), "{policy}");
        assert_eq!(answer.header("cross-origin-embedder-policy"), Some("require-corp"));
    }
    assert_eq!(node.reading("online").unwrap().version, 0, "somebody was counted");
}

#[test]
fn events_carry_the_fields_of_the_json() {
    let node = start([]);
    let mut events = TextStream::open(&node, "/online/events");
    assert_eq!(events.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(events.head.header("access-control-allow-origin"), Some("*"));
    let (event, data) = events.wait_for_event(1);
    let json: Value = serde_json::from_slice(&get(&node, "/online.json").body).unwrap();
    for field in ["counter", "count", "visitors", "stale", "epoch", "version"] {
        assert_eq!(data[field], json[field], "{field}");
        assert!(!data[field].is_null(), "{field}");
    }
    assert_eq!(event.id, format!("{}-{}", data["epoch"], data["version"]));
    let retry = events.events.retry().expect("a retry");
    assert!((1_000..5_000).contains(&retry.as_millis()), "{retry:?}");
    let _other = Stream::open(&node, "/online.png");
    events.wait_for_event(2);
}

#[test]
fn quiet_streams_of_text_are_kept_alive_by_comments() {
    let node = start(["--keepalive", "1s"]);
    let mut streams = ["/online/live.html", "/online/events"].map(|path| TextStream::open(&node, path));
    streams[0].wait_for("2");
    streams[1].wait_for_event(2);
    for (stream, comment) in streams.iter_mut().zip(["<!---->", ":\n\n"]) {
        stream.body.clear();
        while stream.body.len() < 2 * comment.len() {
            assert!(stream.read());
        }
        assert_eq!(stream.body, comment.repeat(2));
    }
}

#[test]
fn streams_of_text_end_with_their_last_number_marked() {
    let mut node = start(["--drain", "0s"]);
    let mut document = TextStream::open(&node, "/online/live.html");
    let mut events = TextStream::open(&node, "/online/events");
    document.wait_for("2");
    events.wait_for_event(2);
    let retry = events.events.retry();
    node.process().signal(Signal::SIGTERM).unwrap();
    let last = std::iter::from_fn(|| document.next_update()).last().expect("a last update");
    assert_eq!(last.liveness, Liveness::Stale, "{last:?}");
    let last = std::iter::from_fn(|| events.next_event()).last().expect("a last event").1;
    assert!(last["stale"] == true && last["count"].as_u64().is_some_and(|count| count <= 2), "{last}");
    assert_ne!(events.events.retry(), retry, "another time to come back");
    assert!(node.stop(PATIENCE).unwrap().success());
}

#[test]
fn a_document_that_turns_over_keeps_its_place() {
    let node = start(["--keepalive", "1s", "--document-updates", "2", "--proxy-protocol-from", "127.0.0.0/8"]);
    let request = |address: &str, path: &str, header: &str| {
        let mut socket = connect(&node);
        let proxy = format!("PROXY TCP4 {address} 127.0.0.1 4711 80\r\n");
        write!(socket, "{proxy}GET {path} HTTP/1.1\r\nHost: a\r\n{header}\r\n").unwrap();
        socket
    };
    let load = |address: &str| request(address, "/online/live.html", "");
    let refresh = |address: &str| request(address, "/online/live.html", "Cache-Control: max-age=0\r\n");
    let reload = |address: &str| request(address, "/online/live.html?reloaded=yes", "");
    let count = || {
        let answer = send(&node, b"PROXY UNKNOWN\r\nGET /online.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        serde_json::from_slice::<Value>(&Answer::read(&answer).body).unwrap()["count"].as_u64().unwrap()
    };
    let count_stays = |count_wanted: u64, time: Duration| {
        let begun = Instant::now();
        while begun.elapsed() < time {
            assert_eq!(count(), count_wanted, "after {:?}", begun.elapsed());
            thread::sleep(Duration::from_millis(20));
        }
    };
    let mut body = String::new();
    load("198.51.100.7").read_to_string(&mut body).expect("a clean end");
    assert!(body.contains(">1</b>") && !body.contains("not up to date"), "{body}");
    count_stays(1, Duration::from_secs(3));
    // Somebody else is somebody else.
    let other = load("198.51.100.8");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(count(), 2);
    // So is another one behind the same address.
    let another = load("198.51.100.7");
    thread::sleep(Duration::from_millis(200));
    assert_eq!(count(), 3);
    // The one is back, and takes its place.
    let back = refresh("198.51.100.7");
    count_stays(3, Duration::from_secs(1));
    // Who leaves is expected for a second, because the outer document loads it anew.
    drop(back);
    thread::sleep(Duration::from_millis(300));
    let back = reload("198.51.100.7");
    count_stays(3, Duration::from_millis(1_500));
    drop((back, other, another));
    // Their documents may just have ended.
    headcount_testkit::wait_until("nobody who is expected", PATIENCE, || match count() {
        0 => Ok(()),
        count => Err(count),
    })
    .unwrap();
}

#[test]
fn a_document_that_comes_back_to_another_node_counts_once() {
    let redis = RedisServer::start().unwrap();
    let [former, next] = [(), ()].map(|()| {
        let options =
            NodeOptions { program: Some(env!("CARGO_BIN_EXE_headcount").into()), ..NodeOptions::redis(redis.url()) };
        let node = Node::start(&options.with(["--document-updates", "2", "--keepalive", "1s"])).unwrap();
        node.ready(PATIENCE).unwrap();
        node
    });
    let document = TextStream::open(&former, "/online/live.html");
    assert!(document.read_to_end().contains(">1</b>"));
    let ended = Instant::now();
    let (mut twice, mut samples, mut document) = (0, 0, None);
    while ended.elapsed() < Duration::from_secs(12) {
        // Documents are refreshed after 4 or 5 s.
        if document.is_none() && ended.elapsed() > Duration::from_secs(4) {
            let options = "/online/live.html?theme=dark";
            document = Some(TextStream::open_with(&next, options, "Cache-Control: max-age=0\r\n"));
        }
        let count = next.reading("online").unwrap().count;
        assert!((1..=2).contains(&count), "{count} after {:?}", ended.elapsed());
        (samples, twice) = (samples + 1, twice + u32::from(count == 2));
        thread::sleep(Duration::from_millis(20));
    }
    println!("counted twice in {twice} of {samples} samples over 12 s");
    assert!(f64::from(twice) / f64::from(samples) < 0.15);
    assert_eq!(next.reading("online").unwrap().count, 1);
}

#[test]
fn the_outer_document_says_that_it_was_refreshed() {
    let node = start([]);
    for (query, live) in [("", "live.html?reloaded=yes"), ("?label=a", "live.html?label=a&amp;amp;reloaded=yes")] {
        let outer = request(&node, "GET", &format!("/online.html{query}"), &[("Cache-Control", "max-age=0")]);
        // It loads the live one whether somebody sees it or not.
        let step = format!("content=&quot;0;url=/online/{live}&quot;&gt;\"");
        assert!(outer.text().contains(&step) && !outer.text().contains("lazy"), "{}", outer.text());
        assert!(!get(&node, &format!("/online.html{query}")).text().contains("reloaded"));
    }
}

#[test]
fn nobody_counts_who_only_looks() {
    let node = start([]);
    let before = Holdings::of(&node);
    let mut image = Stream::open(&node, "/online.png?count=no&label=a");
    let mut document = TextStream::open(&node, "/online/live.html?count=no");
    let mut events = TextStream::open(&node, "/online/events?count=no");
    document.wait_for("0");
    events.wait_for_event(0);
    image.wait_for(0);
    let viewer = Stream::open(&node, "/online.png");
    document.wait_for("1");
    events.wait_for_event(1);
    image.wait_for(1);
    let json: Value = serde_json::from_slice(&get(&node, "/online.json").body).unwrap();
    assert_eq!((&json["count"], &json["visitors"], &json["watching"]), (&1.into(), &1.into(), &3.into()), "{json}");
    drop(image);
    headcount_testkit::wait_until("two who look", PATIENCE, || {
        match serde_json::from_slice::<Value>(&get(&node, "/online.json").body).unwrap()["watching"].as_u64() {
            Some(2) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .unwrap();
    drop((viewer, document, events));
    before.come_back(&node);
}

#[test]
fn the_limits_of_an_address_hold_for_those_who_look() {
    let node = start(["--proxy-protocol-from", "127.0.0.0/8", "--max-address-streams", "2"]);
    let request = |path: &str| {
        format!("PROXY TCP4 198.51.100.7 127.0.0.1 4711 80\r\nGET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
    };
    let mut streams = Vec::new();
    for path in ["/online.png?count=no", "/online/events?count=no"] {
        let mut socket = connect(&node);
        socket.write_all(&request(path)).unwrap();
        socket.read_exact(&mut [0; 20]).unwrap();
        streams.push(socket);
    }
    for path in ["/online.png?count=no", "/online/live.html", "/online.jpg"] {
        let answer = Answer::read(&send(&node, &[&request(path)[..], b""].concat()));
        assert_eq!(answer.status(), 429, "{path}");
    }
}

#[test]
fn events_that_cannot_be_had_now_are_to_be_asked_for_later() {
    let node = start(["--max-viewers", "1"]);
    let mut first = TextStream::open(&node, "/online/events");
    first.wait_for_event(1);
    let refused = get(&node, "/online/events");
    assert_eq!((refused.status(), refused.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    let mut reader = EventReader::new();
    reader.push(&refused.body).unwrap();
    assert_eq!((reader.next_event(), reader.retry()), (None, Some(Duration::from_secs(30))));
    // A frame with a sentence would stay as it is: the document is loaded again.
    let refused = get(&node, "/online/live.html");
    assert_eq!((refused.status(), refused.header("content-type")), (503, Some("text/html; charset=utf-8")));
    let text = refused.text();
    let refresh = text.split_once("http-equiv=\"refresh\" content=\"").expect("a refresh").1.split('"').next().unwrap();
    assert!((5..=10).contains(&refresh.parse::<u64>().unwrap()), "{text}");
    assert!(text.contains("<p>Sorry, "), "{text}");
    assert_eq!(refused.header("content-length"), Some(&*text.len().to_string()));
    assert_eq!(get(&node, "/online.png").header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(node.metric("headcount_refusals_total").unwrap(), 3.0);
    // What will never be there stops a client for good.
    assert_eq!(get(&node, "/Online/events").status(), 404);
    assert_eq!(get(&node, "/online/events?label=a").status(), 400);
}

#[test]
fn all_who_ask_at_once_where_there_is_room_for_few_come_back_later() {
    let room = 4;
    let node = start(["--max-viewers", &room.to_string()]);
    for (path, status) in [("/online/events", 200), ("/online/live.html", 503)] {
        let before = node.metric("headcount_refusals_total").unwrap();
        let ask = || {
            let mut socket = connect(&node);
            write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            socket
        };
        // All requests are there before the first is admitted: most find room, and are refused later.
        let sockets: Vec<TcpStream> = (0..60).map(|_| ask()).collect();
        let mut admitted = Vec::new();
        let mut refused = 0;
        for mut socket in sockets {
            socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let mut answer = Vec::new();
            match socket.read_to_end(&mut answer) {
                Ok(_) => {
                    let answer = Answer::read(&answer);
                    assert_eq!(answer.status(), status, "{answer:?}");
                    assert!(answer.text().contains("Sorry, "), "{answer:?}");
                    let back = if status == 200 { "retry: 30000\n" } else { "http-equiv=\"refresh\"" };
                    assert!(answer.text().contains(back), "{answer:?}");
                    refused += 1;
                }
                Err(_) => admitted.push(socket),
            }
        }
        assert_eq!((admitted.len(), refused), (room, 60 - room), "{path}");
        let counted = node.metric("headcount_refusals_total").unwrap() - before;
        assert_eq!(counted, refused as f64, "{path}");
        drop(admitted);
        wait_for_count(&node, "online", 0);
    }
}

#[test]
fn a_document_is_updated_twice_a_second_at_most() {
    let node = start([]);
    let mut first = TextStream::open(&node, "/online/live.html");
    first.wait_for("1");
    let begun = Instant::now();
    let churn = Duration::from_secs(4);
    // When each was read, in both documents: the second is opened amid the changes.
    let times = thread::scope(|scope| {
        scope.spawn(|| {
            // Longer than they are read, which waits for updates.
            while begun.elapsed() < churn + Duration::from_secs(2) {
                let viewer = Stream::open(&node, "/online.png");
                thread::sleep(Duration::from_millis(30));
                drop(viewer);
                thread::sleep(Duration::from_millis(30));
            }
        });
        let times = |mut document: TextStream| {
            let mut times = Vec::new();
            while begun.elapsed() < churn && document.next_update().is_some() {
                times.push(begun.elapsed());
            }
            times
        };
        let first = scope.spawn(move || times(first));
        thread::sleep(Duration::from_millis(1_230));
        let second = times(TextStream::open(&node, "/online/live.html"));
        [first.join().unwrap(), second]
    });
    for (document, times) in times.iter().enumerate() {
        assert!(times.len() >= 4, "{times:?}");
        // A document begins with one update more.
        for three in times[document..].windows(3) {
            let within = three[2] - three[0];
            assert!(within > Duration::from_millis(950), "three updates within {within:?}: {times:?}");
        }
    }
}

#[test]
fn events_are_for_the_pages_that_may_show_them() {
    let node = start(["--embed-from", "online=https://forum.example"]);
    let evil = request(&node, "GET", "/online/events", &[("Origin", "https://evil.example")]);
    assert_eq!(evil.status(), 403);
    TextStream::open_with(&node, "/online/events", "Origin: https://forum.example\r\n").wait_for_event(1);
}

#[test]
fn looks_of_documents_share_their_frames() {
    let node = start(["--max-looks", "2"]);
    let paths = [
        "",
        "?label=a&bg=teal",
        "?height=40&theme=dark",
        "?style=plain",
        "?style=odometer",
        "?style=sprites&height=40",
        "?format=compact",
    ];
    let mut documents = paths.map(|query| TextStream::open(&node, &format!("/online/live.html{query}")));
    documents.iter_mut().for_each(|document| document.wait_for("7"));
    let replaced = node.metrics().unwrap();
    let replaced = replaced.lines().filter(|line| line.starts_with("headcount_looks_replaced_total"));
    assert!(replaced.into_iter().all(|line| line.ends_with(" 0")), "only two of them write the number in another way");
}

#[test]
fn at_the_limit_of_looks_a_document_has_the_styles_of_the_numbers_that_it_gets() {
    let node = start(["--max-looks", "1"]);
    let mut first = TextStream::open(&node, "/online/live.html?style=odometer");
    first.wait_for("1");
    assert!(first.body.contains("--a:"), "numbers that turn drums: {}", first.body);
    // One more look than there may be.
    let mut second = TextStream::open(&node, "/online/live.html?show=visitors&label=visitors&style=odometer");
    second.wait_for("2");
    assert!(!second.body.contains("<u "), "no drums, which nothing would turn: {}", second.body);
    assert!(!second.body.contains("visitors"), "it is not the number of visitors: {}", second.body);
}

#[test]
fn a_page_of_another_site_may_ask_to_reconnect_with_the_last_event() {
    let node = start([]);
    let asks = [
        ("Origin", "https://forum.example"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "last-event-id"),
    ];
    for path in ["/online/events", "/online.json"] {
        let answer = request(&node, "OPTIONS", path, &asks);
        assert_eq!((answer.status(), answer.header("access-control-allow-origin")), (204, Some("*")), "{path}");
        assert!(answer.header("access-control-allow-headers").unwrap().contains("last-event-id"));
        assert!(answer.header("access-control-allow-methods").unwrap().contains("GET"));
    }
    assert_eq!(request(&node, "OPTIONS", "/online/events", &[]).status(), 405);
}

#[test]
fn documents_end_last_so_that_whoever_follows_the_node_is_there() {
    let mut node = start(["--drain", "3s", "--grace", "0s"]);
    let documents: Vec<_> = (0..8).map(|_| TextStream::open(&node, "/online/live.html")).collect();
    wait_for_count(&node, "online", 8);
    let begun = Instant::now();
    node.process().signal(Signal::SIGTERM).unwrap();
    thread::scope(|scope| {
        for document in documents {
            scope.spawn(move || {
                assert!(document.read_to_end().contains("not up to date"));
                assert!(begun.elapsed() > Duration::from_secs(2), "it ended after {:?}", begun.elapsed());
            });
        }
    });
    assert!(node.process_ended(PATIENCE).unwrap().success());
}

#[test]
fn two_browsers_behind_an_address_come_back_as_themselves() {
    let node = start(["--keepalive", "1s", "--document-updates", "2"]);
    let open = |agent: &str, header: &str| {
        TextStream::open_with(&node, "/online/live.html", &format!("User-Agent: {agent}\r\n{header}"))
    };
    let [first, second] = ["first", "second"].map(|agent| open(agent, ""));
    wait_for_count(&node, "online", 2);
    let (first, second) = (first.read_to_end(), second.read_to_end());
    assert!(first.contains("</b>") && second.contains("</b>"));
    // The first one's tab was closed meanwhile, and is opened again.
    let second = open("second", "Cache-Control: max-age=0\r\n");
    let first = open("first", "");
    let reading = headcount_testkit::wait_until("the former first one is not expected any more", PATIENCE, || {
        node.reading("online").map_err(|error| error.to_string()).and_then(|reading| match reading.count {
            2 => Ok(reading),
            count => Err(count.to_string()),
        })
    });
    assert_eq!(reading.unwrap().visitors, 2);
    drop((first, second));
}

#[test]
fn bad_options_of_text_are_errors() {
    let node = start([]);
    let long = format!("/online/live.html?label={}", "a".repeat(6000));
    for path in [
        "/online.html?theme=blue",
        "/online.html?count=perhaps",
        "/online/live.html?theme=dark&theme=dark",
        "/online.png?theme=dark",
        "/online.jpg?count=",
        "/online/events?theme=dark",
        "/online/events?count=no&x=y",
        long.as_str(),
    ] {
        let answer = get(&node, path);
        assert_eq!(answer.status(), 400, "{path}");
        answer.sentence();
    }
    for path in
        ["/online/live.htm", "/online/live", "/online/events.json", "/online/snapshot.html", "/.html", "/a/b.html"]
    {
        assert_eq!(get(&node, path).status(), 404, "{path}");
    }
}

#[test]
fn curl_reads_both() {
    let node = start([]);
    for (path, expected) in [("online/live.html", "<b id=n"), ("online/events", "data: {\"counter\":\"online\"")] {
        let output = Command::new("curl").args(["-sN", "--max-time", "1", &node.url(path)]).output().expect("curl");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(expected), "{path}: {text}");
    }
}

#[test]
fn watch_follows_every_format_and_does_not_count() {
    let node = start([]);
    let _viewer = Stream::open(&node, "/online.png");
    wait_for_count(&node, "online", 1);
    for path in ["online.png", "online.jpg?label=a", "online.html", "online/live.html?theme=dark", "online/events"] {
        let watch = Command::new(env!("CARGO_BIN_EXE_headcount"))
            .args(["watch", "--json", "--frames", "1", &node.url(path)])
            .output()
            .unwrap();
        assert!(watch.status.success(), "{path}: {}", String::from_utf8_lossy(&watch.stderr));
        let frame: Value = serde_json::from_slice(&watch.stdout).unwrap();
        assert_eq!((&frame["count"], &frame["stale"]), (&1.into(), &false.into()), "{path}: {frame}");
    }
    let counted = Command::new(env!("CARGO_BIN_EXE_headcount"))
        .args(["watch", "--count", "--json", "--frames", "2", &node.url("online/events")])
        .output()
        .unwrap();
    assert!(String::from_utf8(counted.stdout).unwrap().lines().last().unwrap().contains("\"count\":2"));
}
