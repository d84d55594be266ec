//! `headcount-load million`: as many viewers as are asked for on this machine, on as many nodes as the limit of open
//! files makes necessary, and one exact number on all of them.

mod costs;
mod needs;
mod run;
mod waits;

use std::time::{Duration, Instant};

use clap::Args;
use headcount_testkit::{
    Batch, Goal, Node, NodeOptions, RedisServer, Viewers,
    client::{capacity, open_files},
    clock::now_ns,
};

use self::{
    costs::{costs, nodes_use},
    needs::Needs,
    run::{COUNTER, Run},
    waits::{EXACT, exact, holds, only},
};
use super::{
    checks::{check_parts, look, millis},
    history::History,
};
use crate::{
    interrupt,
    progress::Progress,
    report::{Plot, Report, Weight},
};

/// The number of viewers that come and go when all are there.
const CHANGES: usize = 1_000;

/// Pictures that are pushed to all viewers together while the number changes, by default: each takes a node, the kernel and
/// a client 20 µs.
const PUSHES_PER_SECOND: f64 = 50_000.0;

/// Pictures that are sent again for no news, to all viewers together, at most by default: a push takes a node 10 µs.
const REPEATS_PER_SECOND: u64 = 10_000;

/// How often memory is measured while the viewers come: adding up a node's pages takes time.
const LOOKS_AT_MEMORY: usize = 40;

/// Open files that a node reserves: 512 for itself, and one for each of `--max-heads` connections without a request.
const NODE_RESERVE: usize = 512 + 1024;

/// Time for the viewers of a killed node to see that their streams have ended.
const STREAMS_END: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Viewers in all
    #[arg(long, default_value_t = 1_000_000)]
    viewers: usize,
    /// Viewers for each node process; as many as its limit of open files allows by default
    #[arg(long)]
    per_node: Option<usize>,
    /// Pushes a second of each node at most; by default as many as take about one core of this machine when all are
    /// there, its clients included. While a million come, the number changes all the time, and showing each change to
    /// those who are there would leave nothing for those who are still to come
    #[arg(long)]
    frame_rate: Option<f64>,
    /// Seconds after which an unchanged picture is sent again; by default so many that the repeats to all viewers take no
    /// more than about a tenth of a core of the nodes. At the nodes' own default of 15 s, a million viewers are sent
    /// 67,000 pictures a second that say nothing new
    #[arg(long)]
    keepalive: Option<u64>,
    /// Give up opening after so many minutes
    #[arg(long, default_value_t = 14)]
    minutes: u64,
    /// Go on although this machine seems to lack something
    #[arg(long)]
    anyway: bool,
}

impl Arguments {
    /// Pushes a second of each node at most.
    fn frame_rate(&self) -> f64 {
        let most = PUSHES_PER_SECOND / self.viewers as f64;
        self.frame_rate.unwrap_or(most.clamp(0.01, 10.0))
    }

