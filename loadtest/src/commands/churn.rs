//! `headcount-load churn`: viewers come and go at a rate; measures the time until every viewer's number includes each change.
//!
//! Joins come in a row, then as many leaves, and so on: as long as the number only rises, a viewer that shows `base` +
//! k has seen k joins, whichever node they went to. The time is taken from each request, or close, to the frame.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use headcount_testkit::{
    Batch, Goal, Node, NodeOptions, RedisServer, Viewers, ViewersError,
    client::{Direction, Tracked},
    wait_until,
};

use super::{
    checks::{check_parts, millis, wait_for_count, wait_until_open},
    history::History,
};
use crate::{
    interrupt,
    progress::Progress,
    report::{Plot, Report, Table, Weight},
};

/// What is promised at up to 100 changes a second.
const PROMISED_P99: Duration = Duration::from_millis(250);

/// Time for every viewer's number to become exact after the last change.
const QUIET: Duration = Duration::from_secs(10);

/// It stays exact for this time after that: a node's whole heartbeat and what follows it.
const STAYS: Duration = Duration::from_secs(6);

const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Viewers that stay and watch
    #[arg(long, default_value_t = 10_000)]
    viewers: usize,
    /// Changes a second: joins for a while, then leaves
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Seconds
    #[arg(long = "for", default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Changes in a row in the same direction
    #[arg(long, default_value_t = 500)]
    turn: usize,
    /// Nodes that are started, with a Redis of their own, if no --url is given
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// The binary of those nodes, where it is not the one beside this program: to see that a faulty one is caught
    #[arg(long, conflicts_with = "url")]
    program: Option<PathBuf>,
    /// Streams of running nodes to ask for, in turn; nobody else may watch the same counter meanwhile
    #[arg(long, value_delimiter = ',')]
    url: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::new("Joins and leaves, until everybody sees them");
    let redis = if arguments.url.is_empty() { Some(RedisServer::start()?) } else { None };
    let mut nodes = Vec::new();
    let mut urls = arguments.url.clone();
    if let Some(redis) = &redis {
        for _ in 0..arguments.nodes {
            let options = NodeOptions { program: arguments.program.clone(), ..NodeOptions::redis(redis.url()) };
            let node = Node::start(&options)?;
            node.ready(PATIENCE)?;
            urls.push(node.url("online.png"));
            nodes.push(node);
        }
    }
    let viewers =
        Viewers::start_in_thread(&Batch { count: arguments.viewers, urls: urls.clone(), ..Batch::default() })?;
    let snapshot = wait_until_open(&viewers, "opening viewers", PATIENCE)?;
    anyhow::ensure!(snapshot.live == arguments.viewers, "only {snapshot}");
    let steady = arguments.viewers as u64;

    let begun = Instant::now();
    let mut history = History::default();
    let mut progress = Progress::new("seconds of joins and leaves", arguments.seconds);
    let mut extra: usize = 0;
    // A turn begins when all viewers have seen the whole previous one.
    let mut exact = viewers.all_see(steady, QUIET);
    while exact.is_ok() && begun.elapsed() < Duration::from_secs(arguments.seconds) && !interrupt::requested() {
        let direction = if extra == 0 { Direction::Joins } else { Direction::Leaves };
        viewers.track(steady + extra as u64, direction, u32::try_from(arguments.viewers)?)?;
        let done = take_turn(arguments, &viewers, direction, &urls, |snapshot| {
            history.at(begun.elapsed().as_secs_f64(), snapshot);
            progress.at(begun.elapsed().as_secs());
        })?;
        extra = extra.abs_diff(done);
        viewers.reach(Goal::Opened, PATIENCE)?;
        exact = viewers.all_see(steady + extra as u64, QUIET);
    }
    drop(progress);

    let due = steady + extra as u64;
    let exact = exact.and_then(|took| stays(&viewers, due).map(|()| took));
    let measured = match &exact {
        Ok(took) => format!("{due} {} after the last change was made, and {STAYS:.0?} long", millis(*took)),
        Err(error) => error.to_string(),
    };
    let bound = format!("≤ {QUIET:.0?}, and it stays");
    report.verdict(Weight::Promise, "everybody sees the exact number in the end", measured, bound, exact.is_ok());
    for (index, node) in nodes.iter().enumerate() {
        // Its viewers show the number already, so the JSON follows soon.
        let said = wait_for_count(node, "online", due, Duration::from_secs(1));
        let measured = said.as_ref().map_or_else(ToString::to_string, |()| due.to_string());
        report.verdict(Weight::Promise, format!("node {index} says so"), measured, due.to_string(), said.is_ok());
    }
    let snapshot = viewers.snapshot()?;
    check_parts(&mut report, "all viewers", &snapshot);
    tell(&mut report, arguments, snapshot.track.unwrap_or_default());
    report.plot(history.plot());
    // If the number was wrong, the keys in Redis tell nothing new.
    if let (Some(redis), Ok(_)) = (&redis, &exact) {
        let left = leave_nothing(viewers, redis);
        report.verdict(
            Weight::Promise,
            "keys in Redis when all have left",
            &left,
            "none of the counter's",
            left == "0",
        );
    }
    Ok(report)
}

