//! When published frames are pushed.

use std::time::{Duration, Instant};

use headcount_engine::Settings;

use crate::harness::{Harness, frame, publish_and_wait};

#[test]
fn constant_change_is_pushed_at_the_frame_rate_and_the_last_frame_wins() {
    let harness = Harness::new(Settings { frame_rate: 20.0, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    let mut peer = harness.join(&feed, None);
    let frames = feed.frames();
    let start = Instant::now();
    let mut number = 0;
    let mut watched = 0;
    while start.elapsed() < Duration::from_secs(1) {
        number += 1;
        feed.publish(frame(number, 0));
        watched += usize::from(frames.has_changed().expect("the feed lives"));
        peer.read(usize::MAX);
    }
    peer.read_to(number);
    let (elapsed, pushed) = (start.elapsed(), peer.numbers.len() - 1);
    // A burst of three, and one that the feed's phase may have earned before.
    let at_most = 4 + (elapsed.as_secs_f64() * 20.0) as usize;
    assert!(pushed <= at_most, "{pushed} frames in {elapsed:?}");
    // A quarter of the rate shows that the feed is not throttled permanently; the machine may be busy.
    assert!(pushed >= 5, "{pushed} frames in {elapsed:?}");
    assert!(watched > 0);
    assert_eq!(*feed.frames().borrow(), frame(number, 0));
}

#[test]
fn three_changes_after_a_quiet_time_are_pushed_immediately() {
    let (_harness, feed, mut peer) = Harness::with_viewer(Settings { frame_rate: 1.0, ..Settings::default() }, None);
    let start = Instant::now();
    for number in 1..=3 {
        publish_and_wait(&feed, &frame(number, 0));
        peer.read_to(number);
    }
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    // The feed's phase decides when the fourth follows; from then on the frame rate holds.
    publish_and_wait(&feed, &frame(4, 0));
    let fourth = Instant::now();
    publish_and_wait(&feed, &frame(5, 0));
    assert!(fourth.elapsed() > Duration::from_millis(900), "{:?}", fourth.elapsed());
    peer.read_to(5);
}

#[test]
fn a_feed_without_viewers_keeps_its_pace() {
    let harness = Harness::new(Settings { frame_rate: 50.0, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    for number in 1..=10 {
        publish_and_wait(&feed, &frame(number, 0));
    }
    harness.join(&feed, None).read_to(10);
}

#[test]
fn a_pass_continues_with_the_newest_frame() {
    let (harness, feed, mut peer) = Harness::with_viewer(Settings { shards: 1, ..Settings::default() }, None);
    let (mut blocking, unblock) = harness.join_and_block(&feed);
    // The shard starts its pass with frame 1 and has frame 2 when it visits the first viewer.
    publish_and_wait(&feed, &frame(1, 0));
    feed.publish(frame(2, 0));
    drop(unblock);
    for peer in [&mut peer, &mut blocking] {
        peer.read_to(2);
        assert!(!peer.numbers.contains(&1), "{:?}", peer.numbers);
    }
}

#[test]
fn visited_viewers_receive_the_newest_frame_in_the_next_pass() {
    // A pass takes about 20 ms, and frames are published faster.
    let harness = Harness::new(Settings { shards: 1, frame_rate: 1000.0, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    let mut peers: Vec<_> = (0..2000).map(|_| harness.join(&feed, None)).collect();
    for peer in &mut peers {
        peer.read_to(0);
    }
    // Reading from all of them takes some milliseconds, too.
    for number in 1..=50 {
        feed.publish(frame(number, 0));
        for peer in &mut peers {
            peer.read(1 << 10);
        }
    }
    for peer in &mut peers {
        peer.read_to(50);
    }
    let differing = peers.iter().filter(|peer| peer.numbers != peers[0].numbers).count();
    assert!(differing > 0, "no pass has changed its frame: {:?}", peers[0].numbers);
}
