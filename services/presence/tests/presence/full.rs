//! Redis has no memory left.

use std::time::{Duration, Instant};

use headcount_presence::{Settings, Timing};
use headcount_testkit::proxy::{Direction, ScriptFaults};
use headcount_testkit::{Proxy, RedisServer};
use prometheus_client::registry::Registry;

use crate::embedded::client;
use crate::shared::{Node, SOON, all_show};

/// Short, but for what a busy machine needs.
const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(800),
    lease: Duration::from_millis(2_400),
    suspicion: Duration::from_millis(400),
    settle: Duration::from_millis(1_000),
    stale_after: Duration::from_secs(10),
    keep: Duration::from_secs(300),
    report_gap: Duration::from_millis(50),
    publish_gap: Duration::from_millis(25),
    response_timeout: Duration::from_millis(300),
};

fn settings() -> Settings {
    Settings { timing: TIMING, ..Settings::default() }
}

fn limit_memory(server: &RedisServer, bytes: &str) {
    server.command(&["CONFIG", "SET", "maxmemory", bytes]).unwrap();
}

/// How the first attempt of a report with joins is lost.
enum Lost {
    /// The node has no connection.
    Unsent,
    /// Redis does not execute it.
    Request,
    /// Redis executes it.
    Reply,
}

#[tokio::test]
async fn a_report_without_an_answer_ends_no_lease_when_redis_is_full() {
    for lost in [Lost::Unsent, Lost::Request, Lost::Reply] {
        let server = RedisServer::start().unwrap();
        let proxy = Proxy::start(server.address()).unwrap();
        let mut one = Node::start_with(&proxy.url(), "online", settings());
        let watching = Node::start_with(&server.url(), "online", settings());
        one.join(0, 30).await;
        all_show(&[&one, &watching], 30, SOON).await;
        match lost {
            Lost::Unsent => proxy.cut(),
            Lost::Request => proxy.hold(Direction::ToServer),
            Lost::Reply => proxy.disturb_scripts(ScriptFaults { lose_reply: 1.0, ..ScriptFaults::default() }),
        }
        // What is in flight when the connection ends is lost.
        one.join(30, 1).await;
        tokio::time::sleep(TIMING.response_timeout + TIMING.report_gap * 2).await;
        limit_memory(&server, "1");
        if matches!(lost, Lost::Request) {
            proxy.cut();
        }
        proxy.heal();
        let begun = Instant::now();
        while begun.elapsed() < TIMING.lease * 2 {
            assert!(watching.reading().count >= 30, "{:?}", watching.reading());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Leaves count, and the joins as soon as there is room.
        one.registrations.truncate(20);
        watching.shows(20, SOON).await;
        one.join(40, 1).await;
        limit_memory(&server, "0");
        all_show(&[&one, &watching], 21, SOON).await;
    }
}

#[tokio::test]
async fn joins_that_were_refused_count_soon_after_there_is_room() {
    let server = RedisServer::start().unwrap();
    // The heartbeats of the defaults are too rare to help.
    let (mut one, watching) = (Node::start(&server.url()), Node::start(&server.url()));
    one.join(0, 3).await;
    all_show(&[&one, &watching], 3, SOON).await;
    // A node that has just called is not about to.
    one.join(3, 1).await;
    all_show(&[&one, &watching], 4, SOON).await;
    limit_memory(&server, "1");
    one.join(4, 1).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(watching.reading().count, 4);
    limit_memory(&server, "0");
    watching.shows(5, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_full_redis_is_not_asked_for_a_session_all_the_time() {
    const TIME: Duration = Duration::from_secs(3);
    let server = RedisServer::start().unwrap();
    let mut node = Node::start(&server.url());
    // Before memory ends: from then on Redis refuses to check the address too.
    let mut registration = node.presence.admit(node.counter.name(), &client(1)).await.unwrap();
    limit_memory(&server, "1");
    registration.start_counting();
    node.registrations.push(registration);
    let mut registry = Registry::default();
    node.presence.register_metrics(&mut registry);
    tokio::time::sleep(TIME).await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let refused = text.lines().find_map(|line| line.strip_prefix("presence_failures_total{cause=\"refused\"} "));
    let refused: u32 = refused.unwrap().parse().unwrap();
    // Each attempt waits for a quarter to half a second.
    assert!((1..=13).contains(&refused), "{refused} calls in {TIME:?}");
    limit_memory(&server, "0");
    node.shows(1, SOON).await;
}
