//! What an engine tells about itself. Shards add up during a pass and report once at its end: a send costs no metric.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};

use crate::viewer_limits::ViewerLimits;

/// Counters told apart by name, those with most viewers first; the rest are summed under [`OTHERS`]. Bounds what a
/// scrape returns where anybody may make counters.
const COUNTERS_SHOWN: usize = 100;
/// Not a counter's name: those hold no brackets.
const OTHERS: &str = "(others)";
/// Seconds. A pass over one viewer takes some 10 µs, over 100,000 about a second.
const PASS_BUCKETS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// What has been written to viewers, added up for the metrics.
#[derive(Debug, Default)]
pub(crate) struct SendTotals {
    /// Frames of which at least the beginning has been written: the rest follows, or the viewer goes.
    pub(crate) frames: u64,
    /// Frames in whose place lagging viewers will get a newer one.
    pub(crate) skipped: u64,
    pub(crate) bytes: u64,
}

/// Why a viewer went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DepartureCause {
    /// It closed the connection.
    Closed,
    /// It, or something between, reset the connection.
    Reset,
    /// It did not lag, and then its kernel acknowledged nothing for the stall limit.
    TimedOut,
    /// It lagged, and took nothing of what was due to it for the stall limit.
    Stalled,
    /// It sent more after its request than is read and thrown away.
    Talkative,
    /// Its feed has ended.
    FeedEnded,
    /// The engine was drained.
    Drained,
    /// The engine was dropped without a drain.
    Dropped,
}

impl DepartureCause {
    const ALL: [Self; 8] = [
        Self::Closed,
        Self::Reset,
        Self::TimedOut,
        Self::Stalled,
        Self::Talkative,
        Self::FeedEnded,
        Self::Drained,
        Self::Dropped,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::TimedOut => "timed_out",
            Self::Stalled => "stalled",
            Self::Talkative => "talkative",
            Self::FeedEnded => "feed_ended",
            Self::Drained => "drained",
            Self::Dropped => "dropped",
        }
    }
}

impl EncodeLabelValue for DepartureCause {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DepartureLabels {
    cause: DepartureCause,
}

/// All metrics of one engine; its shards share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    limits: Arc<ViewerLimits>,
    lagging: Arc<AtomicI64>,
    pushed: Counter<u64, AtomicU64>,
    repeated: Counter<u64, AtomicU64>,
    skipped: Counter<u64, AtomicU64>,
    sent_bytes: Counter<u64, AtomicU64>,
    pub(crate) passes: Histogram,
    departures: Family<DepartureLabels, Counter>,
}

impl Metrics {
    pub(crate) fn new(limits: Arc<ViewerLimits>) -> Self {
        let departures = Family::default();
        // So that a cause reads 0 from the start, and not only once it has happened.
        for cause in DepartureCause::ALL {
            let _: &Counter = &departures.get_or_create(&DepartureLabels { cause });
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
        self.departures.get_or_create(&DepartureLabels { cause }).inc();
    }

    /// New frames have been written, or passed over.
    pub(crate) fn pushed(&self, tally: &SendTotals) {
        self.pushed.inc_by(tally.frames);
        self.skipped.inc_by(tally.skipped);
        self.sent_bytes.inc_by(tally.bytes);
    }

    /// Frames have been written once more.
    pub(crate) fn repeated(&self, tally: &SendTotals) {
        self.repeated.inc_by(tally.frames);
        self.sent_bytes.inc_by(tally.bytes);
    }

    pub(crate) fn lags(&self) {
        self.lagging.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn caught_up(&self) {
        self.lagging.fetch_sub(1, Ordering::Relaxed);
    }

    /// Names carry no prefix of the program; the registry adds it.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(ViewersNow(self.clone())));
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

/// The viewers there are, counted when asked.
#[derive(Debug)]
struct ViewersNow(Metrics);

impl Collector for ViewersNow {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let gauge = |viewers: usize| ConstGauge::new(i64::try_from(viewers).unwrap_or(i64::MAX));
        let mut counters = self.0.limits.by_label();
        counters.sort_unstable_by(|(a, a_viewers), (b, b_viewers)| b_viewers.cmp(a_viewers).then(a.cmp(b)));
        let rest: usize = counters.iter().skip(COUNTERS_SHOWN).map(|(_, viewers)| viewers).sum();
        let mut by_counter =
            encoder.encode_descriptor("viewers", "Viewers now, by counter", None, ConstGauge::<i64>::TYPE)?;
        for (label, viewers) in counters.iter().take(COUNTERS_SHOWN) {
            gauge(*viewers).encode(by_counter.encode_family(&[("counter", label.as_str())])?)?;
        }
        if counters.len() > COUNTERS_SHOWN {
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
