//! The bytes of a stream, in the form that browsers paint at once.

use std::{
    io::{ErrorKind, Read},
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use headcount_drawing::{Artist, Count, Figure, Format, Look, read_stamp};
use headcount_testkit::http;

use crate::{
    exchange::request,
    node::{PATIENCE, start, wait_for_count},
    stream::{Stream, bytes, number},
};

/// Time within which a change reaches every viewer of the node.
const AT_ONCE: Duration = Duration::from_millis(50);

/// Returns the body's bytes before the first image: 1,024, because Chromium waits for that many.
fn opening(content_type: &str) -> Vec<u8> {
    let begin = format!("--headcount\r\nContent-Type: {content_type}\r\nX-Padding: ");
    let dots = 1024 - begin.len() - "\r\n\r\n".len();
    format!("{begin}{}\r\n\r\n", ".".repeat(dots)).into_bytes()
}

/// Reads images, each directly followed by the next part's boundary and headers, until one shows this number.
fn image_of(stream: &mut Stream, content_type: &str, count: u64) -> Vec<u8> {
    let advance = format!("\r\n--headcount\r\nContent-Type: {content_type}\r\n\r\n").into_bytes();
    loop {
        let mut image = Vec::new();
        while !image.ends_with(&advance) {
            image.extend(bytes(stream.socket(), 1));
        }
        image.truncate(image.len() - advance.len());
        if read_stamp(&image).unwrap().count == Count::Exactly(count) {
            return image;
        }
    }
}

fn is_written_to_the_byte(path: &str, format: Format) {
    let content_type = format.content_type();
    let mut node = start(["--drain", "0s"]);
    let mut stream = Stream::open(&node, path);
    assert_eq!(bytes(stream.socket(), 1024), opening(content_type));
    image_of(&mut stream, content_type, 1);
    let other = Stream::open(&node, path);
    image_of(&mut stream, content_type, 2);
    drop(other);
    let last = image_of(&mut stream, content_type, 1);
    assert!(node.stop(PATIENCE).unwrap().success());
    let mut rest = Vec::new();
    stream.socket().read_to_end(&mut rest).expect("a FIN, not a reset");
    // The same number, in a picture that is marked.
    let stamp = read_stamp(&last).unwrap();
    let figure = Figure { stale: true, epoch: stamp.epoch, version: stamp.version, ..Figure::of(1) };
    let marked = Artist::new().draw(&Look::default(), &figure, format);
    assert_eq!(rest, [&marked[..], b"\r\n--headcount--\r\n"].concat());
}

#[test]
fn a_png_stream_is_written_to_the_byte() {
    is_written_to_the_byte("/online.png", Format::Png);
}

#[test]
fn a_jpeg_stream_is_written_to_the_byte() {
    is_written_to_the_byte("/online.jpg", Format::Jpeg);
}

#[test]
fn the_head_keeps_caches_and_proxies_out() {
    let node = start([]);
    for request in ["GET /online.png HTTP/1.1\r\nHost: a\r\n\r\n", "GET /online.png HTTP/1.0\r\n\r\n"] {
        let stream = Stream::open_by(&node, request.as_bytes());
        for (name, value) in [
            ("Content-Type", "multipart/x-mixed-replace; boundary=headcount"),
            ("Cache-Control", "no-store, no-transform"),
            ("X-Accel-Buffering", "no"),
            ("Cross-Origin-Resource-Policy", "cross-origin"),
            ("Connection", "close"),
            // Firefox and the fetchers of link previews get another response.
            ("Vary", "user-agent"),
        ] {
            assert_eq!(stream.head.header(name), Some(value), "{name} in {:?}", stream.head);
        }
        // The stream ends with its connection: chunks would make a killed node look like a broken image.
        assert_eq!(stream.head.header("Transfer-Encoding"), None);
        assert_eq!(stream.head.header("Content-Length"), None);
        // A client that expects a partial response would try to seek, as ffmpeg does.
        assert_eq!(stream.head.header("Content-Range"), None);
    }
}

#[test]
fn an_ipv6_listener_serves_ipv4_and_is_announced_in_brackets() {
    let node = start(["--listen", "[::]:0", "--admin", "[::]:0"]);
    for (address, path) in [(node.address(), "/online.json"), (node.admin(), "/readyz")] {
        for ip in ["127.0.0.1", "::1"] {
            let address = (ip.parse::<IpAddr>().unwrap(), address.port()).into();
            assert_eq!(http::get(address, path).unwrap().status, 200, "{address}");
        }
    }
    let node = start(["--listen", "[::1]:0"]);
    let open = format!("open http://[::1]:{}/ in a browser", node.address().port());
    node.logs(&open, PATIENCE).unwrap();
}

#[test]
fn firefox_is_kept_from_caching() {
    let node = start([]);
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";
    let request = format!("GET /online.png HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n\r\n");
    let stream = Stream::open_by(&node, request.as_bytes());
    // Without it, Firefox delays a second page behind the first one's cache entry.
    let total = stream.head.header("Content-Range").and_then(|range| range.strip_prefix("bytes 0-0/"));
    assert!(total.unwrap().parse::<u64>().unwrap() > 1 << 30, "{:?}", stream.head);
}

#[test]
fn head_requests_do_not_count() {
    let node = start([]);
    let mut stream = Stream::open(&node, "/online.png");
    stream.wait_for(1);
    let before = node.reading("online").unwrap();
    for path in ["/online.png", "/online.jpg", "/online.png?style=odometer"] {
        let answer = request(&node, "HEAD", path, &[]);
        assert_eq!((answer.status(), answer.body.len()), (200, 0), "{path}");
        assert_eq!(answer.header("Content-Length"), None, "{path}: a stream has no length");
        assert_eq!(answer.header("Transfer-Encoding"), None, "{path}");
        for name in ["Content-Type", "Cache-Control", "Cross-Origin-Resource-Policy", "X-Accel-Buffering"] {
            assert_eq!(answer.header(name), stream.head.header(name), "{path}: {name}");
        }
    }
    let after = node.reading("online").unwrap();
    assert_eq!((after.count, after.version), (1, before.version), "a viewer was counted in between");
}

#[test]
fn a_change_is_pushed_at_once() {
    let node = start([]);
    let mut stream = Stream::open(&node, "/online.png");
    stream.wait_for(1);
    let mut delays: Vec<Duration> = (0..15)
        .map(|_| {
            // Longer than the 100 ms between two pushes, so that each change is pushed separately.
            thread::sleep(Duration::from_millis(150));
            let joining = Instant::now();
            let other = Stream::open(&node, "/online.png");
            stream.wait_for(2);
            let delay = joining.elapsed();
            drop(other);
            stream.wait_for(1);
            delay
        })
        .collect();
    delays.sort();
    println!(
        "from a join's connection to another viewer's frame: {:?} in the median, {:?} at the longest",
        delays[7], delays[14]
    );
    assert!(delays[7] <= AT_ONCE, "{delays:?}");
}

#[test]
fn an_unchanged_number_is_pushed_only_as_keep_alive() {
    let node = start(["--keepalive", "2s"]);
    let mut stream = Stream::open(&node, "/online.png");
    let shown = stream.wait_for(1);
    let begun = Instant::now();
    for repeat in 1..=2 {
        assert_eq!(stream.next().unwrap(), shown, "the same picture again");
        // Keep-alives of different viewers are spread, so the first may come early. Later ones keep the period.
        assert!(begun.elapsed() >= Duration::from_secs(2) * (repeat - 1), "{:?} for {repeat}", begun.elapsed());
    }

    let node = start([]);
    let mut stream = Stream::open(&node, "/online.png");
    stream.wait_for(1);
    stream.socket().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let silence = stream.socket().read(&mut [0; 1]).expect_err("nothing has changed");
    assert_eq!(silence.kind(), ErrorKind::WouldBlock);
}

#[test]
fn the_order_of_options_does_not_change_the_look() {
    let node = start(["--max-looks", "1"]);
    let mut one = Stream::open(&node, "/online.png?label=readers&height=32");
    let mut same = Stream::open(&node, "/online.png?height=32&label=readers");
    assert_eq!(one.wait_for(2), same.wait_for(2));
    let mut default = Stream::open(&node, "/online.png");
    let mut replaced = Stream::open(&node, "/online.png?height=33&label=readers");
    assert_eq!(default.wait_for(4), replaced.wait_for(4), "no room for a second look");
    drop((one, same, default, replaced));
    wait_for_count(&node, "online", 0);
}

#[test]
fn every_counter_has_its_own_number() {
    let node = start([]);
    let mut here = Stream::open(&node, "/here.png");
    let mut there = Stream::open(&node, "/there.jpg");
    let mut too = Stream::open(&node, "/there.png?style=plain");
    for (stream, count) in [(&mut here, 1), (&mut there, 2), (&mut too, 2)] {
        assert_eq!(number(&stream.wait_for(count)), count);
    }
}
