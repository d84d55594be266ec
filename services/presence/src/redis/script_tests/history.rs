//! The history of a counter: what was published is recorded, and nothing that was not true.

use headcount_wire::history::{History, Point, Span};

use super::*;
use crate::history::recorder::Recorder;
use crate::redis::history::{self as stored_history, StoredHistory};
use crate::redis::keys::Recording;

const LIFE: Duration = Duration::from_secs(3600);
const MINUTE: i64 = 60_000_000;

/// Much less than a lease: the count stays known, on a busy machine too.
const LEAP: i64 = 500_000;

impl Counter {
    /// A counter with a history.
    async fn recorded(bugs: &[(&str, &str)]) -> Counter {
        let mut counter = Counter::with_bugs(bugs).await;
        counter.keys.recording = Recording::On { life: LIFE };
        counter
    }

    async fn past(&self, span: Span) -> History {
        let call = self.scripts.history(&self.keys, stored_history::ring_of(span));
        let mut command = redis::cmd("EVAL");
        command.arg(&call.script.code).arg(call.keys.len()).arg(&call.keys).arg(&call.arguments);
        let value = command.query_async(&mut self.connection.clone()).await.unwrap();
        let stored = StoredHistory::parse(value).expect("a reply");
        let count = stored.count;
        stored.recorder(span, &TIMING).history("online", span, count)
    }

    /// The most that is known of any minute.
    async fn highest(&self) -> Option<u32> {
        self.past(Span::Day).await.points.into_iter().flatten().map(|point| point.highest).max()
    }
}

/// A test's clock, and what should be recorded by it.
struct Clock {
    shift: i64,
    model: Option<Recorder>,
    known: Option<u64>,
}

impl Clock {
    fn new() -> Clock {
        Clock { shift: 0, model: None, known: None }
    }

    async fn leap(&mut self, counter: &Counter, microseconds: i64) {
        self.shift += microseconds;
        counter.shift_clock(self.shift).await;
    }

    fn note(&mut self, reply: &Reply) {
        let settled = reply.state.settling.is_zero();
        if reply.held.is_none() {
            self.known = settled.then_some(reply.state.count);
        }
        self.model.get_or_insert_with(|| Recorder::new(reply.now)).record(reply.now, self.known);
    }

    /// So much time passes while all nodes renew their leases.
    async fn pass(&mut self, counter: &Counter, nodes: &mut [&mut Node], microseconds: i64) {
        for _ in 0..microseconds / LEAP {
            self.leap(counter, LEAP).await;
            for node in &mut *nodes {
                let reply = node.heartbeat(counter).await;
                assert_eq!(reply.status, Status::Ok, "{}", node.name);
                self.note(&reply);
            }
        }
    }
}

fn assert_same(is: &History, should: &History) {
    assert_eq!((is.peak, is.peak_today), (should.peak, should.peak_today));
    assert_eq!((is.start, is.points.len()), (should.start, should.points.len()));
    for (at, (is, should)) in is.points.iter().zip(&should.points).enumerate() {
        let is_same = match (is, should) {
            (Some(is), Some(should)) => is.highest == should.highest && (is.mean - should.mean).abs() < 0.02,
            (is, should) => is == should,
        };
        assert!(is_same, "point {at} is {is:?}, should be {should:?}");
    }
}

#[tokio::test]
async fn what_is_published_is_recorded_by_the_minute() {
    let counter = Counter::recorded(&[]).await;
    let mut clock = Clock::new();
    let mut a = Node::start(&counter, "a", 0..30).await;
    let mut b = Node::start(&counter, "b", 100..110).await;
    for (round, pause) in [3 * MINUTE, MINUTE / 3, 20 * MINUTE, MINUTE / 2, 7 * MINUTE].into_iter().enumerate() {
        clock.pass(&counter, &mut [&mut a, &mut b], pause).await;
        let first = 1_000 + round as u64 * 10;
        let joins: Vec<_> = (first..first + round as u64 * 2).map(|it| (ViewerId(it), Visitor(it))).collect();
        b.viewers.extend(&joins);
        let reply = b.send(&counter, Phase::Same, &joins, &[]).await.unwrap();
        clock.note(&reply);
        tokio::time::sleep(TIMING.publish_gap * 2).await;
        let reply = a.leave(&counter).await;
        clock.note(&reply);
    }
    clock.pass(&counter, &mut [&mut a, &mut b], 2 * MINUTE).await;
    for span in Span::ALL {
        let past = counter.past(span).await;
        let mut model = clock.model.clone().unwrap();
        model.advance(past.now * 1000);
        assert_same(&past, &model.history("online", span, past.count));
    }
    assert!(counter.past(Span::Day).await.points.iter().flatten().count() > 30);
}

