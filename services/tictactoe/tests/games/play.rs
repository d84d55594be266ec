//! Games, and who may move when.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr},
    process::Command,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Proxy, RedisServer, proxy::Direction};
use headcount_wire::{BOUNDARY, PartReader};

use crate::node::{Node, PATIENCE, Shown, loopback, proxy_header};

const EMPTY: &str = "eeeeeeeee";

#[test]
fn two_play_to_the_end_on_two_nodes_and_everybody_sees_it() {
    let redis = RedisServer::start().unwrap();
    let nodes = [(); 2].map(|()| Node::start(&redis.url(), &["--move-limit", "6s"]));
    let mut pages = [0, 1].map(|index| nodes[index].page("lobby"));
    let mut pictures = [0, 1].map(|index| {
        let mut socket = nodes[index].send_from(Ipv4Addr::LOCALHOST, b"GET /lobby.png HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut byte = [0];
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        (socket, PartReader::new(BOUNDARY), Vec::<u8>::new())
    });
    let mut see = |squares: &str| -> Shown {
        let [first, second] = pages.each_mut().map(|page| page.squares(squares));
        assert_eq!(first, second);
        let pictures = pictures.each_mut().map(|(socket, parts, last)| {
            let mut bytes = [0; 4096];
            loop {
                match parts.next_part().unwrap() {
                    Some(part) if part[..] != last[..] => {
                        *last = part.to_vec();
                        return image::load_from_memory(&part).unwrap().into_rgb8();
                    }
                    Some(_) => {}
                    None => {
                        let read = socket.read(&mut bytes).unwrap();
                        assert!(read > 0, "a picture's stream has ended");
                        parts.push(&bytes[..read]);
                    }
                }
            }
        });
        assert!(pictures[0] == pictures[1]);
        first
    };
    let mut shown = see(EMPTY);
    assert_eq!((shown.standing, shown.at), (0, 0));
    // X is whoever moves first, and plays on both nodes; O as well.
    let moves = [
        (5, "eeeexeeee"),
        (1, "oeeexeeee"),
        (3, "oexexeeee"),
        (7, "oexexeoee"),
        (4, "oexxxeoee"),
        (6, "oexxxooee"),
        (2, "oxxxxooee"),
        (8, "oxxxxoooe"),
        (9, "oxxxxooox"),
    ];
    let mut slowest = Duration::ZERO;
    for (index, (square, squares)) in moves.into_iter().enumerate() {
        let (node, player, other) = (&nodes[index / 2 % 2], ["x", "o"][index % 2], ["o", "x"][index % 2]);
        if index > 0 {
            // The other has just moved, also on the other node.
            nodes[(index + 1) % 2].play("lobby", other, shown.at, square).refuses(409, "other player's turn");
            node.play("lobby", player, shown.at, moves[index - 1].0).refuses(409, "square is taken");
            node.play("lobby", player, shown.at - 1, square).refuses(409, "has changed since");
        }
        if index > 1 {
            node.play("lobby", "somebody else", shown.at, square).refuses(403, "Two others are playing");
        }
        let moved = Instant::now();
        let answer = node.play("lobby", player, shown.at, square);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "move {index}: {answer:?}");
        // The same once more.
        assert_eq!(node.play("lobby", player, shown.at, square).status, 409);
        shown = see(squares);
        slowest = slowest.max(moved.elapsed());
        let expected = if index == 0 { 1 } else { 2 + (index as u8 + 1) % 2 };
        assert!(shown.standing == expected || index == 8, "{shown:?}");
    }
    println!("a move is on all four streams after {slowest:.0?} at the latest");
    assert_eq!(shown.standing, 6, "a draw");
    nodes[0].play("lobby", "x", shown.at, 1).refuses(409, "game is over");
    // The board is free again after a sixth of the limit.
    let free = see(EMPTY);
    assert_eq!((free.standing, free.at), (0, 0));
    // What O has sent before does nothing now.
    assert_eq!(nodes[0].play("lobby", "o", shown.at - 1, 8).status, 409);
    assert_eq!(nodes[0].play("lobby", "o", free.at, 8).status, 204);
    let next = see("eeeeeeexe");
    assert!(next.standing == 1 && next.at > shown.at, "positions have other numbers in each game");
    // Only boards are in Redis, and no address or user agent in them.
    let keys = redis.keys().unwrap();
    assert_eq!(keys, ["{tictactoe}:board:lobby", "{tictactoe}:boards"]);
    let stored: String = redis.query(&["GET", &keys[0]]).unwrap();
    assert!(!stored.contains("127.0.0.1") && stored.contains("moves"), "{stored}");
}

