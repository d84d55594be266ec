//! What an operator sees: readiness, and `headcount status`.

use std::time::{Duration, Instant};

use headcount_testkit::{
    COUNTER, Data, Fleet, Marked, NodeOptions, NodeWithViewers, Promise, RedisServer, http,
    promise::{HEALED, SOON},
    wait_until,
};
use nix::sys::signal::Signal;

use crate::{
    fleet::{self, PATIENCE, start},
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
        assert_eq!(node.node.reading(COUNTER).unwrap().visitors, 1);
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
        assert!(session.lease_left_ms.is_some_and(|left| (1..=9_000).contains(&left)), "{session:?}");
        assert!(!session.registering && session.node.len() == 16, "{session:?}");
    }
    let table = status::run(&["--redis", &redis.url()]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("online") && table.contains("1 counters, 3 nodes"), "{table}");
    fleet::leave_nothing(fleet, &[&redis])?;
    redis.kill();
    let refused = status::run(&["--redis", &redis.url().replace("127.", ":s3cret@127."), "--json"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{said}");
    assert!(said.contains("cannot reach Redis") && !said.contains("s3cret"), "{said}");
    Ok(())
}

/// With all times a tenth, so that a node that was killed is forgotten within 7 s, not 66.
pub(crate) fn status_lists_every_node() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().unwrap();
    let options = || NodeOptions::redis(redis.url()).with(["--time-scale", "10"]);
    let mut busy = NodeWithViewers::of(start(options()), 3)?;
    let (mut stopped, mut killed) = (start(options()), start(options()));
    let all = [busy.node.address(), stopped.address(), killed.address()].map(|address| address.to_string());
    let listed = |wanted: &[String]| {
        let mut wanted = wanted.to_vec();
        wanted.sort();
        wait_until(&format!("{wanted:?} listed"), PATIENCE, || {
            let told = status::of(&["--redis", &redis.url()]);
            let found: Vec<_> = told.nodes.iter().filter_map(|node| node.address.clone()).collect();
            if found == wanted { Ok(told) } else { Err(format!("{told:?}")) }
        })
    };
    let told = listed(&all)?;
    for node in &told.nodes {
        let viewers = if node.address.as_ref() == Some(&all[0]) { 3 } else { 0 };
        assert_eq!(node.viewers, viewers, "{node:?}");
        assert_eq!(node.version.as_deref(), Some(env!("CARGO_PKG_VERSION")), "{node:?}");
        let since = humantime::parse_rfc3339(node.since.as_deref().unwrap()).unwrap();
        assert!(since.elapsed().is_ok_and(|age| age < PATIENCE), "{node:?}");
        assert!(node.reported_ms.is_some_and(|ago| ago < 5_000) && node.node.len() == 16, "{node:?}");
    }
    busy.node.reaches("headcount_presence_nodes", 3.0, PATIENCE)?;

    // Any node tells the same, as JSON and as a page that loads itself anew.
    let asked = status::of(&["--admin", &killed.admin().to_string()]);
    assert_eq!((asked.nodes.len(), asked.counters.len(), asked.error), (3, 1, None));
    let page = http::get(killed.admin(), "/").unwrap();
    assert!(page.head.contains("default-src 'none'"), "{}", page.head);
    for part in ["http-equiv=\"refresh\" content=\"5\"", "3 nodes", "1 counters", "This node: ready", &all[0], &all[2]]
    {
        assert!(page.text().contains(part), "{part} is not in {}", page.text());
    }

    // Who stops says so; who is killed is forgotten.
    stopped.stop(PATIENCE)?;
    listed(&[all[0].clone(), all[2].clone()])?;
    killed.kill();
    let killed_at = Instant::now();
    listed(&all[..1])?;
    println!("a killed node is no longer listed after {:.1} s", killed_at.elapsed().as_secs_f64());
    wait_until("one node known", PATIENCE, || match busy.node.metric("headcount_presence_nodes") {
        Ok(1.0) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;

    // A reload changes no line.
    let before = status::of(&["--redis", &redis.url()]).nodes.remove(0);
    busy.node.process().signal(Signal::SIGHUP)?;
    busy.node.reaches("headcount_reloads_total", 1.0, PATIENCE)?;
    let after = status::of(&["--redis", &redis.url()]).nodes.remove(0);
    let times = [&before, &after].map(|node| humantime::parse_rfc3339(node.since.as_deref().unwrap()).unwrap());
    let apart = times[1].duration_since(times[0]).unwrap_or_else(|error| error.duration());
    assert!(before.node == after.node && apart < Duration::from_millis(100), "{before:?} {after:?}");

    // Redis loses the list, and it is there again at once; without Redis a node tells what it knows.
    redis.command(&["FLUSHALL"])?;
    listed(&all[..1])?;
    redis.kill();
    let alone = wait_until("a node without Redis", PATIENCE, || {
        let told = status::of(&["--admin", &busy.node.admin().to_string()]);
        if told.error.is_some() { Ok(told) } else { Err(format!("{told:?}")) }
    })?;
    assert!(alone.error.is_some_and(|error| error.contains("cannot reach Redis")));
    assert_eq!((alone.nodes[0].viewers, alone.counters[0].sessions[0].viewers), (3, 3));
    busy.node.kill();
    Ok(())
}

pub(crate) fn status_of_a_node_without_redis() -> anyhow::Result<()> {
    let node = NodeWithViewers::of(start(NodeOptions::default()), 2)?;
    let told = status::of(&["--admin", &node.node.admin().to_string()]);
    let [only] = &told.nodes[..] else { panic!("{told:?}") };
    assert_eq!((only.node.as_str(), only.viewers, told.error.is_none()), ("this", 2, true), "{told:?}");
    assert_eq!(only.address, Some(node.node.address().to_string()));
    assert_eq!((told.counters[0].counter.as_str(), told.counters[0].count), (COUNTER, 2), "{told:?}");
    let table = status::run(&["--admin", &node.node.admin().to_string()]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("none needed") && table.contains("1 counters, 1 nodes"), "{table}");
    let nobody = status::run(&["--admin", "127.0.0.1:1"]);
    let said = String::from_utf8_lossy(&nobody.stderr);
    assert!(
        !nobody.status.success() && said.contains("--redis is not given") && said.contains("127.0.0.1:1"),
        "{said}"
    );
    Ok(())
}
