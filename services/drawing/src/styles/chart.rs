//! The chart: the number, the peak in words, and the past with axes.

use std::ops::Range;

use headcount_wire::history::Peak;

use super::{
    curve::{Plot, area, curve, hatch, unknown},
    mark::Tone,
};
use crate::{
    chart::{Chart, Palette, TimeTick, ValueAxis, View, columns, time_ticks},
    colour::Colour,
    figure::{Count, Figure},
    look::Look,
    scene::{Element, Ink, Paint, Rounded, Scene, Shape},
    text::{Fonts, Line, TextLayout},
};

/// Space around everything.
const MARGIN: u32 = 8;
/// Least height of a picture that has labels of time, and of one that may have a second line of words.
const LABELLED: u32 = 84;
const TWO_LINES: u32 = 130;
/// Height of the digits of the number and of all other text, as shares of the picture's height, and their bounds.
const NUMBER: (f32, u32, u32) = (0.1, 10, 34);
const TEXT: (f32, u32, u32) = (0.05, 8, 11);
/// Least distance of two ticks of the axis of values.
const TICK_DISTANCE: u32 = 24;
/// Length of a tick of the axis of time.
const TICK: u32 = 4;
/// Radius of the dots at the peak and at the present.
const DOT: f32 = 3.0;
/// Opacity of the number where it is not live.
const FADED: f32 = 0.8;

/// Lays out a chart's parts, from its top to its bottom.
struct Composer<'c> {
    text: &'c TextLayout,
    look: &'c Look,
    view: View<'c>,
    palette: Palette,
    /// The font size of all text but the number, and the height of its digits.
    em: f32,
    digits: u32,
    scene: Scene,
}

pub(crate) fn compose(text: &TextLayout, look: &Look, figure: &Figure, chart: Option<Chart<'_>>) -> Scene {
    let (width, height) = (look.width().unwrap_or_default(), look.height());
    let tone = Tone::of(figure);
    let palette = Palette::of(look, |colour| tone.ground(colour));
    let digits = size(height, TEXT);
    let em = text.em_for_digits(Fonts::MAIN, digits);
    let scene = Scene { width, height, elements: Vec::new() };
    let view = View::of(look, figure, chart);
    let mut composer = Composer { text, look, view, palette, em, digits, scene };
    composer.rectangle((0.0, 0.0), (width as f32, height as f32), palette.ground);
    let header_end = composer.header(figure, tone);
    composer.past(header_end, figure);
    composer.scene
}

fn size(height: u32, (share, least, most): (f32, u32, u32)) -> u32 {
    ((height as f32 * share).round() as u32).clamp(least, most)
}

