//! Formats other than the tests' usual one: streams that end by themselves, what keeps a quiet one alive, and endings without
//! a byte.

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use headcount_engine::{FeedHandle, FeedSettings, Frame, Settings, TurnOver};

use crate::harness::{CountingAttachment, Harness, block_on, publish_and_wait, wait_until};

const HEAD: &[u8] = b"HEAD ";

fn join(harness: &Harness, feed: &FeedHandle<CountingAttachment>) -> TcpStream {
    let (ours, theirs) = harness.connect(None);
    feed.adopt(ours, HEAD.into(), harness.attachment()).expect("room for a viewer");
    theirs
}

fn read_to_end(mut peer: TcpStream) -> String {
    let mut read = String::new();
    peer.read_to_string(&mut read).expect("a clean end");
    read
}

fn frame(number: u64) -> Frame {
    Frame::new(format!("{number} ")).with_keepalive(&b"alive "[..]).with_ending(&b"end"[..])
}

#[test]
fn streams_end_by_themselves_a_few_at_a_time() {
    const VIEWERS: usize = 64;
    let harness = Harness::new(Settings { frame_rate: 10_000.0, ..Settings::default() });
    let turn_over = Some(TurnOver::after(NonZeroU16::new(16).expect("not zero")));
    let feed = harness.engine.open("online".into(), FeedSettings { turn_over, ..FeedSettings::default() }, frame(0));
    let peers: Vec<_> = (0..VIEWERS).map(|_| join(&harness, &feed)).collect();
    wait_until("all have their first frame", || harness.first_frames() == VIEWERS);
    let mut most_at_once = 0;
    // A viewer that lags misses frames, and ends later.
    for number in (1..).take_while(|_| harness.turned_over() < VIEWERS) {
        let before = harness.turned_over();
        // A pass starts after the end of the one before.
        publish_and_wait(&feed, &frame(number));
        let ended = harness.turned_over();
        assert!(number >= 16 || ended == 0, "{ended} ended after {number} frames");
        most_at_once = most_at_once.max(ended - before);
    }
    assert!(most_at_once < VIEWERS / 2, "{most_at_once} of {VIEWERS} at once");
    assert_eq!(harness.departures("turned_over"), VIEWERS as u64);
    assert_eq!((harness.engine.viewers(), harness.attachments_dropped()), (0, VIEWERS));
    for peer in peers {
        let read = read_to_end(peer);
        let frames = read.strip_prefix("HEAD ").expect("the head").split_whitespace().count();
        assert!((17..=33).contains(&frames) && read.ends_with(' '), "{frames} frames, and no ending: {read:?}");
    }
}

#[test]
fn a_quiet_stream_is_kept_alive_by_other_bytes_and_then_turned_over() {
    let harness = Harness::new(Settings { keepalive: Duration::from_millis(100), ..Settings::default() });
    let turn_over = Some(TurnOver::after(NonZeroU16::new(3).expect("not zero")));
    let feed = harness.engine.open("online".into(), FeedSettings { turn_over, ..FeedSettings::default() }, frame(7));
    let read = read_to_end(join(&harness, &feed));
    assert!(["HEAD 7 alive alive alive ", "HEAD 7 alive alive alive alive "].contains(&read.as_str()), "{read:?}");
    // Counted once the socket is closed.
    wait_until("the end is counted", || harness.turned_over() == 1);
}

#[test]
fn an_ending_may_be_empty() {
    let harness = Harness::new(Settings::default());
    let feed = harness.engine.open("online".into(), FeedSettings::default(), Frame::new(&b"frame"[..]));
    let peer = join(&harness, &feed);
    wait_until("the first frame is sent", || harness.first_frames() == 1);
    let lagging = {
        // Its ending follows a part under way.
        let large = harness.engine.open("large".into(), FeedSettings::default(), Frame::new(vec![b'x'; 1 << 20]));
        join(&harness, &large)
    };
    let engine = harness.engine.clone();
    let drain = std::thread::spawn(move || block_on(engine.drain(Duration::ZERO)));
    assert_eq!(read_to_end(peer), "HEAD frame");
    assert_eq!(read_to_end(lagging).len(), HEAD.len() + (1 << 20));
    drain.join().expect("the drain");
    assert_eq!((harness.turned_over(), harness.engine.viewers()), (0, 0));
}

#[test]
fn a_feed_may_have_a_lower_frame_rate_than_the_engine() {
    let harness = Harness::new(Settings { frame_rate: 1000.0, ..Settings::default() });
    let feed = FeedSettings { max_frame_rate: 2.0, ..FeedSettings::default() };
    let feed = harness.engine.open("online".into(), feed, frame(0));
    let peer = join(&harness, &feed);
    for number in 1..=100 {
        feed.publish(frame(number));
        std::thread::sleep(Duration::from_millis(10));
    }
    peer.shutdown(Shutdown::Write).expect("an open stream");
    let frames = read_to_end(peer).split_whitespace().count() - 1;
    // The first, a burst of three, and two a second.
    assert!((3..=7).contains(&frames), "{frames} frames in a second");
}

#[test]
fn a_drain_ends_those_who_come_back_in_its_last_second() {
    let harness = Harness::new(Settings { shards: 1, ..Settings::default() });
    let turn_over = Some(TurnOver::after(NonZeroU16::new(16).expect("not zero")));
    let returning =
        harness.engine.open("online".into(), FeedSettings { turn_over, ..FeedSettings::default() }, frame(0));
    let staying = harness.engine.open("online".into(), FeedSettings::default(), frame(0));
    let mut peers: Vec<_> =
        (0..64).map(|number| join(&harness, if number % 2 == 0 { &returning } else { &staying })).collect();
    wait_until("all have their first frame", || harness.first_frames() == 64);
    let (engine, start) = (harness.engine.clone(), Instant::now());
    let drain = std::thread::spawn(move || block_on(engine.drain(Duration::from_secs(3))));
    let ends: Vec<Duration> = std::thread::scope(|scope| {
        let reading = peers.drain(..).map(|peer| {
            scope.spawn(move || {
                assert!(read_to_end(peer).ends_with("end"), "each stream has its ending");
                start.elapsed()
            })
        });
        let reading: Vec<_> = reading.collect();
        reading.into_iter().map(|reader| reader.join().expect("a reader")).collect()
    });
    drain.join().expect("the drain");
    let (returning, staying): (Vec<_>, Vec<_>) = ends.iter().enumerate().partition(|(number, _)| number % 2 == 0);
    let first = returning.iter().map(|(_, end)| **end).min().expect("some");
    assert!(first >= Duration::from_secs(2), "the first of those who come back was ended after {first:?}");
    let soon = staying.iter().filter(|(_, end)| **end < Duration::from_secs(2)).count();
    assert!((12..32).contains(&soon), "{soon} of 32 others were ended in the first two seconds");
}
