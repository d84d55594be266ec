//! Compares a node with other servers of streams, in turns.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::Context;
use headcount_testkit::{Batch, Viewers, clock::now_ns};

use super::{
    super::checks::{check_parts, median, wait_until_open},
    arguments::Arguments,
    measured::{Measured, push_at_leisure},
    subject::{PATIENCE, StreamKind, Subject},
};
use crate::{
    interrupt,
    peers::{Peer, PeerKind},
    progress::Progress,
    report::{Plot, Report, Table, Weight},
};

/// The pause before memory is measured: allocators return the buffers of opening the viewers only after a while (ours after
/// a second).
const SETTLE: Duration = Duration::from_secs(3);

pub(super) fn compare(arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    let mut nodes: BTreeMap<StreamKind, Measured> = BTreeMap::new();
    let mut peers: BTreeMap<PeerKind, Measured> = BTreeMap::new();
    let turns = arguments.rounds * (PeerKind::ALL.len() + StreamKind::ALL.len());
    let mut progress = Progress::new("rounds of all servers", turns as u64);
    let mut done = 0;
    'rounds: for _ in 0..arguments.rounds {
        for turn in StreamKind::ALL.map(Turn::Node).into_iter().chain(PeerKind::ALL.map(Turn::Peer)) {
            if interrupt::requested() {
                break 'rounds;
            }
            let name = turn.name();
            let (mut subject, measured) = match turn {
                Turn::Node(kind) => {
                    (Subject::headcount(&arguments.node(), kind, arguments.viewers)?, nodes.entry(kind).or_default())
                }
                Turn::Peer(kind) => {
                    (Subject::Peer { peer: Box::new(Peer::start(kind)?), number: 0 }, peers.entry(kind).or_default())
                }
            };
            take_turn(arguments, &mut subject, measured).with_context(|| format!("the turn of {name}"))?;
            done += 1;
            progress.at(done);
            let (memory, cpu, last) =
                (median(measured.memory_bytes.clone()), median(measured.cpu_micros.clone()), &measured.last);
            progress.say(&format!(
                "{name}: {:.2} KiB a viewer, {cpu:.1} µs a viewer and frame, last after {:.0} ms",
                memory / 1024.0,
                median(last.clone())
            ));
        }
    }
    drop(progress);
    tell(report, &nodes, &peers);
    Ok(())
}

/// Whose turn it is.
#[derive(Clone, Copy)]
enum Turn {
    Node(StreamKind),
    Peer(PeerKind),
}

impl Turn {
    fn name(self) -> &'static str {
        match self {
            Self::Node(kind) => kind.name(),
            Self::Peer(kind) => kind.name(),
        }
    }
}

/// Opens the viewers, pushes, and measures.
fn take_turn(arguments: &Arguments, subject: &mut Subject, measured: &mut Measured) -> anyhow::Result<()> {
    let count = arguments.viewers;
    let idle = subject.usage()?;
    let begun = now_ns();
    let batch = Batch { count, urls: vec![subject.url()], per_second: None, behaviour: subject.behaviour() };
    let viewers = Viewers::start(batch)?;
    let snapshot = wait_until_open(&viewers, "opening viewers", PATIENCE)?;
    anyhow::ensure!(snapshot.live == count, "only {snapshot}");
    measured.opens_per_second.push(count as f64 / ((now_ns() - begun) as f64 / 1e9));
    viewers.all_see(subject.numbers().0, PATIENCE)?;
    thread::sleep(SETTLE);
    let loaded = subject.usage()?;
    measured.memory_bytes.push((loaded - idle).pss_bytes as f64 / count as f64);
    let before = viewers.snapshot()?;
    let cpu_before = subject.usage()?.cpu;
    for _ in 0..arguments.pushes {
        push_at_leisure(subject, &viewers, measured)?;
    }
    let cpu = subject.usage()?.cpu - cpu_before;
    let after = viewers.snapshot()?;
    let parts = (after.parts - before.parts).max(1);
    measured.cpu_micros.push(cpu.as_secs_f64() * 1e6 / parts as f64);
    measured.frame_bytes = (after.bytes - before.bytes) as f64 / parts as f64;
    measured.snapshot.merge(after);
    Ok(())
}

