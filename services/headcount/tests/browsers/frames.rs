//! Documents in frames: in each engine they follow the count, and come back by themselves, without a script.

use std::{
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Node, wait_until};
use headcount_wire::html::{self, Liveness};

use crate::{
    BROWSER_START, CAPTURE_INTERVAL, PATIENCE, Spread,
    browser::{Engine, OpenPage, Surroundings},
    display::{Display, Half},
    lock_browsers,
    node::{counts, join, start, start_again},
    picture::Rectangle,
    site::{PARTS, Site},
};

/// Longest median time from a join to its pixels.
const AT_ONCE: Duration = Duration::from_millis(60);
/// Time between two changes: more than the half second between two updates, and not a multiple of the browsers' frame time.
const BETWEEN_CHANGES: Duration = Duration::from_millis(557);
/// Viewers that join and leave while the pixels are observed.
const REPETITIONS: usize = 12;
/// Time for which pixels stay before they count as what is shown: longer than an odometer's drums roll, and than WebKit takes to
/// paint on a busy machine.
const STILL: Duration = Duration::from_secs(2);
/// Longest time from a node's end to its frames' return, where somebody answers by then.
const BACK: Duration = Duration::from_secs(8);
/// Colours of the frames' borders, by which they are found on the screen.
pub(crate) const BORDERS: [[u8; 3]; 2] = [[255, 0, 255], [0, 255, 255]];

#[test]
fn chromium_frames_follow_the_count_and_heal() {
    frames_in(Engine::Chromium);
}

#[test]
fn firefox_frames_follow_the_count_and_heal() {
    frames_in(Engine::Firefox);
}

#[test]
fn webkit_frames_follow_the_count_and_heal() {
    frames_in(Engine::WebKit);
}

fn frames_in(engine: Engine) {
    let _lock = lock_browsers();
    let node = start(&[]);
    let site = Site::with(&format!(
        "{}\n{}\n<script>addEventListener('load', () => fetch('/loaded'))</script>",
        frame(&node, "height=40", BORDERS[0]),
        frame(&node, "height=40&style=odometer", BORDERS[1])
    ));
    let page = OpenPage::new(engine, Surroundings::Light, &site);
    let display = &page.display;
    counts(&node, 2);
    let frames = BORDERS.map(|border| Frame { display, place: find(display, border) });
    // WebKit may leave the second of two updates at the beginning unpainted until the next one.
    let viewer = join(&node);
    counts(&node, 3);
    thread::sleep(STILL);
    drop(viewer);
    counts(&node, 2);
    thread::sleep(STILL);
    let [two, two_drums] = [0, 1].map(|index| frames[index].still());
    let event = || site.requested("/loaded").pop().ok_or("not yet".to_owned());
    let loaded = wait_until("the page's load event", PATIENCE, event).unwrap();
    let served = site.served().expect("the page was served");
    println!("{engine:?}: the page's load event came {:.0?} after the page", loaded - served);

    let viewer = join(&node);
    counts(&node, 3);
    thread::sleep(STILL);
    let [three, three_drums] = [0, 1].map(|index| frames[index].still());
    assert!(three != two && three_drums != two_drums, "see {}", display.save_screenshot().display());
    drop(viewer);
    frames[0].wait_for(&two, Instant::now(), PATIENCE);
    frames[1].wait_for(&two_drums, Instant::now(), PATIENCE);
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        thread::sleep(BETWEEN_CHANGES);
        let joining = Instant::now();
        let viewer = join(&node);
        joins.push(frames[0].wait_for(&three, joining, PATIENCE));
        thread::sleep(BETWEEN_CHANGES);
        let leaving = Instant::now();
        drop(viewer);
        leaves.push(frames[0].wait_for(&two, leaving, PATIENCE));
    }
    let (joins, leaves) = (Spread::of(joins), Spread::of(leaves));
    println!("{engine:?}: a frame shows a join after {joins}, a leave after {leaves}");
    assert!(joins.median <= AT_ONCE && leaves.median <= AT_ONCE);

    let back = |since: Instant, within: Duration| {
        let first = frames[0].wait_for(&two, since, within);
        first.max(frames[1].wait_for(&two_drums, since, within))
    };
    // It must be seen to change, or it would not be seen to be back.
    let (viewer, _) = (join(&node), counts(&node, 3));
    frames[0].wait_for(&three, Instant::now(), PATIENCE);
    let (killed, node) = start_again(node, viewer, Duration::ZERO, &[]);
    println!("{engine:?}: back {:.1?} after its node was killed", back(killed, BACK));

    let (viewer, _) = (join(&node), counts(&node, 3));
    frames[0].wait_for(&three, Instant::now(), PATIENCE);
    let (killed, mut node) = start_again(node, viewer, Duration::from_secs(2), &[]);
    println!("{engine:?}: back {:.1?} after an outage of 2 s began", back(killed, BACK));

    let address = node.address().to_string();
    let stopping = Instant::now();
    assert!(node.stop(PATIENCE).unwrap().success());
    let seen = frames[0].wait_until(stopping, PATIENCE, |pixels| pixels != two);
    println!("{engine:?}: the number is marked {seen:.1?} after its node was told to stop");
    let marked = frames[0].still();
    assert!(
        marked != two && marked != three,
        "a number that is not live looks so: {}",
        display.save_screenshot().display()
    );
    let node = start(&["--listen", &address]);
    println!("{engine:?}: back {:.1?} after a drain began", back(stopping, BACK));

    // Documents end every 3 to 6 s, and are away for 4 to 5 s.
    let (viewer, _) = (join(&node), counts(&node, 3));
    let turning_over = ["--document-updates", "3", "--keepalive", "1s"];
    let (killed, node) = start_again(node, viewer, Duration::ZERO, &turning_over);
    back(killed, Duration::from_secs(60));
    counts(&node, 2);
    let begun = Instant::now();
    let mut other = 0;
    while begun.elapsed() < Duration::from_secs(20) {
        let reading = node.reading("online").unwrap();
        assert_eq!((reading.count, reading.visitors), (2, 1), "{:?} later", begun.elapsed());
        other += u32::from(frames[0].pixels() != two);
        thread::sleep(Duration::from_millis(20));
    }
    let metrics = node.metrics().unwrap();
    let series = "headcount_departures_total{cause=\"turned_over\"} ";
    let turned_over: u32 = metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse().unwrap();
    println!("{engine:?}: {turned_over} turn-overs in 20 s; something else was seen {other} times in some 800");
    assert!(turned_over >= 4);
    assert!(other < 40, "the frame is empty for a moment at most");
}

