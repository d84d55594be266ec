//! A lease that has run out is a suspicion first, whoever calls first.

use super::*;

/// Leases run out while nobody can report: for how long, and how Redis's clock steps meanwhile, in microseconds.
const SILENCES: [(Duration, i64); 3] = [
    (Duration::from_millis(960), 0),
    // Longer than two leases.
    (Duration::from_millis(1_900), 0),
    (Duration::ZERO, 20_000_000),
];

#[tokio::test]
async fn the_first_call_after_a_silence_ends_no_session() {
    for (silence, step) in SILENCES {
        for is_new in [true, false] {
            let counter = Counter::new().await;
            let (mut a, mut b) = (Node::start(&counter, "a", 0..30).await, Node::start(&counter, "b", 100..110).await);
            go_on(&counter, &mut [&mut a, &mut b], STEP, &[(40, 40)]).await;
            tokio::time::sleep(silence).await;
            counter.shift_clock(step).await;
            let clock = if is_new { KnownClock::default() } else { b.clock() };
            let event = format!("{silence:?}, a step of {step} µs, by a new node: {is_new}");
            assert_eq!(counter.look_knowing(clock).await, (40, 40), "{event}");
            tokio::time::sleep(TIMING.suspicion / 2).await;
            go_on(&counter, &mut [&mut a, &mut b], TIMING.lease * 2, &[(40, 40)]).await;
        }
    }
}

#[tokio::test]
async fn after_a_silence_the_dead_leave() {
    let counter = Counter::new().await;
    let (mut a, dead) = (Node::start(&counter, "a", 0..30).await, Node::start(&counter, "dead", 100..110).await);
    tokio::time::sleep(TIMING.lease * 2).await;
    assert_eq!(counter.look_knowing(KnownClock::default()).await, (40, 40));
    assert_eq!(a.live(&counter).await, (40, 40));
    tokio::time::sleep(TIMING.suspicion + TIMING.publish_gap).await;
    assert_eq!(counter.look_knowing(KnownClock::default()).await.0, 30, "{} stays", dead.name);
}

/// A node dies, and the clock goes back by less than a lease. How long its viewers count after its last report.
async fn dead_stay_after_a_small_step(counter: &Counter) -> Duration {
    let mut a = Node::start(counter, "a", 0..30).await;
    let dead = Node::start(counter, "dead", 100..110).await;
    let died = Instant::now();
    go_on(counter, &mut [&mut a], Duration::from_millis(400), &[(40, 40)]).await;
    counter.shift_clock(-800_000).await;
    let deadline = TIMING.lease * 4;
    while died.elapsed() < deadline && a.live(counter).await.0 != 30 {
        tokio::time::sleep(STEP / 4).await;
    }
    drop(dead);
    died.elapsed()
}

#[tokio::test]
async fn the_clock_of_redis_goes_back_by_less_than_a_lease() {
    let bound = TIMING.lease + TIMING.suspicion + STEP * 5;
    let took = dead_stay_after_a_small_step(&Counter::new().await).await;
    assert!(took >= TIMING.lease && took < bound, "{took:?}");
    let bug = ("(leases_went_back or state.published > now + CLOCK_SLACK)", "leases_went_back");
    let took = dead_stay_after_a_small_step(&Counter::with_bugs(&[bug]).await).await;
    assert!(took >= bound, "the test does not find the fault: {took:?}");
}
