//! What presence tells Prometheus.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the report times, in seconds: from a call on the same machine to the response timeout.
const REPORT_SECONDS: [f64; 11] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// Every metric of this crate. Clones share their values.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Viewers that count on this node.
    pub(crate) viewers: Gauge,
    /// Counters that are live on this node.
    pub(crate) counters: Gauge,
    /// Leases that this node has: counters that it is registered under.
    pub(crate) leases: Gauge,
    /// Connections to Redis that replaced another.
    pub(crate) reconnections: Counter,
    /// Subscriptions that were open, but delivered nothing any more, and were replaced.
    pub(crate) dead_subscriptions: Counter,
    /// Subscriptions that were opened anew, for whatever reason.
    pub(crate) resubscriptions: Counter,
    /// Messages that came by subscription.
    pub(crate) messages: Counter,
    /// Reports whose change waited for its publication, because the last one was too recent.
    pub(crate) held_back: Counter,
    /// Newest publication that was heard of, summed over counters as they go on: how often Redis published.
    pub(crate) published: Counter,
    /// Seconds since the last message came by subscription; 0 if none is expected.
    pub(crate) subscription_age: Gauge<f64, std::sync::atomic::AtomicU64>,
    calls: Family<ScriptLabel, Counter>,
    call_seconds: Histogram,
    failures: Family<FailureLabel, Counter>,
    resyncs: Family<ResyncLabel, Counter>,
    admitted: Family<DecidedByLabel, Counter>,
}

/// Who has found a viewer's address within its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum DecidedBy {
    /// Redis, over all nodes.
    Everybody,
    /// This node alone, because Redis did not answer in time or there is none.
    Alone,
    /// Nobody: no limit applies to the address.
    Exempt,
}

/// Why a call to Redis has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Failure {
    /// There is no connection.
    Away,
    /// No answer in time.
    Timeout,
    /// The connection broke, or leads to a server that cannot serve.
    Connection,
    /// Redis refused the call.
    Refused,
    /// The answer cannot be read.
    Form,
}

/// Why a node registers all of its viewers afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Resync {
    /// The session is unknown: its lease ran out, or Redis lost it.
    Unknown,
    /// Redis has not had the reports before this one.
    Gap,
    /// Redis has another number of viewers for this node.
    Differs,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecidedByLabel {
    decided: DecidedBy,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScriptLabel {
    script: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabel {
    cause: Failure,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResyncLabel {
    cause: Resync,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let metrics = Metrics {
            viewers: Gauge::default(),
            counters: Gauge::default(),
            leases: Gauge::default(),
            reconnections: Counter::default(),
            dead_subscriptions: Counter::default(),
            resubscriptions: Counter::default(),
            messages: Counter::default(),
            held_back: Counter::default(),
            published: Counter::default(),
            subscription_age: Gauge::default(),
            calls: Family::default(),
            call_seconds: Histogram::new(REPORT_SECONDS),
            failures: Family::default(),
            resyncs: Family::default(),
            admitted: Family::default(),
        };
        // So that a cause reads 0 from the start: `increase` cannot see an event that begins its series.
        for cause in [Failure::Away, Failure::Timeout, Failure::Connection, Failure::Refused, Failure::Form] {
            let _: &Counter = &metrics.failures.get_or_create(&FailureLabel { cause });
        }
        for cause in [Resync::Unknown, Resync::Gap, Resync::Differs] {
            let _: &Counter = &metrics.resyncs.get_or_create(&ResyncLabel { cause });
        }
        metrics
    }
}

impl Metrics {
    /// A call was answered.
    pub(crate) fn called(&self, script: &'static str, took: Duration) {
        self.calls.get_or_create(&ScriptLabel { script }).inc();
        self.call_seconds.observe(took.as_secs_f64());
    }

    /// A call was not answered.
    pub(crate) fn failed(&self, cause: Failure) {
        self.failures.get_or_create(&FailureLabel { cause }).inc();
    }

    /// A node registers afresh.
    pub(crate) fn resynced(&self, cause: Resync) {
        self.resyncs.get_or_create(&ResyncLabel { cause }).inc();
    }

    /// A viewer's address is within its limits.
    pub(crate) fn admitted(&self, decided: DecidedBy) {
        self.admitted.get_or_create(&DecidedByLabel { decided }).inc();
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let r = registry;
        r.register("presence_viewers", "Viewers that count on this node", self.viewers.clone());
        r.register("presence_counters", "Counters that are live on this node", self.counters.clone());
        r.register("presence_leases", "Counters that this node is registered under in Redis", self.leases.clone());
        r.register("presence_calls", "Calls to Redis that were answered, by script", self.calls.clone());
        r.register("presence_call_seconds", "Time until Redis answered a call", self.call_seconds.clone());
        r.register("presence_failures", "Calls to Redis without an answer, by cause", self.failures.clone());
        r.register("presence_resyncs", "Complete new registrations, by cause", self.resyncs.clone());
        r.register("presence_let_in", "Viewers let in, by who decided on their address", self.admitted.clone());
        r.register("presence_reconnections", "Connections to Redis that were replaced", self.reconnections.clone());
        r.register("presence_resubscriptions", "Subscriptions that were opened anew", self.resubscriptions.clone());
        r.register(
            "presence_dead_subscriptions",
            "Subscriptions that were open but delivered nothing, and were replaced",
            self.dead_subscriptions.clone(),
        );
        r.register("presence_messages", "Published states that came by subscription", self.messages.clone());
        r.register("presence_published", "Publications that this node has heard of", self.published.clone());
        r.register("presence_held_back", "Reports whose publication had to wait", self.held_back.clone());
        r.register(
            "presence_subscription_age_seconds",
            "Time since the last message came by subscription, 0 while none is expected",
            self.subscription_age.clone(),
        );
    }
}
