//! The engine's metrics. A shard sums up its sends in [`SendTotals`] and reports them once per batch, so a send updates no
//! metric.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};
use strum::{IntoStaticStr, VariantArray};

use crate::viewer_limits::ViewerLimits;

/// Counters exported by name, those with the most viewers first; the rest are summed up under [`OTHERS`]. Bounds the size
/// of a scrape on nodes where anyone may create counters.
const MAX_NAMED_COUNTERS: usize = 100;
/// Cannot be a counter's name: a name contains no brackets.
const OTHERS: &str = "(others)";
/// Seconds. A pass over one viewer takes about 10 µs, over 100,000 about a second.
const PASS_BUCKETS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Totals of a batch of sends.
#[derive(Debug, Default)]
pub(crate) struct SendTotals {
    /// Frames written at least in part. The rest follows unless the viewer leaves.
    pub(crate) frames: u64,
    /// Frames that lagging viewers miss because a newer one replaces them.
    pub(crate) skipped: u64,
    pub(crate) bytes: u64,
}

/// Why a viewer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum DepartureCause {
    /// It closed the connection.
    Closed,
    /// It, or a device on the path, reset the connection.
    Reset,
    /// It did not lag, but its kernel acknowledged nothing for the stall limit.
    TimedOut,
    /// It lagged and took no byte for the stall limit.
    Stalled,
    /// It sent more after its request than the engine discards.
    Talkative,
    /// Its stream has had its number of frames.
    TurnedOver,
    /// Its feed ended.
    FeedEnded,
    /// The engine was drained.
    Drained,
    /// The engine was dropped without a drain.
    Dropped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DepartureLabels {
    cause: &'static str,
}

/// All metrics of one engine. Clones share their values.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    limits: Arc<ViewerLimits>,
    lagging: Arc<AtomicI64>,
    pushed: Counter<u64, AtomicU64>,
    repeated: Counter<u64, AtomicU64>,
    skipped: Counter<u64, AtomicU64>,
    sent_bytes: Counter<u64, AtomicU64>,
    passes: Histogram,
    departures: Family<DepartureLabels, Counter>,
}

impl Metrics {
    pub(crate) fn new(limits: Arc<ViewerLimits>) -> Self {
        let departures = Family::default();
        // Every cause is exported as 0 from the start.
        for cause in DepartureCause::VARIANTS {
            let _: &Counter = &departures.get_or_create(&DepartureLabels { cause: cause.into() });
        }
        Self {
            limits,
            lagging: Arc::default(),
            pushed: Counter::default(),
            repeated: Counter::default(),
            skipped: Counter::default(),
            sent_bytes: Counter::default(),
            passes: Histogram::new(PASS_BUCKETS),
            departures,
        }
    }

    pub(crate) fn departed(&self, cause: DepartureCause) {
        self.departures.get_or_create(&DepartureLabels { cause: cause.into() }).inc();
    }

    /// Adds sends of new frames.
    pub(crate) fn pushed(&self, totals: &SendTotals) {
        self.pushed.inc_by(totals.frames);
        self.skipped.inc_by(totals.skipped);
        self.sent_bytes.inc_by(totals.bytes);
    }

    /// Adds sends of repeated frames.
    pub(crate) fn repeated(&self, totals: &SendTotals) {
        self.repeated.inc_by(totals.frames);
        self.sent_bytes.inc_by(totals.bytes);
    }

    /// Adds a shard's pass over a feed's viewers.
    pub(crate) fn pass_finished(&self, duration: Duration) {
        self.passes.observe(duration.as_secs_f64());
    }

    pub(crate) fn lag_started(&self) {
        self.lagging.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lag_ended(&self) {
        self.lagging.fetch_sub(1, Ordering::Relaxed);
    }

    /// The names carry no prefix; the registry adds it.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(ViewerGauges(self.clone())));
        registry.register("frames_pushed", "New frames written to viewers", self.pushed.clone());
        registry.register(
            "frames_repeated",
            "Frames written again to keep a quiet stream alive",
            self.repeated.clone(),
        );
        registry.register("frames_skipped", "Frames that lagging viewers never got", self.skipped.clone());
        registry.register_with_unit("sent", "Bytes written to viewers", Unit::Bytes, self.sent_bytes.clone());
        registry.register_with_unit(
            "pass",
            "Duration of one shard's pass over a feed's viewers",
            Unit::Seconds,
            self.passes.clone(),
        );
        registry.register("departures", "Viewers gone, by cause", self.departures.clone());
    }
}

/// The current numbers of viewers, collected at each scrape.
#[derive(Debug)]
struct ViewerGauges(Metrics);

impl Collector for ViewerGauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let gauge = |viewers: usize| ConstGauge::new(i64::try_from(viewers).unwrap_or(i64::MAX));
        let mut counters = self.0.limits.by_label();
        counters.sort_unstable_by(|(a, a_viewers), (b, b_viewers)| b_viewers.cmp(a_viewers).then(a.cmp(b)));
        let rest: usize = counters.iter().skip(MAX_NAMED_COUNTERS).map(|(_, viewers)| viewers).sum();
        let mut by_counter =
            encoder.encode_descriptor("viewers", "Viewers now, by counter", None, ConstGauge::<i64>::TYPE)?;
        for (label, viewers) in counters.iter().take(MAX_NAMED_COUNTERS) {
            gauge(*viewers).encode(by_counter.encode_family(&[("counter", label.as_str())])?)?;
        }
        if counters.len() > MAX_NAMED_COUNTERS {
            gauge(rest).encode(by_counter.encode_family(&[("counter", OTHERS)])?)?;
        }

        let lagging = usize::try_from(self.0.lagging.load(Ordering::Relaxed)).unwrap_or(0);
        let live = self.0.limits.viewers().saturating_sub(lagging);
        let mut by_state =
            encoder.encode_descriptor("viewers_by_state", "Viewers now, by state", None, MetricType::Gauge)?;
        gauge(live).encode(by_state.encode_family(&[("state", "live")])?)?;
        gauge(lagging).encode(by_state.encode_family(&[("state", "lagging")])?)
    }
}
