//! Metrics of reloads. Their totals go with the handover: otherwise each reload would begin them anew.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The program at the path runs. Counted by [`ReloadMetrics::done`].
    Done,
    /// The program or its configuration is bad: nothing has changed.
    Rejected,
    /// The system could not run the program: nothing has changed.
    Failed,
}

impl ReloadTotals {
    /// Reloads that have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.done + self.rejected + self.failed
    }
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Done, Self::Rejected, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// What goes with a handover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReloadTotals {
    done: u64,
    rejected: u64,
    failed: u64,
    viewers: u64,
    http2_streams: u64,
}

/// Metrics of reloads. Clones share their values.
#[derive(Clone, Debug)]
pub(crate) struct ReloadMetrics {
    reloads: Family<OutcomeLabel, Counter>,
    viewers: Counter,
    http2_streams: Counter,
    pause: Gauge<f64, std::sync::atomic::AtomicU64>,
}

impl ReloadMetrics {
    /// Goes on from a former program's totals.
    pub(crate) fn new(totals: ReloadTotals) -> Self {
        let metrics = Self {
            reloads: Family::default(),
            viewers: Counter::default(),
            http2_streams: Counter::default(),
            pause: Gauge::default(),
        };
        metrics.of(Outcome::Done).inc_by(totals.done);
        metrics.of(Outcome::Rejected).inc_by(totals.rejected);
        metrics.of(Outcome::Failed).inc_by(totals.failed);
        metrics.viewers.inc_by(totals.viewers);
        metrics.http2_streams.inc_by(totals.http2_streams);
        metrics
    }

    /// Registers all metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("reloads", "SIGHUPs by outcome", self.reloads.clone());
        registry.register("reload_viewers", "Viewers taken over by a new program", self.viewers.clone());
        registry.register(
            "reload_http2_streams",
            "HTTP/2 streams that a reload has ended, because their connections cannot be handed over",
            self.http2_streams.clone(),
        );
        registry.register(
            "reload_pause_seconds",
            "Time between the last frame before the newest reload and the first one after it",
            self.pause.clone(),
        );
    }

    /// Counts a reload that has changed nothing.
    pub(crate) fn count(&self, outcome: Outcome) {
        self.of(outcome).inc();
    }

    /// Counts HTTP/2 streams that had to end.
    pub(crate) fn http2_streams_ended(&self, streams: usize) {
        self.http2_streams.inc_by(streams as u64);
    }

    /// Counts a reload that has succeeded, by which viewers were taken over after a pause.
    pub(crate) fn done(&self, viewers: usize, pause: Duration) {
        self.of(Outcome::Done).inc();
        self.viewers.inc_by(viewers as u64);
        self.pause.set(pause.as_secs_f64());
    }

    /// What goes with a handover.
    pub(crate) fn totals(&self) -> ReloadTotals {
        let [done, rejected, failed] = Outcome::ALL.map(|outcome| self.of(outcome).get());
        ReloadTotals { done, rejected, failed, viewers: self.viewers.get(), http2_streams: self.http2_streams.get() }
    }

    fn of(&self, outcome: Outcome) -> Counter {
        self.reloads.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).clone()
    }
}