#[test]
fn chromium_loads_a_page_whose_outer_document_arrives_in_parts() {
    parts_in(Engine::Chromium);
}

#[test]
fn firefox_loads_a_page_whose_outer_document_arrives_in_parts() {
    parts_in(Engine::Firefox);
}

#[test]
fn webkit_loads_a_page_whose_outer_document_arrives_in_parts() {
    parts_in(Engine::WebKit);
}

/// The live document does not end, so no load may wait for it: not even where its frame is there before the outer document has
/// ended, as on a slow network or a busy machine.
fn parts_in(engine: Engine) {
    let _lock = lock_browsers();
    let node = start(&[]);
    let outer = headcount_testkit::http::get(node.address(), "/online.html?height=40").unwrap().text();
    let outer = outer.replace("src=\"/", &format!("src=\"{}", node.url("")));
    let (first, last) = outer.split_at(outer.find("</iframe>").expect("a frame") + "</iframe>".len());
    // Browsers show nothing of what is shorter than a kilobyte and has not ended.
    let first = first.replace("<iframe", &format!("<!--{}-->\n<iframe", "x".repeat(2_000)));
    let site = Site::with_parts(
        &format!(
            "<div style=\"display: inline-block; border: 8px solid rgb(255,0,255)\"><iframe loading=\"lazy\" src=\"{PARTS}\" \
             width=\"200\" height=\"40\" style=\"border: 0; display: block\"></iframe></div>\n\
             <script>addEventListener('load', () => fetch('/loaded'))</script>"
        ),
        &[&first, last],
    );
    let page = OpenPage::new(engine, Surroundings::Light, &site);
    counts(&node, 1);
    let event = || site.requested("/loaded").pop().ok_or("not yet".to_owned());
    wait_until("the page's load event", PATIENCE, event).unwrap();
    Frame { display: &page.display, place: find(&page.display, BORDERS[0]) }.still();
}

#[test]
fn chromium_shows_the_newest_update_alone() {
    newest_update_in(Engine::Chromium);
}

#[test]
fn firefox_shows_the_newest_update_alone() {
    newest_update_in(Engine::Firefox);
}

#[test]
fn webkit_shows_the_newest_update_alone() {
    newest_update_in(Engine::WebKit);
}

/// A viewer may miss updates, and may get one twice.
fn newest_update_in(engine: Engine) {
    let _lock = lock_browsers();
    let document = |updates: &[u64]| {
        let updates = updates.iter().map(|number| html::update(*number, &number.to_string(), Liveness::Live, ""));
        format!("<!doctype html><style>{}</style><body><p>{}", html::STYLE, updates.collect::<String>())
    };
    let [all, last] = [&[7, 8, 8, 11, 40, 40][..], &[40]].map(|updates| document(updates).replace('"', "&quot;"));
    let [left, right] = [(all, BORDERS[0]), (last, BORDERS[1])].map(|(document, [red, green, blue])| {
        format!(
            "<div style=\"display: inline-block; border: 8px solid rgb({red},{green},{blue})\"><iframe width=\"200\" \
             height=\"40\" style=\"border: 0; display: block\" srcdoc=\"{document}\"></iframe></div>"
        )
    });
    let site = Site::with(&format!("{left}\n{right}"));
    let page = OpenPage::new(engine, Surroundings::Light, &site);
    let display = &page.display;
    let [all, last] = BORDERS.map(|border| Frame { display, place: find(display, border) });
    let alone = last.still();
    assert!(alone.iter().any(|pixel| *pixel != [255; 3]), "nothing is shown: {}", display.save_screenshot().display());
    all.wait_for(&alone, Instant::now(), PATIENCE);
}

