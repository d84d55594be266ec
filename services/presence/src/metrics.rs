//! The metrics of presence.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use strum::{IntoStaticStr, VariantArray};

/// Upper bounds of the times of calls, in seconds: from a call on the same machine to the response timeout.
const CALL_SECONDS: [f64; 11] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// Every metric of this crate. Clones share their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    /// Viewers that count on this node.
    pub(crate) viewers: Gauge,
    /// Counters that are live on this node.
    pub(crate) counters: Gauge,
    /// Counters that this node has a lease for.
    pub(crate) leases: Gauge,
    /// Nodes that run, by the last report to Redis; 1 without Redis.
    pub(crate) nodes: Gauge,
    /// Connections for commands that replaced another one.
    pub(crate) reconnections: Counter,
    /// Subscriptions that were open, delivered nothing and were replaced.
    pub(crate) dead_subscriptions: Counter,
    /// Subscriptions that were opened again, for any reason.
    pub(crate) resubscriptions: Counter,
    /// Messages that the subscription delivered.
    pub(crate) messages: Counter,
    /// Reports whose change was published later, because the last publication was too recent.
    pub(crate) held_back: Counter,
    /// Publications by Redis, summed over counters. Includes those that were never delivered here.
    pub(crate) published: Counter,
    /// Steps of Redis's clock, forward or back, that this node noticed.
    pub(crate) clock_steps: Counter,
    /// 1 if Redis may evict keys, 0 if not.
    pub(crate) redis_evicts: Gauge,
    /// The part of Redis's memory limit that is free; 1 if there is no limit.
    pub(crate) redis_memory_free: Gauge<f64, AtomicU64>,
    /// Seconds since the last message; 0 while none is expected.
    pub(crate) subscription_age: Gauge<f64, AtomicU64>,
    calls: Family<ScriptLabel, Counter>,
    call_seconds: CallSeconds,
    failures: Family<CauseLabel, Counter>,
    resyncs: Family<CauseLabel, Counter>,
    let_in: Family<DecidedByLabel, Counter>,
}

/// What decided that a viewer's address is within its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum DecidedBy {
    /// Redis, for all nodes.
    Everybody,
    /// This node by itself: Redis did not answer in time, or there is none.
    Alone,
    /// Nothing: no limit applies to the address.
    Exempt,
}

/// Why a call to Redis failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Failure {
    /// There is no connection.
    Away,
    /// No reply in time.
    Timeout,
    /// The connection broke, or its server cannot serve.
    Connection,
    /// Redis refused the call.
    Refused,
    /// The reply has an unknown form.
    Form,
}

/// Why a node registers all of its viewers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Resync {
    /// Redis does not know the session: its lease ran out, or Redis lost it.
    Unknown,
    /// Redis does not have the reports before this one.
    Gap,
    /// Redis has another number of viewers for this node.
    Differs,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecidedByLabel {
    decided: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScriptLabel {
    script: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

/// The times of calls.
#[derive(Debug, Clone)]
struct CallSeconds(Histogram);

impl Default for CallSeconds {
    fn default() -> CallSeconds {
        CallSeconds(Histogram::new(CALL_SECONDS))
    }
}

impl Metrics {
    /// A script's call was answered after this time.
    pub(crate) fn called(&self, script: &'static str, took: Duration) {
        self.calls.get_or_create(&ScriptLabel { script }).inc();
        self.call_seconds.0.observe(took.as_secs_f64());
    }

    /// A call failed.
    pub(crate) fn failed(&self, cause: Failure) {
        self.failures.get_or_create(&CauseLabel { cause: cause.into() }).inc();
    }

    /// A node registers all of its viewers again.
    pub(crate) fn resynced(&self, cause: Resync) {
        self.resyncs.get_or_create(&CauseLabel { cause: cause.into() }).inc();
    }

    /// A viewer was admitted.
    pub(crate) fn admitted(&self, decided: DecidedBy) {
        self.let_in.get_or_create(&DecidedByLabel { decided: decided.into() }).inc();
    }

    /// Adds all metrics to the registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        // `increase` does not see an event that creates its series, so each begins at 0.
        for cause in Failure::VARIANTS {
            drop(self.failures.get_or_create(&CauseLabel { cause: cause.into() }));
        }
        for cause in Resync::VARIANTS {
            drop(self.resyncs.get_or_create(&CauseLabel { cause: cause.into() }));
        }
        for decided in DecidedBy::VARIANTS {
            drop(self.let_in.get_or_create(&DecidedByLabel { decided: decided.into() }));
        }
        let r = registry;
        r.register("presence_viewers", "Viewers that count on this node", self.viewers.clone());
        r.register("presence_counters", "Counters that are live on this node", self.counters.clone());
        r.register("presence_leases", "Counters that this node has a lease for in Redis", self.leases.clone());
        r.register("presence_nodes", "Nodes that run, this one included, as Redis knows them", self.nodes.clone());
        r.register("presence_calls", "Calls to Redis that were answered, by script", self.calls.clone());
        r.register("presence_call_seconds", "Time until Redis answered a call", self.call_seconds.0.clone());
        r.register("presence_failures", "Calls to Redis that failed, by cause", self.failures.clone());
        r.register(
            "presence_resyncs",
            "Registrations of all viewers of a node and counter again, by cause",
            self.resyncs.clone(),
        );
        r.register("presence_let_in", "Viewers admitted, by what decided about their address", self.let_in.clone());
        r.register("presence_reconnections", "Connections to Redis that were replaced", self.reconnections.clone());
        r.register("presence_resubscriptions", "Subscriptions that were opened again", self.resubscriptions.clone());
        r.register(
            "presence_dead_subscriptions",
            "Subscriptions that were open but delivered nothing, and were replaced",
            self.dead_subscriptions.clone(),
        );
        r.register("presence_messages", "Published states that the subscription delivered", self.messages.clone());
        r.register("presence_published", "Publications by Redis of this node's counters", self.published.clone());
        r.register("presence_held_back", "Reports whose change was published later", self.held_back.clone());
        r.register("presence_clock_steps", "Steps of Redis's clock that this node noticed", self.clock_steps.clone());
        r.register("presence_redis_evicts", "1 if Redis may evict keys, 0 if not", self.redis_evicts.clone());
        r.register(
            "presence_redis_memory_free_ratio",
            "Part of Redis's memory limit that is free, 1 without a limit",
            self.redis_memory_free.clone(),
        );
        r.register(
            "presence_subscription_age_seconds",
            "Time since the subscription delivered a message, 0 while none is expected",
            self.subscription_age.clone(),
        );
    }
}
