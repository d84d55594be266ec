//! The axes: [`time_ticks`] at round times, and [`ValueAxis`] with round values.

use headcount_wire::history::Span;

use super::calendar::{DAY, Date};

/// A mark on the axis of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeTick {
    /// Seconds since 1970.
    pub(crate) at: u64,
    pub(crate) label: String,
}

/// The distance of two ticks.
#[derive(Clone, Copy, Debug)]
enum Step {
    Minutes(u64),
    Days(u64),
    /// Mondays, each or every other one.
    Weeks(u64),
    Months(u64),
}

/// The steps of a span, the shortest first.
fn steps(span: Span) -> &'static [Step] {
    use Step::{Days, Minutes, Months, Weeks};
    match span {
        Span::Hour => &[Minutes(5), Minutes(10), Minutes(15), Minutes(20), Minutes(30)],
        Span::Day => &[Minutes(60), Minutes(120), Minutes(180), Minutes(360), Minutes(720), Days(1)],
        Span::Month => &[Days(1), Days(2), Weeks(1), Weeks(2)],
        Span::Year => &[Months(1), Months(2), Months(3), Months(6), Months(12)],
        Span::All => &[Months(3), Months(6), Months(12), Months(24)],
    }
}

/// Returns the ticks from `start` to `end`, as many as `fits` allows. None, if not even the fewest do.
pub(crate) fn time_ticks(span: Span, start: u64, end: u64, fits: impl Fn(&[TimeTick]) -> bool) -> Vec<TimeTick> {
    let mut ticks = steps(span).iter().map(|&step| labelled(span, times(step, start, end)));
    ticks.find(|ticks| fits(ticks)).unwrap_or_default()
}

fn times(step: Step, start: u64, end: u64) -> Vec<u64> {
    let multiples = |seconds: u64| (start.div_ceil(seconds)..=end / seconds).map(move |nth| nth * seconds);
    match step {
        Step::Minutes(minutes) => multiples(minutes * 60).collect(),
        Step::Days(days) => multiples(days * DAY).collect(),
        Step::Weeks(weeks) => {
            let mondays = multiples(DAY).filter(|at| Date::at(*at).is_monday());
            mondays.filter(|at| (at / DAY / 7).is_multiple_of(weeks)).collect()
        }
        Step::Months(months) => {
            let first = Date::at(start);
            let begins = (0..).map(|nth| Date::month_start(first.year, 1 + nth * months));
            begins.skip_while(|at| *at < start).take_while(|at| *at <= end).collect()
        }
    }
}

fn labelled(span: Span, times: Vec<u64>) -> Vec<TimeTick> {
    let mut month = None;
    let label = |at: u64| {
        let date = Date::at(at);
        let is_new_month = month.replace(date.month) != Some(date.month);
        match span {
            Span::Hour => date.time(),
            Span::Day if at.is_multiple_of(DAY) => date.weekday(),
            Span::Day => date.time(),
            Span::Month if is_new_month => format!("{} {}", date.weekday(), date.month_name()),
            Span::Month => date.weekday(),
            Span::Year | Span::All if date.month == 1 => date.year.to_string(),
            Span::Year | Span::All => date.month_name().to_owned(),
        }
    };
    let labels: Vec<String> = times.iter().copied().map(label).collect();
    times.into_iter().zip(labels).map(|(at, label)| TimeTick { at, label }).collect()
}

/// An axis from 0 to a round value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValueAxis {
    /// The greatest value on it.
    pub(crate) top: u64,
    /// The distance of two ticks: 1, 2, 2.5 or 5 times a power of ten.
    pub(crate) step: u64,
}

impl ValueAxis {
    /// The axis that values up to `highest` fit, with at most so many ticks above 0.
    pub(crate) fn of(highest: u64, ticks: u64) -> ValueAxis {
        let (highest, ticks) = (highest.max(1), ticks.max(1));
        // 25 is as round as 20 and 50; 2.5 is no count.
        let tens = (0..18).flat_map(|power| [10, 20, 25, 50].map(|digits| digits * 10_u64.pow(power)));
        let steps = [1, 2, 5].into_iter().chain(tens);
        let step = steps.into_iter().find(|step| highest.div_ceil(*step) <= ticks).unwrap_or(u64::MAX);
        ValueAxis { top: highest.div_ceil(step).saturating_mul(step), step }
    }

    /// The values of its ticks, from 0 up.
    pub(crate) fn ticks(self) -> impl Iterator<Item = u64> {
        (0..=self.top / self.step).map(move |nth| nth * self.step)
    }

    /// A tick's value as text: `5`, `2000`, `25k`, `1.5M`.
    pub(crate) fn label(value: u64) -> String {
        const UNITS: [(u64, &str); 5] = [
            (1_000_000_000_000_000, "P"),
            (1_000_000_000_000, "T"),
            (1_000_000_000, "G"),
            (1_000_000, "M"),
            (1_000, "k"),
        ];
        match UNITS.into_iter().find(|&(unit, _)| value >= unit) {
            _ if value < 10_000 => value.to_string(),
            Some((unit, name)) if value.is_multiple_of(unit) => format!("{}{name}", value / unit),
            Some((unit, name)) => format!("{}.{}{name}", value / unit, value % unit / (unit / 10)),
            None => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_values() {
        for (highest, ticks, top, step) in [
            (0, 4, 1, 1),
            (1, 4, 1, 1),
            (4, 4, 4, 1),
            (14, 4, 15, 5),
            (31, 4, 40, 10),
            (1_001, 3, 1_500, 500),
            (u64::from(u32::MAX), 4, 6_000_000_000, 2_000_000_000),
            (61, 3, 75, 25),
        ] {
            assert_eq!(ValueAxis::of(highest, ticks), ValueAxis { top, step }, "{highest}");
        }
        for highest in (0..64).map(|bits| u64::MAX >> bits) {
            assert!(ValueAxis::of(highest, 3).ticks().count() <= 4, "{highest}");
        }
        let labels = [0, 5, 500, 2_000, 25_000, 1_500_000, 5_000_000_000].map(ValueAxis::label);
        assert_eq!(labels, ["0", "5", "500", "2000", "25k", "1.5M", "5G"]);
    }

    #[test]
    fn times_are_round_and_written_as_people_do() {
        let labels = |span: Span, most: usize| {
            // Tuesday, 25 November 2025, 14:05.
            let end = 1_764_079_500;
            let start = end - span.points() as u64 * span.step_seconds();
            let ticks = time_ticks(span, start, end, |ticks| ticks.len() <= most);
            ticks.into_iter().map(|tick| tick.label).collect::<Vec<_>>()
        };
        assert_eq!(labels(Span::Hour, 5), ["13:15", "13:30", "13:45", "14:00"]);
        assert_eq!(labels(Span::Day, 5), ["18:00", "Tue 25", "06:00", "12:00"]);
        assert_eq!(labels(Span::Month, 5), ["Mon 27 Oct", "Mon 3 Nov", "Mon 10", "Mon 17", "Mon 24"]);
        assert_eq!(labels(Span::Year, 7), ["2025", "Mar", "May", "Jul", "Sep", "Nov"]);
        assert_eq!(labels(Span::All, 6), ["2021", "2022", "2023", "2024", "2025"]);
        assert!(labels(Span::Day, 0).is_empty());
    }
}