#[test]
fn chromium_frames_are_back_after_a_long_outage() {
    long_outage_in(Engine::Chromium);
}

#[test]
fn firefox_frames_are_back_after_a_long_outage() {
    long_outage_in(Engine::Firefox);
}

#[test]
fn webkit_frames_are_back_after_a_long_outage() {
    long_outage_in(Engine::WebKit);
}

/// Nobody answers when the live document is refreshed: the outer one brings it back.
fn long_outage_in(engine: Engine) {
    let _lock = lock_browsers();
    let refresh = ["--frame-refresh", "30s"];
    let node = start(&refresh);
    let site = Site::with(&frame(&node, "height=40", BORDERS[0]));
    let page = OpenPage::new(engine, Surroundings::Light, &site);
    let display = &page.display;
    counts(&node, 1);
    let frame = Frame { display, place: find(display, BORDERS[0]) };
    let one = frame.still();
    let viewer = join(&node);
    counts(&node, 2);
    frame.still();
    let (killed, _node) = start_again(node, viewer, Duration::from_secs(20), &refresh);
    assert!(frame.pixels() != one, "the number before the outage, or an error page");
    println!(
        "{engine:?}: back {:.1?} after an outage of 20 s began",
        frame.wait_for(&one, killed, Duration::from_secs(75))
    );
}

/// The code of a frame with a border of this colour.
pub(crate) fn frame(node: &Node, query: &str, [red, green, blue]: [u8; 3]) -> String {
    format!(
        "<div style=\"display: inline-block; border: 8px solid rgb({red},{green},{blue})\"><iframe loading=\"lazy\" \
         src=\"{}?{query}\" title=\"people here now\" width=\"200\" height=\"40\" style=\"border: 0; display: block\">\
         </iframe></div>",
        node.url("online.html")
    )
}

/// Waits for a rectangular border of this colour, and returns what is within it.
pub(crate) fn find(display: &Display, border: [u8; 3]) -> Rectangle {
    let part = Half::Left.part();
    let deadline = Instant::now() + BROWSER_START;
    loop {
        let pixels = display.pixels(part);
        let places = pixels.iter().enumerate().filter(|(_, pixel)| **pixel == border);
        let places: Vec<(usize, usize)> = places.map(|(at, _)| (at % part.width, at / part.width)).collect();
        let (columns, rows) = (places.iter().map(|place| place.0), places.iter().map(|place| place.1));
        if let (Some(left), Some(right), Some(top), Some(bottom)) =
            (columns.clone().min(), columns.max(), rows.clone().min(), rows.max())
        {
            let (x, y) = (part.x + left + 8, part.y + top + 8);
            return Rectangle { x, y, width: right - left - 15, height: bottom - top - 15 };
        }
        assert!(Instant::now() < deadline, "no frame: see {}", display.save_screenshot().display());
        thread::sleep(CAPTURE_INTERVAL);
    }
}

/// A frame on the screen.
pub(crate) struct Frame<'a> {
    pub(crate) display: &'a Display,
    pub(crate) place: Rectangle,
}

impl Frame<'_> {
    fn pixels(&self) -> Vec<[u8; 3]> {
        self.display.pixels(self.place)
    }

    /// Waits until something is shown and the pixels stay as they are, and returns them.
    pub(crate) fn still(&self) -> Vec<[u8; 3]> {
        let deadline = Instant::now() + PATIENCE;
        let (mut pixels, mut since) = (self.pixels(), Instant::now());
        while since.elapsed() < STILL {
            let now = self.pixels();
            let empty = now.iter().all(|pixel| *pixel == now[0]);
            if empty || now != pixels {
                (pixels, since) = (now, Instant::now());
            }
            assert!(Instant::now() < deadline, "the frame does not rest");
            thread::sleep(CAPTURE_INTERVAL);
        }
        pixels
    }

    /// Waits until exactly these pixels are shown. Returns the time since `since`.
    pub(crate) fn wait_for(&self, pixels: &[[u8; 3]], since: Instant, patience: Duration) -> Duration {
        self.wait_until(since, patience, |shown| shown == pixels)
    }

    /// Waits until such pixels are shown. Returns the time since `since`.
    pub(crate) fn wait_until(
        &self,
        since: Instant,
        patience: Duration,
        are_such: impl Fn(&[[u8; 3]]) -> bool,
    ) -> Duration {
        while !are_such(&self.pixels()) {
            if since.elapsed() >= patience {
                panic!("not shown within {patience:?}: see {}", self.display.save_screenshot().display());
            }
            thread::sleep(CAPTURE_INTERVAL);
        }
        since.elapsed()
    }
}
