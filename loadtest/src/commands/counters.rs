//! `headcount-load counters`: many counters, each with one viewer on each node, on one Redis. Measures what they cost while
//! they are quiet, and how soon all of them are exact again after a loss, a slow Redis, and the death of a node.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use clap::Args;
use headcount_testkit::{Batch, Node, NodeOptions, RedisServer, Usage, Viewers, wait_until};

use super::checks::{check_parts, wait_until_open};
use crate::{
    interrupt,
    progress::Progress,
    report::{Plot, Report, Table, Weight},
};

/// What is promised after each fault.
const EXACT_WITHIN: Duration = Duration::from_secs(10);

/// Until it is quiet after everybody has come: new epochs settle.
const SETTLES: Duration = Duration::from_secs(15);

/// Redis runs for a tenth of its time while it is slow.
const SLICE: Duration = Duration::from_millis(100);
const OF_SLICE: Duration = Duration::from_millis(10);

/// Counters whose state in Redis is looked at.
const SAMPLE: usize = 200;

/// What a quiet pair of a counter and a node may cost Redis, in microseconds of its processor a second.
const PAIR_MICROS: f64 = 0.75;

/// What a node may use for 10,000 quiet counters, in cores.
const NODE_CORES: f64 = 0.05;

/// What may be gone wrong for before anything is measured.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Counters
    #[arg(long, default_value_t = 10_000)]
    counters: usize,
    /// Nodes, each with a viewer of every counter
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..))]
    nodes: u64,
    /// Seconds in which nothing happens
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    quiet: u64,
    /// Seconds in which Redis is slow
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    slow: u64,
}

/// The nodes and their viewers, and what they have shown so far.
struct Run {
    counters: usize,
    redis: RedisServer,
    nodes: Vec<Node>,
    /// Of each node.
    viewers: Vec<Viewers>,
    begun: Instant,
    /// The share of viewers that show the right number, and the processor that Redis uses, over time.
    right: Vec<(f64, f64)>,
    cores: Vec<(f64, f64)>,
    last: (Instant, Usage),
    marks: Vec<(f64, String)>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::new("Many counters on one Redis");
    let mut run = Run::start(arguments)?;
    if !interrupt::requested() {
        run.measure_quiet(&mut report, Duration::from_secs(arguments.quiet))?;
    }
    for fault in [Fault::Loss, Fault::Slow(Duration::from_secs(arguments.slow)), Fault::Death] {
        if !interrupt::requested() {
            run.suffer(&mut report, fault)?;
        }
    }
    for (number, viewers) in run.viewers.iter().enumerate() {
        check_parts(&mut report, &format!("viewers of node {number}"), &viewers.snapshot()?);
    }
    report.plot(run.plot());
    Ok(report)
}

#[derive(Clone, Copy)]
enum Fault {
    /// FLUSHALL.
    Loss,
    /// Redis is stopped and continued in slices for so long.
    Slow(Duration),
    /// A node is killed.
    Death,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss => f.write_str("Redis loses everything"),
            Self::Slow(time) => write!(f, "Redis has a tenth of a processor for {time:.0?}"),
            Self::Death => f.write_str("a node is killed"),
        }
    }
}

impl Run {
    /// Starts everything, and waits until every number is exact.
    fn start(arguments: &Arguments) -> anyhow::Result<Self> {
        let redis = RedisServer::start()?;
        let (mut nodes, mut viewers) = (Vec::new(), Vec::new());
        for number in 0..arguments.nodes {
            let options = NodeOptions::redis(redis.url()).with([
                "--max-counters",
                &arguments.counters.to_string(),
                "--accept-rate",
                "1000",
            ]);
            let node = Node::start(&options)?;
            node.ready(PATIENCE)?;
            let urls = (0..arguments.counters).map(|counter| node.url(&format!("room-{counter}.png"))).collect();
            let batch = Batch { count: arguments.counters, urls, ..Batch::default() };
            let opening = Viewers::start_in(1, &batch)?;
            let snapshot = wait_until_open(&opening, &format!("viewers of node {number}"), PATIENCE)?;
            anyhow::ensure!(snapshot.live == arguments.counters, "only {snapshot}");
            viewers.push(opening);
            nodes.push(node);
        }
        let last = (Instant::now(), redis.usage()?);
        let (right, cores, marks) = Default::default();
        let counters = arguments.counters;
        let mut run = Self { counters, redis, nodes, viewers, begun: Instant::now(), right, cores, last, marks };
        run.exact(PATIENCE).map_err(anyhow::Error::msg)?;
        Ok(run)
    }

