//! Viewers who are taken out of one engine and resumed in another, as when a node runs a new program under its viewers.

use std::time::Duration;

use headcount_engine::{FeedHandle, HeldViewer, Rejection, Settings};

use crate::harness::{CountingAttachment, End, Harness, Peer, block_on, frame, publish_and_wait, wait_until};

const LAGGING: &str = "viewers_by_state{state=\"lagging\"}";

fn resume_all(feed: &FeedHandle<CountingAttachment>, held: Vec<HeldViewer<CountingAttachment>>) {
    for viewer in held {
        feed.resume(viewer).expect("a usable socket");
    }
}

/// A viewer that has taken only a part of the frame with the returned number.
fn lagging_viewer(harness: &Harness, feed: &FeedHandle<CountingAttachment>) -> (Peer, u64) {
    let mut peer = harness.join(feed, Some(4 << 10));
    peer.read_to(0);
    let mut number = 0;
    wait_until("the viewer lags", || {
        number += 1;
        publish_and_wait(feed, &frame(number, 50_000));
        harness.metric(LAGGING) == 1
    });
    (peer, number)
}

#[test]
fn held_viewers_go_on_in_another_engine() {
    let first = Harness::new(Settings::default());
    let feed = first.feed(frame(1, 0));
    let mut peers: Vec<_> = (0..200).map(|_| first.join(&feed, None)).collect();
    let held = block_on(first.engine.hold_viewers());
    assert_eq!((held.len(), first.engine.viewers(), first.engine.live_shards()), (200, 0, 0));
    assert_eq!((first.first_frames(), first.attachments_dropped()), (200, 0), "newcomers got their first frame");
    {
        let refused = first.try_join(&feed, None).err().expect("no room after that");
        assert!(matches!(refused.rejection, Rejection::Draining));
    }
    assert_eq!(first.attachments_dropped(), 1, "the refused one's");

    let second = Harness::new(Settings { shards: 3, ..Settings::default() });
    let feed = second.feed(frame(2, 0));
    resume_all(&feed, held);
    peers.iter_mut().for_each(|peer| peer.read_to(2));
    assert_eq!(second.engine.viewers(), 200);
    feed.publish(frame(3, 0));
    peers.iter_mut().for_each(|peer| peer.read_to(3));
    assert!(peers.iter().all(|peer| peer.numbers == [1, 2, 3]));
    assert_eq!((first.first_frames(), first.attachments_dropped()), (200, 1), "no first frame is sent twice");

    drop(peers);
    wait_until("all have left", || second.engine.viewers() == 0);
    assert_eq!(first.attachments_dropped(), 201);
}

#[test]
fn a_lagging_viewer_finishes_its_part_in_another_engine() {
    let first = Harness::new(Settings { frame_rate: 100_000.0, ..Settings::default() });
    let feed = first.feed(frame(0, 0));
    let (mut peer, number) = lagging_viewer(&first, &feed);
    let held = block_on(first.engine.hold_viewers());
    assert!(!held[0].progress.unsent.is_empty());

    let second = Harness::new(Settings::default());
    let feed = second.feed(frame(number + 1, 50_000));
    resume_all(&feed, held);
    wait_until("it lags there too", || second.metric(LAGGING) == 1);
    publish_and_wait(&feed, &frame(number + 2, 0));
    peer.read_to(number + 2);
    wait_until("it has caught up", || second.metric(LAGGING) == 0);
    block_on(async {
        let (drained, end) =
            tokio::join!(second.engine.drain(Duration::ZERO), tokio::task::spawn_blocking(move || peer.read_to_end()));
        let () = drained;
        assert_eq!(end.expect("a reader"), End::Clean);
    });
}

#[test]
fn a_first_frame_that_is_half_sent_counts_once_it_is_whole() {
    let first = Harness::new(Settings::default());
    let feed = first.feed(frame(7, 4 << 20));
    let mut peer = first.join(&feed, Some(4 << 10));
    wait_until("the viewer lags", || first.metric(LAGGING) == 1);
    let held = block_on(first.engine.hold_viewers());
    assert_eq!((held[0].progress.first_frame, first.first_frames()), (true, 0));

    let second = Harness::new(Settings::default());
    let feed = second.feed(frame(8, 0));
    resume_all(&feed, held);
    assert_eq!(first.first_frames(), 0);
    peer.read_to(8);
    assert_eq!((&peer.numbers[..], first.first_frames()), (&[7, 8][..], 1));
}

