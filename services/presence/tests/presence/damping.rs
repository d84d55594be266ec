//! An address that opens and closes streams again and again is damped: others see few changes of it.

use std::time::Duration;

use headcount_presence::{Client, Counter, Presence, Registration, Settings};
use tokio::time::{Instant, sleep};

use crate::embedded::{client, name};
use crate::shared::{Node, SOON};
use headcount_testkit::RedisServer;

/// Within this time the number is exact, however fast an address changes.
const DAMPING_TIME: Duration = Duration::from_secs(10);

/// The pace of an address that opens as many streams as it may: 16 a second.
const FLAP: Duration = Duration::from_micros(62_500);

/// Changes of an address that count at once.
const FREE: u64 = 4;

async fn open(presence: &Presence, counter: &Counter, client: &Client) -> Registration {
    let mut registration = presence.admit(counter.name(), client).await.unwrap();
    registration.start_counting();
    registration
}

/// Opens and closes a stream as often as it may, for this time.
async fn flap(presence: &Presence, counter: &Counter, client: &Client, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let registration = open(presence, counter, client).await;
        sleep(FLAP / 2).await;
        drop(registration);
        sleep(FLAP / 2).await;
    }
}

/// The readings that were published, and the newest count.
fn shown(counter: &Counter) -> (u64, u64) {
    let reading = *counter.watch().borrow();
    (reading.version, reading.count)
}

#[tokio::test(start_paused = true)]
async fn a_flapping_address_hardly_changes_the_number() {
    let presence = Presence::embedded(Settings::default());
    let counter = presence.counter(&name("online")).unwrap();
    let (before, _) = shown(&counter);
    flap(&presence, &counter, &client(1), Duration::from_secs(20)).await;
    let (after, count) = shown(&counter);
    println!("{} changes of an address in 20 s are {} readings", 2 * 20 * 16, after - before);
    assert!(after - before <= FREE && count == 0, "{} readings, the last of {count} viewers", after - before);
}

#[tokio::test(start_paused = true)]
async fn streams_that_just_last_change_the_number_once_a_second() {
    let presence = Presence::embedded(Settings::default());
    let counter = presence.counter(&name("online")).unwrap();
    let mut open_streams = std::collections::VecDeque::new();
    let (mut before, mut highest) = (shown(&counter).0, 0);
    let begun = Instant::now();
    let mut tens = 0;
    // As many streams as the address may have, each a little longer than the damping time.
    while begun.elapsed() < Duration::from_secs(60) {
        if open_streams.len() == 32 {
            open_streams.pop_front();
        }
        open_streams.push_back(open(&presence, &counter, &client(1)).await);
        sleep(Duration::from_millis(330)).await;
        highest = highest.max(shown(&counter).1);
        if begun.elapsed().as_secs() / 10 > tens {
            tens = begun.elapsed().as_secs() / 10;
            let (after, _) = shown(&counter);
            assert!(after - before <= 10 + FREE, "{} readings in 10 s", after - before);
            before = after;
        }
    }
    assert!((30..=34).contains(&highest), "{highest} of 32 streams count");
    let registrations = open_streams.len() as u64;
    sleep(DAMPING_TIME).await;
    assert_eq!(shown(&counter).1, registrations);
    drop(open_streams);
    sleep(DAMPING_TIME).await;
    assert_eq!(shown(&counter).1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_damped_number_is_exact_after_ten_seconds() {
    let presence = Presence::embedded(Settings::default());
    let counter = presence.counter(&name("online")).unwrap();
    flap(&presence, &counter, &client(1), Duration::from_secs(5)).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(open(&presence, &counter, &client(1)).await);
    }
    let other = open(&presence, &counter, &client(2)).await;
    assert_eq!(shown(&counter).1, 1, "another address is not damped");
    sleep(DAMPING_TIME).await;
    assert_eq!(shown(&counter).1, 11);
    flap(&presence, &counter, &client(1), Duration::from_secs(5)).await;
    streams.truncate(3);
    assert_eq!(shown(&counter).1, 11, "leaves wait");
    sleep(DAMPING_TIME).await;
    assert_eq!(shown(&counter).1, 4);
    drop((streams, other));
    sleep(DAMPING_TIME).await;
    assert_eq!(shown(&counter).1, 0);
}

#[tokio::test(start_paused = true)]
async fn an_office_that_reloads_is_damped_for_ten_seconds() {
    let presence = Presence::embedded(Settings::default());
    let counter = presence.counter(&name("online")).unwrap();
    let mut office = Vec::new();
    for _ in 0..32 {
        office.push(open(&presence, &counter, &client(1)).await);
    }
    sleep(DAMPING_TIME * 2).await;
    let (before, count) = shown(&counter);
    assert_eq!(count, 32);
    for _ in 0..32 {
        // The old stream ends with the old page; the new page's stream comes a little later.
        office.remove(0);
        sleep(Duration::from_millis(10)).await;
        office.push(open(&presence, &counter, &client(1)).await);
        assert!(shown(&counter).1 >= 30, "{} of 32", shown(&counter).1);
    }
    sleep(DAMPING_TIME).await;
    let (after, count) = shown(&counter);
    assert_eq!(count, 32);
    println!("32 people reload: {} readings", after - before);
    // It is no longer damped.
    office.pop();
    assert_eq!(shown(&counter).1, 31);
    office.push(open(&presence, &counter, &client(1)).await);
    assert_eq!(shown(&counter).1, 32);
}

#[tokio::test(start_paused = true)]
async fn exempt_addresses_are_not_damped() {
    let presence = Presence::embedded(Settings::default());
    let counter = presence.counter(&name("online")).unwrap();
    let proxy = Client { ip: [10, 0, 0, 1].into(), user_agent: b"test".to_vec() };
    for _ in 0..100 {
        let stream = open(&presence, &counter, &proxy).await;
        assert_eq!(shown(&counter).1, 1);
        drop(stream);
        assert_eq!(shown(&counter).1, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_grace_period_and_damping_both_pass() {
    let grace = Duration::from_secs(25);
    let presence = Presence::embedded(Settings { grace, ..Settings::default() });
    let counter = presence.counter(&name("online")).unwrap();
    flap(&presence, &counter, &client(1), Duration::from_secs(5)).await;
    let stream = open(&presence, &counter, &client(1)).await;
    sleep(grace - Duration::from_millis(1)).await;
    assert_eq!(shown(&counter).1, 0);
    sleep(Duration::from_millis(1_001)).await;
    assert_eq!(shown(&counter).1, 1);
    drop(stream);
    sleep(DAMPING_TIME).await;
    assert_eq!(shown(&counter).1, 0);
}

#[tokio::test]
async fn leaves_do_not_wait_for_a_shutdown() {
    let server = RedisServer::start().unwrap();
    let (mut leaving, mut staying) = (Node::start(&server.url()), Node::start(&server.url()));
    for _ in 0..10 {
        leaving.join(1, 1).await;
    }
    staying.join(2, 1).await;
    staying.shows(11, DAMPING_TIME + SOON).await;
    leaving.registrations.clear();
    let ended = Instant::now();
    leaving.presence.release().await;
    staying.shows(1, Duration::from_secs(1)).await;
    println!("leaves that waited are reported {:?} after the release", ended.elapsed());
}
