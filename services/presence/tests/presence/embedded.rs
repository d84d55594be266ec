//! The embedded presence.

use std::time::Duration;

use headcount_presence::{
    AdmissionError, Client, Counter, CounterName, Health, Presence, Reading, Registration, Settings,
};

pub(crate) fn name(text: &str) -> CounterName {
    CounterName::parse(text).unwrap()
}

pub(crate) fn client(number: u16) -> Client {
    let [high, low] = number.to_be_bytes();
    Client { ip: [203, 0, high, low].into(), user_agent: b"test".to_vec() }
}

pub(crate) async fn registration(presence: &Presence, counter: &Counter, number: u16) -> Registration {
    let mut registration = presence.admit(counter.name(), &client(number)).await.unwrap();
    registration.start_counting();
    registration
}

fn numbers(reading: Reading) -> (u64, u64) {
    (reading.count, reading.visitors)
}

#[tokio::test]
async fn viewers_count_from_their_first_frame_until_they_leave() {
    let presence = Presence::embedded(Settings::default());
    let counter = presence.counter(&name("online")).unwrap();
    let readings = counter.watch();
    let mut first = presence.admit(counter.name(), &client(1)).await.unwrap();
    assert_eq!(numbers(*readings.borrow()), (0, 0), "not counted before it is taken");
    first.start_counting();
    first.start_counting();
    let second = registration(&presence, &counter, 1).await;
    let third = registration(&presence, &counter, 2).await;
    assert_eq!(numbers(*readings.borrow()), (3, 2), "three streams of two people");
    drop(second);
    assert_eq!(numbers(presence.read(&name("online")).await), (2, 2));
    drop((first, third));
    assert_eq!(numbers(counter.settled().await), (0, 0));
    assert_eq!(*presence.health().borrow(), Health::Connected);
}

#[tokio::test]
async fn readings_never_go_back_even_when_the_counter_ends_and_begins_again() {
    let presence = Presence::embedded(Settings::default());
    let mut last = (0, 0);
    for number in 0..10 {
        let counter = presence.counter(&name("online")).unwrap();
        let taken = registration(&presence, &counter, number).await;
        for reading in [counter.settled().await, presence.read(&name("online")).await] {
            assert!((reading.epoch, reading.version) >= last && !reading.stale);
            last = (reading.epoch, reading.version);
        }
        drop((taken, counter));
        let reading = presence.read(&name("online")).await;
        assert!((reading.epoch, reading.version) > last, "the last one has left");
        assert_eq!(numbers(reading), (0, 0));
        last = (reading.epoch, reading.version);
    }
}

#[tokio::test]
async fn a_registration_keeps_its_counter_live_and_the_limit_of_counters_holds() {
    let presence = Presence::embedded(Settings { max_counters: 2, ..Settings::default() });
    let one = presence.counter(&name("one")).unwrap();
    let taken = registration(&presence, &one, 1).await;
    drop(one);
    let two = presence.counter(&name("two")).unwrap();
    assert_eq!(presence.counter(&name("three")).unwrap_err(), AdmissionError::TooManyCounters { limit: 2 });
    presence.counter(&name("one")).expect("a counter that is live already is no new one");
    drop(taken);
    presence.counter(&name("three")).expect("the first has ended with its last registration");
    drop(two);
}

#[tokio::test]
async fn registrations_start_and_end_without_a_runtime() {
    let presence = Presence::embedded(Settings::default());
    let counter = presence.counter(&name("online")).unwrap();
    let mut registrations = Vec::new();
    for number in 0..1_000 {
        registrations.push(presence.admit(counter.name(), &client(number)).await.unwrap());
    }
    let mut readings = counter.watch();
    let shard = std::thread::spawn(move || {
        registrations.iter_mut().for_each(Registration::start_counting);
        registrations.truncate(400);
        registrations
    });
    readings.wait_for(|reading| reading.count == 1_000 || reading.count == 400).await.unwrap();
    let registrations = shard.join().unwrap();
    assert_eq!(numbers(*readings.borrow()), (400, 400));
    drop(registrations);
}

#[tokio::test(start_paused = true)]
async fn with_a_grace_only_viewers_that_stay_count() {
    let grace = Duration::from_secs(5);
    let presence = Presence::embedded(Settings { grace, ..Settings::default() });
    let counter = presence.counter(&name("online")).unwrap();
    let mut readings = counter.watch();
    let stays = registration(&presence, &counter, 1).await;
    let reloads = registration(&presence, &counter, 2).await;
    tokio::time::sleep(grace / 2).await;
    drop(reloads);
    let later = registration(&presence, &counter, 3).await;
    assert_eq!(numbers(*readings.borrow_and_update()), (0, 0));
    readings.changed().await.unwrap();
    assert_eq!(numbers(*readings.borrow_and_update()), (1, 1), "the one who reloads never counted");
    readings.changed().await.unwrap();
    assert_eq!(numbers(*readings.borrow()), (2, 2));
    drop((stays, later));
}
