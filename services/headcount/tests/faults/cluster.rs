//! A Redis Cluster: its masters share the counters, and a counter moves from one master to another.

use std::time::Duration;

use headcount_testkit::{
    Batch, CloseMode, Node, NodeOptions, Promise, RedisCluster, Viewers, Which,
    promise::{GONE, HEALED, SOON},
    wait_until,
};

use crate::{
    fleet::{PATIENCE, start},
    status, store,
};

/// Counters, half of them with [`FEW`] viewers on each node and half with [`MORE`].
const COUNTERS: usize = 50;
const FEW: usize = 1;
const MORE: usize = 3;

/// One node's viewers.
struct Crowds {
    node: Node,
    /// Of the first half of the counters.
    few: Viewers,
    /// Of the second half.
    more: Viewers,
}

pub(crate) fn a_cluster_with_fifty_counters() -> anyhow::Result<()> {
    let cluster = RedisCluster::start().unwrap();
    let mut nodes: Vec<_> = (0..3).map(|_| Crowds::start(&cluster.url())).collect();
    all_exact(&nodes, &Promise::begin("50 counters of 3 nodes in a cluster: exact", PATIENCE))?;
    let used = cluster.masters().iter().filter(|master| master.keys().unwrap().len() > 8).count();
    assert_eq!(used, 3, "the counters are not spread over the masters");

    for counter in [0, COUNTERS - 1] {
        let slot = cluster.slot_of(&format!("hc:{{{}}}:state", name(counter))).unwrap();
        let to = (cluster.owner_of(slot).unwrap() + 1) % 3;
        let newcomers =
            Batch { count: 6, urls: nodes.iter().map(|it| it.stream(counter)).collect(), ..Batch::default() };
        let newcomers = Viewers::start(newcomers).unwrap();
        let healed = Promise::begin("a counter's slot moves while viewers come: exact", HEALED);
        assert!(cluster.move_slot(slot, to).unwrap() > 3, "the slot of {} had no keys", name(counter));
        newcomers.opened(PATIENCE).unwrap();
        let residents = if counter < COUNTERS / 2 { FEW } else { MORE };
        healed.check(newcomers.all_see((3 * residents + 6) as u64, healed.left()))?;
        healed.kept()?;
        let healed = Promise::begin("viewers of a counter whose slot has moved leave: exact", SOON);
        newcomers.leave(6, Which::Oldest, CloseMode::Close)?;
        all_exact(&nodes, &healed)?;
    }

    let healed = Promise::begin("a master forgets everything: all 50 counters registered again", HEALED);
    cluster.masters()[0].command(&["FLUSHALL"]).unwrap();
    wait_until("all registrations", healed.left(), || is_registered(&cluster.url())).unwrap();
    all_exact(&nodes, &healed)?;

    let mut victim = nodes.pop().unwrap();
    let gone = Promise::begin("kill -9 of a node: its viewers leave all 50 counters", GONE);
    victim.node.kill();
    all_exact(&nodes, &gone)?;
    for mut it in nodes {
        it.few.close(COUNTERS / 2 * FEW).unwrap();
        it.more.close(COUNTERS / 2 * MORE).unwrap();
        assert!(it.node.stop(PATIENCE).unwrap().success());
    }
    for master in cluster.masters() {
        store::is_empty(master)?;
    }
    Ok(())
}

impl Crowds {
    fn start(url: &str) -> Self {
        let node = start(NodeOptions::redis(url));
        node.ready(PATIENCE).unwrap();
        let open = |counters: std::ops::Range<usize>, viewers| {
            let urls: Vec<_> = counters.map(|counter| node.url(&format!("{}.png", name(counter)))).collect();
            Viewers::open(urls.len() * viewers, &urls).unwrap()
        };
        let (few, more) = (open(0..COUNTERS / 2, FEW), open(COUNTERS / 2..COUNTERS, MORE));
        Self { node, few, more }
    }

    fn stream(&self, counter: usize) -> String {
        self.node.url(&format!("{}.png", name(counter)))
    }
}

fn name(counter: usize) -> String {
    format!("room-{counter}")
}

/// Whether all masters together hold the viewers of all counters on three nodes.
fn is_registered(url: &str) -> Result<(), String> {
    let counters = status::counters(url);
    let sum: u64 = counters.iter().flat_map(|counter| &counter.sessions).map(|session| session.viewers).sum();
    let due = (3 * COUNTERS / 2 * (FEW + MORE)) as u64;
    if (counters.len(), sum) == (COUNTERS, due) { Ok(()) } else { Err(format!("{} counters, {sum}", counters.len())) }
}

/// Waits until all viewers of all counters see the right number, and every node's JSON shows it for every counter.
fn all_exact(nodes: &[Crowds], promise: &Promise) -> anyhow::Result<()> {
    let due = |counter: usize| (nodes.len() * if counter < COUNTERS / 2 { FEW } else { MORE }) as u64;
    for it in nodes {
        for (viewers, counter) in [(&it.few, 0), (&it.more, COUNTERS - 1)] {
            promise.check(viewers.all_see(due(counter), promise.left()))?;
            assert_eq!(viewers.snapshot().unwrap().lost(), 0);
        }
        for counter in 0..COUNTERS {
            let said = wait_until("a node's JSON", promise.left().max(Duration::from_millis(100)), || {
                let said = it.node.reading(&name(counter)).map_err(|error| error.to_string())?;
                if said.count == due(counter) { Ok(()) } else { Err(format!("{}: {said:?}", name(counter))) }
            });
            promise.check(said)?;
        }
    }
    promise.kept()?;
    Ok(())
}
