//! Tests in real browsers: Chromium, Firefox and WebKitGTK, each in a window whose pixels are captured.
//!
//! A page of another origin embeds the stream. Its pixels must equal those that `headcount draw` draws.
#![expect(clippy::unwrap_used, reason = "this crate contains only tests")]

mod accessibility;
mod browser;
mod colours;
mod display;
mod events;
mod frames;
mod hidden;
mod node;
mod picture;
mod site;

use std::{
    fmt,
    fs::File,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::wait_until;
use nix::sys::signal::Signal;

use crate::{
    browser::{Engine, OpenPage, Surroundings},
    display::{Display, Half},
    node::{join, start},
    picture::{Picture, Rectangle},
    site::Site,
};

/// Path of the stream that existing embeds use.
const STREAM: &str = "online.png";
/// Longest median time from a change of the count to its pixels. People perceive it as immediate.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Longest time from a reload, and a change during it, to the change's pixels.
const OVER_RELOAD: Duration = Duration::from_secs(1);
/// Longest time from the page's arrival to the first picture, in a browser that has just started on a busy machine. A
/// browser that held the first frame back would show it at the first keep-alive, 15 seconds later.
const FIRST_PAINT: Duration = Duration::from_secs(10);
/// Longest time that the count includes a closed page. Chromium and WebKit close the connection at once. Firefox closes it
/// when one of the next frames arrives: on a quiet counter, a keep-alive.
const CLOSED_PAGE: Duration = Duration::from_secs(40);
/// Longest time for a browser to start with a fresh profile on a busy machine.
const BROWSER_START: Duration = Duration::from_secs(60);
/// Longest time for any single change before the test fails.
const PATIENCE: Duration = Duration::from_secs(15);
/// Viewers that join and leave while the pixels are observed.
const REPETITIONS: usize = 15;
/// Time between two changes: more than the 100 ms between two pushes, so that each change is pushed separately, and not a
/// multiple of the browsers' frame time.
const BETWEEN_CHANGES: Duration = Duration::from_millis(157);
/// Time between two captures of the screen.
const CAPTURE_INTERVAL: Duration = Duration::from_millis(2);

#[test]
fn chromium_shows_the_count_at_once_and_to_the_pixel() {
    shows_the_count_in(Engine::Chromium);
}

#[test]
fn firefox_shows_the_count_at_once_and_to_the_pixel() {
    shows_the_count_in(Engine::Firefox);
}

#[test]
fn webkit_shows_the_count_at_once_and_to_the_pixel() {
    shows_the_count_in(Engine::WebKit);
}

fn shows_the_count_in(engine: Engine) {
    let _lock = lock_browsers();
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = [1, 2].map(|count| Picture::drawn(count, directory.path()));
    let mut node = start(&[]);
    let site = Site::open(&node.url(STREAM));
    let OpenPage { mut browser, display, window: first } = OpenPage::new(engine, Surroundings::Light, &site);
    let place = find(&display, &one, Half::Left, BROWSER_START);
    let first_paint = site.served().expect("the page was served").elapsed();
    println!("{engine:?}: the first picture came {first_paint:.0?} after the page");
    assert!(first_paint <= FIRST_PAINT);
    let screen = Screen { display: &display, place };

    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        thread::sleep(BETWEEN_CHANGES);
        let joining = Instant::now();
        let viewer = join(&node);
        joins.push(screen.wait_for(&two, joining, PATIENCE));
        thread::sleep(BETWEEN_CHANGES);
        let leaving = Instant::now();
        drop(viewer);
        leaves.push(screen.wait_for(&one, leaving, PATIENCE));
    }
    let (joins, leaves) = (Spread::of(joins), Spread::of(leaves));
    println!("{engine:?}: a join is shown after {joins}, a leave after {leaves}");
    assert!(joins.median <= AT_ONCE && leaves.median <= AT_ONCE);

    for times in 1..=3 {
        let signalled = Instant::now();
        node.process().signal(Signal::SIGHUP).unwrap();
        let viewer = join(&node);
        let seen = screen.changes(&one, &two, signalled, PATIENCE);
        wait_until("a new program", PATIENCE, || match node.metric("headcount_reloads_total") {
            Ok(done) if done >= f64::from(times) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .unwrap();
        let leaving = Instant::now();
        drop(viewer);
        let left = screen.changes(&two, &one, leaving, PATIENCE);
        println!(
            "{engine:?}: over reload {times}, a join is shown {seen:.0?} after the signal, a leave after {left:.0?}"
        );
        assert!(seen <= OVER_RELOAD && left <= OVER_RELOAD);
    }

    browser.open(&site.url());
    let second = display.new_window(&[first], Half::Right, BROWSER_START);
    find(&display, &two, Half::Right, PATIENCE);
    let page = site.served().expect("the page was served");
    let seen = screen.wait_for(&two, page, PATIENCE);
    display.close(second);
    let gone = screen.wait_for(&one, Instant::now(), CLOSED_PAGE);
    println!(
        "{engine:?}: both pages showed 2 within {seen:.0?} of the second one's arrival, and 1 {gone:.0?} after it was closed"
    );

    let marked = Picture::marked(1, directory.path());
    let stopping = Instant::now();
    thread::scope(|scope| {
        let stopped = scope.spawn(|| node.stop(PATIENCE).unwrap());
        let seen = screen.changes(&one, &marked, stopping, PATIENCE);
        println!("{engine:?}: the last picture is marked {seen:.0?} after the node was told to stop");
        screen.stays(&marked, || stopped.is_finished());
        assert!(stopped.join().unwrap().success());
    });
    let ended = Instant::now();
    screen.stays(&marked, || ended.elapsed() >= Duration::from_secs(1));
}

/// Blocks the other tests until the returned file is closed: with two browsers at a time the measurements are wrong. The lock
/// is a file, because test runners may run each test in its own process.
fn lock_browsers() -> File {
    let file = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("browsers.lock")).unwrap();
    file.lock().unwrap();
    file
}

/// Waits until the picture appears in a half of the screen, and returns where.
fn find(display: &Display, picture: &Picture, half: Half, patience: Duration) -> Rectangle {
    let deadline = Instant::now() + patience;
    let part = half.part();
    loop {
        if let Some(place) = picture.find(&display.pixels(part), part) {
            return place;
        }
        if Instant::now() >= deadline {
            let screenshot = display.save_screenshot();
            panic!("the picture has not appeared within {patience:?}: see {}", screenshot.display());
        }
        thread::sleep(CAPTURE_INTERVAL);
    }
}

/// The part of the screen that shows the first page's picture.
struct Screen<'a> {
    display: &'a Display,
    place: Rectangle,
}

