//! `headcount-load million`: as many viewers as are asked for on this machine, on as many nodes as the limit of open
//! files makes necessary, and one exact number on all of them.

mod needs;

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use headcount_load::{
    Goal, Opening, Snapshot, Viewers, ViewersError,
    client::capacity,
    clock::now_ns,
    rig::{Node, NodeOptions, RedisServer, Usage},
};
use needs::Needs;

use super::{hold::Course, judge_parts, millis, settled};
use crate::{
    interrupt,
    progress::Progress,
    report::{Plot, Report, Table, Weight},
};

/// What comes and goes when everybody is there.
const CHANGES: usize = 1_000;

/// Time for one exact number everywhere, once all are counted: a push to a million takes many seconds of two cores.
const EXACT: Duration = Duration::from_secs(240);

const COUNTER: &str = "online";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Viewers in all
    #[arg(long, default_value_t = 1_000_000)]
    viewers: usize,
    /// Viewers for each node process; as many as its limit of open files allows by default
    #[arg(long)]
    per_node: Option<usize>,
    /// Pushes a second of each node at most
    #[arg(long, default_value_t = 1)]
    frame_rate: u32,
    /// Seconds before the nodes count a viewer. While a million come, the number would change all the time, and showing
    /// each change to those who are there takes both cores from those who are still to come
    #[arg(long, default_value_t = 120)]
    grace: u64,
    /// Give up opening after so many minutes
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Go on although this machine seems to lack something
    #[arg(long)]
    anyway: bool,
}

/// All that runs.
struct Stage {
    redis: RedisServer,
    nodes: Vec<Node>,
    viewers: Viewers,
    /// How long the nodes take to count a viewer.
    grace: Duration,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::new(&format!("{} viewers on one machine", arguments.viewers));
    let per_node = arguments.per_node.unwrap_or_else(|| capacity().min(19_000));
    // The viewers that come on top need room too.
    let count = (arguments.viewers + CHANGES).div_ceil(per_node);
    let needs = Needs::of(arguments.viewers, count)?;
    report.table(needs.table());
    if needs.lacking() && !arguments.anyway {
        report.verdict(
            Weight::Promise,
            "this machine holds them",
            format!("it would hold {}", needs.largest()),
            arguments.viewers.to_string(),
            false,
        );
        for advice in needs.advice() {
            report.note(advice);
        }
        return Ok(report);
    }
    let available = needs::available_bytes()?;
    let redis = RedisServer::start()?;
    let mut nodes = Vec::with_capacity(count);
    let mut progress = Progress::new("starting nodes", count as u64);
    for started in 0..count {
        let rate = format!("--frame-rate={}", arguments.frame_rate);
        let grace = format!("--grace={}s", arguments.grace);
        // One shard each: there are more nodes than cores.
        let options = NodeOptions::redis(redis.url()).with([rate.as_str(), &grace, "--shards=1"]);
        nodes.push(Node::start(&options)?);
        progress.at(started as u64);
    }
    for node in &nodes {
        node.ready(Duration::from_secs(60))?;
    }
    drop(progress);
    let idle = nodes_use(&nodes)?;
    let urls: Vec<String> = nodes.iter().map(|node| node.url(&format!("{COUNTER}.png"))).collect();
    let begun = Instant::now();
    let opening = Opening { count: arguments.viewers, urls, ..Opening::default() };
    let viewers = Viewers::start_in(arguments.viewers.div_ceil(capacity()), &opening)?;
    let mut stage = Stage { redis, nodes, viewers, grace: Duration::from_secs(arguments.grace) };
    let reached = fill(arguments, &stage, &mut report, begun)?;
    let full = stage.viewers.snapshot()?;
    report.verdict(
        Weight::Promise,
        "viewers with a live stream",
        full.to_string(),
        arguments.viewers.to_string(),
        full.live == arguments.viewers,
    );
    report.fact("seconds_to_open", reached.as_secs_f64());
    if full.live > 0 && !interrupt::requested() {
        let live = full.live as u64;
        exact(&stage, &mut report, &format!("{live} viewers"), live)?;
        costs(&stage, &mut report, idle, available, full.live)?;
        if !interrupt::requested() {
            change(&mut stage, &mut report, live)?;
        }
    }
    judge_parts(&mut report, "all viewers", &stage.viewers.snapshot()?);
    Ok(report)
}

/// Opens the viewers; gives how long it took.
fn fill(arguments: &Arguments, stage: &Stage, report: &mut Report, begun: Instant) -> anyhow::Result<Duration> {
    let mut progress = Progress::new("opening viewers", arguments.viewers as u64);
    let mut course = Course::default();
    let mut memory = Vec::new();
    let took = loop {
        let snapshot: Snapshot = match stage.viewers.reach(Goal::Opened, Duration::from_secs(2)) {
            Ok(_) => break begun.elapsed(),
            Err(ViewersError::TimedOut { snapshot, .. }) => *snapshot,
            Err(error) => return Err(error.into()),
        };
        let seconds = begun.elapsed().as_secs_f64();
        progress.at(snapshot.live as u64);
        course.at(seconds, &snapshot);
        memory.push((snapshot.live as f64, nodes_use(&stage.nodes)?.pss_bytes as f64 / f64::from(1 << 20)));
        let late = begun.elapsed() > Duration::from_secs(60 * arguments.minutes);
        if late || interrupt::requested() || snapshot.waiting + snapshot.asking == 0 {
            break begun.elapsed();
        }
    };
    let mut plot = Plot::new("memory", "Memory of all nodes over viewers", "viewers", "MiB");
    plot.line("nodes", memory);
    report.plot(plot);
    report.plot(course.plot());
    Ok(took)
}

