//! Runs the traffic and the disturbances, and reports what was shown.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use parking_lot::RwLock;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    super::checks::name_of,
    arguments::Arguments,
    disturbance::{self, Disturbance, Kind},
    driver::Driver,
    findings::{self, Disturbed},
    fleet::{SoakFleet, SoakNode},
    observer::{Observer, Shared, Source},
    traffic::{Shape, Traffic},
    truth::{Measure, Truth},
};
use crate::{interrupt, progress::Progress, report::Report};

/// The time between two looks at what is due.
const TICK: Duration = Duration::from_millis(5);

/// After a disturbance, numbers are exact within this time: the promise. Nodes with scaled times need a tenth.
const HEALED: f64 = 10.0;

/// The time until a stopped node has ended.
const ENDED: Duration = Duration::from_secs(30);

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    if arguments.minutes <= 0.0 {
        bail!("a soak takes some time");
    }
    let mut soak = Soak::start(arguments)?;
    let begun = soak.shared.truth.now();
    let mut leaves = soak.leaves.take().context("the leaves have not begun")?;
    let stopped = soak.shared.clone();
    // On a thread of its own: while others open viewers, a pause would be long enough for a heartbeat.
    let leaving = thread::spawn(move || {
        while !stopped.stopped() {
            leaves.go_on(begun)?;
            thread::sleep(TICK);
        }
        anyhow::Ok(leaves)
    });
    let outcome = soak.go_on(begun, arguments.minutes * 60.0);
    soak.shared.stop.store(true, Ordering::Relaxed);
    // Its viewers stay until the observers have ended.
    let leaves = leaving.join().map_err(|_| anyhow::anyhow!("the traffic has panicked"))?;
    outcome?;
    let leaves = leaves?;
    let mut report = Report::new("Traffic for a long time, and whether every number that was shown was true");
    let mut seen = Vec::new();
    for observer in soak.observers {
        let (counter, source) = (observer.counter, observer.source);
        seen.push((counter, source, observer.finish()?));
    }
    drop(leaves);
    let truths: Vec<_> = (0..Shape::value_variants().len()).map(|counter| soak.shared.truth.of(counter)).collect();
    findings::report(&mut report, &truths, &seen, &soak.disturbed);
    Ok(report)
}

struct Soak {
    fleet: SoakFleet,
    shared: Shared,
    observers: Vec<Observer>,
    /// The traffic of [`Shape::OnlyLeaves`], until it begins.
    leaves: Option<Driver>,
    /// All other traffic.
    others: Driver,
    choice: StdRng,
    disturbed: Vec<Disturbed>,
    scale: f64,
}

/// A disturbance that lasts.
struct Lasting {
    what: Disturbance,
    /// Nodes whose viewers need not count.
    doubted: Vec<usize>,
    /// When it is over, or has healed.
    until: f64,
    over: bool,
}

impl Soak {
    fn start(arguments: &Arguments) -> anyhow::Result<Self> {
        let fleet = SoakFleet::start(arguments.program.clone(), arguments.scale)?;
        let names: Vec<String> = Shape::value_variants().iter().map(|shape| shape.name()).collect();
        let shared = Shared {
            truth: Arc::new(Truth::new(names.len(), f64::from(arguments.scale))),
            targets: Arc::new(RwLock::new(fleet.targets())),
            stop: Arc::new(AtomicBool::new(false)),
        };
        let mut observers = Vec::new();
        for (counter, (shape, name)) in Shape::value_variants().iter().zip(&names).enumerate() {
            let streams = [(Measure::Viewers, 0), (Measure::Viewers, 1), (Measure::Visitors, 2)];
            let streams = streams.map(|(measure, node)| (Source::Stream(measure), node));
            // A stream would keep the counter from being empty.
            let streams = streams.into_iter().filter(|_| *shape != Shape::EmptyAndBack);
            for (source, node) in streams.chain([(Source::Json, counter)]) {
                // Where other nodes have viewers of the counter, a node sends heartbeats to watch their leases.
                let node = if *shape == Shape::OnlyLeaves { 0 } else { node };
                let visitor = observers.len() as u32;
                observers.push(Observer::start(&shared, counter, name, source, node, visitor)?);
            }
        }
        let mut choice = StdRng::seed_from_u64(arguments.seed);
        let scale = f64::from(arguments.scale);
        let mut driver = |shapes: &dyn Fn(Shape) -> bool| {
            let mut choice = || StdRng::seed_from_u64(choice.random());
            let all = Shape::value_variants().iter().enumerate().filter(|(_, shape)| shapes(**shape));
            let traffic = all.map(|(counter, shape)| Traffic::new(*shape, counter, choice())).collect();
            Driver::new(&shared, traffic, choice(), scale)
        };
        let leaves = Some(driver(&|shape| shape == Shape::OnlyLeaves));
        let others = driver(&|shape| shape != Shape::OnlyLeaves);
        Ok(Self { fleet, shared, observers, leaves, others, choice, disturbed: Vec::new(), scale })
    }

