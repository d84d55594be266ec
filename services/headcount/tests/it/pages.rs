//! Routes other than the streams: snapshots, JSON, the pages, and paths that lead nowhere.

use std::process::Command;

use headcount_drawing::{Count, read_stamp};
use headcount_testkit::Node;

use crate::{
    bad_input::FOR_ALL_ORIGINS,
    exchange::{Answer, get, request, send},
    node::start,
    stream::Stream,
};

#[test]
fn a_snapshot_shows_the_current_number_and_can_be_revalidated() {
    let node = start([]);
    let mut viewer = Stream::open(&node, "/online.png");
    viewer.wait_for(1);
    for (path, content_type) in [
        ("/online/snapshot.png", "image/png"),
        ("/online/snapshot.jpg", "image/jpeg"),
        ("/online/snapshot.svg", "image/svg+xml"),
        ("/online/snapshot.png?style=odometer&height=32", "image/png"),
    ] {
        let snapshot = get(&node, path);
        assert_eq!((snapshot.status(), snapshot.header("Content-Type")), (200, Some(content_type)), "{path}");
        assert_eq!(snapshot.header("Cache-Control"), Some("no-cache"), "{path}");
        assert_eq!(snapshot.header("Access-Control-Allow-Origin"), Some("*"), "{path}");
        assert_eq!(read_stamp(&snapshot.body).unwrap().count, Count::Exactly(1), "{path}");
        let etag = snapshot.header("ETag").expect("an ETag").to_owned();
        for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let again = request(&node, "GET", path, &[("If-None-Match", &known)]);
            assert_eq!((again.status(), again.body.len()), (304, 0), "{path} with {known}");
            assert_eq!(again.header("ETag"), Some(&*etag), "{path}");
        }
        assert_eq!(request(&node, "GET", path, &[("If-None-Match", "\"other\"")]).status(), 200, "{path}");
    }
    let etag = get(&node, "/online/snapshot.png").header("ETag").unwrap().to_owned();
    let _other = Stream::open(&node, "/online.png");
    viewer.wait_for(2);
    let changed = request(&node, "GET", "/online/snapshot.png", &[("If-None-Match", &etag)]);
    assert_eq!(changed.status(), 200);
    assert_eq!(read_stamp(&changed.body).unwrap().count, Count::Exactly(2));
}

#[test]
fn programs_get_json_from_anywhere() {
    let node = start([]);
    let mut viewers = [Stream::open(&node, "/online.png"), Stream::open(&node, "/online.jpg")];
    viewers[0].wait_for(2);
    let answer = request(&node, "GET", "/online.json", &[("Origin", "https://elsewhere.example")]);
    assert_eq!((answer.status(), answer.header("Content-Type")), (200, Some("application/json")));
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["counter"], "online");
    assert_eq!(json["count"], 2);
    assert_eq!(json["stale"], false);
    let as_of = json["as_of"].as_str().unwrap();
    assert!(as_of.len() >= 20 && as_of.ends_with('Z') && as_of.as_bytes()[10] == b'T', "{as_of} is not RFC 3339");
    assert!(json["epoch"].is_u64() && json["version"].is_u64() && json["visitors"].is_u64(), "{json}");
    let nobody: serde_json::Value = serde_json::from_slice(&get(&node, "/nobody.json").body).unwrap();
    assert_eq!(nobody["count"], 0);
}

