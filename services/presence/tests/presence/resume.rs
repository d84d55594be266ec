//! A new process goes on with the viewers of a former one, and nobody notices. Each state passes through bytes, as from
//! one process to the next.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headcount_presence::{
    Counter, Health, Presence, PresenceState, RedisUrl, Registration, RegistrationState, Settings, Timing,
};
use headcount_testkit::RedisServer;
use tokio::time::{Instant, sleep};

use crate::embedded::{client, name};
use crate::shared::{Node, SOON};

/// What a process leaves to the next one.
pub(crate) struct Left {
    state: PresenceState,
    registrations: Vec<RegistrationState>,
}

impl Left {
    /// Ends the node's process. Also returns how long the pause took.
    pub(crate) async fn by(node: Node) -> (Left, Duration) {
        let Node { presence, counter, registrations } = node;
        let began = Instant::now();
        let registrations: Vec<_> = registrations.into_iter().map(Registration::detach).collect();
        let state = presence.pause().await;
        let took = began.elapsed();
        drop((counter, presence));
        (Left { state, registrations }, took)
    }

    /// What arrives in the next process.
    pub(crate) fn through_bytes(self) -> Left {
        let bytes = rmp_serde::to_vec(&(self.state, self.registrations)).unwrap();
        let (state, registrations) = rmp_serde::from_slice(&bytes).unwrap();
        Left { state, registrations }
    }

    /// The next process.
    pub(crate) fn resumed(self, url: Option<&str>, settings: Settings) -> Node {
        let url = url.map(|url| RedisUrl::parse(url).unwrap());
        let presence = Presence::resume(url, settings, self.state);
        let counter = presence.counter(&name("online")).unwrap();
        let registrations = self.registrations.into_iter().map(|state| presence.restore(&counter, state)).collect();
        presence.restored();
        Node { presence, counter, registrations }
    }
}

/// The node in its next process.
pub(crate) async fn reload(node: Node, url: Option<&str>, settings: &Settings) -> Node {
    let (left, took) = Left::by(node).await;
    assert!(took < Duration::from_millis(1_200), "the pause took {took:?}");
    left.through_bytes().resumed(url, settings.clone())
}

fn embedded(settings: &Settings) -> Node {
    let presence = Presence::embedded(settings.clone());
    let counter = presence.counter(&name("online")).unwrap();
    Node { presence, counter, registrations: Vec::new() }
}

/// The readings that a counter shows, collected in the background.
pub(crate) struct Shown(tokio::task::JoinHandle<()>, Arc<Mutex<Vec<(u64, u64)>>>);