/// A node dies with all its viewers, who come back at another one while those that they were still count.
async fn reconnection(counter: &Counter) -> Option<u32> {
    let mut clock = Clock::new();
    let (mut a, dead) = (Node::start(counter, "a", 0..10).await, Node::start(counter, "dead", 100..130).await);
    tokio::time::sleep(TIMING.settle).await;
    clock.pass(counter, &mut [&mut a], LEAP / 2).await;
    a.heartbeat(counter).await;
    tokio::time::sleep(STEP).await;
    assert_eq!(counter.highest().await, Some(40));
    drop(dead);
    let back: Vec<_> = (200..230).map(|it| (ViewerId(it), Visitor(it))).collect();
    a.viewers.extend(&back);
    a.send(counter, Phase::Same, &back, &[]).await.unwrap();
    tokio::time::sleep(TIMING.publish_gap * 2).await;
    assert_eq!(a.heartbeat(counter).await.state.count, 70, "the dead still count");
    let begun = Instant::now();
    while begun.elapsed() < TIMING.lease + TIMING.suspicion + STEP * 6 {
        tokio::time::sleep(STEP).await;
        a.live(counter).await;
    }
    clock.pass(counter, &mut [&mut a], 2 * MINUTE).await;
    assert_eq!(a.live(counter).await.0, 40);
    let past = counter.past(Span::Day).await;
    assert_eq!(past.peak.map(|peak| peak.count), past.points.iter().flatten().map(|it| it.highest.into()).max());
    counter.highest().await
}

#[tokio::test]
async fn a_dead_nodes_viewers_make_no_peak_where_they_came_back() {
    assert_eq!(reconnection(&Counter::recorded(&[]).await).await, Some(40));
    let bug = ("if ended_viewers > 0 then take_back(", "if false then take_back(");
    assert_eq!(reconnection(&Counter::recorded(&[bug]).await).await, Some(70), "the test does not find the fault");
}