    /// Measures for so long what everything costs while nothing happens.
    fn measure_quiet(&mut self, report: &mut Report, time: Duration) -> anyhow::Result<()> {
        self.mark("quiet");
        self.watch("quiet: settling", SETTLES)?;
        let figures = |run: &Self| -> anyhow::Result<_> {
            let info = |field| Ok::<f64, anyhow::Error>(run.redis.info(field)?.trim().parse()?);
            let bytes = info("total_net_input_bytes")? + info("total_net_output_bytes")?;
            let nodes = run.nodes.iter().map(Node::usage).collect::<Result<Vec<_>, _>>()?;
            Ok((run.redis.usage()?, info("total_commands_processed")?, bytes, nodes, Instant::now()))
        };
        let before = figures(self)?;
        self.watch("quiet", time)?;
        let after = figures(self)?;
        let seconds = (after.4 - before.4).as_secs_f64();
        let pairs = (self.counters * self.nodes.len()) as f64;
        let redis_cores = (after.0 - before.0).cpu.as_secs_f64() / seconds;
        let used: f64 = after.3.iter().zip(&before.3).map(|(after, before)| (*after - *before).cpu.as_secs_f64()).sum();
        let node_cores = used / seconds / self.nodes.len() as f64;
        let node_bytes = after.3.iter().map(|usage| usage.pss_bytes).sum::<u64>() as f64 / pairs;
        let memory: f64 = self.redis.info("used_memory")?.trim().parse()?;
        let mut table = Table::new("While nothing changes", &["", "measured"]);
        let micros = redis_cores / pairs * 1e6;
        for (what, measured) in [
            ("Redis: share of a core", format!("{redis_cores:.3}")),
            ("Redis: each second, of a pair of a counter and a node", format!("{micros:.2} µs")),
            ("Redis: commands a second, those in scripts included", format!("{:.0}", (after.1 - before.1) / seconds)),
            ("Redis: bytes a second, in and out", format!("{:.0}", (after.2 - before.2) / seconds)),
            ("Redis: memory of a pair", format!("{:.0} bytes", memory / pairs)),
            ("a node: share of a core, its viewers' sockets included", format!("{node_cores:.3}")),
            ("a node: memory of a counter, its viewer and picture included", format!("{node_bytes:.0} bytes")),
        ] {
            table.row(vec![what.into(), measured]);
        }
        report.table(table);
        report.fact("redis_cores", redis_cores);
        report.fact("redis_micros_a_pair_and_second", micros);
        report.fact("node_cores", node_cores);
        report.fact("node_bytes_a_counter", node_bytes);
        let bound = format!("≤ {PAIR_MICROS} µs");
        let measured = format!("{micros:.2} µs");
        report.verdict(Weight::Goal, "Redis, of a quiet pair a second", measured, bound, micros <= PAIR_MICROS);
        let most = NODE_CORES * (self.counters as f64 / 1e4).max(1.0);
        let (measured, bound) = (format!("{node_cores:.3} of a core"), format!("≤ {most:.2}"));
        report.verdict(Weight::Goal, "a node", measured, bound, node_cores <= most);
        Ok(())
    }

    /// Makes the fault happen, and says how soon all is exact again.
    fn suffer(&mut self, report: &mut Report, fault: Fault) -> anyhow::Result<()> {
        for viewers in &self.viewers {
            viewers.forget_extremes()?;
        }
        self.mark(&fault.to_string());
        let truth = self.viewers.len() as u64;
        match fault {
            Fault::Loss => self.redis.command(&["FLUSHALL"])?,
            Fault::Slow(time) => self.slow(time)?,
            Fault::Death => {
                self.nodes.pop();
                self.viewers.pop();
            }
        }
        let exact = self.exact(EXACT_WITHIN);
        let is_exact = exact.is_ok();
        let measured = exact.map_or_else(|error| error, |took| format!("{:.1} s", took.as_secs_f64()));
        let bound = format!("≤ {EXACT_WITHIN:.0?}");
        report.verdict(Weight::Promise, format!("{fault}: all counters exact"), measured, bound, is_exact);
        let snapshots = self.viewers.iter().map(Viewers::snapshot).collect::<Result<Vec<_>, _>>()?;
        let lowest = snapshots.iter().filter_map(|snapshot| snapshot.lowest).min().unwrap_or(0);
        let least = self.viewers.len() as u64;
        let (what, bound) = (format!("{fault}: the lowest number shown"), format!("≥ {least}"));
        let weight = if matches!(fault, Fault::Slow(_)) { Weight::Goal } else { Weight::Promise };
        report.verdict(weight, what, lowest.to_string(), bound, (least..=truth).contains(&lowest));
        if !is_exact {
            self.exact(PATIENCE).map_err(anyhow::Error::msg)?;
        }
        self.watch("it stays", EXACT_WITHIN)?;
        Ok(())
    }

