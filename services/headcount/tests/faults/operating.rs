//! What an operator sees: readiness, and `headcount status`.

use headcount_testkit::{
    Data, Fleet, Marked, NodeOptions, NodeWithViewers, Promise, RedisServer, http,
    promise::{HEALED, SOON},
};

use crate::{
    fleet::{self, start},
    status, store,
};

/// Redis comes last, then goes and comes again.
pub(crate) fn nodes_start_before_redis() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().unwrap();
    redis.kill();
    // Each counts only its own viewers until it reaches Redis.
    let start = |viewers| NodeWithViewers::of(start(NodeOptions::redis(redis.url())), viewers);
    let mut fleet = Fleet { nodes: vec![start(3)?, start(5)?] };
    for node in &fleet.nodes {
        let ready = http::get(node.node.admin(), "/readyz").unwrap();
        assert_eq!((ready.status, ready.text().contains("Redis")), (503, true), "{}", ready.text());
        assert_eq!(http::get(node.node.admin(), "/healthz").unwrap().status, 200);
        node.viewers.all_see(node.open as u64, SOON).unwrap();
    }
    fleet.all_marked(Marked::Stale, &Promise::begin("nodes without Redis: marked as stale from the start", SOON))?;
    let [ready, exact, fresh] = ["ready", "exact", "no longer marked as stale"]
        .map(|what| Promise::begin(format!("the first Redis starts after the nodes: {what}"), HEALED));
    redis.restart(Data::Lost).unwrap();
    for node in &fleet.nodes {
        node.node.ready(ready.left()).unwrap();
    }
    ready.kept()?;
    fleet.exact(&exact)?;
    fleet.all_marked(Marked::Fresh, &fresh)?;
    let exact = Promise::begin("the second Redis starts, empty: exact", HEALED);
    redis.restart(Data::Lost).unwrap();
    fleet.nodes[0].join(1)?;
    fleet.exact(&exact)?;
    for node in &fleet.nodes {
        node.node.ready(SOON).unwrap();
    }
    store::holds_only(&redis, &fleet)?;
    fleet::leave_nothing(fleet, &[&redis])
}

pub(crate) fn status_tells_what_redis_holds() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().unwrap();
    assert!(status::counters(&redis.url()).is_empty());
    let fleet = fleet::open(&redis.url(), &[3, 4, 0])?;
    store::holds_only(&redis, &fleet)?;
    let found = status::counters(&redis.url());
    let [counter] = &found[..] else { panic!("{found:?}") };
    let said = fleet.nodes[2].node.reading(&counter.counter).unwrap();
    assert_eq!((counter.count, counter.visitors), (7, 1), "{counter:?}");
    assert_eq!((counter.epoch, counter.version), (said.epoch, said.version), "{counter:?}");
    let mut viewers: Vec<_> = counter.sessions.iter().map(|session| session.viewers).collect();
    viewers.sort_unstable();
    assert_eq!(viewers, [3, 4], "{counter:?}");
    assert_ne!(counter.sessions[0].node, counter.sessions[1].node, "{counter:?}");
    for session in &counter.sessions {
        assert!((1..=9_000).contains(&session.lease_left_ms) && !session.registering, "{session:?}");
    }
    let table = status::run(&["--redis", &redis.url()]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("online") && table.contains("1 counters, 2 nodes"), "{table}");
    fleet::leave_nothing(fleet, &[&redis])?;
    redis.kill();
    let refused = status::run(&["--redis", &redis.url().replace("127.", ":s3cret@127."), "--json"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{said}");
    assert!(said.contains("cannot reach Redis") && !said.contains("s3cret"), "{said}");
    Ok(())
}