    /// Seconds until an unchanged picture is sent again.
    fn keepalive(&self) -> u64 {
        let least = self.viewers as u64 / REPEATS_PER_SECOND;
        self.keepalive.unwrap_or(least.clamp(15, 3600))
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::new(&format!("{} viewers on one machine", arguments.viewers));
    let per_node = arguments.per_node.unwrap_or_else(|| open_files().saturating_sub(NODE_RESERVE).max(1));
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
    // Many nodes share two cores: without priority, Redis would reply so late that they consider it down.
    redis.process().prefer();
    let mut nodes = Vec::with_capacity(count);
    let mut progress = Progress::new("starting nodes", count as u64);
    for started in 0..count {
        let rate = format!("--frame-rate={:.3}", arguments.frame_rate());
        let keepalive = format!("--keepalive={}s", arguments.keepalive());
        // One shard each: there are more nodes than cores.
        let options = NodeOptions::redis(redis.url()).with([rate.as_str(), &keepalive, "--shards=1"]);
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
    let batch = Batch { count: arguments.viewers, urls, ..Batch::default() };
    // Without priority this thread would rarely run. The nodes have started already and do not inherit it.
    headcount_testkit::prefer_this_thread();
    let viewers = Viewers::start_in(arguments.viewers.div_ceil(capacity()), &batch)?;
    let mut run = Run { redis, nodes, viewers, begun, history: History::default() };
    let reached = fill(arguments, &mut run, &mut report)?;
    let full = run.viewers.snapshot()?;
    report.verdict(
        Weight::Promise,
        "viewers with a live stream",
        full.to_string(),
        arguments.viewers.to_string(),
        full.live == arguments.viewers,
    );
    for complaint in &full.complaints {
        report.note(complaint);
    }
    report.fact("seconds_to_open", reached.as_secs_f64());
    let live = full.live as u64;
    if live > 0 && !interrupt::requested() {
        exact(&mut run, &mut report, &format!("{live} viewers"), live)?;
        costs(&run, &mut report, idle, available, full.live)?;
    }
    // If not all fit, there is no room for more.
    if full.live == arguments.viewers && !interrupt::requested() {
        holds(&mut run, &mut report, live)?;
        change(&mut run, &mut report, live)?;
    }
    check_parts(&mut report, "all viewers", &run.viewers.snapshot()?);
    report.plot(run.history.plot());
    Ok(report)
}

/// Opens the viewers, and returns how long it took.
fn fill(arguments: &Arguments, run: &mut Run, report: &mut Report) -> anyhow::Result<Duration> {
    let mut progress = Progress::new("opening viewers", arguments.viewers as u64);
    let begun = run.begun;
    let mut memory = Vec::new();
    let took = loop {
        let (all, snapshot) = look(&run.viewers, Goal::Opened, Duration::from_secs(2))?;
        if all {
            break begun.elapsed();
        }
        progress.at(snapshot.live as u64);
        run.record(&snapshot);
        if snapshot.live * LOOKS_AT_MEMORY >= arguments.viewers * (memory.len() + 1) {
            memory.push((snapshot.live as f64, nodes_use(&run.nodes)?.pss_bytes as f64 / f64::from(1 << 20)));
        }
        let late = begun.elapsed() > Duration::from_secs(60 * arguments.minutes);
        if late || interrupt::requested() || snapshot.waiting + snapshot.asking == 0 {
            break begun.elapsed();
        }
    };
    let mut plot = Plot::new("memory", "Memory of all nodes over viewers", "viewers", "MiB");
    plot.line("nodes", memory);
    report.plot(plot);
    Ok(took)
}

/// Closes and opens one viewer, then a thousand, and kills a node.
fn change(run: &mut Run, report: &mut Report, live: u64) -> anyhow::Result<()> {
    let urls: Vec<String> = run.nodes.iter().map(|node| node.url(&format!("{COUNTER}.png"))).collect();
    let mark = |run: &mut Run, report: &mut Report, what: &str, number: u64, name: &str| -> anyhow::Result<()> {
        if interrupt::requested() {
            return Ok(());
        }
        exact(run, report, what, number)?;
        let marked = run.viewers.snapshot()?.marked;
        report.note(format!("{what}: until a viewer's number is right, {}", marked.summary()));
        let mut plot = Plot::new(name, what, "ms", "% of viewers");
        plot.distribution("viewers", &marked);
        report.plot(plot);
        report.fact(name, serde_json::json!({
            "p50_ms": millis(marked.quantile(0.5)), "p99_ms": millis(marked.quantile(0.99)), "last_ms": millis(marked.max()),
        }));
        Ok(())
    };
    run.viewers.mark(live - 1, now_ns())?;
    run.viewers.close(1)?;
    mark(run, report, "one viewer less", live - 1, "one-leave")?;
    run.viewers.add(&Batch { count: 1, urls: urls.clone(), ..Batch::default() })?;
    exact(run, report, "and one more", live)?;
    if interrupt::requested() {
        return Ok(());
    }

    run.viewers.mark(live + CHANGES as u64, now_ns())?;
    run.history.mark(run.begun.elapsed().as_secs_f64(), "a thousand more");
    let extra = Viewers::start(Batch { count: CHANGES, urls, ..Batch::default() })?;
    // Each of them is pushed to all viewers while they come.
    extra.opened(EXACT)?;
    mark(run, report, "a thousand more", live + CHANGES as u64, "thousand-joins")?;
    run.viewers.mark(live, now_ns())?;
    run.history.mark(run.begun.elapsed().as_secs_f64(), "a thousand less");
    drop(extra);
    mark(run, report, "a thousand less", live, "thousand-leaves")?;

    let mut dead = run.nodes.remove(0);
    let held = dead.metric("headcount_viewers")? as u64;
    let left = live - held;
    run.viewers.mark(left, now_ns())?;
    run.history.mark(run.begun.elapsed().as_secs_f64(), "a node is killed");
    dead.kill();
    // Its viewers see the end of their streams at once; the others' number is theirs to be right.
    let ended = only(run, left as usize, STREAMS_END)?;
    report.verdict(
        Weight::Promise,
        format!("the streams of a killed node with {held} viewers ended, and no others"),
        ended.to_string(),
        format!("{left} live"),
        ended.live as u64 == left,
    );
    mark(run, report, "a node was killed", left, "killed-node")
}
