//! A new process goes on at Redis: another node sees nothing, whatever was in flight.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headcount_presence::{AddressLimits, AdmissionError, Client, Health, Registration, Settings, Timing};
use headcount_testkit::proxy::{Direction, ScriptFaults};
use headcount_testkit::{Data, Proxy, RedisServer};
use tokio::time::{Instant, sleep};

use crate::embedded::{client, name};
use crate::resume::{Left, Shown, reload};
use crate::shared::{Node, SOON};

fn settings() -> Settings {
    Settings { timing: Timing::scaled(10), ..Settings::default() }
}

/// Everything that is published of the counter, as (count, visitors).
struct Published(Arc<Mutex<Vec<(u64, u64)>>>);

impl Published {
    fn of(server: &RedisServer) -> Published {
        let mut connection = server.connection().unwrap();
        let published = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::downgrade(&published);
        let (subscribed, is_subscribed) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut messages = connection.as_pubsub();
            messages.subscribe("hc:{online}").unwrap();
            subscribed.send(()).unwrap();
            // Ends with the server.
            while let Ok(message) = messages.get_message() {
                let text = String::from_utf8(message.get_payload_bytes().to_vec()).unwrap();
                let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
                let Some(collected) = collected.upgrade() else { return };
                collected.lock().unwrap().push((numbers[2], numbers[3]));
            }
        });
        is_subscribed.recv().unwrap();
        Published(published)
    }

    fn numbers(&self) -> HashSet<(u64, u64)> {
        self.0.lock().unwrap().iter().copied().collect()
    }
}

/// The ids of the sessions that have a lease.
fn sessions(server: &RedisServer) -> HashSet<String> {
    server.query(&["ZRANGE", "hc:{online}:sessions", "0", "-1"]).unwrap()
}

/// A node with viewers, and one that watches it.
struct Pair {
    server: RedisServer,
    proxy: Proxy,
    node: Node,
    watching: Node,
}

impl Pair {
    /// The node speaks to Redis through the proxy.
    async fn start(settings: &Settings, viewers: u16) -> Pair {
        let server = RedisServer::start().unwrap();
        let proxy = Proxy::start(server.address()).unwrap();
        let mut node = Node::start_with(&proxy.url(), "online", settings.clone());
        let mut watching = Node::start_with(&server.url(), "online", settings.clone());
        watching.join(60_000, 2).await;
        node.join(0, viewers).await;
        let pair = Pair { server, proxy, node, watching };
        pair.both_show(viewers.into()).await;
        // Until the new epoch has settled, calls come for that reason alone.
        sleep(settings.timing.settle + settings.timing.heartbeat / 4).await;
        pair
    }

    /// Waits until both nodes show this many viewers of the node, and the two of the other one.
    async fn both_show(&self, viewers: u64) {
        self.watching.shows(viewers + 2, SOON * 3).await;
        self.node.shows(viewers + 2, SOON * 3).await;
    }

    async fn reload(self, settings: &Settings) -> Pair {
        let Pair { server, proxy, node, watching } = self;
        let node = reload(node, Some(&proxy.url()), settings).await;
        Pair { server, proxy, node, watching }
    }

