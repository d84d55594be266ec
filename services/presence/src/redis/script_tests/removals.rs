//! The removal of ended sessions' registrations.

use super::*;

/// Sessions that end one after the other. Of 750 viewers, a fault shows in one of four.
const SESSIONS: u64 = 40;
const VIEWERS: u64 = 750;

/// Whether sessions of some hundred viewers end, and are removed, in one and the same epoch.
async fn removals_begin_no_epoch(counter: &Counter) -> bool {
    let mut stays = Node::start(counter, "a", 0..5).await;
    let epoch = stays.seen.epoch;
    for session in 1..=SESSIONS {
        let first = session * 10 * VIEWERS;
        let mut ends = Node::start(counter, "b", first..first + VIEWERS).await;
        let mut ended = ends.send(counter, Phase::Ended, &[], &[]).await.unwrap();
        // Whoever has claimed the last removal.
        ended.reap = Some(ends.session);
        let reply = counter.reap(ended).await;
        if reply.state.epoch != epoch || stays.heartbeat(counter).await.status != Status::Ok {
            return false;
        }
    }
    tokio::time::sleep(TIMING.publish_gap * 2).await;
    assert_eq!(stays.live(counter).await, (5, 5));
    true
}

#[tokio::test]
async fn a_removal_begins_no_epoch() {
    assert!(removals_begin_no_epoch(&Counter::new().await).await);
}