/// Checks that a page has no script and forbids them by its content security policy.
fn has_no_script(page: &Answer) {
    let html = page.text().to_ascii_lowercase();
    assert!(!html.contains("<script") && !html.contains("javascript:"), "a script in {html}");
    let attributes = html.split(['<', '>']).flat_map(|tag| tag.split_whitespace());
    let handlers: Vec<&str> = attributes.filter(|word| word.starts_with("on") && word.contains("=\"")).collect();
    assert!(handlers.is_empty(), "{handlers:?} in {html}");
    let policy = page.header("Content-Security-Policy").expect("a content security policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
}

#[test]
fn the_pages_show_the_stream_and_the_embed_codes() {
    let node = start(["--public-url", "https://count.example"]);
    for (path, counter) in [("/", "online"), ("/online", "online"), ("/my-forum", "my-forum")] {
        let page = get(&node, path);
        assert_eq!((page.status(), page.header("Content-Type")), (200, Some("text/html; charset=utf-8")), "{path}");
        has_no_script(&page);
        let html = page.text();
        assert!(html.contains(&format!("<img src=\"/{counter}.png\"")), "{path} shows no stream: {html}");
        // The number and the past, in frames that do not count: the picture does.
        for (frame, is_there) in
            [("style=plain", true), ("style=chart&#38;span=day", true), ("style=chart&#38;span=year", false)]
        {
            let begin = format!("src=\"/{counter}.html?{frame}&#38;");
            assert_eq!(html.contains(&begin), is_there, "{path}: {begin} in {html}");
        }
        for code in [
            format!("&#60;iframe loading=&#34;lazy&#34; src=&#34;https://count.example/{counter}.html&#34;"),
            format!("new EventSource(&#39;https://count.example/{counter}/events&#39;)"),
            format!("&#60;img src=&#34;https://count.example/{counter}.png&#34;"),
            format!("](https://count.example/{counter}/snapshot.svg)"),
            format!("[img]https://count.example/{counter}.png[/img]"),
        ] {
            assert!(html.contains(&code), "{path} has no {code}: {html}");
        }
    }
}

#[test]
fn the_embed_codes_contain_the_requested_host() {
    let node = start([]);
    let html = request(&node, "GET", "/online", &[]);
    assert!(html.text().contains(&format!("[img]http://{}/online.png[/img]", node.address())), "{html:?}");
}

#[test]
fn the_embed_codes_contain_the_scheme_that_the_reader_used() {
    let code = |page: &Answer| {
        let (_, rest) = page.text().split_once("[img]").expect("a code");
        rest.split_once("[/img]").expect("its end").0.to_owned()
    };
    // Only a trusted proxy says how its client has connected.
    let forwarded = [("Host", "count.example"), ("X-Forwarded-Proto", "https")];
    let page = |node: &Node, headers: &[(&str, &str)]| {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Answer::read(&send(node, format!("GET /online HTTP/1.1\r\nConnection: close\r\n{lines}\r\n").as_bytes()))
    };
    assert_eq!(code(&page(&start([]), &forwarded)), "http://count.example/online.png");
    let behind = start(["--forwarded-from", "127.0.0.0/8"]);
    assert_eq!(code(&page(&behind, &forwarded)), "https://count.example/online.png");
    let behind = start(["--forwarded-from", "127.0.0.0/8", "--forwarded-header", "forwarded"]);
    let forwarded = [("Host", "count.example"), ("Forwarded", "for=203.0.113.9;proto=https")];
    assert_eq!(code(&page(&behind, &forwarded)), "https://count.example/online.png");
    // A PROXY header, version 2, with the TLV that HAProxy's `send-proxy-v2-ssl` adds.
    let node = start(["--proxy-protocol-from", "127.0.0.0/8"]);
    for (client_flags, scheme) in [(0, "http"), (1, "https")] {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
        let addresses = [203, 0, 113, 9, 127, 0, 0, 1, 0x12, 0x67, 0x20, 0xfb];
        let tls = [0x20, 0, 5, client_flags, 0, 0, 0, 0];
        bytes.extend(((addresses.len() + tls.len()) as u16).to_be_bytes());
        bytes.extend(
            [&addresses[..], &tls, b"GET /online HTTP/1.1\r\nHost: count.example:8443\r\nConnection: close\r\n\r\n"]
                .concat(),
        );
        assert_eq!(code(&Answer::read(&send(&node, &bytes))), format!("{scheme}://count.example:8443/online.png"));
    }
}

#[test]
fn the_front_page_says_which_counters_exist() {
    let signed = start(["--counters", "signed", "--sign-key", "0123456789abcdef"]);
    let front = get(&signed, "/");
    assert_eq!(front.status(), 200, "{front:?}");
    has_no_script(&front);
    assert!(front.text().contains("headcount sign"), "{front:?}");
    assert!(!front.text().contains("Any name is a counter"), "{front:?}");
    let output = Command::new(env!("CARGO_BIN_EXE_headcount"))
        .args(["sign", "online", "--sign-key", "0123456789abcdef"])
        .output()
        .unwrap();
    let name = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    // As a form sends it.
    let moved = get(&signed, &format!("/?counter={}", name.replace('~', "%7E")));
    assert_eq!((moved.status(), moved.header("Location")), (303, Some(&*format!("/{name}"))));
    assert!(!get(&signed, &format!("/{name}")).text().contains("Any name is a counter"));

    let listed = start(["--counters", "forum,shop"]);
    for path in ["/", "/shop"] {
        let page = get(&listed, path);
        assert_eq!(page.status(), 200);
        assert!(!page.text().contains("Any name is a counter"), "{page:?}");
        assert!(page.text().contains("href=\"/forum\"") && page.text().contains("href=\"/shop\""), "{page:?}");
    }
}

/// Returns the values of all attributes with this name, unescaped.
fn attributes(page: &Answer, name: &str) -> Vec<String> {
    let begin = format!(" {name}=\"");
    let values = page.text().split(&*begin).skip(1).filter_map(|rest| rest.split('"').next());
    values.map(|value| value.replace("&#38;", "&").replace("&amp;", "&")).collect()
}

#[test]
fn samples_are_on_a_light_ground() {
    // The bare number is black on nothing: it would be invisible on the dark page.
    let page = get(&start([]), "/online");
    let (_, dark) = page.text().split_once("prefers-color-scheme: dark").expect("a dark page");
    assert!(dark.contains(".live, .looks a { background: #fff;"), "{page:?}");
}

#[test]
fn a_look_is_chosen_by_links_and_forms() {
    let node = start([]);
    // As the form sends it: every field, most of them empty.
    let chosen = get(&node, "/online?style=odometer&label=&fg=lime&bg=&height=32&scale=&format=&show=");
    assert_eq!(chosen.status(), 200);
    has_no_script(&chosen);
    let shown = attributes(&chosen, "src").into_iter().find(|src| src.starts_with("/online.png")).expect("a picture");
    assert!(shown.starts_with("/online.png?") && shown.contains("style=odometer"), "{shown}");
    assert_eq!(request(&node, "HEAD", &shown, &[]).status(), 200, "{shown}");

    let page = get(&node, "/online");
    let looks: Vec<String> = attributes(&page, "href").into_iter().filter(|href| href.contains('?')).collect();
    assert!(looks.len() >= 3, "{looks:?}");
    for look in looks {
        assert_eq!(get(&node, &look).status(), 200, "{look}");
    }

    let wrong = get(&node, "/online?height=7");
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().contains("12 to 96"), "{wrong:?}");
    let moved = get(&node, "/?counter=my-forum");
    assert_eq!((moved.status(), moved.header("Location")), (303, Some("/my-forum")));
}

