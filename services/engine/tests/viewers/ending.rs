//! How the engine ends streams: in a drain, when a feed's last handle is dropped, and when a shard panics.

use std::io::Write;
use std::time::{Duration, Instant};

use headcount_engine::{Attachment, Engine, FeedSettings, Rejection, Settings};

use crate::harness::{DEADLINE, End, Harness, Peer, block_on, ending, frame, publish_and_wait, wait_until};

#[test]
fn a_drain_ends_every_stream_cleanly() {
    let harness = Harness::new(Settings::default());
    let feed = harness.feed(frame(0, 0));
    let mut peers: Vec<_> = (0..100).map(|_| harness.join(&feed, None)).collect();
    publish_and_wait(&feed, &frame(5, 2000));
    for peer in &mut peers {
        // Unread input must not turn the FIN into a reset.
        peer.socket.write_all(b"hello").expect("an open connection");
    }
    let reading = std::thread::spawn(move || {
        let ends: Vec<_> = peers.iter_mut().map(|peer| peer.read_to_end()).collect();
        (ends, peers)
    });
    let start = Instant::now();
    let spread = Duration::from_millis(500);
    block_on(harness.engine.drain(spread));
    assert!(start.elapsed() >= spread * 4 / 5, "done after {:?}", start.elapsed());
    let (ends, peers) = reading.join().expect("readers");
    assert_eq!(ends, vec![End::Clean; 100]);
    assert!(peers.iter().all(|peer| peer.newest() == Some(5)));
    assert_eq!((harness.departures("drained"), harness.attachments_dropped(), harness.engine.viewers()), (100, 100, 0));

    let rejected = harness.try_join(&feed, None).err().expect("no room after a drain");
    assert!(matches!(rejected.rejection, Rejection::Draining));
    block_on(harness.engine.drain(spread));
}

