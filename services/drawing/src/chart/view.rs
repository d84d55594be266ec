//! [`View`]: a history as far as a picture shows it, within bounds, whatever is in it.

use headcount_wire::history::{History, Peak, Point, Span};

use super::{Chart, calendar::Date};
use crate::{figure::Figure, look::Look};

/// The latest time that is taken at its word: the end of the year 9999.
const LATEST: u64 = 253_402_300_799;

/// What a picture shows of the past.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'h> {
    /// How much of the past it is.
    pub(crate) span: Span,
    /// The oldest first; may be empty.
    pub(crate) points: &'h [Option<Point>],
    /// When the first of them begins. `None` where nothing is known of the past, not even when it was.
    pub(crate) start: Option<u64>,
    /// Numbers below this are hidden.
    pub(crate) small: u64,
    history: Option<&'h History>,
}

impl<'h> View<'h> {
    /// What a look shows.
    pub(crate) fn of(look: &Look, figure: &Figure, chart: Option<Chart<'h>>) -> View<'h> {
        let small = look.small().max(figure.fewer_than.unwrap_or(0)).max(chart.map_or(0, |chart| chart.small));
        let Some(Chart { history, .. }) = chart else {
            return View { span: look.span().unwrap_or_default(), points: &[], start: None, small, history: None };
        };
        let span = history.span;
        let skipped = history.points.len().saturating_sub(span.points());
        let start = history.start.saturating_add(skipped as u64 * span.step_seconds()).min(LATEST);
        View { span, points: &history.points[skipped..], start: Some(start), small, history: Some(history) }
    }

    /// The last hour of it, if it is known by the minute.
    pub(crate) fn last_hour(self) -> View<'h> {
        if self.span.step_seconds() != Span::Hour.step_seconds() {
            return self;
        }
        let skipped = self.points.len().saturating_sub(Span::Hour.points());
        let start = self.start.map(|start| start + skipped as u64 * self.span.step_seconds());
        View { span: Span::Hour, points: &self.points[skipped..], start, ..self }
    }

    /// When the last point ends.
    pub(crate) fn end(&self) -> Option<u64> {
        self.start.map(|start| start + self.points.len() as u64 * self.span.step_seconds())
    }

    /// The highest of the points, if any is known and not hidden: its index, and the peak.
    pub(crate) fn highest(&self) -> Option<(usize, Peak)> {
        let known = self.points.iter().enumerate().filter_map(|(index, point)| Some((index, (*point)?)));
        // The first of equal ones: when it was first reached.
        let (index, point) = known.reduce(|one, other| if other.1.highest > one.1.highest { other } else { one })?;
        let (count, step) = (u64::from(point.highest), self.span.step_seconds());
        let begin = self.start? + index as u64 * step;
        let exact = [self.history?.peak_today, self.history?.peak].into_iter().flatten();
        let at =
            exact.filter(|peak| peak.count == count && (begin..begin + step).contains(&peak.at)).map(|peak| peak.at);
        let peak = Peak { count, at: at.min().unwrap_or(begin) };
        (count > 0 && count >= self.small).then_some((index, peak))
    }

    /// The peak that the picture says in words, and of which time it is: of today, of all time, or of the span.
    pub(crate) fn said_peak(&self) -> Option<(&'static str, Peak)> {
        let shown = |peak: Option<Peak>| peak.filter(|peak| peak.count > 0 && peak.count >= self.small);
        match self.span {
            Span::Hour => self.highest().map(|(_, peak)| ("this hour", peak)),
            Span::Day => shown(self.history?.peak_today).map(|peak| ("today", peak)),
            Span::Month => self.highest().map(|(_, peak)| ("in 30 days", peak)),
            Span::Year => self.highest().map(|(_, peak)| ("in a year", peak)),
            Span::All => shown(self.history?.peak).map(|peak| ("ever", peak)),
        }
    }

    /// When a peak was, in as many words as the span needs: "at 14:05", "on Mon 3 Nov", "on 3 Nov 2025".
    pub(crate) fn when(&self, peak: Peak) -> String {
        let date = Date::at(peak.at.min(LATEST));
        match self.span {
            Span::Hour | Span::Day => format!("at {}", date.time()),
            Span::Month => format!("on {} {} at {}", date.weekday(), date.month_name(), date.time()),
            Span::Year => format!("on {} {}", date.day, date.month_name()),
            Span::All => format!("on {} {} {}", date.day, date.month_name(), date.year),
        }
    }

    /// The span in words: "in the last 24 hours".
    pub(crate) fn span_in_words(&self) -> &'static str {
        match self.span {
            Span::Hour => "in the last 60 minutes",
            Span::Day => "in the last 24 hours",
            Span::Month => "in the last 30 days",
            Span::Year => "in the last year",
            Span::All => "in the last five years",
        }
    }
}