fn tell(report: &mut Report, nodes: &BTreeMap<StreamKind, Measured>, peers: &BTreeMap<PeerKind, Measured>) {
    let none = Measured::default();
    let headcount = nodes.get(&StreamKind::Pictures).unwrap_or(&none);
    let columns = [
        "server",
        "KiB a viewer",
        "µs a viewer and frame",
        "first",
        "median",
        "p99",
        "last of all",
        "opened a second",
        "bytes a frame",
    ];
    let mut figures = Table::new("Medians over all pushes; times in ms, from the first viewer's frame on", &columns);
    let mut ratios = Table::new("headcount's figure over theirs", &["server", "memory", "processor", "last of all"]);
    let mut plot = Plot::new("push", "One push to all viewers", "ms after the first", "% of viewers that have it");
    let all = nodes.iter().map(|(kind, one)| (kind.name(), one));
    let all = all.chain(peers.iter().map(|(kind, one)| (kind.name(), one)));
    let ours = [&headcount.memory_bytes, &headcount.cpu_micros, &headcount.last].map(|values| median(values.clone()));
    for (name, one) in all {
        let [memory, cpu, last] = [&one.memory_bytes, &one.cpu_micros, &one.last].map(|values| median(values.clone()));
        let [first, middle, p99, opens] =
            [&one.first, &one.middle, &one.p99, &one.opens_per_second].map(|values| median(values.clone()));
        let mut row = vec![name.to_owned(), format!("{:.2}", memory / 1024.0), format!("{cpu:.2}")];
        row.extend([first, middle, p99, last].map(|time| format!("{time:.1}")));
        row.extend([format!("{opens:.0}"), format!("{:.0}", one.frame_bytes)]);
        figures.row(row);
        ratios.row(vec![
            name.to_owned(),
            format!("{:.3}", ours[0] / memory),
            format!("{:.3}", ours[1] / cpu),
            format!("{:.3}", ours[2] / last),
        ]);
        report.fact(
            name,
            serde_json::json!({
                "memory_bytes_per_viewer": memory, "cpu_micros_per_viewer_and_frame": cpu, "first_ms": first,
                "median_ms": middle, "p99_ms": p99, "last_ms": last, "opened_per_second": opens,
                "frame_bytes": one.frame_bytes, "pushes": one.last.len(),
            }),
        );
        plot.distribution(name, &one.all);
        check_parts(report, name, &one.snapshot);
    }
    report.table(figures);
    report.table(ratios);
    report.plot(plot);
    judge(report, headcount, peers);
    judge_text(report, nodes, peers);
}

fn judge(report: &mut Report, headcount: &Measured, peers: &BTreeMap<PeerKind, Measured>) {
    let of = |one: &Measured, figure: fn(&Measured) -> &Vec<f64>| median(figure(one).clone());
    let mut bound = |what: &str, figure: fn(&Measured) -> &Vec<f64>, kind: PeerKind, at_most: f64| {
        let Some(peer) = peers.get(&kind) else { return };
        let ratio = of(headcount, figure) / of(peer, figure);
        let what = format!("{what} over that of {}", kind.name());
        report.verdict(Weight::Goal, what, format!("{ratio:.3}"), format!("≤ {at_most:.3}"), ratio <= at_most);
    };
    bound("memory a viewer", |one| &one.memory_bytes, PeerKind::Nchan, 1.0 / 15.0);
    bound("processor time a viewer and frame", |one| &one.cpu_micros, PeerKind::Floor, 1.10);
    bound("processor time a viewer and frame", |one| &one.cpu_micros, PeerKind::Nchan, 0.9);
    bound("time to the last viewer", |one| &one.last, PeerKind::Floor, 1.10);
    for kind in [PeerKind::Nchan, PeerKind::Node, PeerKind::BodyStream] {
        bound("time to the last viewer", |one| &one.last, kind, 1.0);
    }
    let memory = of(headcount, |one| &one.memory_bytes) / 1024.0;
    report.verdict(Weight::Goal, "memory a viewer", format!("{memory:.2} KiB"), "≤ 0.60 KiB", memory <= 0.6);
}

/// Streams of text beside pictures, and events beside those of nchan.
fn judge_text(report: &mut Report, nodes: &BTreeMap<StreamKind, Measured>, peers: &BTreeMap<PeerKind, Measured>) {
    let of = |one: &Measured, figure: fn(&Measured) -> &Vec<f64>| median(figure(one).clone());
    let Some(pictures) = nodes.get(&StreamKind::Pictures) else { return };
    for kind in [StreamKind::Html, StreamKind::Events] {
        let Some(text) = nodes.get(&kind) else { continue };
        let memory = of(text, |one| &one.memory_bytes) / 1024.0;
        let name = kind.name();
        let what = format!("{name}: memory a viewer");
        report.verdict(Weight::Goal, what, format!("{memory:.2} KiB"), "≤ 0.50 KiB", memory <= 0.5);
        let ratio = of(text, |one| &one.cpu_micros) / of(pictures, |one| &one.cpu_micros);
        let what = format!("{name}: processor time a viewer and frame over that of pictures");
        report.verdict(Weight::Goal, what, format!("{ratio:.3}"), "≤ 1.150", ratio <= 1.15);
    }
    if let (Some(ours), Some(theirs)) = (nodes.get(&StreamKind::Events), peers.get(&PeerKind::NchanEvents)) {
        let ratio = of(ours, |one| &one.cpu_micros) / of(theirs, |one| &one.cpu_micros);
        let what = "events: processor time a viewer and frame over that of nchan's EventSource".to_owned();
        report.verdict(Weight::Goal, what, format!("{ratio:.3}"), "≤ 0.900", ratio <= 0.9);
    }
}