/// Checks that everybody sees, and every node says, this number.
fn exact(stage: &Stage, report: &mut Report, what: &str, number: u64) -> anyhow::Result<()> {
    let progress = Progress::new(format!("waiting for {number} everywhere"), 1);
    let seen = stage.viewers.all_see(number, stage.grace + EXACT);
    let mut wrong = Vec::new();
    for (index, node) in stage.nodes.iter().enumerate() {
        if let Err(error) = settled(node, COUNTER, number, Duration::from_secs(5)) {
            wrong.push(format!("node {index}: {error}"));
        }
    }
    drop(progress);
    let measured = match (&seen, wrong.first()) {
        (Ok(took), None) => format!("on all viewers and {} nodes after {:.1} s", stage.nodes.len(), took.as_secs_f64()),
        (Err(error), _) => error.to_string(),
        (_, Some(wrong)) => wrong.clone(),
    };
    let bound = format!("{number} everywhere");
    report.verdict(Weight::Promise, format!("exact: {what}"), measured, bound, seen.is_ok() && wrong.is_empty());
    Ok(())
}

/// Lets a thousand come and go, one more, and kills a node.
fn change(stage: &mut Stage, report: &mut Report, live: u64) -> anyhow::Result<()> {
    let urls: Vec<String> = stage.nodes.iter().map(|node| node.url(&format!("{COUNTER}.png"))).collect();
    let mark = |stage: &Stage, report: &mut Report, what: &str, number: u64, name: &str| -> anyhow::Result<()> {
        exact(stage, report, what, number)?;
        let marked = stage.viewers.snapshot()?.marked;
        report.note(format!("{what}: until a viewer's number is right, {}", marked.summary()));
        let mut plot = Plot::new(name, what, "ms", "% of viewers");
        plot.distribution("viewers", &marked);
        report.plot(plot);
        report.fact(name, serde_json::json!({
            "p50_ms": millis(marked.quantile(0.5)), "p99_ms": millis(marked.quantile(0.99)), "last_ms": millis(marked.max()),
        }));
        Ok(())
    };
    stage.viewers.mark(live - 1, now_ns())?;
    stage.viewers.close(1)?;
    mark(stage, report, "one viewer less", live - 1, "one-leave")?;
    stage.viewers.add(&Opening { count: 1, urls: urls.clone(), ..Opening::default() })?;
    exact(stage, report, "and one more", live)?;

    let guests = Viewers::open(CHANGES, &urls)?;
    exact(stage, report, "a thousand more", live + CHANGES as u64)?;
    stage.viewers.mark(live, now_ns())?;
    drop(guests);
    mark(stage, report, "a thousand less", live, "thousand-leaves")?;

    let mut dead = stage.nodes.remove(0);
    dead.kill();
    let killed = Instant::now();
    let lost = stage.viewers.reach(Goal::Opened, Duration::from_secs(1))?.1;
    // Its viewers see the end of their streams at once; a snapshot too early would still count some of them.
    let (mut left, mut before) = (lost.live, usize::MAX);
    while left != before {
        thread::sleep(Duration::from_secs(1));
        before = left;
        left = stage.viewers.snapshot()?.live;
    }
    exact(stage, report, "a node was killed", left as u64)?;
    report.note(format!(
        "a node with {} viewers was killed; {:.1} s later every other showed {left}",
        live - left as u64,
        killed.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn nodes_use(nodes: &[Node]) -> anyhow::Result<Usage> {
    let mut sum = Usage::default();
    for node in nodes {
        sum = sum + node.usage()?;
    }
    Ok(sum)
}

/// What the viewers cost nodes, kernel and Redis.
fn costs(stage: &Stage, report: &mut Report, idle: Usage, available_before: u64, live: usize) -> anyhow::Result<()> {
    let nodes = nodes_use(&stage.nodes)?;
    let redis = stage.redis.usage()?;
    let clients: u64 = stage
        .viewers
        .processes()
        .into_iter()
        .filter_map(|process| headcount_load::rig::usage::of(process).ok())
        .map(|usage| usage.pss_bytes)
        .sum();
    let taken = available_before.saturating_sub(needs::available_bytes()?);
    let kernel = taken.saturating_sub(nodes.pss_bytes + redis.pss_bytes + clients);
    let per_viewer = |bytes: u64| format!("{:.2} KiB", bytes as f64 / 1024.0 / live as f64);
    let grown = nodes.pss_bytes.saturating_sub(idle.pss_bytes);
    let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30));
    let commands: u64 = stage.redis.info("total_commands_processed")?.parse().unwrap_or(0);
    let used: u64 = stage.redis.info("used_memory")?.parse().unwrap_or(0);
    let mut table = Table::new(&format!("What {live} viewers cost"), &["", "in all", "a viewer"]);
    for (name, bytes) in [
        ("nodes, above idle", grown),
        ("nodes, with what they need idle", nodes.pss_bytes),
        ("kernel, both ends", kernel),
        ("clients", clients),
        ("Redis", used),
    ] {
        table.row(vec![name.into(), gib(bytes), per_viewer(bytes)]);
        report.fact(name, bytes);
    }
    let micros = |cpu: Duration| format!("{:.0} µs", cpu.as_secs_f64() * 1e6 / live as f64);
    for (name, cpu) in [("processor time of the nodes", nodes.cpu), ("processor time of Redis", redis.cpu)] {
        table.row(vec![name.into(), format!("{:.1} s", cpu.as_secs_f64()), micros(cpu)]);
        report.fact(name, cpu.as_secs_f64());
    }
    table.row(vec!["commands in Redis".into(), commands.to_string(), format!("{:.2}", commands as f64 / live as f64)]);
    report.table(table);
    report.fact("redis_commands", commands);
    report.fact("node_processes", stage.nodes.len());
    Ok(())
}
