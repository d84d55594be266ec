//! Events in real browsers: an `EventSource` follows the count, and comes back after its node was killed.

use std::time::{Duration, Instant};

use headcount_testkit::wait_until;

use crate::{
    BROWSER_START, PATIENCE,
    browser::{Engine, OpenPage, Surroundings},
    lock_browsers,
    node::{join, start, start_again},
    site::Site,
};

/// Longest time until a killed node's stream is back: its `retry:` is below five seconds.
const BACK: Duration = Duration::from_secs(8);

#[test]
fn chromium_follows_events_and_comes_back() {
    follows_events_in(Engine::Chromium);
}

#[test]
fn firefox_follows_events_and_comes_back() {
    follows_events_in(Engine::Firefox);
}

#[test]
fn webkit_follows_events_and_comes_back() {
    follows_events_in(Engine::WebKit);
}

fn follows_events_in(engine: Engine) {
    let _lock = lock_browsers();
    let node = start(&[]);
    // The snippet of the counter's page, which reports to its site what it shows.
    let site = Site::with(&format!(
        "<output id=n></output><script>new EventSource('{}').onmessage = e => {{ const c = JSON.parse(e.data).count; \
         n.value = c; fetch('/shows/' + c + '/' + e.lastEventId) }}</script>",
        node.url("online/events")
    ));
    let _page = OpenPage::new(engine, Surroundings::Light, &site);
    let shows = |node: &headcount_testkit::Node, count: u64, since: Instant, within: Duration| {
        wait_until(&format!("a count of {count}"), within, || {
            let reading = node.reading("online").map_err(|error| error.to_string())?;
            let path = format!("/shows/{count}/{}-{}", reading.epoch, reading.version);
            site.requested(&path).into_iter().find(|at| *at > since).map(|at| at - since).ok_or(path)
        })
        .unwrap()
    };
    let opened = Instant::now();
    shows(&node, 1, opened, BROWSER_START);
    let joining = Instant::now();
    let viewer = join(&node);
    let seen = shows(&node, 2, joining, PATIENCE);
    let (killed, node) = start_again(node, viewer, Duration::ZERO, &[]);
    let back = shows(&node, 1, killed, BACK);
    println!("{engine:?}: an event shows a join after {seen:.0?}, and is back {back:.1?} after its node was killed");
}
