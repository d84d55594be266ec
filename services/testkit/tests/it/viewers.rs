//! What viewers see, and the commands that they follow.

use std::time::Duration;

use headcount_testkit::{
    Batch, Behaviour, CloseMode, Goal, Viewers, Which,
    client::{Direction, PictureCheck, ProxyHeader},
    clock::now_ns,
};

use crate::server::Server;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn all_see_what_is_pushed() {
    let server = Server::start();
    let viewers = Viewers::open(50, &[server.url()]).unwrap();
    let since = now_ns();
    viewers.mark(7, since).unwrap();
    server.push(7, 1);
    viewers.all_see(7, SOON).unwrap();
    let snapshot = viewers.snapshot().unwrap();
    assert_eq!((snapshot.live, snapshot.unanimous(), snapshot.lost()), (50, Some(7), 0));
    assert_eq!((snapshot.marked.len(), snapshot.first_image.len(), snapshot.parts), (50, 50, 100));
    assert_eq!((snapshot.lowest, snapshot.highest, snapshot.newest), (Some(0), Some(7), (1, 1)));
    viewers.forget_extremes().unwrap();
    server.push(8, 2);
    viewers.all_see(8, SOON).unwrap();
    assert_eq!(viewers.snapshot().unwrap().lowest, Some(7));
    let late = viewers.all_see(9, Duration::from_millis(30)).unwrap_err().to_string();
    assert!(late.contains("shown: 8 by 50"), "{late}");
}

#[test]
fn a_stalled_viewer_reads_after_resuming() {
    let server = Server::start();
    let viewers = Viewers::open(6, &[server.url()]).unwrap();
    assert_eq!(viewers.stall(2, Which::Oldest).unwrap().stalled, 2);
    server.push(5, 1);
    let (_, snapshot) = viewers.reach(Goal::Parts(10), SOON).unwrap();
    assert_eq!(snapshot.showing.into_iter().collect::<Vec<_>>(), [(0, 2), (5, 4)]);
    viewers.resume().unwrap();
    viewers.all_see(5, SOON).unwrap();
}

#[test]
fn every_kind_of_end_is_counted() {
    let server = Server::start();
    let viewers = Viewers::open(10, &[server.url()]).unwrap();
    viewers.close(1).unwrap();
    viewers.leave(1, Which::Oldest, CloseMode::Reset).unwrap();
    server.drop_viewers(3);
    let (_, snapshot) = viewers.reach(Goal::AtMostLive(6), SOON).unwrap();
    // The first to be dropped was the one that had left.
    assert_eq!((snapshot.left, snapshot.closed, snapshot.ended), (2, 2, 0));
    let viewers = Viewers::open(4, &[server.url()]).unwrap();
    server.drop_viewers(7);
    server.end();
    let (_, snapshot) = viewers.reach(Goal::AtMostLive(0), SOON).unwrap();
    assert_eq!((snapshot.ended, snapshot.ended_marked, snapshot.broken), (4, 0, 0));
    let nobody = "http://127.0.0.1:1/online.png".to_owned();
    let refused = Viewers::start(Batch { count: 2, urls: vec![nobody], ..Batch::default() }).unwrap();
    assert_eq!(refused.reach(Goal::Opened, SOON).unwrap().1.failed, 2);
}

#[test]
fn joins_are_tracked_until_all_have_seen_them() {
    let server = Server::start();
    let viewers = Viewers::open(4, &[server.url()]).unwrap();
    viewers.track(0, Direction::Joins, 4).unwrap();
    viewers.add(&Batch { count: 3, urls: vec![server.url()], ..Batch::default() }).unwrap();
    viewers.opened(SOON).unwrap();
    server.push(2, 1);
    viewers.all_see(2, SOON).unwrap();
    let track = viewers.snapshot().unwrap().track.unwrap();
    assert_eq!((track.changes, track.pairs.len(), track.last.len()), (3, 8, 2));
    server.push(3, 2);
    viewers.all_see(3, SOON).unwrap();
    viewers.track(3, Direction::Leaves, 4).unwrap();
    viewers.close(1).unwrap();
    server.push(2, 3);
    viewers.all_see(2, SOON).unwrap();
    let track = viewers.snapshot().unwrap().track.unwrap();
    assert_eq!((track.changes, track.pairs.len(), track.last.len()), (4, 16, 4));
}

#[test]
fn requests_carry_headers_and_proxy_headers() {
    let server = Server::start();
    let behaviour = Behaviour {
        headers: vec![("X-Test".into(), "yes".into())],
        proxy_header: Some(ProxyHeader { first: "192.0.2.1".parse().unwrap(), distinct: 2 }),
        check: PictureCheck::Pixels,
        source: Some("127.0.0.9".parse().unwrap()),
        ..Behaviour::default()
    };
    let batch = Batch { count: 3, urls: vec![server.url()], per_second: Some(1000.0), behaviour };
    let viewers = Viewers::start(batch).unwrap();
    viewers.opened(SOON).unwrap();
    let heads = server.heads();
    for (head, address) in heads.iter().zip(["192.0.2.1", "192.0.2.2", "192.0.2.1"]) {
        assert!(head.starts_with(&format!("PROXY TCP4 {address} 127.0.0.1 ")), "{head}");
        assert!(head.contains("\r\nGET /online.png HTTP/1.1\r\n") && head.contains("\r\nX-Test: yes\r\n"), "{head}");
    }
}

#[test]
fn viewers_in_several_processes_act_as_one() {
    let server = Server::start();
    let batch = Batch { count: 9, urls: vec![server.url()], ..Batch::default() };
    let viewers = Viewers::start_in(2, &batch).unwrap();
    assert_eq!(viewers.opened(SOON).unwrap().live, 9);
    assert_eq!(viewers.processes().len(), 2);
    viewers.mark(4, now_ns()).unwrap();
    server.push(4, 1);
    viewers.all_see(4, SOON).unwrap();
    let snapshot = viewers.close(3).unwrap();
    assert_eq!((snapshot.live, snapshot.left, snapshot.marked.len()), (6, 3, 9));
}
