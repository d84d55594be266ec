//! The limits on the number of viewers, and the metrics of their numbers.

use headcount_engine::{FeedSettings, Rejection, Settings};

use crate::harness::{Harness, Peer, frame, wait_until};

fn rejection(joined: Result<Peer, headcount_engine::RejectedViewer<crate::harness::CountingAttachment>>) -> Rejection {
    joined.err().expect("a rejection").rejection
}

#[test]
fn the_limits_hold_and_permits_are_released() {
    let harness = Harness::new(Settings { max_viewers: 3, max_viewers_per_counter: 2, ..Settings::default() });
    let online = harness.engine.open("online".into(), FeedSettings::default(), frame(0, 0));
    let online_too = harness.engine.open("online".into(), FeedSettings::default(), frame(0, 0));
    let other = harness.engine.open("other".into(), FeedSettings::default(), frame(0, 0));
    let first = harness.join(&online, None);
    let second = harness.join(&online_too, None);
    assert!(matches!(harness.engine.has_room(&"online".into()), Err(Rejection::CounterFull)));
    assert!(matches!(rejection(harness.try_join(&online, None)), Rejection::CounterFull));
    assert!(harness.engine.has_room(&"other".into()).is_ok());
    let permit = other.acquire_permit().expect("a third permit");
    assert!(matches!(harness.engine.has_room(&"other".into()), Err(Rejection::Full)));
    assert!(matches!(rejection(harness.try_join(&other, None)), Rejection::Full));
    assert_eq!((harness.metric("viewers{counter=\"online\"}"), harness.metric("viewers{counter=\"other\"}")), (2, 1));
    assert_eq!((online.viewers(), online_too.viewers(), other.viewers(), harness.engine.viewers()), (1, 1, 1, 3));
    drop((permit, first));
    wait_until("a permit is released", || harness.engine.viewers() == 1);
    drop([harness.join(&online, None), harness.join(&other, None)]);
    drop(second);
}

#[test]
fn a_rejected_viewer_is_returned_intact() {
    use std::io::{Read, Write};

    let harness = Harness::new(Settings { max_viewers: 0, ..Settings::default() });
    let feed = harness.feed(frame(0, 0));
    let (ours, mut theirs) = harness.connect(None);
    let mut rejected = feed.adopt(ours, bytes::Bytes::from_static(b"head"), harness.attachment()).expect_err("no room");
    assert_eq!(harness.attachments_dropped(), 0);
    rejected.socket.write_all(b"503").expect("an open socket");
    drop(rejected);
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).expect("an answer");
    assert_eq!((answer.as_str(), harness.attachments_dropped(), feed.viewers()), ("503", 1, 0));
}

#[test]
fn a_scrape_names_at_most_100_counters() {
    let harness = Harness::new(Settings::default());
    let feeds: Vec<_> = (0..150)
        .map(|index| harness.engine.open(format!("counter-{index:03}").into(), FeedSettings::default(), frame(0, 0)))
        .collect();
    let mut permits: Vec<_> = feeds.iter().map(|feed| feed.acquire_permit().expect("a permit")).collect();
    permits.push(feeds[149].acquire_permit().expect("a permit"));
    assert_eq!(harness.metric("viewers{counter=\"counter-149\"}"), 2);
    assert_eq!(harness.metric("viewers{counter=\"counter-000\"}"), 1);
    assert_eq!(harness.metric("viewers{counter=\"counter-120\"}"), 0);
    assert_eq!(harness.metric("viewers{counter=\"(others)\"}"), 50);
    drop(feeds);
    // Permits outlive their feeds' handles.
    assert_eq!((harness.engine.viewers(), harness.metrics_contain("counter-149")), (151, true));
    drop(permits);
    assert_eq!((harness.engine.viewers(), harness.metrics_contain("counter-")), (0, false));
}