#[test]
fn the_stall_limit_goes_on_counting() {
    let limit = Duration::from_secs(3);
    let settings = Settings { frame_rate: 100_000.0, stall_limit: limit, ..Settings::default() };
    let first = Harness::new(settings.clone());
    let feed = first.feed(frame(0, 0));
    let (_peer, number) = lagging_viewer(&first, &feed);
    let lagging = std::time::Instant::now();
    wait_until("half of the limit is over", || lagging.elapsed() >= limit / 2);
    let held = block_on(first.engine.hold_viewers());
    let stalled_for = held[0].progress.stalled_for;
    // The kernel may have taken a little more since.
    assert!(stalled_for >= limit / 3, "{stalled_for:?}");

    let second = Harness::new(settings);
    let resumed = std::time::Instant::now();
    let feed = second.feed(frame(number, 0));
    resume_all(&feed, held);
    wait_until("it is dropped", || second.departures("stalled") == 1);
    assert!(resumed.elapsed() < limit * 3 / 4, "the limit began anew: {:?}", resumed.elapsed());
}

#[test]
fn no_limit_refuses_a_held_viewer() {
    let first = Harness::new(Settings::default());
    let feed = first.feed(frame(1, 0));
    let mut peers: Vec<_> = (0..3).map(|_| first.join(&feed, None)).collect();
    let held = block_on(first.engine.hold_viewers());

    let second = Harness::new(Settings { max_viewers: 2, ..Settings::default() });
    let feed = second.feed(frame(2, 0));
    resume_all(&feed, held);
    peers.iter_mut().for_each(|peer| peer.read_to(2));
    assert_eq!(second.engine.viewers(), 3);
    assert!(matches!(second.engine.has_room(&"online".into()), Err(Rejection::Full)));
    peers.truncate(1);
    wait_until("two have left", || second.engine.viewers() == 1);
    second.join(&feed, None).read_to(2);
}

#[test]
fn a_viewer_that_leaves_while_it_is_held_is_missed_at_once() {
    let first = Harness::new(Settings::default());
    let feed = first.feed(frame(1, 0));
    let peers: Vec<_> = (0..2).map(|_| first.join(&feed, None)).collect();
    wait_until("all have their first frame", || first.first_frames() == 2);
    let held = block_on(first.engine.hold_viewers());
    let [stays, leaves] = <[Peer; 2]>::try_from(peers).ok().expect("two peers");
    drop(leaves);

    let second = Harness::new(Settings::default());
    let feed = second.feed(frame(1, 0));
    resume_all(&feed, held);
    wait_until("one has left", || second.engine.viewers() == 1);
    drop(stays);
    wait_until("both have left", || second.engine.viewers() == 0);
}

#[test]
fn newcomers_who_wait_are_held_with_their_first_frame() {
    let first = Harness::new(Settings { shards: 1, ..Settings::default() });
    let feed = first.feed(frame(1, 0));
    let (blocking, unblock) = first.join_and_block(&feed);
    let mut peers: Vec<_> = (0..100).map(|_| first.join(&feed, None)).collect();
    let engine = first.engine.clone();
    let holding = std::thread::spawn(move || block_on(engine.hold_viewers()));
    let mut late = Vec::new();
    wait_until("newcomers are rejected", || match first.try_join(&feed, None) {
        Ok(peer) => {
            late.push(peer);
            false
        }
        Err(_) => true,
    });
    drop(unblock);
    let held = holding.join().expect("the viewers");
    peers.append(&mut late);
    assert_eq!((held.len(), first.first_frames()), (1 + peers.len(), 1 + peers.len()));
    peers.iter_mut().for_each(|peer| peer.read_to(1));
    drop(blocking);
}