#[test]
fn all_samples_are_of_the_same_number() {
    let node = start([]);
    let mut viewer = Stream::open(&node, "/online.png");
    viewer.wait_for(1);
    let page = get(&node, "/online?style=odometer");
    let samples: Vec<String> =
        attributes(&page, "src").into_iter().filter(|src| src.starts_with("/online/snapshot")).collect();
    assert!(samples.len() >= 12, "a sample for each look and each embed code: {samples:?}");
    for sample in samples {
        let picture = get(&node, &sample);
        assert_eq!(picture.status(), 200, "{sample}");
        assert_eq!(read_stamp(&picture.body).unwrap().count, Count::Exactly(1234), "{sample}");
    }
    // Frames that show the number look without counting.
    let frames: Vec<String> = attributes(&page, "src").into_iter().filter(|src| src.contains(".html")).collect();
    assert_eq!(frames.len(), 3, "{frames:?}");
    assert!(frames.iter().all(|frame| frame.ends_with("&count=no")), "{frames:?}");
}

#[test]
fn the_pages_chart_shows_the_span_that_is_chosen() {
    let node = start([]);
    let page = get(&node, "/online?span=month");
    assert_eq!(page.status(), 200);
    let charts: Vec<String> = attributes(&page, "src").into_iter().filter(|src| src.contains("style=chart&")).collect();
    assert!(charts.iter().filter(|chart| chart.contains("span=month")).count() == 2, "{charts:?}");
    assert!(page.text().contains("?span=month\" aria-current=\"true\""), "{page:?}");
    let wrong = get(&node, "/online?span=week");
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().contains("hour, day, month, year or all"), "{wrong:?}");
}

