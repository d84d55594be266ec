//! Pictures in words, for those who cannot see them.

use std::fmt::Write as _;

use crate::{
    chart::{Chart, View},
    figure::{Count, Figure},
    look::Look,
    number::{self, Padding},
};

impl Look {
    /// The picture's content as text, for those who cannot see it.
    pub fn alternative(&self, figure: &Figure) -> String {
        if self.style().shows_past() {
            return self.chart_alternative(figure, None);
        }
        let (number, stale) = (self.number_in_words(figure), stale(figure));
        if self.label().is_empty() { format!("{number}{stale}") } else { format!("{}: {number}{stale}", self.label()) }
    }

    /// A chart in a sentence or two: the number, the peak with its time, and the range of what it shows.
    pub fn chart_alternative(&self, figure: &Figure, chart: Option<Chart<'_>>) -> String {
        let view = View::of(self, figure, chart);
        let mut words = self.number_in_words(figure);
        if !self.label().is_empty() {
            words += " ";
            words += self.label();
        }
        words += stale(figure);
        if let Some((of, peak)) = view.said_peak() {
            let _ = write!(words, ". Most at once {of}: {} {} UTC", self.written(peak.count), view.when(peak));
        }
        match view.highest() {
            Some((_, peak)) if view.said_peak().is_none_or(|(_, said)| said != peak) => {
                let _ = write!(words, ". Up to {} {}", self.written(peak.count), view.span_in_words());
            }
            Some(_) => {}
            None if view.points.iter().all(Option::is_none) => words += ". No record yet",
            None if view.small > 0 => {
                let _ = write!(words, ". Fewer than {} {}", view.small, view.span_in_words());
            }
            None => {
                let _ = write!(words, ". Nobody {}", view.span_in_words());
            }
        }
        words
    }

    fn number_in_words(&self, figure: &Figure) -> String {
        match self.count(figure) {
            Count::Exactly(_) => number::format(self.count(figure), self.writing(), Padding::None),
            Count::FewerThan(bound) => format!("fewer than {bound}"),
        }
    }
}

fn stale(figure: &Figure) -> &'static str {
    if figure.stale { " (not up to date)" } else { "" }
}