impl Shown {
    pub(crate) fn of(counter: &Counter) -> Shown {
        let mut readings = counter.watch();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&shown);
        let task = tokio::spawn(async move {
            loop {
                let reading = *readings.borrow_and_update();
                collected.lock().unwrap().push((reading.count, reading.visitors));
                if readings.changed().await.is_err() {
                    return;
                }
            }
        });
        Shown(task, shown)
    }

    /// All counts and visitors so far, without repetitions.
    pub(crate) fn numbers(&self) -> HashSet<(u64, u64)> {
        self.1.lock().unwrap().iter().copied().collect()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn numbers(node: &Node) -> (u64, u64) {
    let reading = node.reading();
    (reading.count, reading.visitors)
}

#[tokio::test]
async fn an_embedded_presence_goes_on() {
    let settings = Settings::default();
    let mut node = embedded(&settings);
    node.join(1, 3).await;
    node.join(1, 1).await;
    let before = node.reading();
    assert_eq!((before.count, before.visitors), (4, 3));
    for _ in 0..3 {
        node = reload(node, None, &settings).await;
        let reading = node.reading();
        assert_eq!((reading.count, reading.visitors, reading.epoch, reading.stale), (4, 3, before.epoch, false));
        assert!(reading.version >= before.version);
        assert_eq!(*node.presence.health().borrow(), Health::Connected);
    }
    node.join(3, 1).await;
    assert_eq!(numbers(&node), (5, 3), "visitors are recognised");
    assert!(node.reading().version > before.version && node.reading().epoch == before.epoch);
    node.registrations.truncate(1);
    assert_eq!(numbers(&node), (1, 1));
    node.registrations.clear();
    assert_eq!(numbers(&node), (0, 0));
}

#[tokio::test]
async fn no_reading_holds_a_part_of_the_viewers() {
    let mut node = embedded(&Settings::default());
    node.join(1, 50).await;
    let (left, _) = Left::by(node).await;
    let Left { state, registrations } = left.through_bytes();
    let presence = Presence::resume(None, Settings::default(), state);
    let counter = presence.counter(&name("online")).unwrap();
    let mut readings = counter.watch();
    let first = *readings.borrow_and_update();
    assert_eq!((first.count, first.visitors), (50, 50));
    let mut restored = Vec::new();
    for state in registrations {
        restored.push(presence.restore(&counter, state));
        // One has closed its connection meanwhile, and another one comes.
        if restored.len() == 10 {
            restored.pop();
            let mut registration = presence.admit(counter.name(), &client(60)).await.unwrap();
            registration.start_counting();
            restored.push(registration);
            restored.push(presence.admit(counter.name(), &client(61)).await.unwrap());
            restored.last_mut().unwrap().start_counting();
        }
        assert!(!readings.has_changed().unwrap(), "{:?}", *readings.borrow());
    }
    presence.restored();
    let reading = *readings.borrow();
    assert_eq!((reading.count, reading.visitors, reading.epoch), (51, 51, first.epoch));
    assert!(reading.version > first.version);
    assert_eq!(presence.read(&name("online")).await.count, 51);
}

#[tokio::test]
async fn a_process_may_hand_over_before_it_has_restored_all() {
    let server = RedisServer::start().unwrap();
    for url in [None, Some(server.url())] {
        let url = url.as_deref();
        let mut node = match url {
            Some(url) => Node::start(url),
            None => embedded(&Settings::default()),
        };
        node.join(1, 20).await;
        node.shows(20, SOON).await;
        let (left, _) = Left::by(node).await;
        let Left { state, registrations } = left.through_bytes();
        let presence = Presence::resume(url.map(|url| RedisUrl::parse(url).unwrap()), Settings::default(), state);
        let counter = presence.counter(&name("online")).unwrap();
        let registrations = registrations.into_iter().map(|state| presence.restore(&counter, state)).collect();
        let mut node = reload(Node { presence, counter, registrations }, url, &Settings::default()).await;
        assert_eq!(numbers(&node), (20, 20));
        node.registrations.truncate(5);
        node.shows(5, SOON).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_grace_period_goes_on() {
    let grace = Duration::from_secs(30);
    let settings = Settings { grace, ..Settings::default() };
    let mut node = embedded(&settings);
    node.join(1, 1).await;
    sleep(Duration::from_secs(20)).await;
    node.join(2, 1).await;
    let not_started = node.presence.admit(node.counter.name(), &client(3)).await.unwrap();
    node.registrations.push(not_started);
    node = reload(node, None, &settings).await;
    assert_eq!(numbers(&node), (0, 0));
    sleep(Duration::from_secs(11)).await;
    assert_eq!(numbers(&node), (1, 1));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(numbers(&node), (2, 2));
    node.registrations[2].start_counting();
    node = reload(node, None, &settings).await;
    node.registrations.remove(2);
    sleep(grace * 2).await;
    assert_eq!(numbers(&node), (2, 2), "it left before it counted");
    // A shorter grace period holds for those who wait already.
    node.join(4, 1).await;
    node = reload(node, None, &Settings { grace: Duration::ZERO, ..settings }).await;
    sleep(Duration::from_secs(12)).await;
    assert_eq!(numbers(&node), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn delayed_changes_of_a_damped_address_are_not_lost() {
    let settings = Settings::default();
    let mut node = embedded(&settings);
    // The first four changes take effect at once, the others wait.
    for _ in 0..6 {
        node.join(1, 1).await;
    }
    assert_eq!(numbers(&node), (4, 1));
    sleep(Duration::from_secs(3)).await;
    node = reload(node, None, &settings).await;
    assert_eq!(numbers(&node), (4, 1));
    sleep(Duration::from_secs(8)).await;
    assert_eq!(numbers(&node), (6, 1), "the joins that waited took effect when they should");
    for _ in 0..5 {
        node.join(2, 1).await;
    }
    assert_eq!(numbers(&node), (10, 2));
    node.registrations.truncate(6);
    assert_eq!(numbers(&node), (10, 2), "leaves wait");
    node = reload(node, None, &settings).await;
    assert_eq!(numbers(&node), (6, 1), "they are true");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(numbers(&node), (6, 1));
}

#[tokio::test]
async fn ids_of_viewers_are_not_given_twice() {
    let settings = Settings::default();
    let mut node = embedded(&settings);
    node.join(1, 5).await;
    node.registrations.clear();
    for round in 0..3 {
        node.join(1, 2).await;
        node = reload(node, None, &settings).await;
        let ids: HashSet<_> = node.registrations.iter().map(|registration| format!("{registration:?}")).collect();
        assert_eq!(ids.len(), 2 * (round + 1));
        assert_eq!(numbers(&node), (ids.len() as u64, 2));
    }
    assert!(node.registrations.iter().all(|registration| !format!("{registration:?}").contains("viewer: 4 ")));
    let last = format!("{:?}", node.presence.admit(node.counter.name(), &client(9)).await.unwrap());
    assert!(last.contains("viewer: 11"), "{last}");
}

/// Counts the panics of all threads.
fn count_panics() -> Arc<AtomicUsize> {
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&panics);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        counted.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
    panics
}

#[tokio::test]
async fn states_of_nonsense_do_no_harm() {
    let server = RedisServer::start().unwrap();
    let settings = Settings::default();
    let panics = count_panics();
    for url in [None, Some(server.url())] {
        let url = url.as_deref();
        let mut node = match url {
            Some(url) => Node::start(url),
            None => embedded(&settings),
        };
        node.join(1, 3).await;
        node.shows(3, SOON).await;
        let (left, _) = Left::by(node).await;
        let state = rmp_serde::to_vec(&left.state).unwrap();
        let registrations = rmp_serde::to_vec(&left.registrations).unwrap();
        // Every viewer twice.
        let twice = || rmp_serde::from_slice::<Vec<RegistrationState>>(&registrations).unwrap();
        let registered = twice().into_iter().chain(twice()).collect();
        let left = Left { state: rmp_serde::from_slice(&state).unwrap(), registrations: registered };
        let mut node = left.resumed(url, settings.clone());
        node.shows(6, SOON).await;
        node.registrations.truncate(1);
        node.shows(1, SOON).await;
        node.registrations.clear();
        node.shows(0, SOON).await;
        // Each byte is wrong once.
        for at in 0..state.len() + registrations.len() {
            let (mut state, mut registrations) = (state.clone(), registrations.clone());
            match at.checked_sub(state.len()) {
                None => state[at] ^= 0x55,
                Some(at) => registrations[at] ^= 0x55,
            }
            let state: Result<PresenceState, _> = rmp_serde::from_slice(&state);
            let registrations: Result<Vec<RegistrationState>, _> = rmp_serde::from_slice(&registrations);
            if let (Ok(state), Ok(registrations)) = (state, registrations) {
                let node = Left { state, registrations }.resumed(url, settings.clone());
                sleep(Duration::from_millis(5)).await;
                node.presence.pause().await;
            }
        }
    }
    assert_eq!(panics.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn without_bytes_in_the_same_process_it_goes_on_as_well() {
    let server = RedisServer::start().unwrap();
    let mut node = Node::start(&server.url());
    node.join(1, 3).await;
    node.shows(3, SOON).await;
    let (left, _) = Left::by(node).await;
    let mut node = left.resumed(Some(&server.url()), Settings::default());
    node.join(4, 1).await;
    node.shows(4, SOON).await;
}

#[tokio::test]
async fn whoever_counted_elsewhere_is_registered_anew() {
    let timing = Timing::scaled(10);
    let settings = Settings { timing, ..Settings::default() };
    let other_prefix = Settings { prefix: "other:".to_owned(), ..settings.clone() };
    let (one, two) = (RedisServer::start().unwrap(), RedisServer::start().unwrap());
    let (one, two) = (one.url(), two.url());
    let mut node = embedded(&settings);
    node.join(1, 3).await;
    let ways = [
        (None, Some(&one), &settings),
        (Some(&one), Some(&two), &settings),
        (Some(&two), Some(&two), &other_prefix),
        (Some(&two), None, &settings),
        (None, Some(&one), &settings),
    ];
    for (step, (from, to, settings)) in ways.into_iter().enumerate() {
        node = reload(node, to.map(String::as_str), settings).await;
        let shown = Shown::of(&node.counter);
        let reading = node.shows(3 + step as u64, SOON).await;
        sleep(timing.heartbeat).await;
        assert_eq!(shown.numbers(), [(3 + step as u64, 3)].into(), "step {step}");
        assert_eq!(reading.visitors, 3, "visitors are recognised");
        if let Some(to) = to {
            let watching = Node::start_with(to, "online", settings.clone());
            watching.shows(3 + step as u64, SOON).await;
        }
        if let Some(from) = from.filter(|from| Some(*from) != to || step == 2) {
            // Its former session runs out.
            let settings = Settings { timing, ..Settings::default() };
            Node::start_with(from, "online", settings).shows(0, SOON).await;
        }
        node.join(1, 1).await;
        node.shows(4 + step as u64, SOON).await;
    }
}

#[tokio::test]
async fn twenty_thousand_viewers_are_handed_over_fast() {
    let server = RedisServer::start().unwrap();
    for url in [None, Some(server.url())] {
        let url = url.as_deref();
        let mut node = match url {
            Some(url) => Node::start(url),
            None => embedded(&Settings::default()),
        };
        node.join(0, 20_000).await;
        node.shows(20_000, SOON * 5).await;
        let (left, paused) = Left::by(node).await;
        let began = Instant::now();
        let bytes = rmp_serde::to_vec(&(left.state, left.registrations)).unwrap();
        let written = began.elapsed();
        let began = Instant::now();
        let (state, registrations) = rmp_serde::from_slice(&bytes).unwrap();
        let read = began.elapsed();
        let began = Instant::now();
        let node = Left { state, registrations }.resumed(url, Settings::default());
        let restored = began.elapsed();
        let (size, place) = (bytes.len() / 1_000, if url.is_some() { "with Redis" } else { "embedded" });
        println!(
            "20,000 viewers, {place}: detached and paused in {paused:?}, restored in {restored:?}; {size} kB, written in \
             {written:?}, read in {read:?}"
        );
        assert_eq!(numbers(&node), (20_000, 20_000));
        drop(node);
    }
}
