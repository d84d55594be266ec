//! What nobody should send.

use std::{net::Ipv4Addr, thread};

use headcount_testkit::RedisServer;

use crate::node::{Node, loopback};

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
    let begun = std::time::Instant::now();
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
    let again = headcount_testkit::wait_until("room", crate::node::PATIENCE, || {
        node.page_from(loopback(4), "two").map_err(|status| status.to_string())
    });
    let _two = again.unwrap();
    let _three = node.page_from(loopback(4), "three").expect("a place");
    assert_eq!(node.page_from(loopback(4), "four").err(), Some(503));
    // A board that nobody looks at any more makes room.
    drop(of_one);
    let room = headcount_testkit::wait_until("room for a board", crate::node::PATIENCE, || {
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
    let begun = std::time::Instant::now();
    let slow = "POST /lobby HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\nConnection: close\r\n\r\nat=0";
    node.ask(Ipv4Addr::LOCALHOST, slow).refuses(408, "within 5 seconds");
    assert!((4..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}
