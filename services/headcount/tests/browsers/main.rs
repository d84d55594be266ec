//! The picture in real browsers: Chromium, Firefox and WebKitGTK, each in a real window whose pixels are captured.
//!
//! A page of another origin embeds the stream. Whatever is drawn on it must be, to the pixel, what `headcount draw`
//! draws.
#![expect(clippy::unwrap_used, reason = "this crate is nothing but tests")]

mod browser;
mod display;
mod picture;
mod site;

use std::{
    fmt,
    fs::File,
    io::Write,
    net::TcpStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Node, NodeOptions};

use crate::{
    browser::{Browser, Engine},
    display::{Display, Half},
    picture::{Picture, Rectangle},
    site::Site,
};

/// The address of the original, which embeds all over the web still have.
const STREAM: &str = "online.png";
/// From a change of the count to its pixels, in the median: what a person takes for "at once".
const AT_ONCE: Duration = Duration::from_millis(100);
/// From the page's arrival in the browser to the first picture, in a browser that has just started on a busy machine.
/// Were the first frame held back, it would stay away until the first keep-alive, 15 seconds later.
const FIRST_PAINT: Duration = Duration::from_secs(10);
/// How long the count may include a page that has been closed. Chromium and WebKit hang up at once. Firefox has nothing
/// to cancel while it waits for a part, and hangs up when one of the next frames comes: on a quiet counter, a keep-alive.
const CLOSED_PAGE: Duration = Duration::from_secs(40);
/// How long a browser may take to come up with a fresh profile on a busy machine.
const BROWSER_START: Duration = Duration::from_secs(60);
/// How long any single change may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(15);
/// Viewers that join and leave while the pixels are watched.
const REPETITIONS: usize = 15;
/// From one such change to the next: more than the tenth of a second that a node leaves between two pushes, so that each
/// is a change by itself; and out of step with the browsers' sixty frames a second.
const BETWEEN_CHANGES: Duration = Duration::from_millis(157);
/// Between two looks at the screen.
const GLANCE: Duration = Duration::from_millis(2);

#[test]
fn chromium_shows_the_count_at_once_and_to_the_pixel() {
    the_count_is_seen_in(Engine::Chromium);
}

#[test]
fn firefox_shows_the_count_at_once_and_to_the_pixel() {
    the_count_is_seen_in(Engine::Firefox);
}

#[test]
fn webkit_shows_the_count_at_once_and_to_the_pixel() {
    the_count_is_seen_in(Engine::WebKit);
}

fn the_count_is_seen_in(engine: Engine) {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = [1, 2].map(|count| Picture::drawn(count, directory.path()));
    let options = NodeOptions { program: Some(env!("CARGO_BIN_EXE_headcount").into()), ..NodeOptions::default() };
    let mut node = Node::start(&options.with(["--drain", "0s"])).unwrap();
    let site = Site::open(&node.url(STREAM));
    let display = Display::start();
    let mut browser = Browser::new(engine, display.name());

    browser.open(&site.url());
    let first = display.new_window(&[], Half::Left, BROWSER_START);
    let place = find(&display, &one, Half::Left, BROWSER_START);
    let first_paint = site.served().expect("the page was handed out").elapsed();
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
    println!("{engine:?}: a viewer that joins is seen after {joins}, one that leaves after {leaves}");
    assert!(joins.median <= AT_ONCE && leaves.median <= AT_ONCE);

    browser.open(&site.url());
    let second = display.new_window(&[first], Half::Right, BROWSER_START);
    find(&display, &two, Half::Right, PATIENCE);
    let page = site.served().expect("the page was handed out");
    let seen = screen.wait_for(&two, page, PATIENCE);
    display.close(second);
    let gone = screen.wait_for(&one, Instant::now(), CLOSED_PAGE);
    println!(
        "{engine:?}: both pages showed 2 within {seen:.0?} of the second one's arrival, and 1 {gone:.0?} after it was closed"
    );

    thread::scope(|scope| {
        let stopping = scope.spawn(|| node.stop(PATIENCE).unwrap());
        screen.stays(&one, || stopping.is_finished());
        assert!(stopping.join().unwrap().success());
    });
    let ended = Instant::now();
    screen.stays(&one, || ended.elapsed() >= Duration::from_secs(1));
}

/// A viewer that is no browser: it sends its request and reads nothing.
fn join(node: &Node) -> TcpStream {
    let mut viewer = TcpStream::connect(node.address()).unwrap();
    write!(viewer, "GET /{STREAM} HTTP/1.1\r\nHost: {}\r\n\r\n", node.address()).unwrap();
    viewer
}

/// Holds the other browsers' tests off until the returned file is closed: two cores cannot run two browsers and time
/// either. The lock is on a file, because test runners may give each test a process of its own.
fn alone() -> File {
    let file = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("browsers.lock")).unwrap();
    file.lock().unwrap();
    file
}

/// Waits until the picture stands somewhere in a half of the screen, and says where.
fn find(display: &Display, picture: &Picture, half: Half, patience: Duration) -> Rectangle {
    let deadline = Instant::now() + patience;
    let part = half.part();
    loop {
        if let Some(place) = picture.find(&display.pixels(part), part) {
            return place;
        }
        if Instant::now() >= deadline {
            let screenshot = display.save_screenshot();
            panic!("the picture has not come up within {patience:?}: see {}", screenshot.display());
        }
        thread::sleep(GLANCE);
    }
}

/// Where the first page's picture stands, looked at again and again.
struct Screen<'a> {
    display: &'a Display,
    place: Rectangle,
}

impl Screen<'_> {
    fn shows(&self, picture: &Picture) -> bool {
        picture.is_shown(&self.display.pixels(self.place))
    }

    /// Waits until the picture is shown, and says how long after `since` that was.
    fn wait_for(&self, picture: &Picture, since: Instant, patience: Duration) -> Duration {
        while !self.shows(picture) {
            if since.elapsed() >= patience {
                let screenshot = self.display.save_screenshot();
                panic!("the picture has not changed within {patience:?}: see {}", screenshot.display());
            }
            thread::sleep(GLANCE);
        }
        since.elapsed()
    }

    /// Sees to it that the picture is shown, and nothing else, until `over` says that it was long enough.
    fn stays(&self, picture: &Picture, mut over: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !over() {
            if !self.shows(picture) {
                panic!("the last picture is gone: see {}", self.display.save_screenshot().display());
            }
            assert!(begun.elapsed() < PATIENCE, "the node has not ended within {PATIENCE:?}");
            thread::sleep(GLANCE);
        }
    }
}

/// What several measurements of the same thing gave.
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
