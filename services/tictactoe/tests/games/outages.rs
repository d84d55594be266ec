//! Redis away, and a node that stops.

use std::{io::Read, net::Ipv4Addr, thread, time::Duration};

use headcount_testkit::{Data, RedisServer, wait_until};

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
        assert!(other.head.contains("refresh: 5"), "{other:?}");
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