#[test]
fn crawlers_are_kept_off_the_streams_and_browsers_get_an_icon() {
    let node = start([]);
    let robots = get(&node, "/robots.txt");
    assert_eq!(robots.status(), 200);
    assert!(robots.header("Content-Type").unwrap().starts_with("text/plain"));
    for line in ["User-agent: *", "Disallow: /*.png", "Disallow: /*.jpg", "Disallow: /*.jpeg"] {
        assert!(robots.text().lines().any(|found| found == line), "{line} is not in {robots:?}");
    }
    let icon = get(&node, "/favicon.ico");
    assert_eq!((icon.status(), icon.body.is_empty()), (200, false));
    assert!(icon.header("Content-Type").unwrap().starts_with("image/"));
}

#[test]
fn every_route_supports_head() {
    let node = start([]);
    for path in [
        "/",
        "/online",
        "/online.json",
        "/online/snapshot.png",
        "/online/snapshot.jpg",
        "/online/snapshot.svg",
        "/robots.txt",
        "/favicon.ico",
    ] {
        let (head, whole) = (request(&node, "HEAD", path, &[]), get(&node, path));
        assert_eq!((head.status(), head.body.len()), (200, 0), "{path}");
        for name in ["Content-Type", "Content-Length", "Cache-Control", "ETag", "Content-Security-Policy"] {
            assert_eq!(head.header(name), whole.header(name), "{path}: {name}");
        }
    }
    assert_eq!(node.reading("online").unwrap().version, 0, "a viewer was counted");
}

#[test]
fn paths_that_lead_nowhere_get_404_and_a_sentence() {
    let node = start([]);
    let long = format!("/{}.png", "a".repeat(65));
    let twice = ["/online.png.png", "/online.json.png", "/online.svg.jpg"];
    let names =
        ["/Online.png", "/-online.png", "/.png", "/_a.json", "/caf%C3%A9.png", "/a%20b.png", "/a+b", "/%00.png"];
    let places = [
        "/online.svg",
        "/online/",
        "/online/other.png",
        "/online/snapshot.gif",
        "/online/snapshot.json",
        "/online/snapshot",
        "/a/b/c",
        "//online.png",
        "/../etc/passwd",
    ];
    for path in [&*long].into_iter().chain(twice).chain(names).chain(places) {
        let answer = get(&node, path);
        assert_eq!(answer.status(), 404, "{path}");
        answer.sentence();
        for (name, value) in FOR_ALL_ORIGINS {
            assert_eq!(answer.header(name), Some(value), "{name} of {path}");
        }
    }
    let longest = format!("/{}.json", "a".repeat(64));
    for path in [&*longest, "/0.json", "/a-b_c.d.json", "/blog.example.org.json"] {
        assert_eq!(get(&node, path).status(), 200, "{path}");
    }
}

#[test]
fn a_wrong_look_option_gets_400_and_what_is_allowed() {
    let node = start([]);
    for (query, allowed) in
        [("label=%F0%93%80%80", "U+13000"), ("height=11", "12 to 96"), ("colour=red", "allowed are")]
    {
        for path in ["/online.png", "/online.jpg", "/online/snapshot.png", "/online/snapshot.svg"] {
            let answer = get(&node, &format!("{path}?{query}"));
            assert_eq!(answer.status(), 400, "{path}?{query}");
            assert!(answer.sentence().contains(allowed), "{path}?{query}: {}", answer.text());
        }
    }
    assert_eq!(node.reading("online").unwrap().version, 0, "a viewer was counted");
}
