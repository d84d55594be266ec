//! Frames that nobody sees: off screen, or in a window or a tab behind another. The page is open, so its reader counts, as with
//! an `<img>`. An outer document that is loaded anew there must bring its live one back.

use std::{
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::Node;

use crate::{
    PATIENCE,
    browser::{Engine, OpenPage, Surroundings},
    frames::{BORDERS, Frame, find, frame},
    lock_browsers,
    node::{counts, join, start},
    site::Site,
};

/// The shortest time after which an outer document is loaded anew. The longest is twice this.
const REFRESH: Duration = Duration::from_secs(10);
/// Time for which a frame is hidden: its outer document is loaded anew at least once.
const HIDDEN: Duration = REFRESH.saturating_mul(3);
/// Longest time for which a viewer is not counted while everything is loaded anew: usually not at all, because it is expected for a
/// second. A frame that is not loaded at all is not counted until it is seen.
const NOT_COUNTED: Duration = Duration::from_secs(8);
/// From the page's load event until it is scrolled away.
const UNTIL_SCROLLED: Duration = Duration::from_secs(6);
/// How far the page is scrolled, in pixels.
const SCROLLED: u32 = 5_000;

#[test]
fn chromium_counts_frames_that_nobody_sees() {
    hidden_frames_in(Engine::Chromium);
}

#[test]
fn firefox_counts_frames_that_nobody_sees() {
    hidden_frames_in(Engine::Firefox);
}

#[test]
fn webkit_counts_frames_that_nobody_sees() {
    hidden_frames_in(Engine::WebKit);
}

fn hidden_frames_in(engine: Engine) {
    let _lock = lock_browsers();
    let node = start(&["--frame-refresh", &format!("{}s", REFRESH.as_secs())]);
    let site = Site::with(&format!(
        "{}\n<div style=\"height: {}px\"></div>\n<script>addEventListener('load', () => {{ fetch('/loaded');\n\
         setTimeout(() => {{ scrollTo(0, {SCROLLED}); fetch('/away') }}, {});\n\
         setTimeout(() => {{ scrollTo(0, 0); fetch('/again') }}, {}) }})</script>",
        frame(&node, "height=40", BORDERS[0]),
        2 * SCROLLED,
        UNTIL_SCROLLED.as_millis(),
        (UNTIL_SCROLLED + HIDDEN).as_millis(),
    ));
    let mut page = OpenPage::new(engine, Surroundings::Light, &site);
    counts(&node, 1);
    let place = find(&page.display, BORDERS[0]);
    let one = Frame { display: &page.display, place }.still();

    requested(&site, "/away");
    counted_all_the_time(&node, HIDDEN - Duration::from_secs(5), &format!("{engine:?}, off screen"));
    let viewer = join(&node);
    counts(&node, 2);
    requested(&site, "/again");
    let shown = Frame { display: &page.display, place };
    shown.wait_until(Instant::now(), PATIENCE, |pixels| pixels != one);
    drop(viewer);
    shown.wait_for(&one, Instant::now(), PATIENCE);

    page.hide(engine);
    counted_all_the_time(&node, HIDDEN, &format!("{engine:?}, hidden"));
    let viewer = join(&node);
    counts(&node, 2);
    drop(viewer);
    counts(&node, 1);
}

fn requested(site: &Site, path: &str) {
    let asked = || site.requested(path).pop().ok_or_else(|| format!("no {path}"));
    headcount_testkit::wait_until(path, HIDDEN + UNTIL_SCROLLED + PATIENCE, asked).unwrap();
}

/// Checks that one viewer counts for so long, while its document is loaded anew: nobody else, and no less for
/// longer than that takes on a busy machine.
fn counted_all_the_time(node: &Node, time: Duration, state: &str) {
    let (begun, loaded) = (Instant::now(), departures(node));
    let (mut since, mut longest) = (Instant::now(), Duration::ZERO);
    while begun.elapsed() < time {
        match node.reading("online").unwrap().count {
            1 => since = Instant::now(),
            count => {
                assert_eq!(count, 0, "{state}: after {:?}", begun.elapsed());
                longest = longest.max(since.elapsed());
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    let loaded = departures(node) - loaded;
    println!("{state}: loaded anew {loaded} times in {time:?}, and not counted for {longest:.1?} at the longest");
    assert!(loaded >= 1.0, "{state}: it is not loaded anew");
    assert!(longest < NOT_COUNTED, "{state}: not counted for {longest:?}");
}

/// How many streams have ended.
fn departures(node: &Node) -> f64 {
    node.metric("headcount_departures_total").unwrap()
}
