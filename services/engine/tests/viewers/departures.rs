//! Every way in which a viewer leaves: it is noticed, counted under its cause, and nothing of it remains.

use std::fs;
use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use headcount_engine::Settings;

use crate::harness::{End, Harness, Peer, frame, publish_and_wait, wait_until};

fn short_stall() -> Settings {
    Settings { stall_limit: Duration::from_secs(1), frame_rate: 100_000.0, ..Settings::default() }
}

impl Harness {
    fn wait_for_departure(&self, cause: &str) {
        wait_until(&format!("a viewer departs as {cause}"), || self.departures(cause) == 1);
        wait_until("the attachment and the permit are dropped", || {
            self.attachments_dropped() == 1 && self.engine.viewers() == 0
        });
        let lagging = self.metric("viewers_by_state{state=\"lagging\"}");
        assert_eq!((lagging, self.metric("viewers_by_state{state=\"live\"}")), (0, 0));
    }
}

/// Whether the peer's kernel acknowledges everything the engine has written, within `time`.
fn acknowledged_within(time: Duration, peer: &Peer) -> bool {
    let port = |address: SocketAddr| format!("{:04X}", address.port());
    let ours = port(peer.socket.peer_addr().expect("a connection"));
    let theirs = port(peer.socket.local_addr().expect("a connection"));
    let start = Instant::now();
    loop {
        // With very many connections one look may take longer than `time`; the last look starts after it.
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
fn a_closed_connection_is_noticed() {
    let (harness, _feed, peer) = Harness::with_viewer(Settings::default(), None);
    drop(peer);
    harness.wait_for_departure("closed");
    assert_eq!(harness.first_frames(), 1);
}

#[test]
fn a_viewer_that_sends_a_fin_has_left() {
    let (harness, _feed, mut peer) = Harness::with_viewer(Settings::default(), None);
    peer.socket.shutdown(Shutdown::Write).expect("an open connection");
    harness.wait_for_departure("closed");
    assert_eq!(peer.read_to_end(), End::CutOff);
}

#[test]
fn a_reset_is_noticed() {
    let (harness, _feed, peer) = Harness::with_viewer(Settings::default(), None);
    peer.reset();
    harness.wait_for_departure("reset");
}

#[test]
fn a_viewer_that_reads_nothing_is_stalled() {
    let (harness, feed, mut peer) = Harness::with_viewer(short_stall(), Some(4 << 10));
    let mut number = 0;
    wait_until("the viewer is dropped", || {
        number += 1;
        publish_and_wait(&feed, &frame(number, 3000));
        harness.attachments_dropped() == 1
    });
    harness.wait_for_departure("stalled");
    assert_eq!(peer.read_to_end(), End::Reset);
}

#[test]
fn a_viewer_whose_kernel_acknowledges_nothing_times_out() {
    let (harness, feed, peer) = Harness::with_viewer(short_stall(), Some(4 << 10));
    // The engine's kernel accepts the last frame, but the peer's window is full. The viewer does not lag.
    let mut number = 0;
    wait_until("the peer's window is full", || {
        number += 1;
        publish_and_wait(&feed, &frame(number, 1000));
        wait_until("the frame is written", || harness.metric("frames_pushed_total") == number + 1);
        !acknowledged_within(Duration::from_millis(500), &peer)
    });
    assert_eq!(harness.metric("viewers_by_state{state=\"live\"}"), 1);
    harness.wait_for_departure("timed_out");
    drop(peer);
}

#[test]
fn input_is_discarded_up_to_a_limit() {
    let (harness, feed, mut peer) = Harness::with_viewer(Settings { frame_rate: 1000.0, ..Settings::default() }, None);
    for number in 1..=10 {
        peer.socket.write_all(&[b'x'; 2000]).expect("an open connection");
        publish_and_wait(&feed, &frame(number, 0));
        peer.read_to(number);
    }
    assert_eq!(harness.engine.viewers(), 1);
    wait_until("the engine drops the viewer", || {
        peer.socket.write(&[b'x'; 2000]).is_err() || harness.attachments_dropped() == 1
    });
    harness.wait_for_departure("talkative");
}

#[test]
fn a_viewer_that_leaves_before_it_joins_has_no_first_frame() {
    let harness = Harness::new(Settings::default());
    let feed = harness.feed(frame(0, 0));
    let (ours, theirs) = harness.connect(None);
    socket2::Socket::from(theirs).set_linger(Some(Duration::ZERO)).expect("no lingering");
    match feed.adopt(ours, bytes::Bytes::from_static(b"head"), harness.attachment()) {
        Ok(()) => harness.wait_for_departure("reset"),
        Err(rejected) => {
            drop(rejected);
            assert_eq!(harness.attachments_dropped(), 1);
        }
    }
    assert_eq!((harness.first_frames(), feed.viewers()), (0, 0));
}

#[test]
fn nothing_remains_of_thousands_of_viewers() {
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
    wait_until("all have left", || harness.attachments_dropped() == ROUNDS * VIEWERS);
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
    assert_eq!(causes.map(|cause| harness.departures(cause)).iter().sum::<u64>(), (ROUNDS * VIEWERS) as u64);
    assert_eq!(harness.departures("closed") + harness.departures("reset"), (ROUNDS * VIEWERS) as u64);
}
