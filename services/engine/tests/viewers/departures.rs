//! Every way in which a viewer goes: seen, counted under its cause, and nothing left of it.

use std::fs;
use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use headcount_engine::Settings;

use crate::harness::{End, Harness, Peer, frame, show, wait_until};

fn short_stall() -> Settings {
    Settings { stall_limit: Duration::from_secs(1), frame_rate: 100_000.0, ..Settings::default() }
}

impl Harness {
    fn wait_for_departure(&self, cause: &str) {
        wait_until(&format!("a viewer departs as {cause}"), || self.departed(cause) == 1);
        wait_until("the attachment and the place are given back", || self.gone() == 1 && self.engine.viewers() == 0);
        let lagging = self.metric("viewers_by_state{state=\"lagging\"}");
        assert_eq!((lagging, self.metric("viewers_by_state{state=\"live\"}")), (0, 0));
    }
}

/// Whether the peer's kernel acknowledges all that the engine has written to it.
fn acknowledged_within(time: Duration, peer: &Peer) -> bool {
    let port = |address: SocketAddr| format!("{:04X}", address.port());
    let ours = port(peer.socket.peer_addr().expect("a connection"));
    let theirs = port(peer.socket.local_addr().expect("a connection"));
    let start = Instant::now();
    loop {
        // On a machine with very many connections one look may take longer than `time`: the last begins after it.
        let last_look = start.elapsed() >= time;
        let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
        let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row[1].ends_with(&ours) && row[2].ends_with(&theirs)).expect("our connection");
        if row[4].starts_with("00000000:") || last_look {
            return row[4].starts_with("00000000:");
        }
    }
}

#[test]
fn closing_is_seen_at_once() {
    let harness = Harness::new(Settings::default());
    let feed = harness.feed(frame(0, 0));
    let mut peer = harness.join(&feed, None);
    peer.read_to(0);
    drop(peer);
    harness.wait_for_departure("closed");
    assert_eq!(harness.first_frame_sent(), 1);
}

#[test]
fn closing_ones_own_direction_is_leaving_too() {
    let harness = Harness::new(Settings::default());
    let feed = harness.feed(frame(0, 0));
    let mut peer = harness.join(&feed, None);
    peer.read_to(0);
    peer.socket.shutdown(Shutdown::Write).expect("an open connection");
    harness.wait_for_departure("closed");
    assert_eq!(peer.read_out(), End::CutOff);
}

#[test]
fn a_reset_is_seen_at_once() {
    let harness = Harness::new(Settings::default());
    let feed = harness.feed(frame(0, 0));
    let mut peer = harness.join(&feed, None);
    peer.read_to(0);
    peer.reset();
    harness.wait_for_departure("reset");
}

#[test]
fn a_viewer_that_takes_nothing_is_stalled() {
    let harness = Harness::new(short_stall());
    let feed = harness.feed(frame(0, 0));
    let mut peer = harness.join(&feed, Some(4 << 10));
    peer.read_to(0);
    let mut number = 0;
    wait_until("the viewer is dropped", || {
        number += 1;
        show(&feed, &frame(number, 3000));
        harness.gone() == 1
    });
    harness.wait_for_departure("stalled");
    assert_eq!(peer.read_out(), End::Reset);
}

#[test]
fn a_quiet_viewer_whose_machine_takes_nothing_times_out() {
    let harness = Harness::new(short_stall());
    let feed = harness.feed(frame(0, 0));
    let mut peer = harness.join(&feed, Some(4 << 10));
    peer.read_to(0);
    // The last of these is taken by the kernel, but not by the peer, whose window is full: nobody lags.
    let mut number = 0;
    wait_until("the peer's window is full", || {
        number += 1;
        show(&feed, &frame(number, 1000));
        wait_until("the frame is written", || harness.metric("frames_pushed_total") == number + 1);
        !acknowledged_within(Duration::from_millis(500), &peer)
    });
    assert_eq!(harness.metric("viewers_by_state{state=\"live\"}"), 1);
    harness.wait_for_departure("timed_out");
    drop(peer);
}

#[test]
fn some_input_is_thrown_away_and_more_is_too_much() {
    let harness = Harness::new(Settings { frame_rate: 1000.0, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    let mut peer = harness.join(&feed, None);
    peer.read_to(0);
    for number in 1..=10 {
        peer.socket.write_all(&[b'x'; 2000]).expect("an open connection");
        show(&feed, &frame(number, 0));
        peer.read_to(number);
    }
    assert_eq!(harness.engine.viewers(), 1);
    wait_until("the engine has had enough", || peer.socket.write(&[b'x'; 2000]).is_err() || harness.gone() == 1);
    harness.wait_for_departure("talkative");
}

#[test]
fn a_viewer_that_has_gone_before_it_joins_is_never_seated() {
    let harness = Harness::new(Settings::default());
    let feed = harness.feed(frame(0, 0));
    let (ours, theirs) = harness.connect(None);
    socket2::Socket::from(theirs).set_linger(Some(Duration::ZERO)).expect("no lingering");
    match feed.adopt(ours, bytes::Bytes::from_static(b"head"), harness.attachment()) {
        Ok(()) => harness.wait_for_departure("reset"),
        Err(refused) => {
            drop(refused);
            assert_eq!(harness.gone(), 1);
        }
    }
    assert_eq!((harness.first_frame_sent(), feed.viewers()), (0, 0));
}

#[test]
fn thousands_that_come_and_go_leave_nothing() {
    const ROUNDS: usize = 10;
    const VIEWERS: usize = 200;
    let harness = Harness::new(Settings { frame_rate: 100.0, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    let mut sockets = Vec::new();
    for round in 1..=ROUNDS {
        let mut peers = Vec::new();
        for _ in 0..VIEWERS {
            let (ours, theirs) = harness.connect(None);
            sockets.push(fs::read_link(format!("/proc/self/fd/{}", ours.as_raw_fd())).expect("an open socket"));
            feed.adopt(ours, bytes::Bytes::from_static(b"head"), harness.attachment()).expect("room for a viewer");
            peers.push(theirs);
        }
        feed.publish(frame(round as u64, 0));
        for (index, peer) in peers.into_iter().enumerate() {
            if index % 2 == 0 {
                socket2::Socket::from(peer).set_linger(Some(Duration::ZERO)).expect("no lingering");
            }
        }
    }
    wait_until("all have gone", || harness.gone() == ROUNDS * VIEWERS);
    assert_eq!((harness.engine.viewers(), feed.viewers()), (0, 0));
    let open = || -> Vec<_> {
        let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors");
        descriptors.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()).collect()
    };
    wait_until("their sockets are closed", || {
        let open = open();
        !sockets.iter().any(|socket| open.contains(socket))
    });
    let causes = ["closed", "reset", "dropped", "stalled", "timed_out", "talkative", "feed_ended", "drained"];
    assert_eq!(causes.map(|cause| harness.departed(cause)).iter().sum::<u64>(), (ROUNDS * VIEWERS) as u64);
    assert_eq!(harness.departed("closed") + harness.departed("reset"), (ROUNDS * VIEWERS) as u64);
}
