//! [`CounterJson`]: a counter's numbers for programs, in `/online.json` and in events.

use std::time::SystemTime;

use headcount_presence::{CounterName, Reading};
use serde::Serialize;

/// A counter's numbers for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CounterJson {
    counter: String,
    /// Open streams now. Absent below `--small`.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// Distinct visitors behind them. Absent below `--small`.
    #[serde(skip_serializing_if = "Option::is_none")]
    visitors: Option<u64>,
    /// The bound that an absent number is below.
    #[serde(skip_serializing_if = "Option::is_none")]
    fewer_than: Option<u64>,
    /// Whether the count may be outdated because Redis does not answer, or because the stream has ended.
    stale: bool,
    /// When the count was last known to be right, RFC 3339. The present time for an absent count that is not stale.
    as_of: String,
    /// Versions are ordered within an epoch. A loss of Redis' data begins a new one.
    epoch: u64,
    /// Absent where the count is: it would tell of each change of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// Streams at this node that look without counting. Not in events.
    #[serde(skip_serializing_if = "Option::is_none")]
    watching: Option<usize>,
}

/// The numbers that are shown: what differs between two events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShownNumbers {
    count: Option<u64>,
    visitors: Option<u64>,
    stale: bool,
}

impl ShownNumbers {
    /// What is shown of a reading. Below `small`, numbers are hidden.
    pub(crate) fn of(reading: &Reading, small: u64) -> Self {
        let visible = |number: u64| (number >= small).then_some(number);
        let count = visible(reading.count);
        Self { count, visitors: visible(reading.visitors).filter(|_| count.is_some()), stale: reading.stale }
    }
}

impl CounterJson {
    /// The JSON of a reading. Below `small`, numbers are hidden.
    pub(crate) fn new(counter: &CounterName, reading: &Reading, small: u64) -> Self {
        let ShownNumbers { count, visitors, stale } = ShownNumbers::of(reading, small);
        // Changes confirm the number too.
        let as_of = if count.is_some() || stale { reading.as_of } else { SystemTime::now() };
        Self {
            counter: counter.as_str().to_owned(),
            count,
            visitors,
            fewer_than: (count.is_none() || visitors.is_none()).then_some(small),
            stale,
            as_of: humantime::format_rfc3339_millis(as_of).to_string(),
            epoch: reading.epoch,
            version: count.map(|_| reading.version),
            watching: None,
        }
    }

    /// The same with the number of those who look without counting.
    pub(crate) fn with_watching(self, watching: usize) -> Self {
        Self { watching: Some(watching), ..self }
    }

    /// Which state of the counter it is: `EPOCH-VERSION`. The version is 0 where the count is hidden.
    pub(crate) fn id(&self) -> String {
        format!("{}-{}", self.epoch, self.version.unwrap_or(0))
    }
}
