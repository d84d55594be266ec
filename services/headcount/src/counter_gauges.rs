//! [`CounterGauges`]: the numbers of counters as metrics, the same from every node.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::status_board::StatusReport;

/// Most counters that have series: those with the most viewers. Clients may invent names, and each series costs the monitoring.
const MAX_COUNTERS: usize = 100;

/// The numbers of counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct CounterGauges {
    count: Family<CounterLabel, Gauge>,
    visitors: Family<CounterLabel, Gauge>,
    stale: Family<CounterLabel, Gauge>,
    /// The counters that have series.
    shown: Arc<Mutex<Vec<CounterLabel>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CounterLabel {
    counter: String,
}

impl CounterGauges {
    /// Registers the metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "count",
            "Viewers of a counter on all nodes, the same from each; of the 100 counters with the most",
            self.count.clone(),
        );
        registry.register("visitors", "Distinct visitors of a counter on all nodes", self.visitors.clone());
        registry.register(
            "stale",
            "1 if this node cannot read a counter's number from Redis, and tells an old one, or its own viewers",
            self.stale.clone(),
        );
    }

    /// Takes the numbers of a report in place of those before.
    pub(crate) fn show(&self, report: &StatusReport) {
        for family in [&self.count, &self.visitors, &self.stale] {
            family.clear();
        }
        let mut counters: Vec<_> = report.status.counters.iter().collect();
        counters.sort_by_key(|counter| std::cmp::Reverse(counter.count));
        let mut shown = self.shown.lock();
        shown.clear();
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for counter in counters.into_iter().take(MAX_COUNTERS) {
            let label = CounterLabel { counter: counter.name.clone() };
            self.count.get_or_create(&label).set(gauge(counter.count));
            self.visitors.get_or_create(&label).set(gauge(counter.visitors));
            self.stale.get_or_create(&label).set(i64::from(report.error.is_some()));
            shown.push(label);
        }
    }

    /// Called when there is no new report in time.
    pub(crate) fn mark_stale(&self) {
        for label in &*self.shown.lock() {
            self.stale.get_or_create(label).set(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use headcount_presence::{CounterStatus, Status};

    use super::*;

    #[test]
    fn series_are_bounded_and_those_of_the_largest_counters() {
        let counter = |number: u64| CounterStatus {
            name: format!("c{number}"),
            count: number,
            visitors: number / 2,
            epoch: 1,
            version: 1,
            sessions: Vec::new(),
        };
        let report = |counters| StatusReport::from(Status { nodes: Vec::new(), counters });
        let (gauges, mut registry) = (CounterGauges::default(), Registry::with_prefix("headcount"));
        gauges.register(&mut registry);
        let metrics = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
            text
        };
        gauges.show(&report((0..1_000).map(counter).collect()));
        let text = metrics();
        assert_eq!(text.matches("headcount_count{").count(), MAX_COUNTERS, "{text}");
        assert!(text.contains("headcount_count{counter=\"c999\"} 999\n"), "{text}");
        assert!(text.contains("headcount_visitors{counter=\"c999\"} 499\n"), "{text}");
        assert!(text.contains("headcount_stale{counter=\"c900\"} 0\n"), "{text}");
        gauges.mark_stale();
        let text = metrics();
        assert_eq!(text.matches("headcount_stale{").count(), MAX_COUNTERS, "{text}");
        assert!(text.contains("headcount_stale{counter=\"c900\"} 1\n"), "{text}");
        gauges.show(&StatusReport { error: Some("away".to_owned()), ..report(vec![counter(7)]) });
        let text = metrics();
        assert_eq!(text.matches("headcount_count{").count(), 1, "a counter that is gone has no series: {text}");
        assert!(text.contains("headcount_stale{counter=\"c7\"} 1\n"), "{text}");
    }
}
