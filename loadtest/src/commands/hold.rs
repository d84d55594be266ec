//! `headcount-load hold`: opens viewers, holds them, and checks every part that they get.

use std::time::{Duration, Instant};

use clap::Args;
use headcount_testkit::{Batch, Behaviour, Goal, Viewers, client::PictureCheck};

use super::{
    checks::{check_parts, look, wait_until_open},
    history::History,
};
use crate::{
    interrupt,
    progress::Progress,
    report::{Plot, Report, Weight},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Viewers in all
    #[arg(long)]
    viewers: usize,
    /// Streams to ask for, in turn: http://host:port/online.png
    #[arg(long, required = true, value_delimiter = ',')]
    url: Vec<String>,
    /// Seconds to hold them
    #[arg(long = "for", default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Connections begun a second; as fast as they are answered by default
    #[arg(long)]
    rate: Option<f64>,
    /// Do not draw each picture afresh to compare the pixels
    #[arg(long)]
    no_pixels: bool,
    /// The streams are those of a foreign server, whose pictures carry no number: check the framing alone
    #[arg(long)]
    foreign: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::new("Viewers held");
    let check = match (arguments.foreign, arguments.no_pixels) {
        (true, _) => PictureCheck::Framing,
        (false, true) => PictureCheck::Stamp,
        (false, false) => PictureCheck::Pixels,
    };
    let batch = Batch {
        count: arguments.viewers,
        urls: arguments.url.clone(),
        per_second: arguments.rate,
        behaviour: Behaviour { check, ..Behaviour::default() },
    };
    let begun = Instant::now();
    let viewers = Viewers::start(batch)?;
    let patience = Duration::from_secs(60)
        + arguments.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(arguments.viewers as f64 / rate));
    let came = wait_until_open(&viewers, "opening viewers", patience)?;
    report.fact("seconds_to_open", begun.elapsed().as_secs_f64());
    let mut progress = Progress::new("holding them, in seconds", arguments.seconds);
    let held = Instant::now();
    let mut history = History::default();
    while held.elapsed() < Duration::from_secs(arguments.seconds) && !interrupt::requested() {
        // Waits for half a second, or until no viewer is left.
        let (_, snapshot) = look(&viewers, Goal::AtMostLive(0), Duration::from_millis(500))?;
        history.at(begun.elapsed().as_secs_f64(), &snapshot);
        progress.at(held.elapsed().as_secs());
        if snapshot.live == 0 {
            break;
        }
    }
    drop(progress);
    let last = viewers.snapshot()?;
    report.verdict(
        Weight::Promise,
        "all viewers came and stayed",
        last.to_string(),
        format!("{} live", arguments.viewers),
        last.live == arguments.viewers,
    );
    check_parts(&mut report, "all viewers", &last);
    let mut times = Plot::new("first-image", "From request to first image", "ms", "% of viewers");
    times.distribution("viewers", &came.first_image);
    report.note(format!("from request to first image: {}", came.first_image.summary()));
    report.plot(times);
    report.plot(history.plot());
    report.fact("snapshot", &last);
    Ok(report)
}
