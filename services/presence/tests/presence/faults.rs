//! What goes wrong, and how soon the number is exact again.

use std::time::{Duration, Instant};

use headcount_presence::{Health, Settings, Timing};
use headcount_testkit::{Data, Proxy, RedisServer};
use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;

use crate::shared::{Node, SOON, all_show, keys};

/// A node on a runtime of its own: shutting the runtime down kills the node.
fn node_to_be_killed(url: &str, first: u16, many: u16) -> (Runtime, Node) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let node = tokio::task::block_in_place(|| {
        runtime.block_on(async {
            let mut node = Node::start(url);
            node.join(first, many).await;
            node
        })
    });
    (runtime, node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_nodes_viewers_are_gone_within_ten_seconds_and_not_before_its_lease() {
    let server = RedisServer::start().unwrap();
    let mut survivor = Node::start(&server.url());
    survivor.join(0, 2).await;
    let (runtime, node) = node_to_be_killed(&server.url(), 10, 3_000);
    survivor.shows(3_002, SOON).await;
    // Its last report is at most a heartbeat ago, so its lease cannot end before this.
    let Timing { heartbeat, lease, .. } = Timing::default();
    let killed = Instant::now();
    runtime.shutdown_background();
    survivor.shows(2, Duration::from_secs(10)).await;
    println!("3,000 viewers of a killed node are gone after {:?}", killed.elapsed());
    assert!(killed.elapsed() >= lease - heartbeat);
    drop(node);
    let deadline = Instant::now() + SOON;
    while keys(&server).iter().any(|key| key.ends_with(":reaping")) {
        assert!(Instant::now() < deadline, "its registrations are not taken apart");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(survivor.reading().visitors, 2);
    assert_eq!(keys(&server).len(), 4, "state, sessions, visitors and the survivor's viewers: {:?}", keys(&server));
}

/// Watches a node's number in the background, and returns the lowest.
fn lowest(node: &Node) -> tokio::task::JoinHandle<u64> {
    let mut readings = node.counter.watch();
    tokio::spawn(async move {
        let mut lowest = u64::MAX;
        loop {
            lowest = lowest.min(readings.borrow_and_update().count);
            match tokio::time::timeout(Duration::from_secs(9), readings.changed()).await {
                Ok(Ok(())) => {}
                _ => return lowest,
            }
        }
    })
}

#[tokio::test]
async fn after_flushall_the_number_never_falls_and_is_exact_within_ten_seconds() {
    let server = RedisServer::start().unwrap();
    let (mut one, mut two, watching) =
        (Node::start(&server.url()), Node::start(&server.url()), Node::start(&server.url()));
    one.join(0, 1_500).await;
    two.join(5_000, 700).await;
    all_show(&[&one, &two, &watching], 2_200, SOON).await;
    let watched = [lowest(&one), lowest(&two), lowest(&watching)];
    server.command(&["FLUSHALL"]).unwrap();
    let flushed = Instant::now();
    let before = one.reading().epoch;
    for node in [&one, &two, &watching] {
        let mut readings = node.counter.watch();
        let healed = readings.wait_for(|reading| reading.epoch > before && reading.count == 2_200);
        tokio::time::timeout(Duration::from_secs(10), healed).await.expect("exact within 10 s").unwrap();
    }
    println!("FLUSHALL is healed after {:?}", flushed.elapsed());
    one.registrations.truncate(1_000);
    all_show(&[&one, &two, &watching], 1_700, Duration::from_secs(10)).await;
    for lowest in watched {
        assert!(lowest.await.unwrap() >= 1_700);
    }
}

#[tokio::test]
async fn a_redis_that_restarts_empty_is_filled_again() {
    let mut server = RedisServer::start().unwrap();
    let (mut one, mut two) = (Node::start(&server.url()), Node::start(&server.url()));
    one.join(0, 1_500).await;
    two.join(5_000, 700).await;
    all_show(&[&one, &two], 2_200, SOON).await;
    let watched = [lowest(&one), lowest(&two)];
    let before = one.reading().epoch;
    server.kill();
    tokio::time::timeout(SOON, one.presence.health().wait_for(|health| matches!(health, Health::Degraded { .. })))
        .await
        .expect("noticed")
        .unwrap();
    server.restart(Data::Lost).unwrap();
    let restarted = Instant::now();
    for node in [&one, &two] {
        let mut readings = node.counter.watch();
        let healed = readings.wait_for(|reading| reading.epoch > before && reading.count == 2_200);
        tokio::time::timeout(Duration::from_secs(10), healed).await.expect("exact within 10 s").unwrap();
    }
    println!("a restart is healed after {:?}", restarted.elapsed());
    one.join(2_000, 1).await;
    two.shows(2_201, SOON).await;
    for lowest in watched {
        assert_eq!(lowest.await.unwrap(), 2_200);
    }
}

#[tokio::test]
async fn without_redis_the_number_stays_and_is_marked_stale_and_leaves_are_not_forgotten() {
    let mut server = RedisServer::start().unwrap();
    let timing = Timing { stale_after: Duration::from_secs(2), ..Timing::default() };
    let settings = Settings { timing, ..Settings::default() };
    let mut one = Node::start_with(&server.url(), "online", settings.clone());
    let mut two = Node::start_with(&server.url(), "online", settings);
    one.join(0, 20).await;
    two.join(50, 5).await;
    all_show(&[&one, &two], 25, SOON).await;
    server.kill();
    let killed = Instant::now();
    let mut readings = one.counter.watch();
    readings.wait_for(|reading| reading.stale).await.unwrap();
    assert!(killed.elapsed() < Duration::from_secs(3), "{:?}", killed.elapsed());
    assert_eq!(one.reading().count, 25);
    one.registrations.truncate(10);
    two.join(60, 3).await;
    server.restart(Data::Lost).unwrap();
    all_show(&[&one, &two], 18, Duration::from_secs(10)).await;
    assert!(!one.reading().stale && !two.reading().stale);
}

#[tokio::test]
async fn deleted_registrations_come_back() {
    let server = RedisServer::start().unwrap();
    let timing = Timing { heartbeat: Duration::from_millis(500), lease: Duration::from_secs(1), ..Timing::default() };
    let settings = Settings { timing, ..Settings::default() };
    let mut one = Node::start_with(&server.url(), "online", settings.clone());
    let watching = Node::start_with(&server.url(), "online", settings);
    one.join(0, 20).await;
    all_show(&[&one, &watching], 20, SOON).await;
    let viewers = keys(&server).into_iter().find(|key| key.contains(":viewers:")).unwrap();
    server.command(&["DEL", &viewers]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !keys(&server).iter().any(|key| key.contains(":viewers:") && *key != viewers) {
        assert!(Instant::now() < deadline, "not registered afresh");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    one.join(20, 1).await;
    all_show(&[&one, &watching], 21, SOON).await;
}

#[tokio::test]
async fn a_closed_subscription_is_opened_again_and_nothing_is_missed() {
    let server = RedisServer::start().unwrap();
    let (mut one, watching) = (Node::start(&server.url()), Node::start(&server.url()));
    one.join(0, 2).await;
    all_show(&[&one, &watching], 2, SOON).await;
    for number in 2..6 {
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
        one.join(number, 1).await;
        watching.shows(u64::from(number) + 1, SOON).await;
    }
}

#[tokio::test]
async fn a_subscription_that_delivers_nothing_is_replaced_within_ten_seconds() {
    let server = RedisServer::start().unwrap();
    let proxy = Proxy::start(server.address()).unwrap();
    let (mut one, watching) = (Node::start(&server.url()), Node::start(&proxy.url()));
    one.join(0, 2).await;
    all_show(&[&one, &watching], 2, SOON).await;
    let mut registry = Registry::default();
    watching.presence.register_metrics(&mut registry);
    let replaced = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.contains("presence_dead_subscriptions_total 1\n")
    };
    proxy.drop_messages();
    let muted = Instant::now();
    while !replaced() {
        assert!(muted.elapsed() < Duration::from_secs(10), "not replaced");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("a dead subscription is replaced after {:?}", muted.elapsed());
    proxy.heal();
    one.join(2, 1).await;
    watching.shows(3, SOON).await;
    assert!(replaced(), "once was enough");
}
