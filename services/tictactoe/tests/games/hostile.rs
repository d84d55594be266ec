//! What nobody should send.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Proxy, RedisServer, proxy::Direction, wait_until};

use crate::node::{Node, PATIENCE, loopback};

/// Loopback is limited too.
const LIMITED: [&str; 2] = ["--limit-exempt", "10.0.0.0/8"];

#[test]
fn every_bad_request_is_refused_in_one_sentence() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &[]);
    let long = "a".repeat(65);
    for name in ["-a", "A", "a%20b", "%C3%A4", ".a", "a*b", &long] {
        node.get(&format!("/{name}.png")).refuses(400, "board's name");
        node.get(&format!("/{name}.html")).refuses(400, "board's name");
        node.get(&format!("/{name}/live.html")).refuses(400, "board's name");
        node.post(name, "x", "at=0&square=1").refuses(400, "board's name");
    }
    for path in ["/lobby", "/lobby.gif", "/a/b/c", "/lobby/live.png", "/-/", "//", "/favicon.ico"] {
        node.get(path).refuses(404, "nothing at this address");
    }
    for form in
        ["", "at=0", "square=5", "at=0&square=0", "at=0&square=10", "at=0&square=5&square=5", "at=0&square=5&a=b"]
    {
        node.post("lobby", "x", form).refuses(400, "two fields");
    }
    for bytes in [257, 8 << 10, 64 << 10, 127 << 10] {
        node.post("lobby", "x", &"a".repeat(bytes)).refuses(413, "too large");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = format!("{method} /lobby HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        node.ask(Ipv4Addr::LOCALHOST, &request).refuses(405, "with GET");
    }
    let head = node.ask(Ipv4Addr::LOCALHOST, "HEAD /lobby.png HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(head.status, 405);
    for origin in ["https://elsewhere.example", "null", "http://a:1", "http://a/b"] {
        let move_ = format!(
            "POST /lobby HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\nConnection: close\r\nContent-Length: 13\r\n\r\nat=0&square=1"
        );
        node.ask(Ipv4Addr::LOCALHOST, &move_).refuses(403, "own form");
    }
    // None of it was a move.
    assert_eq!(node.page("lobby").until(|_| true).at, 0);
    let own = "POST /lobby HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\nConnection: close\r\nContent-Length: 13\r\n\r\nat=0&square=1";
    assert_eq!(node.ask(Ipv4Addr::LOCALHOST, own).status, 204);
}

#[test]
fn a_thousand_moves_from_one_address_are_slowed_down() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &LIMITED);
    let begun = Instant::now();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let floods: Vec<_> = (0..4)
            .map(|_| {
                let node = &node;
                scope.spawn(move || {
                    let square = |number: usize| number % 9 + 1;
                    let play =
                        |number| node.post_from(loopback(1), "lobby", "x", &format!("at=0&square={}", square(number)));
                    (0..250).map(|number| play(number).status).collect::<Vec<_>>()
                })
            })
            .collect();
        floods.into_iter().flat_map(|flood| flood.join().unwrap()).collect()
    });
    let of = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "of 1,000 moves in {seconds:.1} s: {} made, {} out of turn, {} refused as too many",
        of(204),
        of(409),
        of(429)
    );
    assert_eq!(of(204), 1);
    assert!(of(409) as f64 <= 64.0 + 5.0 * seconds && of(204) + of(409) + of(429) == 1_000);
    node.post_from(loopback(1), "lobby", "x", "at=0&square=1").refuses(429, "asks for too much");
    // Others are not slowed down.
    let at = node.page("lobby").until(|_| true).at;
    assert_eq!(node.post_from(loopback(2), "lobby", "o", &format!("at={at}&square=9")).status, 204);
}

#[test]
fn streams_and_boards_are_bounded() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &[&LIMITED[..], &["--max-viewers", "100", "--max-boards", "3"]].concat());
    let of_one: Vec<_> = (0..64).map(|_| node.page_from(loopback(1), "one").expect("a place")).collect();
    assert_eq!(node.page_from(loopback(1), "one").err(), Some(429));
    let others: Vec<_> = (0..36).map(|_| node.page_from(loopback(2), "two").expect("a place")).collect();
    assert_eq!(node.page_from(loopback(3), "two").err(), Some(503));
    drop(others);
    let again =
        wait_until("room", PATIENCE, || node.page_from(loopback(4), "two").map_err(|status| status.to_string()));
    let _two = again.unwrap();
    let _three = node.page_from(loopback(4), "three").expect("a place");
    assert_eq!(node.page_from(loopback(4), "four").err(), Some(503));
    // A board that nobody looks at any more makes room.
    drop(of_one);
    let room = wait_until("room for a board", PATIENCE, || {
        node.page_from(loopback(5), "four").map_err(|status| status.to_string())
    });
    let _four = room.unwrap();
    // Games too.
    let play = |board: &str| node.post_from(loopback(6), board, "x", "at=0&square=1");
    assert_eq!(["a", "b", "c"].map(|board| play(board).status), [204; 3]);
    play("d").refuses(503, "no room");
    assert_eq!(redis.keys().unwrap().len(), 4);
}

