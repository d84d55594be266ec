//! [`History`]: a counter's past for programs, as JSON. Times are seconds since 1970-01-01 00:00 UTC.

use serde::{Deserialize, Serialize};

/// How much of the past is meant. Each ends now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Span {
    /// 60 minutes.
    Hour,
    /// 24 hours, by the minute.
    #[default]
    Day,
    /// 30 days, by the quarter of an hour.
    Month,
    /// 366 days, by the day.
    Year,
    /// Five years, by the day.
    All,
}

impl Span {
    /// Every span, the shortest first.
    pub const ALL: [Span; 5] = [Span::Hour, Span::Day, Span::Month, Span::Year, Span::All];

    /// The name in URLs and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Span::Hour => "hour",
            Span::Day => "day",
            Span::Month => "month",
            Span::Year => "year",
            Span::All => "all",
        }
    }

    /// Returns the span of a name.
    pub fn from_name(name: &str) -> Option<Span> {
        Span::ALL.into_iter().find(|span| span.name() == name)
    }

    /// Seconds of one point.
    pub fn step_seconds(self) -> u64 {
        match self {
            Span::Hour | Span::Day => 60,
            Span::Month => 15 * 60,
            Span::Year | Span::All => 24 * 3600,
        }
    }

    /// Number of points. The last one has begun and has not ended.
    pub fn points(self) -> usize {
        match self {
            Span::Hour => 60,
            Span::Day => 24 * 60,
            Span::Month => 30 * 24 * 4,
            Span::Year => 366,
            Span::All => 5 * 366,
        }
    }
}

/// What is known of one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u32, f64)", into = "(u32, f64)")]
pub struct Point {
    /// The most at any moment of it.
    pub highest: u32,
    /// The mean over its time, not over its changes.
    pub mean: f64,
}

impl From<(u32, f64)> for Point {
    fn from((highest, mean): (u32, f64)) -> Self {
        Self { highest, mean }
    }
}

impl From<Point> for (u32, f64) {
    fn from(point: Point) -> Self {
        (point.highest, point.mean)
    }
}

/// A count, and when it was first reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// Streams that were open at once.
    pub count: u64,
    /// When, to the second.
    pub at: u64,
}

/// A counter's past.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The counter's name.
    pub counter: String,
    /// How much of the past this is.
    pub span: Span,
    /// When this was read.
    pub now: u64,
    /// Streams that are open now. Missing in JSON that hides small numbers.
    #[serde(default)]
    pub count: u64,
    /// When the first point begins: a multiple of the step.
    pub start: u64,
    /// Seconds of one point.
    pub step_seconds: u64,
    /// The oldest first. `None` is a step of which nothing is known: before the counter's first viewer, or while the count could
    /// not be known. The last one has not ended.
    pub points: Vec<Option<Point>>,
    /// The most at once since midnight, UTC.
    pub peak_today: Option<Peak>,
    /// The most at once ever, as far as is known.
    pub peak: Option<Peak>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for span in Span::ALL {
            assert_eq!(Span::from_name(span.name()), Some(span));
            assert_eq!(serde_json::to_string(&span).unwrap(), format!("\"{}\"", span.name()));
        }
        assert_eq!(Span::from_name("week"), None);
    }

    #[test]
    fn a_point_is_a_pair() {
        let points = [Some(Point { highest: 3, mean: 1.5 }), None];
        assert_eq!(serde_json::to_string(&points).unwrap(), "[[3,1.5],null]");
        assert_eq!(serde_json::from_str::<[Option<Point>; 2]>("[[3,1.5],null]").unwrap(), points);
    }
}
