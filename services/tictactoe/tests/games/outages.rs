//! Redis away, and a node that stops.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Data, Proxy, RedisServer, wait_until};

use crate::node::{Node, PATIENCE};

#[test]
fn without_redis_moves_are_refused_and_streams_stay() {
    let mut redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &[]);
    let mut page = node.page("lobby");
    assert_eq!(node.play("lobby", "x", 0, 5).status, 204);
    let at = page.squares("eeeexeeee").at;
    for data in [Data::Kept, Data::Lost] {
        redis.command(&["SAVE"]).unwrap();
        redis.kill();
        node.play("lobby", "o", at, 1).refuses(503, "cannot be reached");
        let shown = page.until(|shown| shown.stale);
        assert_eq!(shown.squares, "eeeexeeee");
        // A board that nobody looks at cannot be opened; its frame comes back by itself.
        let other = node.get("/other/live.html");
        other.refuses(503, "cannot be reached");
        assert!((5..=10).contains(&other.refresh()), "{other:?}");
        assert_eq!(node.get("/readyz").status, 200, "streams are to stay");
        redis.restart(data).unwrap();
        let back = page.until(|shown| !shown.stale);
        assert_eq!(back.squares, if data == Data::Kept { "eeeexeeee" } else { "eeeeeeeee" });
    }
    // What is back takes moves.
    let moved = wait_until("a move", PATIENCE, || match node.play("lobby", "o", 0, 1) {
        answer if answer.status == 204 => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    moved.unwrap();
    page.squares("xeeeeeeee");
}

#[test]
fn a_redis_that_hangs_is_an_outage() {
    let redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &[]);
    let mut page = node.page("lobby");
    redis.process().freeze().unwrap();
    node.play("lobby", "x", 0, 1).refuses(503, "cannot be reached");
    page.until(|shown| shown.stale);
    redis.process().thaw().unwrap();
    page.until(|shown| !shown.stale);
    let at = page.shown().unwrap().at;
    let made = wait_until("a move", PATIENCE, || match node.play("lobby", "x", at, 1) {
        // What Redis has read before it hung may have been made.
        answer if matches!(answer.status, 204 | 409) => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    made.unwrap();
    page.squares("xeeeeeeee");
}

#[test]
fn a_node_that_stops_ends_its_streams_with_their_last_board() {
    let redis = RedisServer::start().unwrap();
    let mut node = Node::start(&redis.url(), &["--drain-delay", "500ms", "--drain", "0s"]);
    let mut picture = node.send_from(Ipv4Addr::LOCALHOST, b"GET /lobby.png HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut page = node.page("lobby");
    assert_eq!(node.play("lobby", "x", 0, 5).status, 204);
    page.squares("eeeexeeee");
    assert_eq!(node.get("/readyz").status, 200);
    let (ready, status) = thread::scope(|scope| {
        let (process, address) = (&mut node.process, node.address);
        let stopped = scope.spawn(move || process.stop(PATIENCE).unwrap());
        thread::sleep(Duration::from_millis(200));
        let ready = headcount_testkit::http::get(address, "/readyz").unwrap();
        (ready, stopped.join().unwrap())
    });
    assert!(status.success() && ready.status == 503, "{status} {ready:?}");
    let last = page.end();
    assert!(last.stale && last.squares == "eeeexeeee", "{last:?}");
    let mut bytes = Vec::new();
    picture.read_to_end(&mut bytes).unwrap();
    assert!(bytes.ends_with(b"--headcount--\r\n"), "a stream that is ended on purpose says so");
}

#[test]
fn connections_to_redis_that_deliver_nothing_are_replaced() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::raw(redis.address()).unwrap();
    let [behind, direct] = [proxy.url(), redis.url()].map(|url| Node::start(&url, &[]));
    let mut page = behind.page("lobby");
    page.squares("eeeeeeeee");
    proxy.lose_connections();
    page.until(|shown| shown.stale);
    let mut at = page.until(|shown| !shown.stale).at;
    let mut slowest = Duration::ZERO;
    for (index, squares) in ["xeeeeeeee", "xoeeeeeee", "xoxeeeeee", "xoxoeeeee"].into_iter().enumerate() {
        let moved = Instant::now();
        assert_eq!(direct.play("lobby", ["x", "o"][index % 2], at, index as u8 + 1).status, 204);
        at = page.squares(squares).at;
        slowest = slowest.max(moved.elapsed());
    }
    println!("another node's move is shown after {slowest:.0?} at the latest");
    assert!(slowest < Duration::from_millis(700), "messages do not arrive: {slowest:?}");
}

#[test]
fn without_redis_a_node_connects_and_logs_little() {
    const BOARDS: usize = 30;
    const OUTAGE: Duration = Duration::from_secs(5);
    let mut redis = RedisServer::start().unwrap();
    let node = Node::start(&redis.url(), &[]);
    let mut pages: Vec<_> = (0..BOARDS).map(|board| node.page(&format!("b{board}"))).collect();
    let lines = node.log().len();
    let address = redis.address();
    redis.kill();
    let (listener, connects) = (TcpListener::bind(address).unwrap(), Arc::new(AtomicUsize::new(0)));
    listener.set_nonblocking(true).unwrap();
    let (begun, counting) = (Instant::now(), Arc::clone(&connects));
    thread::spawn(move || {
        while begun.elapsed() < OUTAGE {
            match listener.accept() {
                Ok(_) => _ = counting.fetch_add(1, Ordering::Relaxed),
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
    })
    .join()
    .unwrap();
    let (connects, logged) = (connects.load(Ordering::Relaxed), node.log()[lines..].to_vec());
    println!("{connects} connections and {} lines in {OUTAGE:?} without Redis", logged.len());
    assert!((3..=20).contains(&connects), "{connects} connections");
    assert!((1..=4).contains(&logged.len()), "{logged:#?}");
    redis.restart(Data::Kept).unwrap();
    for page in &mut pages {
        page.until(|shown| !shown.stale);
    }
    let end = wait_until("the end of the outage in the log", PATIENCE, || match node.log().pop() {
        Some(line) if line.contains("Redis answers") => Ok(()),
        line => Err(format!("{line:?}")),
    });
    end.unwrap();
}

#[test]
fn a_node_that_stops_answers_a_move_that_has_begun() {
    let redis = RedisServer::start().unwrap();
    let mut node = Node::start(&redis.url(), &["--drain", "0s"]);
    let head = "POST /lobby HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\nat=0&squ";
    let mut socket = node.send_from(Ipv4Addr::LOCALHOST, head.as_bytes());
    // It has been accepted when a later one is answered.
    assert_eq!(node.get("/healthz").status, 200);
    let (status, answer) = thread::scope(|scope| {
        let process = &mut node.process;
        let stopped = scope.spawn(move || process.stop(PATIENCE).unwrap());
        thread::sleep(Duration::from_secs(1));
        let mut answer = String::new();
        let _ = socket.write_all(b"are=5");
        let _ = socket.read_to_string(&mut answer);
        (stopped.join().unwrap(), answer)
    });
    assert!(status.success() && answer.starts_with("HTTP/1.1 204"), "{status}, {answer:?}");
}
