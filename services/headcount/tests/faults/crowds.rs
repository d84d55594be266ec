//! Many viewers: how soon all see a change, the death of a node with 15,000 viewers, and viewers whose machine vanishes.

use std::time::{Duration, Instant};

use headcount_testkit::{
    Batch, Goal, NodeWithViewers, Promise, RedisServer, SilentViewer, Viewers,
    client::Direction,
    promise::{GONE, SOON, VANISHED},
    stream,
};

use crate::{
    fleet::{self, PATIENCE, pass, with_redis},
    status, store,
};

/// From a change until a viewer's number includes it, for 99 of 100 pairs of a change and a viewer.
const SEEN: Duration = Duration::from_millis(250);
/// Changes a second for which it is promised.
const RATE: f64 = 100.0;
/// Viewers that watch, on all nodes together.
const WATCHERS: usize = 90;
/// Changes in a row.
const CHANGES: usize = 500;

/// Viewers that die with their node, and that come to another meanwhile.
const CROWD: usize = 15_000;
/// So many of them come in a second: they are still coming when the lease of the dead ends.
const COMING: f64 = 1_500.0;
/// Time for all of them to be accepted.
const LET_IN: Duration = Duration::from_secs(90);

pub(crate) fn everybody_sees_a_change_at_once() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let fleet = fleet::open(&redis.url(), &[0, 0, 0])?;
    let urls: Vec<_> = fleet.nodes.iter().map(|node| stream(&node.node)).collect();
    let viewers = Viewers::open(WATCHERS, &urls).unwrap();
    viewers.all_see(WATCHERS as u64, SOON).unwrap();
    for (direction, base) in [(Direction::Joins, WATCHERS), (Direction::Leaves, WATCHERS + CHANGES)] {
        viewers.track(base as u64, direction, WATCHERS as u32).unwrap();
        let begun = Instant::now();
        for change in 0..CHANGES {
            pass(Duration::from_secs_f64(change as f64 / RATE).saturating_sub(begun.elapsed()));
            if direction == Direction::Joins {
                let url = urls[change % urls.len()].clone();
                viewers.add(&Batch { count: 1, urls: vec![url], ..Batch::default() }).unwrap();
            } else {
                viewers.close(1).unwrap();
            }
        }
        viewers.reach(Goal::Opened, PATIENCE).unwrap();
        let due = if direction == Direction::Joins { base + CHANGES } else { base - CHANGES };
        viewers.all_see(due as u64, SOON).unwrap();
    }
    let seen = viewers.snapshot().unwrap();
    let times = &seen.track.as_ref().unwrap().pairs;
    let p99 = times.quantile(0.99);
    println!(
        "viewers open and close, 100 a second over 3 nodes: seen by each of {WATCHERS}: bound p99 {SEEN:.0?}, measured {}",
        times.summary()
    );
    assert_eq!(times.len(), (2 * CHANGES * WATCHERS) as u64, "pairs of a change and a viewer");
    assert!(p99 <= SEEN, "{}", times.summary());
    assert_eq!(seen.lost(), 0, "{seen}");
    drop(viewers);
    fleet::leave_nothing(fleet, &[&redis])
}

pub(crate) fn fifteen_thousand_die_and_as_many_come() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let mut fleet = fleet::open(&redis.url(), &[10])?;
    let options = with_redis(redis.url());
    // Other processes open their viewers: this one may not have that many open files.
    let (mut doomed, mut refuge) = (NodeWithViewers::start(&options, 0)?, NodeWithViewers::start(&options, 0)?);
    let crowd = |node: &NodeWithViewers, per_second| {
        let urls = vec![stream(&node.node)];
        Viewers::start_in(1, &Batch { count: CROWD, urls, per_second, ..Batch::default() }).unwrap()
    };
    let dying = crowd(&doomed, None);
    dying.opened(LET_IN).unwrap();
    let watching = &fleet.nodes[0].viewers;
    watching.all_see(10 + CROWD as u64, PATIENCE).unwrap();

    let gone = Promise::begin("kill -9 of a node with 15,000 viewers while 15,000 come to another: gone", GONE);
    doomed.node.kill();
    let asked_at = gone.elapsed();
    let lease = status::lease_left(&redis.url(), CROWD);
    let coming = crowd(&refuge, Some(COMING));
    let (most, arrived) = loop {
        let shown = *watching.snapshot().unwrap().showing.last_key_value().unwrap().0;
        // Asked later, so that there are at least as many as were counted.
        let here = coming.snapshot().unwrap();
        let arrived = (here.live + here.asking) as u64;
        if shown <= 10 + arrived {
            break (shown, arrived);
        }
        if gone.left().is_zero() {
            return Err(gone.broken(format!("{shown} are shown while {arrived} of the others have come")).into());
        }
    };
    let took = gone.kept()?;
    println!("when the dead were gone, {arrived} had come, and {most} were shown");
    assert!(
        took >= asked_at + lease,
        "gone after {took:?}, though its lease ran for another {lease:?} at {asked_at:?}"
    );
    coming.opened(LET_IN).unwrap();
    let exact = Promise::begin("the last of 15,000 has come: exact", SOON);
    let all = 10 + CROWD as u64;
    for viewers in [watching, &coming] {
        exact.check(viewers.all_see(all, exact.left()))?;
    }
    exact.kept()?;
    drop(dying);
    (refuge.viewers, refuge.open) = (coming, CROWD);
    fleet.nodes.push(refuge);
    fleet.exact(&Promise::begin("and every node says so", SOON))?;
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

/// No packet ends the connections, and none is acknowledged any more.
pub(crate) fn a_viewers_machine_vanishes() -> anyhow::Result<()> {
    let redis = RedisServer::start()?;
    let mut fleet = fleet::open(&redis.url(), &[3, 4])?;
    let open = |index: usize| SilentViewer::open(&fleet.nodes[index % 2].node);
    let viewers = (0..10).map(open).collect::<Result<Vec<_>, _>>()?;
    fleet.all_show(17, SOON)?;
    let gone = Promise::begin("the machines of 10 viewers vanish: they leave the count", VANISHED);
    viewers.iter().try_for_each(SilentViewer::vanish)?;
    fleet.exact(&gone)?;
    fleet.nodes[0].join(1)?;
    fleet.exact(&Promise::begin("a viewer comes after that: exact", SOON))?;
    store::holds_only(&redis, &fleet)?;
    drop(viewers);
    fleet::leave_nothing(fleet, &[&redis])
}