/// Checks that all viewers go on seeing the number.
fn stays(viewers: &Viewers, due: u64) -> Result<(), ViewersError> {
    match viewers.reach(Goal::Other(due), STAYS) {
        Err(ViewersError::TimedOut { .. }) => Ok(()),
        Ok((within, snapshot)) => {
            Err(ViewersError::TimedOut { goal: Goal::Number(due), within, snapshot: Box::new(snapshot) })
        }
        Err(error) => Err(error),
    }
}

/// Makes `turn` changes at the rate, or fewer if interrupted, and returns how many.
fn take_turn(
    arguments: &Arguments,
    viewers: &Viewers,
    direction: Direction,
    urls: &[String],
    mut on_step: impl FnMut(&headcount_testkit::Snapshot),
) -> anyhow::Result<usize> {
    let begun = Instant::now();
    let (mut done, mut looked) = (0, Instant::now());
    while done < arguments.turn && !interrupt::requested() {
        let due = ((begun.elapsed().as_secs_f64() * arguments.rate) as usize + 1).min(arguments.turn);
        for index in done..due {
            match direction {
                Direction::Joins => {
                    // Each to another node than the one before.
                    let mut urls = urls.to_vec();
                    let another = index % urls.len();
                    urls.rotate_left(another);
                    viewers.add(&Batch { count: 1, urls, ..Batch::default() })?;
                }
                Direction::Leaves => drop(viewers.close(1)?),
            }
        }
        done = due;
        if looked.elapsed() > Duration::from_millis(250) {
            looked = Instant::now();
            on_step(&viewers.snapshot()?);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(done)
}

fn tell(report: &mut Report, arguments: &Arguments, tracked: Tracked) {
    let columns = ["", "p50", "p90", "p99", "longest", "measured"];
    let mut table = Table::new("From a join, or leave, until the number includes it", &columns);
    let mut plot = Plot::new("join-to-everyone", "From a change until it is seen", "ms", "%");
    for (name, latencies) in [("each viewer", &tracked.pairs), ("the last viewer", &tracked.last)] {
        let mut row = vec![name.to_owned()];
        row.extend([0.5, 0.9, 0.99].map(|quantile| millis(latencies.quantile(quantile))));
        row.extend([millis(latencies.max()), latencies.len().to_string()]);
        table.row(row);
        plot.distribution(name, latencies);
    }
    report.table(table);
    report.plot(plot);
    let p99 = tracked.pairs.quantile(0.99);
    let within_promise = arguments.rate <= 100.0;
    let weight = if within_promise { Weight::Promise } else { Weight::Goal };
    let measured = format!("{} over {} changes", millis(p99), tracked.changes);
    report.verdict(weight, "join-to-everyone, p99", measured, "≤ 250 ms", p99 <= PROMISED_P99);
    report.fact("tracked", tracked);
}

/// Closes all viewers, and returns how many keys of the counter are left in Redis then.
fn leave_nothing(viewers: Viewers, redis: &RedisServer) -> String {
    drop(viewers);
    let counters = || -> Result<usize, String> {
        let keys = redis.keys().map_err(|error| error.to_string())?;
        match keys.iter().filter(|key| key.contains("online") && !key.ends_with(":history")).count() {
            0 => Ok(0),
            _ => Err(keys.join(" ")),
        }
    };
    let left = wait_until("an empty Redis", Duration::from_secs(60), counters);
    left.map_or_else(|error| error.to_string(), |count| count.to_string())
}