#[test]
fn a_drain_is_spread_over_its_time() {
    let harness = Harness::new(Settings { shards: 1, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    let mut peers: Vec<_> = (0..128).map(|_| harness.join(&feed, None)).collect();
    wait_until("all have their first frame", || harness.first_frames() == 128);
    let spread = Duration::from_secs(2);
    let engine = harness.engine.clone();
    let drain = std::thread::spawn(move || block_on(engine.drain(spread)));
    let start = Instant::now();
    let mut ended = Vec::new();
    wait_until("all have ended", || {
        peers.retain_mut(|peer| {
            peer.read(usize::MAX);
            if peer.end.is_some() {
                ended.push(start.elapsed());
            }
            peer.end.is_none()
        });
        peers.is_empty()
    });
    drain.join().expect("the drain");
    let in_half = ended.iter().filter(|ended| **ended < spread / 2).count();
    assert!((32..=96).contains(&in_half), "{in_half} of 128 ended in the first half");
}

#[test]
fn a_second_drain_shortens_the_first() {
    let harness = Harness::new(Settings::default());
    let feed = harness.feed(frame(0, 0));
    let mut peers: Vec<_> = (0..50).map(|_| harness.join(&feed, None)).collect();
    let engine = harness.engine.clone();
    let slow = std::thread::spawn(move || block_on(engine.drain(Duration::from_secs(3600))));
    wait_until(
        "the drain has started",
        || matches!(harness.try_join(&feed, None), Err(rejected) if matches!(rejected.rejection, Rejection::Draining)),
    );
    let engine = harness.engine.clone();
    let fast = std::thread::spawn(move || block_on(engine.drain(Duration::ZERO)));
    for peer in &mut peers {
        assert_eq!(peer.read_to_end(), End::Clean);
    }
    drop(peers);
    slow.join().expect("the drain");
    fast.join().expect("the drain");
}

#[test]
fn a_lagging_viewer_finishes_its_part_before_the_ending() {
    let (harness, feed, mut peer) =
        Harness::with_viewer(Settings { frame_rate: 100_000.0, ..Settings::default() }, Some(4 << 10));
    let mut number = 0;
    wait_until("the viewer lags", || {
        number += 1;
        publish_and_wait(&feed, &frame(number, 50_000));
        harness.metric("viewers_by_state{state=\"lagging\"}") == 1
    });
    number += 1;
    feed.set_ending(ending(number, 50_000));
    let engine = harness.engine.clone();
    let drain = std::thread::spawn(move || block_on(engine.drain(Duration::ZERO)));
    assert_eq!(peer.read_to_end(), End::Clean);
    assert_eq!(peer.newest(), Some(number));
    drop(peer);
    drain.join().expect("the drain");
    assert_eq!(harness.departures("drained"), 1);
}

#[test]
fn streams_end_with_the_ending_that_was_set() {
    let harness = Harness::new(Settings { frame_rate: 0.01, ..Settings::default() });
    let feeds: Vec<_> = (0..4).map(|index| harness.feed(frame(index * 100, 0))).collect();
    let mut peers: Vec<_> = feeds.iter().map(|feed| harness.join(feed, None)).collect();
    for (index, peer) in peers.iter_mut().enumerate() {
        peer.read_to(index as u64 * 100);
    }
    let watching = feeds[1].frames();
    // The first has none; the second's replaces nothing that is sent; the third's comes with a frame; the fourth's is for a
    // frame that the pace delays.
    feeds[1].set_ending(ending(101, 0));
    assert!(!watching.has_changed().expect("the feed lives"), "nothing is sent for an ending");
    feeds[2].publish(frame(201, 0).with_ending(ending(202, 0)));
    peers[2].read_to(201);
    let mut number = 301;
    while feeds[3].next_frame_due() < Instant::now() + DEADLINE {
        publish_and_wait(&feeds[3], &frame(number, 0));
        number += 1;
    }
    feeds[3].publish(frame(number, 0));
    feeds[3].set_ending(ending(number + 1, 0));
    assert_eq!(*feeds[3].newest_frame().ending(), ending(number + 1, 0));

    let engine = harness.engine.clone();
    let drain = std::thread::spawn(move || block_on(engine.drain(Duration::ZERO)));
    for (peer, last) in peers.iter_mut().zip([0, 101, 202, number + 1]) {
        assert_eq!(peer.read_to_end(), End::Clean);
        assert_eq!(peer.newest(), Some(last));
    }
    // A quiet stream may have repeated its frame meanwhile.
    peers[1].numbers.dedup();
    assert_eq!(peers[1].numbers, [100, 101]);
    drop(peers);
    drain.join().expect("the drain");
}

#[test]
fn a_frame_replaces_the_ending_of_the_one_before() {
    let harness = Harness::new(Settings::default());
    let feed = harness.feed(frame(0, 0));
    let mut peer = harness.join(&feed, None);
    peer.read_to(0);
    feed.set_ending(ending(7, 0));
    feed.publish(frame(8, 0));
    peer.read_to(8);
    drop(feed);
    assert_eq!(peer.read_to_end(), End::Clean);
    assert_eq!(peer.numbers, [0, 8, 8]);
}

#[test]
fn a_last_image_that_is_set_during_a_drain_ends_the_remaining_streams() {
    let harness = Harness::new(Settings { shards: 1, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    let mut peers: Vec<_> = (0..64).map(|_| harness.join(&feed, None)).collect();
    wait_until("all have their first frame", || harness.first_frames() == 64);
    let engine = harness.engine.clone();
    let drain = std::thread::spawn(move || block_on(engine.drain(Duration::from_secs(2))));
    assert_eq!(peers[0].read_to_end(), End::Clean);
    feed.set_ending(ending(1, 0));
    for peer in &mut peers[1..] {
        assert_eq!(peer.read_to_end(), End::Clean);
    }
    assert_eq!((peers[0].newest(), peers[63].newest()), (Some(0), Some(1)));
    drop(peers);
    drain.join().expect("the drain");
}

#[test]
fn a_drain_disconnects_viewers_that_do_not_read() {
    let harness = Harness::new(Settings { frame_rate: 100_000.0, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    let mut frozen = harness.join(&feed, Some(4 << 10));
    let mut open = harness.join(&feed, None);
    frozen.read_to(0);
    let mut number = 0;
    wait_until("the viewer lags", || {
        number += 1;
        publish_and_wait(&feed, &frame(number, 50_000));
        open.read_to(number);
        harness.metric("viewers_by_state{state=\"lagging\"}") == 1
    });
    let start = Instant::now();
    block_on(harness.engine.drain(Duration::ZERO));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(
        (harness.departures("drained"), harness.departures("stalled"), harness.attachments_dropped()),
        (1, 1, 2)
    );
    // This peer never closed and still received a clean end.
    assert_eq!(open.read_to_end(), End::Clean);
}

#[test]
fn dropping_the_last_handle_ends_the_viewers() {
    let harness = Harness::new(Settings { frame_rate: 1.0, ..Settings::default() });
    let (feed, other) = (harness.feed(frame(0, 0)), harness.feed(frame(100, 0)));
    let mut peers: Vec<_> = (0..20).map(|_| harness.join(&feed, None)).collect();
    let mut stays = harness.join(&other, None);
    let clone = feed.clone();
    drop(feed);
    // The pace delays the last of five frames, but the ending carries it.
    for number in 1..=5 {
        clone.publish(frame(number, 0));
    }
    let mut last = harness.join(&clone, None);
    drop(clone);
    for peer in peers.iter_mut().chain([&mut last]) {
        assert_eq!(peer.read_to_end(), End::Clean);
        assert_eq!(peer.newest(), Some(5));
    }
    wait_until("the attachments are dropped", || harness.attachments_dropped() == 21);
    assert_eq!(harness.departures("feed_ended"), 21);
    publish_and_wait(&other, &frame(101, 0));
    stays.read_to(101);
}

#[test]
fn dropping_the_engine_drops_all_viewers() {
    let harness = Harness::new(Settings::default());
    let feed = harness.feed(frame(0, 0));
    let mut peers: Vec<_> = (0..20).map(|_| harness.join(&feed, None)).collect();
    wait_until("all have their first frame", || harness.first_frames() == 20);
    let counts = harness.counts.clone();
    drop(harness);
    wait_until("the attachments are dropped", || counts.dropped.load(std::sync::atomic::Ordering::SeqCst) == 20);
    for peer in &mut peers {
        assert_eq!(peer.read_to_end(), End::CutOff);
    }
    feed.publish(frame(1, 0));
    assert_eq!(feed.viewers(), 0);
}

#[test]
fn a_drain_does_not_wait_for_a_panicked_shard() {
    struct Fragile;
    impl Attachment for Fragile {
        fn first_frame_sent(&mut self) {
            panic!("this test's attachment panics on purpose");
        }
    }
    let harness = Harness::new(Settings::default());
    let engine = Engine::start(Settings { shards: 1, ..Settings::default() }).expect("an engine");
    let feed = engine.open("online".into(), FeedSettings::default(), frame(0, 0));
    assert_eq!(engine.live_shards(), 1);
    assert!(feed.adopt(harness.connect(None).0, bytes::Bytes::from_static(b"head"), Fragile).is_ok());
    block_on(engine.drain(Duration::ZERO));
    assert_eq!(engine.viewers(), 0);
    wait_until("the engine knows that its only shard is dead", || engine.live_shards() == 0);
}

#[test]
fn other_shards_continue_when_one_panics() {
    let harness = Harness::new(Settings { shards: 2, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    // Each viewer goes to the shard with the fewest.
    let mut peers: Vec<_> = (0..4).map(|_| harness.join(&feed, None)).collect();
    let see = |peers: &mut [Peer], number| {
        let sees = |peer: &mut Peer| {
            peer.read(usize::MAX);
            peer.newest() == Some(number)
        };
        wait_until(&format!("two see {number}"), || peers.iter_mut().map(sees).filter(|sees| *sees).count() == 2);
    };
    let (_blocking, unblock) = harness.join_and_block(&feed);
    feed.publish(frame(1, 0));
    see(&mut peers, 1);
    // The shard is in the middle of the pass.
    unblock.send(()).expect("the shard is blocked");
    wait_until("its viewers are lost", || harness.attachments_dropped() == 3);
    for number in 2..=5 {
        feed.publish(frame(number, 0));
        see(&mut peers, number);
    }
    harness.join(&feed, None).read_to(5);
    assert_eq!(harness.engine.live_shards(), 1);
}