    /// Waits until Redis has the node's viewers exactly as they are, and no others.
    async fn is_exact(&self) {
        let deadline = Instant::now() + SOON * 5;
        loop {
            let mut registered = 0;
            for session in sessions(&self.server) {
                registered +=
                    self.server.query::<usize>(&["HLEN", &format!("hc:{{online}}:viewers:{session}")]).unwrap();
            }
            let reaping: usize = self.server.query(&["LLEN", "hc:{online}:reaping"]).unwrap();
            if registered == self.node.registrations.len() + 2 && reaping == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{registered} registered of {}", self.node.registrations.len() + 2);
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn redis_sees_nothing() {
    let settings = settings();
    let mut pair = Pair::start(&settings, 100).await;
    let before = sessions(&pair.server);
    assert_eq!(before.len(), 2);
    let (published, shown) = (Published::of(&pair.server), Shown::of(&pair.watching.counter));
    for _ in 0..3 {
        pair = pair.reload(&settings).await;
        assert_eq!(*pair.node.presence.health().borrow(), Health::Connected, "as before");
        let reading = pair.node.reading();
        assert_eq!((reading.count, reading.visitors, reading.stale), (102, 102, false));
        assert!(reading.epoch > 0 && reading.epoch == pair.watching.reading().epoch);
        let own = Shown::of(&pair.node.counter);
        // Longer than a lease: it goes on.
        sleep(settings.timing.lease * 2).await;
        assert_eq!(own.numbers(), [(102, 102)].into());
    }
    assert!(published.numbers().is_empty(), "nothing changes: {:?}", published.numbers());
    assert_eq!(shown.numbers(), [(102, 102)].into());
    // At once again, before Redis has answered.
    for _ in 0..5 {
        pair = pair.reload(&settings).await;
    }
    pair.node.join(200, 1).await;
    pair.both_show(101).await;
    pair.node.registrations.drain(..51);
    pair.both_show(50).await;
    assert_eq!(sessions(&pair.server), before, "the session goes on");
    assert_eq!(pair.watching.reading().visitors, 52);
    pair.is_exact().await;
}

#[tokio::test]
async fn changes_around_the_pause_are_exact() {
    let settings = settings();
    let mut pair = Pair::start(&settings, 30).await;
    let before = sessions(&pair.server);
    for round in 0..10 {
        // Some changes are not reported yet, or are on their way.
        pair.node.join(100 + round * 10, 5).await;
        pair.node.registrations.drain(..3);
        if round % 2 == 0 {
            sleep(Duration::from_millis(round.into())).await;
        }
        let (left, _) = Left::by(pair.node).await;
        pair.node = left.through_bytes().resumed(Some(&pair.proxy.url()), settings.clone());
        pair.node.registrations.drain(..1);
        let viewers = pair.node.registrations.len() as u64;
        pair.both_show(viewers).await;
        assert_eq!(pair.watching.reading().visitors, viewers + 2);
    }
    assert_eq!(sessions(&pair.server), before);
    pair.is_exact().await;
}

/// Reloads while a report is without an answer. `disturb` keeps the answer away.
async fn unanswered(disturb: impl Fn(&Proxy)) {
    let settings = settings();
    let mut pair = Pair::start(&settings, 30).await;
    let before = sessions(&pair.server);
    let (published, shown) = (Published::of(&pair.server), Shown::of(&pair.watching.counter));
    disturb(&pair.proxy);
    pair.node.join(100, 5).await;
    pair.node.registrations.drain(..10);
    sleep(Duration::from_millis(60)).await;
    let (left, _) = Left::by(pair.node).await;
    pair.proxy.heal();
    pair.node = left.through_bytes().resumed(Some(&pair.proxy.url()), settings.clone());
    // Some of those whose joins have no answer, and some others.
    pair.node.registrations.drain(18..23);
    pair.node.join(200, 1).await;
    pair.both_show(21).await;
    // Whatever was delayed arrives.
    sleep(Duration::from_millis(500)).await;
    pair.both_show(21).await;
    assert_eq!(pair.watching.reading().visitors, 23);
    assert_eq!(sessions(&pair.server), before, "the session goes on");
    pair.is_exact().await;
    // 32, the changes of the report, and those after the reload, whose joins and leaves may come one by one.
    let lowest = 32 - 10 - 5;
    for (count, visitors) in published.numbers().into_iter().chain(shown.numbers()) {
        assert!((lowest..=37).contains(&count) && count == visitors, "{count} viewers, {visitors} visitors");
    }
}

#[tokio::test]
async fn changes_that_were_not_sent_do_not_wait_for_a_heartbeat() {
    let settings = Settings::default();
    let mut pair = Pair::start(&settings, 30).await;
    let before = sessions(&pair.server);
    pair.proxy.hold(Direction::ToClient);
    pair.node.join(100, 5).await;
    sleep(Duration::from_millis(60)).await;
    // These are behind the report that has no answer.
    pair.node.registrations.drain(..10);
    pair.node.registrations.drain(22..25);
    let (left, _) = Left::by(pair.node).await;
    pair.proxy.heal();
    pair.node = left.through_bytes().resumed(Some(&pair.proxy.url()), settings.clone());
    let resumed = Instant::now();
    pair.both_show(22).await;
    assert!(resumed.elapsed() < settings.timing.heartbeat / 2, "{:?}", resumed.elapsed());
    pair.is_exact().await;
    assert_eq!(sessions(&pair.server), before);
}

#[tokio::test]
async fn another_address_of_the_same_redis_changes_nothing() {
    let settings = settings();
    let mut pair = Pair::start(&settings, 30).await;
    let before = sessions(&pair.server);
    let (published, shown) = (Published::of(&pair.server), Shown::of(&pair.watching.counter));
    pair.node = reload(pair.node, Some(&pair.server.url()), &settings).await;
    let own = Shown::of(&pair.node.counter);
    sleep(settings.timing.lease * 2).await;
    assert_eq!((published.numbers(), shown.numbers()), ([].into(), [(32, 32)].into()), "nothing changes");
    assert_eq!(own.numbers(), [(32, 32)].into());
    assert_eq!(sessions(&pair.server), before);
    pair.node.registrations.clear();
    pair.both_show(0).await;
    pair.is_exact().await;
}

#[tokio::test]
async fn another_address_where_nobody_answers_keeps_the_number_and_marks_it() {
    let settings = settings();
    let mut pair = Pair::start(&settings, 30).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    pair.node = reload(pair.node, Some(&format!("redis://{nobody}")), &settings).await;
    let mut readings = pair.node.counter.watch();
    let stale = readings.wait_for(|reading| reading.stale);
    let reading = *tokio::time::timeout(settings.timing.stale_after + SOON, stale).await.expect("marked").unwrap();
    assert_eq!(reading.count, 32);
    assert!(matches!(*pair.node.presence.health().borrow(), Health::Degraded { .. }));
    pair.node = reload(pair.node, Some(&pair.proxy.url()), &settings).await;
    pair.both_show(30).await;
    pair.is_exact().await;
}

#[tokio::test]
async fn a_report_is_applied_and_never_answered() {
    unanswered(|proxy| proxy.disturb_scripts(ScriptFaults { lose_reply: 1.0, ..ScriptFaults::default() })).await;
    unanswered(|proxy| proxy.hold(Direction::ToClient)).await;
}

#[tokio::test]
async fn a_report_arrives_after_that_of_the_next_process() {
    unanswered(|proxy| proxy.delay(Direction::ToServer, Duration::from_millis(400))).await;
    let reorder = ScriptFaults { reorder: 1.0, max_delay: Duration::from_millis(400), ..ScriptFaults::default() };
    unanswered(|proxy| proxy.disturb_scripts(reorder)).await;
}

#[tokio::test]
async fn a_report_never_arrives() {
    unanswered(Proxy::cut).await;
}

#[tokio::test]
async fn a_registration_in_progress_goes_on() {
    let settings = settings();
    let mut pair = Pair::start(&settings, 2_500).await;
    let watching = session_with(&pair.server, 2);
    let (published, shown) = (Published::of(&pair.server), Shown::of(&pair.watching.counter));
    let mut replaced = 0;
    for (round, pause) in (0..14).map(|step| (step, Duration::from_millis(u64::from(step) * 20))) {
        let session = session_with(&pair.server, pair.node.registrations.len());
        // Redis seems to have missed a report, so that the node registers all of its viewers again.
        let field = format!("s:{session}");
        let it: String = pair.server.query(&["HGET", "hc:{online}:state", &field]).unwrap();
        let (seq, rest) = it.split_once(' ').unwrap();
        let earlier = format!("{} {rest}", seq.parse::<u64>().unwrap() - 1);
        let joining = pair.node.presence.admit(pair.node.counter.name(), &client(10_000 + round)).await.unwrap();
        pair.node.registrations.push(joining);
        pair.server.command(&["HSET", "hc:{online}:state", &field, &earlier]).unwrap();
        pair.proxy.delay(Direction::ToServer, Duration::from_millis(20));
        pair.proxy.delay(Direction::ToClient, Duration::from_millis(20));
        pair.node.registrations.last_mut().unwrap().start_counting();
        sleep(pause).await;
        pair.proxy.heal();
        pair = pair.reload(&settings).await;
        let viewers = 2_501 + u64::from(round);
        pair.both_show(viewers).await;
        pair.is_exact().await;
        // A hello whose reply came too late leaves an empty session behind, which ends with its lease.
        let deadline = Instant::now() + settings.timing.lease * 3;
        while sessions(&pair.server).len() != 2 {
            assert!(Instant::now() < deadline, "paused after {pause:?}: {:?}", sessions(&pair.server));
            sleep(Duration::from_millis(10)).await;
        }
        replaced += u64::from(session_with(&pair.server, viewers as usize) != session);
        assert_eq!(session_with(&pair.server, 2), watching);
        let numbers: HashSet<_> = published.numbers().union(&shown.numbers()).copied().collect();
        let is_true = |(count, visitors): &(u64, u64)| (2_502..=viewers + 2).contains(count) && visitors == count;
        assert!(numbers.iter().all(is_true), "paused after {pause:?}: {numbers:?}");
    }
    assert!(replaced > 7, "in only {replaced} rounds all viewers were registered again");
    // Nothing else counts, and nothing of it is left.
    pair.node.registrations.clear();
    pair.both_show(0).await;
    pair.is_exact().await;
    assert_eq!(pair.watching.reading().visitors, 2);
}

/// The session with this many viewers.
fn session_with(server: &RedisServer, viewers: usize) -> String {
    let size =
        |session: &String| server.query::<usize>(&["HLEN", &format!("hc:{{online}}:viewers:{session}")]).unwrap();
    sessions(server).into_iter().find(|session| size(session) == viewers).expect("there is one")
}

#[tokio::test]
async fn the_first_registration_goes_on() {
    let settings = settings();
    for pause in (0..8).map(|step| Duration::from_millis(step * 20)) {
        let mut pair = Pair::start(&settings, 0).await;
        for person in 0..2_500 {
            let registration = pair.node.presence.admit(pair.node.counter.name(), &client(person)).await.unwrap();
            pair.node.registrations.push(registration);
        }
        let (published, shown) = (Published::of(&pair.server), Shown::of(&pair.watching.counter));
        pair.proxy.delay(Direction::ToServer, Duration::from_millis(20));
        pair.node.registrations.iter_mut().for_each(Registration::start_counting);
        sleep(pause).await;
        pair.proxy.heal();
        pair = pair.reload(&settings).await;
        pair.both_show(2_500).await;
        pair.is_exact().await;
        assert_eq!(pair.watching.reading().visitors, 2_502);
        let numbers: HashSet<_> = published.numbers().union(&shown.numbers()).map(|(count, _)| *count).collect();
        assert_eq!(numbers, [2, 2_502].into(), "paused after {pause:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_session_goes_on() {
    let settings = settings();
    for (is_late, is_closed) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut pair = Pair::start(&settings, 5).await;
        if is_closed {
            pair.proxy.hold_both();
            // Its counter ends with its last handle, and with it the session.
            let other = pair.node.presence.counter(&name("other")).unwrap();
            pair.node.registrations.clear();
            pair.node.counter = other;
        } else {
            pair.node.registrations.clear();
            pair.both_show(0).await;
            sleep(settings.timing.heartbeat * 3 / 4).await;
            pair.proxy.hold_both();
            // The empty session ends at the next heartbeat.
            sleep(settings.timing.heartbeat / 2).await;
        }
        let (left, _) = Left::by(pair.node).await;
        if !is_late {
            pair.proxy.cut();
        }
        pair.proxy.heal();
        pair.node = left.through_bytes().resumed(Some(&pair.proxy.url()), settings.clone());
        pair.node.join(100, 3).await;
        pair.both_show(3).await;
        // A late end of the former session ends nothing else.
        let shown = Shown::of(&pair.watching.counter);
        sleep(settings.timing.lease * 2).await;
        assert_eq!(shown.numbers(), [(5, 5)].into(), "late: {is_late}, closed: {is_closed}");
        pair.is_exact().await;
        assert_eq!(sessions(&pair.server).len(), 2);
    }
}

#[tokio::test]
async fn redis_may_be_frozen_or_away_meanwhile() {
    let settings = Settings::default();
    let mut pair = Pair::start(&settings, 30).await;
    let before = sessions(&pair.server);
    let shown = Shown::of(&pair.watching.counter);
    pair.server.process().freeze().unwrap();
    pair.node.join(100, 1).await;
    let (left, took) = Left::by(pair.node).await;
    assert!(took < Duration::from_millis(200), "{took:?}");
    pair.node = left.through_bytes().resumed(Some(&pair.proxy.url()), settings.clone());
    assert_eq!(pair.node.reading().count, 32, "it shows what it has shown");
    sleep(Duration::from_secs(3)).await;
    pair.server.process().thaw().unwrap();
    pair.both_show(31).await;
    assert_eq!(shown.numbers(), [(32, 32), (33, 33)].into());
    assert_eq!(sessions(&pair.server), before);
    pair.server.kill();
    sleep(Duration::from_secs(1)).await;
    pair.node.registrations.truncate(10);
    pair = pair.reload(&settings).await;
    assert_eq!(pair.node.reading().count, 33);
    let mut stale = pair.node.counter.watch();
    let marked = stale.wait_for(|reading| reading.stale);
    tokio::time::timeout(settings.timing.stale_after, marked).await.expect("the time goes on").unwrap();
    pair = pair.reload(&settings).await;
    assert!(pair.node.reading().stale);
    assert!(matches!(*pair.node.presence.health().borrow(), Health::Degraded { .. }));
    pair.server.restart(Data::Lost).unwrap();
    pair.both_show(10).await;
    pair.is_exact().await;
}

#[tokio::test]
async fn a_process_that_never_reached_redis_hands_over_as_well() {
    let mut server = RedisServer::start().unwrap();
    server.kill();
    let mut node = Node::start(&server.url());
    node.join(0, 3).await;
    let node = reload(node, Some(&server.url()), &Settings::default()).await;
    let reading = node.reading();
    assert_eq!((reading.count, reading.stale, reading.epoch), (3, true, 0));
    assert_eq!(*node.presence.health().borrow(), Health::Starting);
    server.restart(Data::Lost).unwrap();
    assert!(node.shows(3, SOON * 2).await.epoch > 0);
}

#[tokio::test]
async fn a_viewer_that_is_not_restored_does_not_stay() {
    let settings = settings();
    let mut pair = Pair::start(&settings, 30).await;
    let Pair { server, proxy, node, watching } = pair;
    let Node { presence, counter, mut registrations } = node;
    registrations.truncate(30);
    // Five of them are lost on the way.
    let lost: Vec<_> = registrations.drain(..5).map(Registration::detach).collect();
    let (left, _) = Left::by(Node { presence, counter, registrations }).await;
    drop(lost);
    let node = left.through_bytes().resumed(Some(&proxy.url()), settings);
    pair = Pair { server, proxy, node, watching };
    pair.both_show(25).await;
    pair.is_exact().await;
}

#[tokio::test]
async fn delayed_changes_are_exact_at_other_nodes() {
    let settings = Settings { grace: Duration::from_secs(1), ..settings() };
    let mut pair = Pair::start(&settings, 0).await;
    pair.node.join(0, 10).await;
    pair = pair.reload(&settings).await;
    assert_eq!(pair.watching.reading().count, 2);
    pair.both_show(10).await;
    // More leaves of an address than take effect at once.
    for _ in 0..8 {
        pair.node.join(500, 1).await;
    }
    sleep(settings.grace + Duration::from_secs(10)).await;
    pair.both_show(18).await;
    pair.node.registrations.truncate(10);
    pair = pair.reload(&settings).await;
    pair.both_show(10).await;
    pair.is_exact().await;
}

#[tokio::test]
async fn the_limits_of_an_address_go_on() {
    let limits = AddressLimits { per_counter: 3, ..AddressLimits::default() };
    let settings = Settings { limits, ..settings() };
    let mut pair = Pair::start(&settings, 10).await;
    let crowded = client(700);
    let admit = async |node: &Node, client: &Client| node.presence.admit(node.counter.name(), client).await;
    // Two streams at the node, and one at the other: each of them has several.
    for _ in 0..2 {
        let mut registration = admit(&pair.node, &crowded).await.unwrap();
        registration.start_counting();
        pair.node.registrations.push(registration);
    }
    let elsewhere = admit(&pair.watching, &crowded).await.unwrap();
    // One stream at each.
    let shared = client(701);
    let mut here = vec![admit(&pair.watching, &shared).await.unwrap(), admit(&pair.watching, &shared).await.unwrap()];
    pair.node.registrations.push(admit(&pair.node, &shared).await.unwrap());
    let streams = |server: &RedisServer| {
        let keys = server.keys().unwrap().into_iter().filter(|key| key.starts_with("hc:address:"));
        let fields = keys.flat_map(|key| server.query::<Vec<String>>(&["HKEYS", &key]).unwrap());
        fields.filter(|field| field.starts_with("s:")).collect::<HashSet<_>>()
    };
    let before = streams(&pair.server);
    pair = pair.reload(&settings).await;
    for client in [&crowded, &shared] {
        let full = Err(AdmissionError::TooManyOfCounter { limit: 3 });
        for node in [&pair.node, &pair.watching] {
            assert_eq!(admit(node, client).await.map(drop), full);
        }
    }
    // The streams are kept alive, and nobody else's are stored.
    sleep(settings.timing.lease * 4).await;
    let after = streams(&pair.server);
    assert!(after.is_subset(&before) && after.len() == 6, "{after:?}");
    for client in [&crowded, &shared] {
        assert!(admit(&pair.watching, client).await.is_err(), "kept alive");
    }
    // A departure shortly before a reload, and one after.
    pair.node.registrations.remove(10);
    pair = pair.reload(&settings).await;
    pair.node.registrations.remove(11);
    for client in [&crowded, &shared] {
        let deadline = Instant::now() + SOON;
        let admitted = loop {
            match admit(&pair.watching, client).await {
                Ok(registration) => break registration,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            sleep(Duration::from_millis(50)).await;
        };
        here.push(admitted);
    }
    drop(elsewhere);
}

#[tokio::test]
async fn a_node_that_is_reloaded_all_the_time_stays_exact() {
    let settings = settings();
    let mut pair = Pair::start(&settings, 50).await;
    let before = sessions(&pair.server);
    let mut next = 1_000;
    for round in 0..20_u16 {
        pair.node.join(next, round % 4).await;
        next += round % 4;
        pair.node.registrations.drain(..usize::from(round % 3));
        pair = pair.reload(&settings).await;
        sleep(Duration::from_millis(u64::from(round % 5) * 3)).await;
    }
    let viewers = pair.node.registrations.len() as u64;
    pair.both_show(viewers).await;
    pair.is_exact().await;
    assert_eq!(sessions(&pair.server), before);
    let connections = pair.proxy.connections();
    assert!(connections <= 4, "{connections} connections are left");
}