/// Redis loses everything; of 100 viewers, 10 come back.
async fn loss(counter: &Counter) -> Vec<Point> {
    let mut clock = Clock::new();
    let mut node = Node::start(counter, "a", 0..100).await;
    tokio::time::sleep(TIMING.settle).await;
    clock.pass(counter, &mut [&mut node], 3 * MINUTE).await;
    redis::cmd("FLUSHALL").exec_async(&mut counter.connection.clone()).await.unwrap();
    counter.shift_clock(clock.shift).await;
    node.viewers.truncate(10);
    let reply = node.register(counter).await;
    assert_eq!(reply.state.count, 100, "held until all are back");
    tokio::time::sleep(TIMING.settle).await;
    node.heartbeat(counter).await;
    clock.pass(counter, &mut [&mut node], 3 * MINUTE).await;
    counter.past(Span::Day).await.points.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_number_that_is_held_after_a_loss_is_not_recorded() {
    let known = loss(&Counter::recorded(&[]).await).await;
    assert!((3..=4).contains(&known.len()) && known.iter().all(|it| it.highest == 10), "{known:?}");
    let bug = ("count = state.settle > 0 and -1 or state.count", "count = state.count");
    let known = loss(&Counter::recorded(&[bug]).await).await;
    assert!(known.iter().any(|it| it.highest == 100), "the test does not find the fault: {known:?}");
}

#[tokio::test]
async fn when_nobody_is_there_it_is_zero_and_when_nobody_knows_it_is_unknown() {
    let counter = Counter::recorded(&[]).await;
    let mut clock = Clock::new();
    let mut a = Node::start(&counter, "a", 0..5).await;
    tokio::time::sleep(TIMING.settle).await;
    clock.pass(&counter, &mut [&mut a], 2 * MINUTE).await;
    let leaves: Vec<_> = a.viewers.drain(..).map(|(viewer, _)| viewer).collect();
    a.send(&counter, Phase::Same, &[], &leaves).await.unwrap();
    tokio::time::sleep(TIMING.publish_gap * 2).await;
    a.send(&counter, Phase::Ended, &[], &[]).await.unwrap();
    // The state's end of life: only the history is left.
    tokio::time::sleep(TIMING.idle() + STEP * 2).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("hc:*").query_async(&mut counter.connection.clone()).await.unwrap();
    assert_eq!(keys, std::slice::from_ref(&counter.keys.history));
    clock.leap(&counter, 10 * MINUTE).await;
    let zero = Some(Point { highest: 0, mean: 0.0 });
    let past = counter.past(Span::Hour).await;
    assert_eq!(past.points[60 - 9..], [zero; 9], "{past:?}");
    // Somebody comes again, and then all nodes die.
    let mut b = Node::start(&counter, "b", 0..5).await;
    tokio::time::sleep(TIMING.settle).await;
    clock.pass(&counter, &mut [&mut b], 2 * MINUTE).await;
    let past = counter.past(Span::Hour).await;
    assert_eq!(past.points[60 - 10..60 - 3], [zero; 7], "{past:?}");
    assert_eq!(past.points[60 - 1], Some(Point { highest: 5, mean: 5.0 }));
    clock.leap(&counter, 5 * MINUTE).await;
    let past = counter.past(Span::Hour).await;
    assert_eq!(past.points[60 - 4..], [None; 4], "{past:?}");
    let mut c = Node::start(&counter, "c", 0..7).await;
    tokio::time::sleep(TIMING.settle + STEP).await;
    clock.pass(&counter, &mut [&mut c], 3 * MINUTE).await;
    c.live(&counter).await;
    let past = counter.past(Span::Hour).await;
    assert_eq!(past.points[60 - 7..60 - 4], [None; 3], "{past:?}");
    assert_eq!(past.points[60 - 1].unwrap().highest, 7);
    assert_eq!(past.peak.unwrap().count, 7, "at no time were there five and seven: {past:?}");
}

#[tokio::test]
async fn a_clock_that_steps_rewrites_nothing_and_invents_nothing() {
    const YEAR: i64 = 365 * 24 * HOUR;
    let counter = Counter::recorded(&[]).await;
    let mut clock = Clock::new();
    let mut a = Node::start(&counter, "a", 0..9).await;
    tokio::time::sleep(TIMING.settle).await;
    clock.pass(&counter, &mut [&mut a], 5 * MINUTE).await;
    let before = counter.past(Span::Day).await;
    // Back by an hour: the hour is not written again.
    clock.leap(&counter, -HOUR).await;
    for _ in 0..5 {
        a.live(&counter).await;
    }
    a.leave(&counter).await;
    clock.leap(&counter, HOUR).await;
    let after = counter.past(Span::Day).await;
    assert_eq!(before.points[1440 - 5..1440 - 1], after.points[1440 - 5..1440 - 1]);
    // Forward by a year: bounded work, and nothing is known of it.
    clock.leap(&counter, YEAR).await;
    for _ in 0..20 {
        let begun = Instant::now();
        a.live(&counter).await;
        assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
        tokio::time::sleep(STEP).await;
    }
    clock.pass(&counter, &mut [&mut a], 3 * MINUTE).await;
    let past = counter.past(Span::Day).await;
    assert!((3..=4).contains(&past.points.iter().flatten().count()), "{past:?}");
    let days = counter.past(Span::All).await.points;
    assert_eq!(days.iter().flatten().count(), 2, "the day before the leap and the one after");
    // And back: that year has not been.
    clock.leap(&counter, -YEAR).await;
    for _ in 0..30 {
        a.live(&counter).await;
        tokio::time::sleep(STEP).await;
    }
    clock.pass(&counter, &mut [&mut a], 3 * MINUTE).await;
    let past = counter.past(Span::Day).await;
    assert!((3..=4).contains(&past.points.iter().flatten().count()), "{past:?}");
    assert_eq!(counter.past(Span::All).await.points.iter().flatten().count(), 1);
    assert_eq!(past.peak.unwrap().count, 9);
}

#[tokio::test]
async fn a_history_ends_when_it_is_switched_off_and_else_has_its_life() {
    let mut counter = Counter::recorded(&[]).await;
    let mut a = Node::start(&counter, "a", 0..5).await;
    let left =
        async |counter: &Counter| -> i64 { counter.connection.clone().pttl(&counter.keys.history).await.unwrap() };
    let life = left(&counter).await;
    assert!((3_500_000..=3_600_000).contains(&life), "{life}");
    counter.keys.recording = Recording::AsIs;
    a.live(&counter).await;
    assert!(left(&counter).await > 0, "a node that would not begin it does not end it");
    counter.keys.recording = Recording::Off;
    a.live(&counter).await;
    assert_eq!(left(&counter).await, -2);
    a.leave(&counter).await;
    assert_eq!(left(&counter).await, -2);
    assert!(counter.past(Span::Day).await.points.iter().all(Option::is_none));
}
