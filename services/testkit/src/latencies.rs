//! [`Latencies`]: a distribution of times that can be merged and sent between processes.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeSeq};

/// Times in microseconds, to three significant digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits are allowed"))
    }
}

impl Latencies {
    /// Adds one time; less than a microsecond counts as one.
    pub fn record(&mut self, time: Duration) {
        self.record_n(time, 1);
    }

    /// Adds the same time `count` times.
    pub fn record_n(&mut self, time: Duration, count: u64) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2).max(1);
        self.0.record_n(micros, count).expect("it resizes itself");
    }

    /// Adds all of another distribution.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("it resizes itself");
    }

    /// How many times there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time that the share `quantile` (0 to 1) of all does not exceed; zero if there is none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    /// The shortest.
    pub fn min(&self) -> Duration {
        Duration::from_micros(self.0.min())
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// Each time that occurred, in microseconds, and how often.
    pub fn points(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    /// p50, p90, p99 and the longest, as text.
    pub fn summary(&self) -> String {
        if self.is_empty() {
            return "none".into();
        }
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        format!(
            "p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            millis(self.quantile(0.5)),
            millis(self.quantile(0.9)),
            millis(self.quantile(0.99)),
            millis(self.max())
        )
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut points = serializer.serialize_seq(None)?;
        for point in self.points() {
            points.serialize_element(&point)?;
        }
        points.end()
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latencies = Self::default();
        for (micros, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            latencies.record_n(Duration::from_micros(micros), count);
        }
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_survives_serialization() {
        let mut latencies = Latencies::default();
        for millis in 1..=1000 {
            latencies.record(Duration::from_millis(millis));
        }
        let text = serde_json::to_string(&latencies).unwrap();
        let mut read: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(read.len(), 1000);
        assert_eq!(read.quantile(0.5), latencies.quantile(0.5));
        read.merge(&latencies);
        assert_eq!((read.len(), read.max()), (2000, latencies.max()));
    }
}