#[test]
fn three_in_a_row_win() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &[]);
    let mut page = node.page("row");
    for (index, square) in [1, 4, 2, 5, 3].into_iter().enumerate() {
        let at = page.until(|shown| shown.squares.matches('e').count() == 9 - index).at;
        assert_eq!(node.play("row", ["x", "o"][index % 2], at, square).status, 204);
    }
    let shown = page.squares("xxxooeeee");
    assert_eq!(shown.standing, 4, "X has won");
    node.play("row", "o", shown.at, 6).refuses(409, "game is over");
}

#[test]
fn a_board_is_free_after_its_time_without_a_move() {
    let redis = RedisServer::start().unwrap();
    let nodes = [(); 2].map(|()| Node::start(&redis.url(), &["--move-limit", "1500ms"]));
    let mut pages = [0, 1].map(|index| nodes[index].page("quiet"));
    assert_eq!(nodes[0].play("quiet", "x", 0, 1).status, 204);
    let at = pages.each_mut().map(|page| page.squares("xeeeeeeee").at)[0];
    assert_eq!(nodes[1].play("quiet", "o", at, 2).status, 204);
    let moved = Instant::now();
    let at = pages.each_mut().map(|page| page.squares("xoeeeeeee").at)[0];
    for page in &mut pages {
        let free = page.squares(EMPTY);
        let after = moved.elapsed();
        println!("free {after:.0?} after the last move");
        assert!((1_450..2_000).contains(&after.as_millis()) && (free.standing, free.at) == (0, 0));
    }
    // X was to move, and does not become X of a new game by a move of the old one.
    nodes[0].play("quiet", "x", at, 3).refuses(409, "has changed since");
    let free = pages[0].squares(EMPTY).at;
    assert_eq!(nodes[1].play("quiet", "somebody else", free, 9).status, 204);
    // Who has seen the board free before does not become O by the same form.
    nodes[0].play("quiet", "x", 0, 1).refuses(409, "has changed since");
    assert_eq!(pages[0].squares("eeeeeeeex").standing, 1);
}

#[test]
fn of_moves_at_the_same_moment_on_two_nodes_one_is_made() {
    let redis = RedisServer::start().unwrap();
    let nodes = [(); 2].map(|()| Node::start(&redis.url(), &[]));
    let barrier = Barrier::new(4);
    let mut refused_by_the_store = 0;
    for round in 0..40 {
        let board = format!("race-{round}");
        let mut page = nodes[0].page(&board);
        assert_eq!(nodes[0].play(&board, "x", 0, 5).status, 204);
        let at = page.squares("eeeexeeee").at;
        // Four want to be O, with squares of their own.
        let answers: Vec<_> = thread::scope(|scope| {
            let movers: Vec<_> = (1..=4)
                .map(|square| {
                    let (nodes, board, barrier) = (&nodes, &board, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        nodes[usize::from(square) % 2].play(board, &format!("o{square}"), at, square)
                    })
                })
                .collect();
            movers.into_iter().map(|mover| mover.join().unwrap()).collect()
        });
        let made: Vec<usize> = (0..4).filter(|&index| answers[index].status == 204).collect();
        assert_eq!(made.len(), 1, "{answers:?}");
        let others = answers.iter().filter(|answer| answer.status != 204);
        for answer in others {
            if answer.status == 409 {
                answer.refuses(409, "has changed since");
                refused_by_the_store += 1;
            } else {
                answer.refuses(403, "Two others are playing");
            }
        }
        let mut squares: Vec<char> = "eeeexeeee".chars().collect();
        squares[made[0]] = 'o';
        assert_eq!(page.squares(&squares.iter().collect::<String>()).standing, 2);
    }
    println!("{refused_by_the_store} of 120 moves were refused because another came in between");
    assert!(refused_by_the_store > 0, "no two moves were at the same moment");
}