    /// Stops and continues Redis in slices.
    fn slow(&mut self, time: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut progress = Progress::new("seconds of a slow Redis", time.as_secs());
        while begun.elapsed() < time && !interrupt::requested() {
            self.redis.process().freeze()?;
            thread::sleep(SLICE - OF_SLICE);
            self.redis.process().thaw()?;
            thread::sleep(OF_SLICE);
            if self.last.0.elapsed() >= Duration::from_secs(1) {
                self.note()?;
                progress.at(begun.elapsed().as_secs());
            }
        }
        Ok(())
    }

    /// Waits until every viewer shows the number of nodes, and a sample of the counters in Redis has it from as many
    /// sessions. Returns how long that took, or what is wrong.
    fn exact(&mut self, within: Duration) -> Result<Duration, String> {
        let begun = Instant::now();
        let mut found = String::new();
        while begun.elapsed() < within && !interrupt::requested() {
            self.note().map_err(|error| error.to_string())?;
            let left = within.saturating_sub(begun.elapsed());
            let truth = self.viewers.len() as u64;
            let shown = self.viewers.iter().try_for_each(|viewers| {
                viewers.all_see(truth, Duration::from_millis(300)).map(drop).map_err(|error| error.to_string())
            });
            let within = left.min(Duration::from_millis(300));
            match shown.and_then(|()| {
                wait_until("the sample", within, || self.sample(truth)).map_err(|error| error.to_string())
            }) {
                Ok(()) => return Ok(begun.elapsed()),
                Err(error) => found = error,
            }
        }
        Err(found)
    }

    /// Whether a sample of all counters in Redis is exact.
    fn sample(&self, truth: u64) -> Result<(), String> {
        for counter in (0..self.counters).step_by(self.counters.div_ceil(SAMPLE)) {
            let key = |part| format!("hc:{{room-{counter}}}:{part}");
            let fields: Vec<Option<u64>> =
                self.redis.query(&["HMGET", &key("state"), "count", "nodes"]).map_err(|error| error.to_string())?;
            let leases: u64 = self.redis.query(&["ZCARD", &key("sessions")]).map_err(|error| error.to_string())?;
            if fields != [Some(truth); 2] || leases != truth {
                return Err(format!("room-{counter} is counted as {fields:?} with {leases} leases, not {truth}"));
            }
        }
        Ok(())
    }

    /// Notes the course for so long.
    fn watch(&mut self, what: &str, time: Duration) -> anyhow::Result<()> {
        let (begun, mut progress) = (Instant::now(), Progress::new(what, time.as_secs()));
        while begun.elapsed() < time && !interrupt::requested() {
            thread::sleep(Duration::from_secs(1).min(time));
            self.note()?;
            progress.at(begun.elapsed().as_secs());
        }
        Ok(())
    }

    /// Notes what the viewers show now, and what Redis has used since the last note.
    fn note(&mut self) -> anyhow::Result<()> {
        let (now, usage) = (Instant::now(), self.redis.usage()?);
        let seconds = self.begun.elapsed().as_secs_f64();
        let used = (usage - self.last.1).cpu.as_secs_f64() / now.duration_since(self.last.0).as_secs_f64().max(1e-3);
        self.last = (now, usage);
        let truth = self.viewers.len() as u64;
        let (mut right, mut live) = (0, 0);
        for viewers in &self.viewers {
            let snapshot = viewers.snapshot()?;
            right += snapshot.showing.get(&truth).copied().unwrap_or(0);
            live += snapshot.live;
        }
        self.right.push((seconds, 100.0 * right as f64 / live.max(1) as f64));
        self.cores.push((seconds, 100.0 * used));
        Ok(())
    }

    fn mark(&mut self, what: &str) {
        self.marks.push((self.begun.elapsed().as_secs_f64(), what.to_owned()));
    }

    fn plot(self) -> Plot {
        let mut plot = Plot::new("course", "Viewers that show the right number, and Redis's processor", "s", "%");
        plot.line("viewers that show the right number", self.right);
        plot.line("Redis, of a core", self.cores);
        for (seconds, what) in self.marks {
            plot.mark(seconds, what);
        }
        plot
    }
}
