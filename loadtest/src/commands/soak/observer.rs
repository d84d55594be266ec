//! [`Observer`]: records every number that a stream shows, or that a node's JSON says.

use std::{
    io::Read,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use headcount_drawing::{Count, read_stamp};
use headcount_testkit::{Reading, http};
use headcount_wire::PartReader;
use parking_lot::RwLock;

use super::{
    crowd::{Target, request},
    truth::{Measure, Truth},
};

/// How often an observer looks whether the run has ended, and how often JSON is requested.
const POLL: Duration = Duration::from_millis(200);

/// A number that was shown from one moment until another, in seconds since the beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) from: f64,
    pub(super) until: f64,
    pub(super) number: u64,
    pub(super) measure: Measure,
}

/// Where an observer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Stream(Measure),
    Json,
}

/// What all observers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) truth: Arc<Truth>,
    /// The nodes that accept viewers.
    pub(super) targets: Arc<RwLock<Vec<Target>>>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Shared {
    /// Whether the run has ended.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// An observer of one counter, on a thread of its own.
pub(super) struct Observer {
    pub(super) counter: usize,
    pub(super) source: Source,
    thread: JoinHandle<anyhow::Result<Vec<Shown>>>,
}

impl Observer {
    /// Starts one. It watches the node with this index, and another when that ends. `visitor` is nobody else.
    pub(super) fn start(
        shared: &Shared,
        counter: usize,
        name: &str,
        source: Source,
        index: usize,
        visitor: u32,
    ) -> anyhow::Result<Self> {
        let watch = Watch { shared: shared.clone(), counter, name: name.into(), index, visitor };
        let run = move || match source {
            Source::Stream(measure) => watch.streams(measure),
            Source::Json => Ok(watch.json()),
        };
        let thread = thread::Builder::new().name("observer".into()).spawn(run).context("a thread for an observer")?;
        Ok(Self { counter, source, thread })
    }

    /// What it has seen, once the run has ended.
    pub(super) fn finish(self) -> anyhow::Result<Vec<Shown>> {
        self.thread.join().map_err(|_| anyhow::anyhow!("an observer has panicked"))?
    }
}

struct Watch {
    shared: Shared,
    counter: usize,
    name: String,
    index: usize,
    visitor: u32,
}

impl Watch {
    fn target(&self) -> Option<Target> {
        let targets = self.shared.targets.read();
        targets.get(self.index % targets.len().max(1)).copied()
    }

    fn streams(&self, measure: Measure) -> anyhow::Result<Vec<Shown>> {
        let path = match measure {
            Measure::Viewers => format!("/{}.png", self.name),
            Measure::Visitors => format!("/{}.png?show=visitors", self.name),
        };
        let mut seen = Vec::new();
        while !self.shared.stopped() {
            let Some(target) = self.target() else { continue };
            let truth = &self.shared.truth;
            let member = truth.opening(self.counter, target.node, self.visitor);
            if let Ok(stream) = request(target.address, &path, self.visitor) {
                let opened = || truth.opened(member);
                let outcome = self.stream(stream, measure, &mut seen, opened);
                outcome.with_context(|| format!("{path} of node {}", target.node))?;
            }
            truth.closed(member);
            thread::sleep(Duration::from_millis(20));
        }
        Ok(seen)
    }

    /// Reads one stream until it ends.
    fn stream(
        &self,
        mut stream: TcpStream,
        measure: Measure,
        seen: &mut Vec<Shown>,
        opened: impl Fn(),
    ) -> anyhow::Result<()> {
        stream.set_read_timeout(Some(POLL))?;
        let truth = &self.shared.truth;
        let (mut head, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        let mut parts: Option<PartReader> = None;
        let mut current: Option<Shown> = None;
        while !self.shared.stopped() {
            let count = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    continue;
                }
                Err(_) => break,
            };
            let now = truth.now();
            let reader = if let Some(reader) = &mut parts {
                reader.push(&buffer[..count]);
                reader
            } else {
                head.extend_from_slice(&buffer[..count]);
                let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
                let text = String::from_utf8_lossy(&head[..end]).into_owned();
                if !text.starts_with("HTTP/1.1 200") {
                    break; // the node is being stopped
                }
                let kind =
                    text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-type:").map(|_| line));
                let kind = kind.and_then(|line| line.split_once(':')).map_or("", |(_, kind)| kind.trim());
                let reader = parts.insert(PartReader::for_content_type(kind).context("a stream without a boundary")?);
                reader.push(&head[end + 4..]);
                reader
            };
            while let Some(part) = reader.next_part()? {
                let Count::Exactly(number) = read_stamp(&part)?.count else { continue };
                if let Some(before) = current.take() {
                    seen.push(Shown { until: now, ..before });
                } else {
                    opened();
                }
                current = Some(Shown { from: now, until: now, number, measure });
            }
        }
        seen.extend(current.map(|last| Shown { until: truth.now(), ..last }));
        Ok(())
    }

    fn json(&self) -> Vec<Shown> {
        let mut seen = Vec::new();
        while !self.shared.stopped() {
            thread::sleep(POLL);
            let Some(target) = self.target() else { continue };
            // Without an answer there is no number: a node may be about to end.
            let Ok(answer) = http::get(target.address, &format!("/{}.json", self.name)) else { continue };
            let Ok(reading) = serde_json::from_slice::<Reading>(&answer.body) else { continue };
            let now = self.shared.truth.now();
            for (measure, number) in [(Measure::Viewers, reading.count), (Measure::Visitors, reading.visitors)] {
                seen.push(Shown { from: now, until: now, number, measure });
            }
        }
        seen
    }
}
