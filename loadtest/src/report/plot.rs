//! [`Plot`]: lines over an axis, as SVG.

use anyhow::anyhow;
use indicatif::HumanFloatCount;
use plotters::prelude::*;

const SIZE: (u32, u32) = (900, 360);

/// Colours that differ in lightness too.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0xd1, 0x49, 0x5b),
    RGBColor(0x2e, 0x8b, 0x57),
    RGBColor(0xe0, 0x9f, 0x3e),
    RGBColor(0x6a, 0x4c, 0x93),
    RGBColor(0x55, 0x55, 0x55),
];

/// One line of a plot.
#[derive(Clone, Debug)]
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Lines over one axis, with moments marked on it.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    name: String,
    title: String,
    x: String,
    y: String,
    lines: Vec<Line>,
    marks: Vec<(f64, String)>,
}

impl Plot {
    /// A plot that is written to `name`.svg.
    pub(crate) fn new(name: &str, title: &str, x: &str, y: &str) -> Self {
        let (name, title, x, y) = (name.into(), title.into(), x.into(), y.into());
        Self { name, title, x, y, lines: Vec::new(), marks: Vec::new() }
    }

    pub(crate) fn line(&mut self, name: &str, points: Vec<(f64, f64)>) {
        if !points.is_empty() {
            self.lines.push(Line { name: name.into(), points });
        }
    }

    /// The share of all times that were no longer, over the time in milliseconds.
    pub(crate) fn distribution(&mut self, name: &str, latencies: &headcount_testkit::Latencies) {
        let (mut sum, all) = (0, latencies.len().max(1));
        let share = |(micros, count): (u64, u64)| {
            sum += count;
            (micros as f64 / 1e3, 100.0 * sum as f64 / all as f64)
        };
        self.line(name, latencies.points().map(share).collect());
    }

    /// The same plot, written to another file.
    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Marks a moment.
    pub(crate) fn mark(&mut self, at: f64, what: impl Into<String>) {
        self.marks.push((at, what.into()));
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn svg(&self) -> anyhow::Result<String> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|error| anyhow!("drawing the plot {}: {error}", self.name))?;
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
        };
        let (left, right) = ends(&mut points().map(|(x, _)| x));
        let (low, high) = ends(&mut points().map(|(_, y)| y));
        let (left, right) = if left < right { (left.min(0.0), right) } else { (0.0, right.max(1.0)) };
        let (low, high) = if low < high { (low.min(0.0), high * 1.05) } else { (0.0, high.max(1.0) * 1.05) };
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(&self.title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(left..right, low..high)?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .x_label_formatter(&|value| format!("{:.2}", HumanFloatCount(*value)))
            .y_label_formatter(&|value| format!("{:.2}", HumanFloatCount(*value)))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        for (at, what) in &self.marks {
            chart.draw_series([PathElement::new([(*at, low), (*at, high)], BLACK.mix(0.4))])?;
            let style = ("sans-serif", 11).into_font().transform(FontTransform::Rotate90).color(&BLACK.mix(0.7));
            // Beside the line: turned, a text hangs to the left of its place.
            chart.draw_series([EmptyElement::at((*at, high)) + Text::new(what.clone(), (14, 4), style)])?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .margin(12)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        root.present()?;
        Ok(())
    }
}
