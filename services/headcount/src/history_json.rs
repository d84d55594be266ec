//! [`HistoryJson`]: a counter's past for programs, in `/online/history.json`, with the meaning of each field.

use headcount_wire::history::{History, Peak, Point, Span};
use serde::Serialize;

/// A counter's past for programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct HistoryJson {
    counter: String,
    span: Span,
    now: u64,
    /// Absent below `--small`.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// `--small`, where it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    fewer_than: Option<u64>,
    start: u64,
    step_seconds: u64,
    points: Vec<Option<Point>>,
    peak_today: Option<Peak>,
    peak: Option<Peak>,
    fields: Fields,
}

/// What the fields mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Fields {
    count: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fewer_than: Option<&'static str>,
    now: &'static str,
    start: &'static str,
    step_seconds: &'static str,
    points: &'static str,
    peak_today: &'static str,
    peak: &'static str,
}

impl HistoryJson {
    /// The JSON of a history. Below `small`, numbers are hidden.
    pub(crate) fn new(history: History, small: u64) -> Self {
        let is_small = small > 0;
        let shown = hide_below(history, small);
        let History { counter, span, now, count, start, step_seconds, points, peak_today, peak } = shown;
        let fields = Fields {
            count: "streams open now, on all nodes",
            fewer_than: is_small.then_some(
                "smaller numbers are hidden: the count is absent, a point or a peak is null, and a point's mean is given as its \
                 highest, because a mean would tell of them",
            ),
            now: "when this was read, in seconds since 1970-01-01 00:00 UTC, as all times here",
            start: "when the first point begins",
            step_seconds: "seconds of one point",
            points: "the oldest first: [most at any moment, mean over time], or null where nothing is known: before the counter's \
                     first viewer, or while the count could not be known. The last one has not ended",
            peak_today: "the most at once since 00:00 UTC, and when that was first reached",
            peak: "the most at once ever, as far as is known, and when that was first reached",
        };
        Self {
            counter,
            span,
            now,
            count: (count >= small).then_some(count),
            fewer_than: is_small.then_some(small),
            start,
            step_seconds,
            points,
            peak_today,
            peak,
            fields,
        }
    }
}

/// Hides numbers below `small`: points and peaks become unknown, the count 0. Means are the highest then: a mean over a time in
/// which the number was hidden would tell what it was.
pub(crate) fn hide_below(mut history: History, small: u64) -> History {
    if small == 0 {
        return history;
    }
    for point in &mut history.points {
        *point = point.filter(|point| u64::from(point.highest) >= small);
        if let Some(point) = point {
            point.mean = point.highest.into();
        }
    }
    let visible = |peak: &Peak| peak.count >= small;
    history.peak_today = history.peak_today.filter(visible);
    history.peak = history.peak.filter(visible);
    if history.count < small {
        history.count = 0;
    }
    history
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let points = [Some((9, 5.5)), Some((3, 2.5)), None, Some((0, 0.0)), Some((4, 3.9))];
        History {
            counter: "online".to_owned(),
            span: Span::Hour,
            now: 1_700_000_000,
            count: 3,
            start: 1_699_999_740,
            step_seconds: 60,
            points: points.map(|point| point.map(Point::from)).into(),
            peak_today: Some(Peak { count: 3, at: 1_700_000_000 }),
            peak: Some(Peak { count: 9, at: 1_600_000_000 }),
        }
    }

    #[test]
    fn a_program_reads_it_as_a_history() {
        let json = serde_json::to_string(&HistoryJson::new(history(), 0)).expect("JSON");
        assert_eq!(serde_json::from_str::<History>(&json).expect("a history"), history());
        assert!(!json.contains("fewer_than"), "{json}");
        // Each field is explained, or plain.
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        for field in value.as_object().expect("an object").keys() {
            let is_plain = ["counter", "span", "fields"].contains(&field.as_str());
            assert!(is_plain || value["fields"][field].is_string(), "{field}");
        }
    }

    #[test]
    fn small_numbers_are_hidden_and_no_mean_tells_of_them() {
        let json = serde_json::to_value(HistoryJson::new(history(), 4)).expect("JSON");
        assert_eq!(json["points"], serde_json::json!([[9, 9.0], null, null, null, [4, 4.0]]));
        assert_eq!((&json["count"], &json["peak_today"]), (&serde_json::Value::Null, &serde_json::Value::Null));
        assert_eq!(json["peak"], serde_json::json!({ "count": 9, "at": 1_600_000_000 }));
        assert_eq!(json["fewer_than"], 4);
        assert_eq!(serde_json::from_value::<History>(json).expect("a history").count, 0);
    }
}
