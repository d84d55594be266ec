//! Any mixture of publishing, slow reading, pausing, leaving and ending: what a viewer reads is always whole parts in
//! increasing order, and a stream that was ended by the engine ends cleanly with the newest number.

use std::time::Duration;

use headcount_engine::Settings;
use proptest::prelude::*;

use crate::harness::{End, Harness, Peer, block_on, frame, wait_until};

#[derive(Clone, Debug)]
enum Step {
    /// A viewer joins, with this receive buffer.
    Join(usize),
    /// A frame with an image of so many bytes.
    Publish(usize),
    /// The viewer reads so many bytes at most.
    Read {
        viewer: usize,
        bytes: usize,
    },
    /// All viewers read what has come.
    ReadAll,
    Close(usize),
    Reset(usize),
}

#[derive(Clone, Copy, Debug)]
enum Finale {
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

fn play(steps: &[Step], finale: Finale, shards: usize) {
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
    let ending = match finale {
        Finale::Drain => {
            let frames = feed.frames();
            wait_until("the newest frame is shown", || *frames.borrow().image() == *frame_image(newest, &frames));
            Some(std::thread::spawn(move || block_on(engine.drain(Duration::from_millis(20)))))
        }
        Finale::DropFeed => {
            drop(feed);
            None
        }
    };
    // All read on in turn, as browsers would.
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
    if let Some(ending) = ending {
        ending.join().expect("the drain");
    }
    wait_until("every attachment has gone", || harness.gone() == joined);
    assert_eq!(harness.engine.viewers(), 0);
    assert!(harness.first_frame_sent() <= joined);
}

/// The image that a frame with `number` begins with, as long as the one that is shown.
fn frame_image(number: u64, frames: &tokio::sync::watch::Receiver<headcount_wire::Frame>) -> bytes::Bytes {
    frame(number, frames.borrow().image().len()).image()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn streams_are_always_whole(
        steps in prop::collection::vec(step(), 1..150),
        finale in prop_oneof![Just(Finale::Drain), Just(Finale::DropFeed)],
        shards in 1usize..3,
    ) {
        play(&steps, finale, shards);
    }
}
