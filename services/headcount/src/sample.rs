//! Samples of looks, as the pages show them: all of one number and one past, which are nobody's, so that no two of them disagree.

use headcount_drawing::Figure;
use headcount_wire::history::{History, Peak, Point, Span};

/// The option of a snapshot that makes it a sample.
pub(crate) const OPTION: &str = "sample=yes";
/// The number of all samples.
const NUMBER: u32 = 1234;
/// When their past ends: a Tuesday, 20:00 UTC. It is all of the same day for spans of days.
const END: u64 = 1_764_100_800;
/// The most at once in the past: at two thirds of it, at noon of a day that ends at eight in the evening.
const PEAK: u32 = 1890;

/// What samples show.
pub(crate) fn figure() -> Figure {
    Figure::of(NUMBER.into())
}

/// The past that samples show.
pub(crate) fn history(span: Span) -> History {
    let (step, points) = (span.step_seconds(), span.points());
    // It ends in the middle of a step.
    let start = (END / step + 1) * step - points as u64 * step;
    let peak_index = points * 2 / 3;
    let highest = |index: usize| match index {
        index if index + 1 == points => NUMBER,
        index if index == peak_index => PEAK,
        // Three waves that grow, each step a little off them.
        _ => {
            let at = index as f64 / points as f64;
            let wave = (at * 6.0 * std::f64::consts::PI).sin().mul_add(0.5, 0.5);
            let off = (index * 7919 % 97) as f64 / 97.0;
            (300.0 + 900.0 * at * wave + 200.0 * off) as u32
        }
    };
    let point = |index: usize| Some(Point { highest: highest(index), mean: f64::from(highest(index)) * 0.8 });
    let peak = Peak { count: PEAK.into(), at: start + peak_index as u64 * step };
    History {
        counter: "sample".to_owned(),
        span,
        now: END,
        count: NUMBER.into(),
        start,
        step_seconds: step,
        points: (0..points).map(point).collect(),
        peak_today: Some(peak),
        peak: Some(peak),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_span_has_a_past_whose_peak_is_true() {
        for span in Span::ALL {
            let history = history(span);
            let peak = history.peak.expect("a peak");
            assert_eq!(history.points.len(), span.points());
            let highest = history.points.iter().flatten().map(|point| point.highest).max();
            assert_eq!(highest.map(u64::from), Some(peak.count), "{span:?}");
            assert!((history.start..=history.now).contains(&peak.at), "{span:?}");
            assert_eq!(history.points.last().copied().flatten().map(|point| point.highest), Some(NUMBER));
        }
    }
}
