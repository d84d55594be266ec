//! Random sequences of publishing, slow reading, pausing, leaving and ending. A viewer always reads whole parts in
//! increasing order, and a stream that the engine ends is complete and has the newest number.

use std::time::Duration;

use headcount_engine::Settings;
use proptest::prelude::*;

use crate::harness::{End, Harness, Peer, block_on, frame, wait_until};

#[derive(Clone, Debug)]
enum Step {
    /// A viewer joins, with this receive buffer.
    Join(usize),
    /// A frame is published, with an image of this many bytes.
    Publish(usize),
    /// The viewer reads at most this many bytes.
    Read {
        viewer: usize,
        bytes: usize,
    },
    /// All viewers read everything available.
    ReadAll,
    Close(usize),
    Reset(usize),
}

#[derive(Clone, Copy, Debug)]
enum StreamEnd {
    Drain,
    DropFeed,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1usize << 10..64 << 10).prop_map(Step::Join),
        8 => prop_oneof![20usize..500, 500usize..60_000].prop_map(Step::Publish),
        8 => (any::<usize>(), 1usize..20_000).prop_map(|(viewer, bytes)| Step::Read { viewer, bytes }),
        1 => Just(Step::ReadAll),
        1 => any::<usize>().prop_map(Step::Close),
        1 => any::<usize>().prop_map(Step::Reset),
    ]
}

fn pick(peers: &[Peer], index: usize) -> Option<usize> {
    (!peers.is_empty()).then(|| index % peers.len())
}

fn run(steps: &[Step], stream_end: StreamEnd, shards: usize) {
    let harness = Harness::new(Settings { shards, frame_rate: 5000.0, ..Settings::default() });
    let feed = harness.feed(frame(0, 100));
    let (mut peers, mut joined, mut newest) = (Vec::new(), 0, 0);
    for step in steps {
        match *step {
            Step::Join(receive_buffer) => {
                joined += 1;
                peers.push(harness.join(&feed, Some(receive_buffer)));
            }
            Step::Publish(image_bytes) => {
                newest += 1;
                feed.publish(frame(newest, image_bytes));
            }
            Step::Read { viewer, bytes } => {
                if let Some(viewer) = pick(&peers, viewer) {
                    peers[viewer].read(bytes);
                }
            }
            Step::ReadAll => peers.iter_mut().for_each(|peer| while peer.read(usize::MAX) > 0 {}),
            Step::Close(viewer) => {
                if let Some(viewer) = pick(&peers, viewer) {
                    drop(peers.swap_remove(viewer));
                }
            }
            Step::Reset(viewer) => {
                if let Some(viewer) = pick(&peers, viewer) {
                    peers.swap_remove(viewer).reset();
                }
            }
        }
    }
    let engine = harness.engine.clone();
    let drain = match stream_end {
        StreamEnd::Drain => {
            let frames = feed.frames();
            wait_until("a pass starts with the newest frame", || {
                frames.borrow().bytes().starts_with(format!("number {newest};").as_bytes())
            });
            Some(std::thread::spawn(move || block_on(engine.drain(Duration::from_millis(20)))))
        }
        StreamEnd::DropFeed => {
            drop(feed);
            None
        }
    };
    // All continue to read in turn, as browsers do.
    wait_until("all streams end", || {
        peers.iter_mut().filter(|peer| peer.end.is_none()).for_each(|peer| {
            peer.read(usize::MAX);
        });
        peers.iter().all(|peer| peer.end.is_some())
    });
    for peer in &peers {
        assert_eq!((peer.end, peer.newest()), (Some(End::Clean), Some(newest)), "{:?}", peer.numbers);
    }
    drop(peers);
    if let Some(drain) = drain {
        drain.join().expect("the drain");
    }
    wait_until("every attachment is dropped", || harness.attachments_dropped() == joined);
    assert_eq!(harness.engine.viewers(), 0);
    assert!(harness.first_frames() <= joined);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn streams_are_always_whole(
        steps in prop::collection::vec(step(), 1..150),
        stream_end in prop_oneof![Just(StreamEnd::Drain), Just(StreamEnd::DropFeed)],
        shards in 1usize..3,
    ) {
        run(&steps, stream_end, shards);
    }
}