#[test]
fn players_are_told_apart_by_address_and_browser() {
    let redis = RedisServer::start().unwrap();
    let node =
        Node::start(&redis.url(), &["--forwarded-from", "127.0.3.0/24", "--proxy-protocol-from", "127.0.4.0/24"]);
    let mut page = node.page("who");
    let request = |head: &str, at: u64, square: u8| {
        let form = format!("at={at}&square={square}");
        format!(
            "POST /who HTTP/1.1\r\nHost: a\r\nUser-Agent: equal\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n{form}",
            form.len()
        )
    };
    let proxy = loopback(1);
    let of = |client: &str, at, square| {
        node.ask(proxy, &request(&format!("X-Forwarded-For: 9.9.9.9, {client}\r\n"), at, square))
    };
    assert_eq!(of("203.0.113.1", 0, 1).status, 204);
    let at = page.squares("xeeeeeeee").at;
    of("203.0.113.1", at, 2).refuses(409, "other player's turn");
    // The same client by another way.
    let by_proxy = |client: [u8; 4], at, square| {
        let header = proxy_header(IpAddr::from(client));
        node.ask(Ipv4Addr::new(127, 0, 4, 1), &(header + &request("", at, square)))
    };
    by_proxy([203, 0, 113, 1], at, 2).refuses(409, "other player's turn");
    assert_eq!(by_proxy([203, 0, 113, 2], at, 2).status, 204);
    let at = page.squares("xoeeeeeee").at;
    // Who is no proxy cannot name another.
    let forged = request("X-Forwarded-For: 203.0.113.1\r\n", at, 3);
    node.ask(Ipv4Addr::new(127, 0, 5, 1), &forged).refuses(403, "Two others are playing");
    assert_eq!(of("203.0.113.1", at, 3).status, 204);
    // A proxy that must send a header is closed without one.
    let mut bytes = Vec::new();
    let _ = node.send_from(Ipv4Addr::new(127, 0, 4, 1), request("", at, 4).as_bytes()).read_to_end(&mut bytes);
    assert!(bytes.is_empty(), "{}", String::from_utf8_lossy(&bytes));
}

#[test]
fn documents_end_by_themselves_and_pictures_do_not() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &["--keepalive", "10ms"]);
    let mut picture = node.send_from(Ipv4Addr::LOCALHOST, b"GET /a.png HTTP/1.1\r\nHost: a\r\n\r\n");
    let begun = Instant::now();
    assert!(!node.page("a").end().stale, "it is to come back");
    println!("a document ended after {:.0?}, after 60 to 120 frames", begun.elapsed());
    assert!((500..PATIENCE.as_millis()).contains(&begun.elapsed().as_millis()));
    let mut bytes = [0; 1 << 16];
    for _ in 0..200 {
        assert!(picture.read(&mut bytes).unwrap() > 0);
    }
}

#[test]
fn a_move_that_arrives_late_does_not_revive_a_free_board() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::raw(redis.address()).unwrap();
    let limit = ["--move-limit", "2s"];
    let [slow, fast] = [proxy.url(), redis.url()].map(|url| Node::start(&url, &limit));
    let (mut page, mut others) = (fast.page("late"), slow.page("late"));
    others.squares(EMPTY);
    assert_eq!(fast.play("late", "x", 0, 1).status, 204);
    let moved = Instant::now();
    let at = page.squares("xeeeeeeee").at;
    thread::sleep(Duration::from_millis(1_400));
    // It is read in time, and judged then. What it makes of the board arrives when the board is free.
    proxy.delay(Direction::ToServer, Duration::from_millis(400));
    let answer = slow.play("late", "o", at, 2);
    let answered = moved.elapsed();
    assert!((2_050..2_900).contains(&answered.as_millis()), "answered {answered:?} after the first move");
    let shown = page.until(|shown| shown.squares != "xeeeeeeee");
    assert_eq!(shown.squares, EMPTY);
    answer.refuses(409, "has changed since");
    assert_eq!(page.until(|_| true).squares, EMPTY);
}

#[test]
fn nodes_with_different_limits_show_the_same() {
    let redis = RedisServer::start().unwrap();
    let [patient, hasty] = ["10m", "1s"].map(|limit| Node::start(&redis.url(), &["--move-limit", limit]));
    let mut pages = [patient.page("a"), hasty.page("a"), patient.page("b"), hasty.page("b")];
    assert_eq!(patient.play("a", "x", 0, 1).status, 204);
    assert_eq!(hasty.play("b", "x", 0, 1).status, 204);
    for page in &mut pages {
        page.squares("xeeeeeeee");
    }
    thread::sleep(Duration::from_millis(2_500));
    let shown = pages.each_mut().map(|page| {
        page.read_for(Duration::from_millis(100));
        page.shown().unwrap().squares
    });
    assert_eq!(shown, ["xeeeeeeee", "xeeeeeeee", EMPTY, EMPTY], "the node of the last move decides for all");
}

#[test]
fn a_move_limit_is_between_a_second_and_an_hour() {
    for limit in ["0s", "999ms", "61m", "1000000years"] {
        let output = Command::new(env!("CARGO_BIN_EXE_tictactoe"))
            .args(["--listen", "127.0.0.1:0", "--redis", "nowhere", "--move-limit", limit])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("between 1s and 1h"), "{limit}: {said}");
    }
}
