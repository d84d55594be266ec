//! The forum's page of boards: eight counters of one host, which only HTTP/2 lets live in one page.

use std::time::{Duration, Instant};

use anyhow::ensure;
use headcount_testkit::Viewers;

use crate::{browser::Browser, stack::Stack, timing::within};

/// The page's counters, in its order.
const BOARDS: [&str; 8] = ["vegetables", "fruit", "flowers", "soil", "compost", "sheds", "weather", "kitchen"];
/// Eight screenshots.
const SCREENSHOTS: Duration = Duration::from_secs(10);

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    let browser = Browser::start()?;
    let begun = Instant::now();
    browser.open(&format!("http://localhost:{}/boards.html", stack.ports.forum))?;
    let pictures = browser.elements("img.counter")?;
    ensure!(pictures.len() == BOARDS.len(), "{} counters are in the page", pictures.len());
    let all_show = |number: u64| {
        let (browser, pictures) = (&browser, &pictures);
        move || {
            for (picture, board) in pictures.iter().zip(BOARDS) {
                let shown = browser.number(picture)?;
                ensure!(shown == number, "{board} shows {shown}, not {number}");
            }
            Ok(())
        }
    };
    within("all eight show 1", begun, Duration::from_secs(30), all_show(1))?;

    // Each board gets readers elsewhere, again and again: a stream that had stopped would show.
    let service = stack.service()?;
    let urls = BOARDS.map(|board| format!("http://{service}/board-{board}.png"));
    let mut readers = Vec::new();
    for number in 2..=4 {
        let begun = Instant::now();
        readers.push(Viewers::open(BOARDS.len(), &urls)?);
        within(&format!("all eight show {number}"), begun, SCREENSHOTS, all_show(number))?;
    }
    let begun = Instant::now();
    readers.clear();
    within("all eight show 1 again", begun, SCREENSHOTS, all_show(1))
}
