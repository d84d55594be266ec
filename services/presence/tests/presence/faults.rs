//! What goes wrong, and how soon the number is exact again. More of it, over real nodes: services/headcount/tests/faults.

use std::time::{Duration, Instant};

use headcount_presence::{Presence, RedisUrl, Settings, Timing};
use headcount_testkit::proxy::Direction;
use headcount_testkit::{Data, Proxy, RedisServer};
use tokio::runtime::Runtime;

use crate::embedded::name;
use crate::shared::{Node, SOON, all_show, keys};

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
async fn a_counter_whose_session_could_not_be_ended_counts_again() {
    let mut server = RedisServer::start().unwrap();
    let timing = Timing::scaled(10);
    let mut node = Node::start_with(&server.url(), "online", Settings { timing, ..Settings::default() });
    node.join(0, 1).await;
    node.shows(1, SOON).await;
    // Until the epoch has settled, the next call may come before the next heartbeat.
    tokio::time::sleep(timing.settle * 2).await;
    node.registrations.clear();
    node.shows(0, SOON).await;
    // The empty session ends at the next heartbeat. Redis is away before, and for longer than its lease.
    tokio::time::sleep(timing.heartbeat / 4).await;
    server.kill();
    tokio::time::sleep(timing.heartbeat + timing.lease * 2 + timing.response_timeout).await;
    server.restart(Data::Lost).unwrap();
    node.join(1, 1).await;
    let watching = Node::start_with(&server.url(), "online", Settings { timing, ..Settings::default() });
    all_show(&[&node, &watching], 1, Duration::from_secs(10)).await;
}

/// A node on a runtime of its own: shutting the runtime down kills the node.
fn node_to_be_killed(url: &str, settings: Settings, first: u16, many: u16) -> (Runtime, Node) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let node = tokio::task::block_in_place(|| {
        runtime.block_on(async {
            let mut node = Node::start_with(url, "online", settings);
            node.join(first, many).await;
            node
        })
    });
    (runtime, node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_of_dead_nodes_are_not_shown_to_those_who_come_later() {
    let server = RedisServer::start().unwrap();
    let timing = Timing {
        heartbeat: Duration::from_millis(500),
        lease: Duration::from_millis(1_000),
        suspicion: Duration::from_millis(400),
        ..Timing::default()
    };
    let settings = Settings { timing, ..Settings::default() };
    for is_read in [true, false] {
        let (runtime, node) = node_to_be_killed(&server.url(), settings.clone(), 0, 30);
        node.shows(30, SOON).await;
        runtime.shutdown_background();
        // Nobody asks meanwhile: no lease has ended when somebody does.
        tokio::time::sleep(timing.lease * 2).await;
        if is_read {
            let elsewhere = Presence::redis(RedisUrl::parse(&server.url()).unwrap(), settings.clone());
            let reading = elsewhere.read(&name("online")).await;
            assert_eq!((reading.count, reading.stale), (0, false));
        } else {
            let newcomer = Node::start_with(&server.url(), "online", settings.clone());
            let mut readings = newcomer.counter.watch();
            let first = readings.wait_for(|reading| !reading.stale);
            let first = *tokio::time::timeout(SOON, first).await.expect("a reading of all nodes").unwrap();
            assert_eq!(first.count, 0);
        }
        drop(node);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_leaves_removals_to_others() {
    let server = RedisServer::start().unwrap();
    let proxy = Proxy::start(server.address()).unwrap();
    let timing = Timing {
        heartbeat: Duration::from_millis(800),
        lease: Duration::from_millis(2_400),
        settle: Duration::from_millis(1_000),
        ..Timing::default()
    };
    let settings = Settings { timing, ..Settings::default() };
    let mut stopping = Node::start_with(&proxy.url(), "online", settings.clone());
    stopping.join(0, 2).await;
    let (runtime, node) = node_to_be_killed(&server.url(), settings.clone(), 10, 3_000);
    stopping.shows(3_002, SOON * 3).await;
    // Each step of the removal takes long.
    proxy.delay(Direction::ToServer, Duration::from_millis(200));
    runtime.shutdown_background();
    stopping.shows(2, SOON * 3).await;
    let mut staying = Node::start_with(&server.url(), "online", settings);
    staying.join(5_000, 1).await;
    staying.shows(3, SOON).await;
    let stopped = Instant::now();
    stopping.presence.release().await;
    assert!(stopped.elapsed() < Duration::from_millis(1_500), "released after {:?}", stopped.elapsed());
    let deadline = Instant::now() + SOON * 3;
    while keys(&server).iter().any(|key| key.ends_with(":reaping")) {
        assert!(Instant::now() < deadline, "nobody goes on with the removal");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(node);
}

#[tokio::test]
async fn without_a_subscription_changes_are_seen_within_two_seconds() {
    let server = RedisServer::start().unwrap();
    server.command(&["ACL", "SETUSER", "default", "-subscribe"]).unwrap();
    let (mut one, watching) = (Node::start(&server.url()), Node::start(&server.url()));
    for number in 0..4 {
        one.join(number, 1).await;
        watching.shows(u64::from(number) + 1, SOON).await;
        // A call of one viewer's node is not the reason: the other waits by itself.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    server.command(&["ACL", "SETUSER", "default", "+subscribe"]).unwrap();
    one.join(10, 1).await;
    watching.shows(5, SOON).await;
}

#[tokio::test]
async fn after_a_loss_no_node_shows_too_few_as_live() {
    let server = RedisServer::start().unwrap();
    let settings = Settings { timing: Timing::scaled(4), ..Settings::default() };
    let mut one = Node::start_with(&server.url(), "online", settings.clone());
    let elsewhere = Node::start_with(&server.url(), "blog", settings);
    one.join(0, 30).await;
    one.shows(30, SOON).await;
    elsewhere.shows(0, SOON).await;
    // It may be a heartbeat until the 30 are registered again.
    for _ in 0..3 {
        server.command(&["FLUSHALL"]).unwrap();
        let lost = Instant::now();
        let reading = elsewhere.presence.read(&name("online")).await;
        assert!(reading.stale || reading.count == 30, "{reading:?}");
        let mut newcomer = Node {
            counter: elsewhere.presence.counter(&name("online")).unwrap(),
            presence: elsewhere.presence.clone(),
            registrations: Vec::new(),
        };
        newcomer.join(50, 1).await;
        let mut readings = newcomer.counter.watch();
        loop {
            let reading = *readings.borrow_and_update();
            assert!(reading.stale || reading.count >= 30, "{reading:?} after {:?}", lost.elapsed());
            if reading.count == 31 && !reading.stale {
                break;
            }
            let left = Duration::from_secs(20).saturating_sub(lost.elapsed());
            tokio::time::timeout(left, readings.changed()).await.expect("exact again").unwrap();
        }
        assert_eq!(elsewhere.presence.read(&name("online")).await.count, 31);
        drop(newcomer);
        one.shows(30, SOON).await;
    }
}