impl Screen<'_> {
    fn shows(&self, picture: &Picture) -> bool {
        picture.is_shown(&self.display.pixels(self.place))
    }

    /// Waits until the picture is shown. Returns the time since `since`.
    fn wait_for(&self, picture: &Picture, since: Instant, patience: Duration) -> Duration {
        while !self.shows(picture) {
            if since.elapsed() >= patience {
                let screenshot = self.display.save_screenshot();
                panic!("the picture has not changed within {patience:?}: see {}", screenshot.display());
            }
            thread::sleep(CAPTURE_INTERVAL);
        }
        since.elapsed()
    }

    /// Waits until `to` is shown, and checks that nothing but `from` is shown until then. Returns the time since `since`.
    fn changes(&self, from: &Picture, to: &Picture, since: Instant, patience: Duration) -> Duration {
        loop {
            let pixels = self.display.pixels(self.place);
            if to.is_shown(&pixels) {
                return since.elapsed();
            }
            if !from.is_shown(&pixels) || since.elapsed() >= patience {
                let screenshot = self.display.save_screenshot();
                panic!(
                    "{:.0?} later, neither picture is shown, or still the first: see {}",
                    since.elapsed(),
                    screenshot.display()
                );
            }
            thread::sleep(CAPTURE_INTERVAL);
        }
    }

    /// Checks that the picture is shown all the time until `over` returns true.
    fn stays(&self, picture: &Picture, mut over: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !over() {
            if !self.shows(picture) {
                panic!("the last picture is gone: see {}", self.display.save_screenshot().display());
            }
            assert!(begun.elapsed() < PATIENCE, "the node has not exited within {PATIENCE:?}");
            thread::sleep(CAPTURE_INTERVAL);
        }
    }
}

/// The median and the maximum of several measurements.
struct Spread {
    median: Duration,
    longest: Duration,
}

impl Spread {
    fn of(mut measured: Vec<Duration>) -> Spread {
        measured.sort_unstable();
        Spread { median: measured[measured.len() / 2], longest: measured[measured.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0?} in the median, {:.0?} at the longest", self.median, self.longest)
    }
}