#[test]
fn slow_requests_are_given_up() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &[]);
    let begun = Instant::now();
    let slow = "POST /lobby HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\nConnection: close\r\n\r\nat=0";
    node.ask(Ipv4Addr::LOCALHOST, slow).refuses(408, "within 5 seconds");
    assert!((4..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// Half of them wait for a head, half for a form: neither ever becomes complete.
#[test]
fn one_address_does_not_hold_all_connections() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &LIMITED);
    let slow = |number: usize| {
        let form = "POST /lobby HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\nat=0";
        node.send_from(loopback(1), if number.is_multiple_of(2) { form } else { "GET / HT" }.as_bytes())
    };
    let begun = Instant::now();
    let held: Vec<TcpStream> = (0..1_100).map(slow).collect();
    let opened = begun.elapsed();
    let answer = node.ask(loopback(2), "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answered = begun.elapsed() - opened;
    let open = held.iter().filter(|socket| is_silent(socket)).count();
    println!("{open} of 1,100 are open {:.1?} after the first; another address waited {answered:.1?}", begun.elapsed());
    assert_eq!(answer.status, 200);
    assert!(answered < Duration::from_secs(1) && open <= 64);
    // The first is told so, until its forms have had their time.
    let own = || node.ask(loopback(1), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    own().refuses(429, "asks for too much");
    let room = wait_until("room", PATIENCE, || if own().status == 200 { Ok(()) } else { Err("none") });
    room.unwrap();
}

/// Whether a connection is open, and has no answer.
fn is_silent(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    matches!(socket.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn a_connection_ends_whose_answers_nobody_reads() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &[]);
    let mut socket = node.send_from(Ipv4Addr::LOCALHOST, b"");
    socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
    let begun = Instant::now();
    loop {
        match socket.write(requests.as_bytes()) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        assert!(begun.elapsed() < Duration::from_secs(45), "the connection is still open");
    }
    println!("the connection ended after {:.1?}", begun.elapsed());
}

#[test]
fn who_has_all_streams_of_an_address_can_still_move() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &LIMITED);
    let mut pages: Vec<_> = (0..64).map(|_| node.page_from(loopback(1), "lobby").expect("a stream")).collect();
    assert_eq!(node.page_from(loopback(1), "lobby").err(), Some(429));
    let at = pages[0].until(|_| true).at;
    assert_eq!(node.post_from(loopback(1), "lobby", "x", &format!("at={at}&square=1")).status, 204);
    // And who has moved too much can still look.
    let moves: Vec<u16> = (0..100).map(|_| node.post_from(loopback(3), "lobby", "x", "at=0&square=1").status).collect();
    assert_eq!(moves.last(), Some(&429));
    assert!(node.page_from(loopback(3), "lobby").is_ok());
}

#[test]
fn boards_that_nobody_moves_on_make_room_for_others() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &[&LIMITED[..], &["--max-boards", "3", "--move-limit", "2s"]].concat());
    let opens = |from: u8, board: &str| node.post_from(loopback(from), board, "x", "at=0&square=1");
    assert_eq!(["a", "b", "c"].map(|board| opens(1, board).status), [204; 3]);
    opens(2, "d").refuses(503, "no room");
    let begun = Instant::now();
    let opened = wait_until("room for a board", PATIENCE, || match opens(2, "d") {
        answer if answer.status == 204 => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    opened.unwrap();
    println!("there was room after {:.1?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[test]
fn one_address_does_not_take_all_boards() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &[&LIMITED[..], &["--move-limit", "3s"]].concat());
    let opens = |from: u8, board: &str| node.post_from(loopback(from), board, "x", "at=0&square=1");
    let statuses: Vec<u16> = (0..24).map(|number| opens(1, &format!("b{number}")).status).collect();
    assert_eq!(statuses, [&[204; 16][..], &[429; 8]].concat());
    // It plays on where it has begun, and others begin.
    let at = node.page_from(loopback(2), "b0").expect("a stream").until(|_| true).at;
    assert_eq!(node.post_from(loopback(1), "b0", "o", &format!("at={at}&square=2")).status, 204);
    assert_eq!(opens(2, "d").status, 204);
    let again = wait_until("another board", PATIENCE, || match opens(1, "e") {
        answer if answer.status == 204 => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    again.unwrap();
}

#[test]
fn a_frame_that_is_refused_at_the_last_moment_comes_back() {
    const MANY: usize = 32;
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::raw(redis.address()).unwrap();
    let node = Node::start(&proxy.url(), &["--max-viewers", "1"]);
    // There is room for each of them until the board has been read.
    proxy.delay(Direction::ToClient, Duration::from_millis(300));
    let barrier = Barrier::new(MANY);
    let heads: Vec<String> = thread::scope(|scope| {
        let viewers: Vec<_> = (0..MANY)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let mut socket =
                        node.send_from(Ipv4Addr::LOCALHOST, b"GET /lobby/live.html HTTP/1.1\r\nHost: a\r\n\r\n");
                    let mut bytes = vec![0; 4096];
                    let read = socket.read(&mut bytes).unwrap();
                    // The one stream that there is room for stays until all have been answered.
                    barrier.wait();
                    String::from_utf8_lossy(&bytes[..read]).to_lowercase()
                })
            })
            .collect();
        viewers.into_iter().map(|viewer| viewer.join().unwrap()).collect()
    });
    let refused: Vec<&String> = heads.iter().filter(|head| head.starts_with("http/1.1 503")).collect();
    assert_eq!(refused.len(), MANY - 1, "{heads:?}");
    for head in refused {
        assert!(head.contains("\r\nrefresh: ") && head.contains("\r\nretry-after: 5"), "{head}");
        assert!(head.ends_with("there is no room; try again in 5 seconds.\n"), "{head}");
    }
}
