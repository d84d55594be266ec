//! What a viewer reads.

use std::time::{Duration, Instant};

use headcount_engine::Settings;

use crate::harness::{Harness, frame, publish_and_wait, wait_until};

#[test]
fn a_viewer_receives_the_newest_frame_first_and_then_each_new_one() {
    let (harness, feed, mut early) = Harness::with_viewer(Settings::default(), None);
    publish_and_wait(&feed, &frame(1, 0));
    early.read_to(1);
    let mut late = harness.join(&feed, None);
    late.read_to(1);
    publish_and_wait(&feed, &frame(2, 30_000));
    for peer in [&mut early, &mut late] {
        peer.read_to(2);
    }
    assert_eq!((early.numbers, late.numbers), (vec![0, 1, 2], vec![1, 2]));
    assert_eq!(
        (harness.first_frames(), harness.attachments_dropped(), feed.viewers(), harness.engine.viewers()),
        (2, 0, 2, 2)
    );
    assert_eq!(harness.metric("viewers{counter=\"online\"}"), 2);
    assert_eq!(harness.metric("frames_pushed_total"), 5);
}

#[test]
fn feeds_are_independent() {
    let harness = Harness::new(Settings { frame_rate: 1000.0, ..Settings::default() });
    let feeds: Vec<_> = (0..50).map(|feed| harness.feed(frame(feed * 1000, 0))).collect();
    let mut peers: Vec<_> =
        feeds.iter().flat_map(|feed| [harness.join(feed, None), harness.join(feed, None)]).collect();
    for number in 1..=5 {
        for (base, feed) in (0..).zip(&feeds) {
            publish_and_wait(feed, &frame(base * 1000 + number, 0));
        }
    }
    for (index, peer) in peers.iter_mut().enumerate() {
        let base = index as u64 / 2 * 1000;
        peer.read_to(base + 5);
        assert!(peer.numbers.iter().all(|number| (base..=base + 5).contains(number)), "{:?}", peer.numbers);
    }
}

#[test]
fn a_viewer_that_resumes_receives_the_newest_frame_next() {
    const LAST: u64 = 400;
    const RECEIVE_BUFFER: usize = 4 << 10;
    let harness = Harness::new(Settings { frame_rate: 100_000.0, ..Settings::default() });
    let feed = harness.feed(frame(0, 300));
    let mut stopped = harness.join(&feed, Some(RECEIVE_BUFFER));
    let mut reading = harness.join(&feed, None);
    stopped.read_to(0);
    reading.read_to(0);
    for number in 1..=LAST {
        publish_and_wait(&feed, &frame(number, 300));
        reading.read_to(number);
    }
    wait_until("the viewer lags", || harness.metric("viewers_by_state{state=\"lagging\"}") == 1);
    assert_eq!(reading.numbers, (0..=LAST).collect::<Vec<_>>());
    stopped.read_to(LAST);
    // It reads what its receive buffer (which the kernel doubles) contained, one frame in flight, and then the newest.
    let buffered_frames = 2 * RECEIVE_BUFFER / frame(LAST, 300).bytes().len();
    assert!(stopped.numbers.len() <= buffered_frames + 2, "{:?}", stopped.numbers);
    wait_until("the viewer is live again", || harness.metric("viewers_by_state{state=\"lagging\"}") == 0);
    // Each frame was either read or skipped.
    assert_eq!(harness.metric("frames_skipped_total"), LAST + 1 - stopped.numbers.len() as u64);
    publish_and_wait(&feed, &frame(LAST + 1, 300));
    stopped.read_to(LAST + 1);
}

#[test]
fn repeats_of_a_quiet_stream_are_evenly_spread() {
    const VIEWERS: usize = 64;
    const KEEPALIVE: Duration = Duration::from_secs(2);
    let harness = Harness::new(Settings { keepalive: KEEPALIVE, shards: 1, ..Settings::default() });
    let feed = harness.feed(frame(7, 0));
    let mut peers: Vec<_> = (0..VIEWERS).map(|_| harness.join(&feed, None)).collect();
    for peer in &mut peers {
        peer.read_to(7);
    }
    let start = Instant::now();
    let mut repeated = vec![Vec::new(); VIEWERS];
    wait_until("each viewer has received two repeats", || {
        for (peer, repeated) in peers.iter_mut().zip(&mut repeated) {
            if peer.read(usize::MAX) > 0 && repeated.len() < 2 {
                repeated.push(start.elapsed());
            }
        }
        repeated.iter().all(|repeated| repeated.len() == 2)
    });
    let slack = Duration::from_millis(500);
    for times in &repeated {
        assert!(times[0] <= KEEPALIVE + slack, "silent for {:?}", times[0]);
        let between = times[1] - times[0];
        assert!(between <= KEEPALIVE + slack && between + slack >= KEEPALIVE / 2, "{between:?} between two repeats");
    }
    let mut tenths = [0; 10];
    for times in &repeated {
        // In the round before, viewers whose turn came while the first frame was fresh were skipped.
        let turn = times[0].div_duration_f64(KEEPALIVE * 4 / 5).fract();
        tenths[(turn * 10.0) as usize] += 1;
    }
    assert!(tenths.iter().all(|viewers| *viewers <= VIEWERS / 4), "bunched: {tenths:?}");
    assert_eq!(harness.metric("frames_pushed_total"), VIEWERS as u64);
}

#[test]
fn a_fresh_frame_is_not_repeated() {
    let harness =
        Harness::new(Settings { keepalive: Duration::from_secs(5), frame_rate: 1000.0, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    let mut peers: Vec<_> = (0..20).map(|_| harness.join(&feed, None)).collect();
    let start = Instant::now();
    let mut number = 0;
    // Far more often than the fifth of the keep-alive interval for which a frame counts as fresh.
    while start.elapsed() < Duration::from_secs(2) {
        number += 1;
        publish_and_wait(&feed, &frame(number, 0));
        for peer in &mut peers {
            peer.read_to(number);
        }
    }
    for peer in &peers {
        let mut once = peer.numbers.clone();
        once.dedup();
        assert_eq!(once.len(), peer.numbers.len());
    }
    assert_eq!(harness.metric("frames_repeated_total"), 0);
}

#[test]
fn a_first_frame_behind_a_large_head_is_whole() {
    use std::io::Read;

    let harness = Harness::new(Settings::default());
    let first = frame(7, 300_000);
    let feed = harness.feed(first.clone());
    let (ours, mut theirs) = harness.connect(None);
    // More than all buffers on the way hold, so that the first write ends within the head.
    let head = bytes::Bytes::from(vec![b'h'; 16 << 20]);
    feed.adopt(ours, head.clone(), harness.attachment()).expect("room for a viewer");
    let mut received = vec![0; head.len() + first.bytes().len()];
    theirs.read_exact(&mut received).expect("the head and the first frame");
    assert!(received.starts_with(&head) && received.ends_with(first.bytes()));
    wait_until("the first frame is sent", || harness.first_frames() == 1);
}
