//! How many viewers there may be, and what is told of them.

use headcount_engine::{Rejection, Settings};

use crate::harness::{Peer, Rig, frame, wait_until};

fn refusal(joined: Result<Peer, headcount_engine::RejectedViewer<crate::harness::Visitor>>) -> Rejection {
    joined.err().expect("a refusal").refusal
}

#[test]
fn the_limits_hold_and_places_come_free() {
    let rig = Rig::new(Settings { max_viewers: 3, max_viewers_per_counter: 2, ..Settings::default() });
    let online = rig.engine.open("online".into(), frame(0, 0));
    let online_too = rig.engine.open("online".into(), frame(0, 0));
    let other = rig.engine.open("other".into(), frame(0, 0));
    let first = rig.join(&online, None);
    let second = rig.join(&online_too, None);
    assert!(matches!(online.has_room(), Err(Rejection::CounterFull)));
    assert!(matches!(refusal(rig.try_join(&online, None)), Rejection::CounterFull));
    let place = other.acquire_permit().expect("a third place");
    assert!(matches!(other.has_room(), Err(Rejection::Full)));
    assert!(matches!(refusal(rig.try_join(&other, None)), Rejection::Full));
    assert_eq!((rig.metric("viewers{counter=\"online\"}"), rig.metric("viewers{counter=\"other\"}")), (2, 1));
    assert_eq!((online.viewers(), online_too.viewers(), other.viewers(), rig.engine.viewers()), (1, 1, 1, 3));
    drop((place, first));
    wait_until("a place is free", || rig.engine.viewers() == 1);
    drop([rig.join(&online, None), rig.join(&other, None)]);
    drop(second);
}

#[test]
fn a_refused_viewer_is_given_back_whole() {
    use std::io::{Read, Write};

    let rig = Rig::new(Settings { max_viewers: 0, ..Settings::default() });
    let feed = rig.feed(frame(0, 0));
    let (ours, mut theirs) = rig.connect(None);
    let mut refused = feed.adopt(ours, bytes::Bytes::from_static(b"head"), rig.attachment()).expect_err("no room");
    assert_eq!(rig.gone(), 0);
    refused.socket.write_all(b"503").expect("an open socket");
    drop(refused);
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).expect("an answer");
    assert_eq!((answer.as_str(), rig.gone(), feed.viewers()), ("503", 1, 0));
}

#[test]
fn a_scrape_names_no_more_counters_than_its_bound() {
    let rig = Rig::new(Settings::default());
    let feeds: Vec<_> =
        (0..150).map(|index| rig.engine.open(format!("counter-{index:03}").into(), frame(0, 0))).collect();
    let mut places: Vec<_> = feeds.iter().map(|feed| feed.acquire_permit().expect("a place")).collect();
    places.push(feeds[149].acquire_permit().expect("a place"));
    assert_eq!(rig.metric("viewers{counter=\"counter-149\"}"), 2);
    assert_eq!(rig.metric("viewers{counter=\"counter-000\"}"), 1);
    assert_eq!(rig.metric("viewers{counter=\"counter-120\"}"), 0);
    assert_eq!(rig.metric("viewers{counter=\"(others)\"}"), 50);
    drop(feeds);
    // Places outlive their feeds' handles.
    assert_eq!((rig.engine.viewers(), rig.tells("counter-149")), (151, true));
    drop(places);
    assert_eq!((rig.engine.viewers(), rig.tells("counter-")), (0, false));
}