    /// The traffic of so many seconds, before they are divided by the scale.
    fn go_on(&mut self, begun: f64, seconds: f64) -> anyhow::Result<()> {
        let mut schedule = disturbance::schedule(seconds, &mut self.choice).into_iter().peekable();
        let mut progress = Progress::new("seconds", seconds as u64);
        let mut lasting: Option<Lasting> = None;
        loop {
            let now = (self.shared.truth.now() - begun) * self.scale;
            if now >= seconds || interrupt::requested() {
                break;
            }
            progress.at(now as u64);
            if lasting.is_none()
                && let Some(next) = schedule.next_if(|next| next.begin <= now)
            {
                progress.say(&format!("{:.0} s: {} for {:.0} s", next.begin, name_of(&next.kind), next.length));
                lasting = Some(self.begin(next)?);
            }
            if lasting.as_ref().is_some_and(|lasting| lasting.until <= self.shared.truth.now()) {
                lasting = self.end(lasting.take().context("it lasts")?)?;
            }
            self.others.go_on(begun)?;
            thread::sleep(TICK);
        }
        if let Some(lasting) = lasting {
            self.end(lasting)?;
        }
        Ok(())
    }

    fn begin(&mut self, what: Disturbance) -> anyhow::Result<Lasting> {
        let truth = Arc::clone(&self.shared.truth);
        let from = truth.now();
        let mut doubted = Vec::new();
        match what.kind {
            Kind::Stall => self.fleet.redis.process().freeze()?,
            Kind::Deploy => {
                let new = self.fleet.new_node()?;
                let old = std::mem::replace(&mut self.fleet.nodes[what.node], new);
                *self.shared.targets.write() = self.fleet.targets();
                self.stop(old)?;
            }
            Kind::OneCutOff | Kind::AllCutOff => {
                for (index, node) in self.fleet.nodes.iter().enumerate() {
                    if what.kind == Kind::AllCutOff || index == what.node {
                        truth.doubt(node.id);
                        doubted.push(node.id);
                        node.proxy.cut();
                    }
                }
            }
        }
        // A deploy disturbs nothing: it is a mark in the plot.
        let until = if what.kind == Kind::Deploy { from } else { from + what.length / self.scale };
        self.disturbed.push(Disturbed { kind: what.kind, begin: from, end: until });
        Ok(Lasting { what, doubted, until, over: what.kind == Kind::Deploy })
    }

    /// What has lasted is over, or has had its time to heal.
    fn end(&mut self, mut lasting: Lasting) -> anyhow::Result<Option<Lasting>> {
        if lasting.over {
            lasting.doubted.iter().for_each(|&node| self.shared.truth.trust(node));
            return Ok(None);
        }
        match lasting.what.kind {
            Kind::Stall => self.fleet.redis.process().thaw()?,
            _ => self.fleet.nodes.iter().for_each(|node| node.proxy.heal()),
        }
        lasting.over = true;
        lasting.until = self.shared.truth.now() + HEALED / self.scale.clamp(1.0, 5.0);
        if let Some(disturbed) = self.disturbed.last_mut() {
            disturbed.end = lasting.until;
        }
        Ok(Some(lasting))
    }

    /// Stops a node, and opens its viewers at others.
    fn stop(&mut self, old: SoakNode) -> anyhow::Result<()> {
        let SoakNode { id, mut node, proxy } = old;
        self.shared.truth.doubt(id);
        let stopping = thread::spawn(move || {
            let status = node.stop(ENDED);
            drop(proxy);
            status
        });
        while !stopping.is_finished() {
            self.others.read()?;
            thread::sleep(TICK);
        }
        let status = stopping.join().map_err(|_| anyhow::anyhow!("stopping a node has panicked"))??;
        ensure!(status.success(), "a node that was stopped ended with {status}");
        self.others.read()
    }
}
