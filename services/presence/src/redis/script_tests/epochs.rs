//! Epochs begin after a loss, and settle while nodes register again.

use super::*;

/// A node has so many viewers that registering them takes longer than an epoch settles: what is published meanwhile.
/// Ends after this many reports, or when the number is below what was shown.
async fn register_slowly(counter: &Counter, reports: u64) -> Vec<u64> {
    let mut node = Node::start(counter, "a", 0..100).await;
    let mut shown = vec![node.heartbeat(counter).await.state.count];
    redis::cmd("FLUSHALL").exec_async(&mut counter.connection.clone()).await.unwrap();
    let hello = counter.call(&counter.scripts.hello(&counter.keys, node.seen, "a", node.clock())).await.unwrap();
    (node.session, node.seq) = (hello.session, 0);
    node.viewers.clear();
    for report in 0..reports {
        tokio::time::sleep(TIMING.settle / 4).await;
        let viewer = (ViewerId(report), Visitor(report));
        node.viewers.push(viewer);
        let phase = if report + 1 < reports { Phase::Same } else { Phase::Live { old: "" } };
        // What it has shown, all the time.
        node.seen = Seen { epoch: 1, version: 1, count: 100, visitors: 100 };
        let reply = node.send(counter, phase, &[viewer], &[]).await.unwrap();
        assert_eq!(reply.status, Status::Ok);
        shown.push(reply.state.count);
    }
    shown
}

#[tokio::test]
async fn an_epoch_settles_when_all_have_registered_again() {
    let shown = register_slowly(&Counter::new().await, 8).await;
    assert!(shown.iter().all(|count| *count == 100), "{shown:?}");
    let bug = ("if own.phase == 'building' then prolong_settling() end", "");
    let shown = register_slowly(&Counter::with_bugs(&[bug]).await, 8).await;
    assert!(shown.contains(&0), "the test does not find the fault: {shown:?}");
}

#[tokio::test]
async fn a_node_that_never_has_registered_does_not_keep_an_epoch_from_settling() {
    let begun = Instant::now();
    let shown = register_slowly(&Counter::new().await, 20).await;
    assert!(begun.elapsed() > TIMING.max_settle(), "the test was too fast");
    assert!(shown.contains(&0), "{shown:?}");
}

/// After a failover that lost writes, other nodes have published the same version with another number.
async fn same_version_other_number(counter: &Counter) -> Reply {
    let mut node = Node::start(counter, "a", 0..30).await;
    node.heartbeat(counter).await;
    node.seen.count = 31;
    node.heartbeat(counter).await
}

#[tokio::test]
async fn another_number_under_the_same_version_begins_an_epoch() {
    let counter = Counter::new().await;
    let reply = same_version_other_number(&counter).await;
    assert_eq!((reply.state.version, reply.state.count), (1, 31), "as high as what was shown, until it has settled");
    tokio::time::sleep(TIMING.settle + STEP).await;
    let reply = counter.call(&counter.scripts.read(&counter.keys, reply.state.seen(), KnownClock::default())).await;
    assert_eq!(reply.unwrap().state.count, 30);
    let bug = ("return seen.count ~= state.count or seen.visitors ~= state.visitors", "return false");
    let reply = same_version_other_number(&Counter::with_bugs(&[bug]).await).await;
    assert_eq!(reply.state.count, 30, "the test does not find the fault");
}

/// A reader begins the state, then the clock goes back by an hour. Returns what is counted once the epoch has settled.
async fn clock_goes_back_while_nobody_has_a_session(counter: &Counter) -> u64 {
    let seen = Seen { epoch: 5, version: 3, count: 30, visitors: 30 };
    let reply = counter.call(&counter.scripts.read(&counter.keys, seen, KnownClock::default())).await.unwrap();
    assert_eq!(reply.state.count, 30);
    counter.shift_clock(-HOUR).await;
    let mut node = Node::start(counter, "a", 0..1).await;
    tokio::time::sleep(TIMING.settle + STEP).await;
    node.live(counter).await;
    tokio::time::sleep(STEP).await;
    node.live(counter).await.0
}

#[tokio::test]
async fn an_epoch_settles_although_the_clock_goes_back() {
    assert_eq!(clock_goes_back_while_nobody_has_a_session(&Counter::new().await).await, 1);
    let bug = ("if state.settle > now + SETTLE then", "if false then");
    let count = clock_goes_back_while_nobody_has_a_session(&Counter::with_bugs(&[bug]).await).await;
    assert_eq!(count, 30, "the test does not find the fault");
}