impl Composer<'_> {
    fn rectangle(&mut self, min: (f32, f32), max: (f32, f32), colour: Colour) {
        self.shape(Shape::rectangle(min, max, 0.0, Rounded::None), colour);
    }

    fn shape(&mut self, shape: Shape, colour: Colour) {
        if !shape.curves.is_empty() {
            self.scene.elements.push(Element::Shape { shape, paint: Paint::Solid(colour) });
        }
    }

    fn line(&self, text: &str) -> Line {
        self.text.number(text, Fonts::MAIN, self.em)
    }

    fn put(&mut self, line: Line, x: i32, baseline: u32) {
        let ink = Ink { colour: self.palette.soft, opacity: 1.0 };
        self.scene.elements.push(Element::Text { line, x, baseline: baseline as i32, ink });
    }

    /// Draws the number with its label, and the peak in words where there is room. Returns where the header ends.
    fn header(&mut self, figure: &Figure, tone: Tone) -> u32 {
        let (height, available) = (self.scene.height, self.scene.width - 2 * MARGIN);
        let number_digits = size(height, NUMBER);
        let text = self.look.text(figure);
        let number = |em| self.text.number(&text, Fonts::MAIN, em);
        let mut em = self.text.em_for_digits(Fonts::MAIN, number_digits);
        while number(em).width > available && em > 1.0 {
            em *= 0.9;
        }
        let (number, baseline) = (number(em), MARGIN + number_digits);
        let (left, end) = (MARGIN, MARGIN + number.width);
        let opacity = if tone == Tone::Marked { FADED } else { 1.0 };
        let ink = Ink { colour: self.palette.ink, opacity };
        self.scene.elements.push(Element::Text { line: number, x: left as i32, baseline: baseline as i32, ink });
        if tone == Tone::Marked {
            let row = (baseline - number_digits / 2) as f32;
            let thickness = (number_digits / 10).max(1) as f32;
            self.rectangle((left as f32 - 2.0, row), (end as f32 + 2.0, row + thickness), self.palette.ink);
        }

        let gap = self.digits / 2 + 1;
        let label = self.text.label(self.look.label(), self.em);
        let mut used = end;
        if label.width > 0 && end + gap + label.width <= MARGIN + available {
            used = end + gap + label.width;
            self.put(label, (end + gap) as i32, baseline);
        }
        let Some((of, peak)) = self.view.said_peak() else { return baseline };
        let (count, when) = (self.look.written(peak.count), self.view.when(peak));
        let beside = (available + MARGIN).saturating_sub(used + 2 * self.digits);
        let texts = [
            format!("most at once {of}: {count} {when} UTC"),
            format!("most {of}: {count} {when} UTC"),
            format!("most {of}: {count}"),
        ];
        let second_line = if height >= TWO_LINES { available } else { 0 };
        for text in texts {
            let line = self.line(&text);
            if line.width <= beside {
                let x = MARGIN + available - line.width;
                self.put(line, x as i32, baseline);
                return baseline;
            }
            if line.width <= second_line {
                let baseline = baseline + 2 * self.digits;
                self.put(line, MARGIN as i32, baseline);
                return baseline;
            }
        }
        baseline
    }

    /// Draws the past below the header.
    fn past(&mut self, header_end: u32, figure: &Figure) {
        let (width, height) = (self.scene.width, self.scene.height);
        let bottom = match height >= LABELLED {
            true => height - MARGIN - self.digits - TICK - 3,
            false => height - MARGIN,
        };
        let highest = self.view.highest();
        // The peak's own label is above it.
        let top = (header_end + self.digits * if highest.is_some() { 3 } else { 2 }).min(bottom - 8);
        let most = highest.map_or(0, |(_, peak)| peak.count).max(self.view.small);
        let axis = ValueAxis::of(most, u64::from(((bottom - top) / TICK_DISTANCE).clamp(1, 6)));
        let hidden = self.view.small;
        let mut labels: Vec<(u64, String)> = axis
            .ticks()
            .filter(|value| *value == 0 || *value >= hidden)
            .map(|value| (value, ValueAxis::label(value)))
            .collect();
        if hidden > 0 {
            labels.retain(|(value, _)| *value != 0);
            labels.push((hidden / 2, format!("<{hidden}")));
        }
        let lines = labels.iter().map(|(_, label)| self.line(label).width).chain([self.line("UTC").width]);
        let left = MARGIN + lines.max().unwrap_or_default() + self.digits / 2 + 2;
        let plot =
            Plot { left, width: width - MARGIN - left, top, bottom, most: axis.top as f64, scale: self.look.scale() };
        self.values(&plot, axis, labels);
        let columns = columns(self.view.points, hidden, plot.columns());
        let gaps: Vec<Range<usize>> = unknown(&columns).collect();
        for gap in gaps {
            self.gap(&plot, gap);
        }
        self.shape(area(&plot, &columns, |column| column.highest), self.palette.high);
        self.shape(area(&plot, &columns, |column| column.lowest), self.palette.low);
        let right = (width - MARGIN) as f32;
        self.rectangle((left as f32, bottom as f32), (right, bottom as f32 + 1.0), self.palette.soft);
        self.shape(curve(&plot, &columns, 1.0), self.palette.curve);
        if height >= LABELLED {
            self.times(&plot);
        }
        let is_known = columns.last().is_some_and(Option::is_some);
        if let (true, Count::Exactly(number)) = (is_known && figure.number >= hidden, self.look.count(figure)) {
            self.dot(right - DOT, plot.y(number as f64));
        }
        if let Some((index, peak)) = highest {
            self.peak(&plot, index, peak);
        }
    }

    /// Draws the axis of values: a line across the picture at each, and its label.
    fn values(&mut self, plot: &Plot, axis: ValueAxis, labels: Vec<(u64, String)>) {
        let (left, right) = (plot.left as f32, (plot.left + plot.width) as f32);
        let hidden = self.view.small;
        for value in axis.ticks().filter(|value| *value > 0 && *value >= hidden) {
            let y = plot.y(value as f64);
            self.rectangle((left, y), (right, y + 1.0), self.palette.grid);
        }
        for (value, label) in labels {
            let line = self.line(&label);
            let x = (plot.left - self.digits / 2 - 2 - line.width) as i32;
            let baseline = plot.y(value as f64).round() as u32 + self.digits / 2;
            self.put(line, x, baseline.min(plot.bottom + 1));
        }
    }

    /// Draws the axis of time: as many labels as have room.
    fn times(&mut self, plot: &Plot) {
        let (baseline, digits) = (self.scene.height - MARGIN, self.digits);
        let zone = self.line("UTC");
        let zone_x = (plot.left - digits / 2 - 2 - zone.width) as i32;
        self.put(zone, zone_x, baseline);
        let (Some(start), Some(end)) = (self.view.start, self.view.end()) else { return };
        if end <= start {
            return;
        }
        let x = |at: u64| plot.left as i32 + ((at - start) * u64::from(plot.width) / (end - start)) as i32;
        let (least, most) = (plot.left as i32, (plot.left + plot.width + MARGIN / 2) as i32);
        let placed = |tick: &TimeTick| {
            let line = self.line(&tick.label);
            let width = line.width as i32;
            let begin = x(tick.at) - width / 2;
            (begin >= least && begin + width <= most).then_some((line, begin, width))
        };
        let fits = |ticks: &[TimeTick]| {
            let mut free = least;
            ticks.iter().filter_map(placed).all(|(_, begin, width)| {
                let fits = begin >= free;
                free = begin + width + 2 * digits as i32;
                fits
            })
        };
        let ticks = time_ticks(self.view.span, start, end, fits);
        let lines: Vec<_> = ticks.iter().filter_map(placed).collect();
        for (line, begin, width) in lines {
            let (x, bottom) = ((begin + width / 2) as f32, plot.bottom as f32);
            self.rectangle((x, bottom), (x + 1.0, bottom + TICK as f32), self.palette.soft);
            self.put(line, begin, baseline);
        }
    }

    /// Draws a part of which nothing is known: slanting lines, and words where there is room.
    fn gap(&mut self, plot: &Plot, columns: Range<usize>) {
        let (left, right) = (plot.x(columns.start), plot.x(columns.end));
        self.shape(hatch(plot, (left, right)), self.palette.gap);
        let line = self.line("no record");
        let (width, height) = (line.width as f32, plot.bottom - plot.top);
        let pad = self.digits as f32;
        if right - left >= width + 4.0 * pad && height >= 3 * self.digits {
            let x = ((left + right - width) / 2.0).round();
            let baseline = plot.top + (height + self.digits) / 2;
            let (above, below) = ((baseline - self.digits) as f32 - pad / 2.0, baseline as f32 + pad / 2.0);
            self.rectangle((x - pad / 2.0, above.round()), (x + width + pad / 2.0, below.round()), self.palette.ground);
            self.put(line, x as i32, baseline);
        }
    }

    /// Marks the highest point with a dot and its value; with its time too, where the header does not say it.
    fn peak(&mut self, plot: &Plot, index: usize, peak: Peak) {
        let middle = (index as f32 + 0.5) / self.view.points.len() as f32;
        let x = plot.left as f32 + (middle * plot.width as f32).floor();
        let y = plot.y(peak.count as f64);
        self.dot(x - DOT, y);
        let count = self.look.written(peak.count);
        let is_said = self.view.said_peak().is_some_and(|(_, said)| said == peak);
        let text = if is_said { count } else { format!("{count} {}", self.view.when(peak)) };
        let line = self.line(&text);
        let (least, most) = (plot.left as i32, (self.scene.width - MARGIN) as i32 - line.width as i32);
        let begin = (x as i32 - line.width as i32 / 2).min(most).max(least);
        let baseline = (y - DOT - 3.0).max(self.digits as f32) as u32;
        self.put(line, begin, baseline);
    }

    /// Draws a dot on the curve: `left` is its left edge, `y` the height of the value.
    fn dot(&mut self, left: f32, y: f32) {
        let ring = 1.0;
        for (radius, colour) in [(DOT + ring, self.palette.ground), (DOT, self.palette.curve)] {
            let (x, y) = (left + DOT, y - 0.5);
            let shape = Shape::rectangle((x - radius, y - radius), (x + radius, y + radius), radius, Rounded::All);
            self.shape(shape, colour);
        }
    }
}
