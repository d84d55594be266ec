//! The past as shapes: the areas below a curve, the curve itself, and the parts of which nothing is known.

use std::ops::Range;

use crate::{chart::Column, scene::Shape};

type Polygon = Vec<(f32, f32)>;

/// Where columns and values lie in a picture. Lengths are pixels of the unscaled picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub(super) left: u32,
    pub(super) width: u32,
    pub(super) top: u32,
    pub(super) bottom: u32,
    /// The value at the top; 0 is at the bottom.
    pub(super) most: f64,
    /// Device pixels per pixel. There is a column for each device pixel.
    pub(super) scale: u32,
}

impl Plot {
    /// How many columns there are.
    pub(super) fn columns(&self) -> usize {
        (self.width * self.scale) as usize
    }

    /// The left edge of a column.
    pub(super) fn x(&self, column: usize) -> f32 {
        self.left as f32 + column as f32 / self.scale as f32
    }

    /// The height of a value, at the edge of a device pixel.
    pub(super) fn y(&self, value: f64) -> f32 {
        let height = f64::from((self.bottom - self.top) * self.scale);
        // What is above 0 is seen to be so.
        let up = (value / self.most * height).round().clamp(if value > 0.0 { 1.0 } else { 0.0 }, height);
        self.bottom as f32 - (up / f64::from(self.scale)) as f32
    }
}

/// The area from the bottom to a value of each column, in those columns that are known.
pub(super) fn area(plot: &Plot, columns: &[Option<Column>], value: impl Fn(&Column) -> f64) -> Shape {
    let runs = runs(columns.len(), |index| columns[index].is_some());
    let polygons: Vec<Polygon> = runs
        .map(|run| {
            let mut corners = vec![(plot.x(run.start), plot.bottom as f32)];
            let heights = run.clone().map(|index| columns[index].as_ref().map_or(0.0, &value));
            step_through(&mut corners, plot, run.clone(), heights.map(|value| plot.y(value)));
            corners.push((plot.x(run.end), plot.bottom as f32));
            corners
        })
        .collect();
    Shape::polygons(polygons.iter().map(Vec::as_slice))
}

/// The curve of what each column has at most, `thickness` pixels thick, as one line through neighbouring columns. Hidden columns
/// have none.
pub(super) fn curve(plot: &Plot, columns: &[Option<Column>], thickness: f32) -> Shape {
    let height = |index: usize| columns.get(index).copied().flatten().filter(|column| !column.is_hidden);
    let y = |index: usize| height(index).map(|column| plot.y(column.highest));
    let runs = runs(columns.len(), |index| height(index).is_some());
    let polygons: Vec<Polygon> = runs
        .map(|run| {
            let mut corners = Vec::new();
            let upper = run.clone().filter_map(y).map(|y| y - thickness);
            step_through(&mut corners, plot, run.clone(), upper);
            // A column reaches down to its lower neighbour, so that the line has no gap.
            let lower = |index: usize| {
                let neighbours = [index.checked_sub(1).and_then(y), y(index), y(index + 1)];
                neighbours.into_iter().flatten().fold(f32::MIN, f32::max)
            };
            let mut below = Vec::new();
            step_through(&mut below, plot, run.clone(), run.map(lower));
            corners.extend(below.into_iter().rev());
            corners
        })
        .collect();
    Shape::polygons(polygons.iter().map(Vec::as_slice))
}

/// The runs of columns of which nothing is known.
pub(super) fn unknown(columns: &[Option<Column>]) -> impl Iterator<Item = Range<usize>> {
    runs(columns.len(), |index| columns[index].is_none())
}

/// Slanting lines across a rectangle, which has a left and a right edge.
pub(super) fn hatch(plot: &Plot, (left, right): (f32, f32)) -> Shape {
    /// Distance of two lines, and the width of one, along the row.
    const DISTANCE: f32 = 7.0;
    const WIDTH: f32 = 1.0;
    let (top, bottom) = (plot.top as f32, plot.bottom as f32);
    let height = bottom - top;
    // The same lines whatever the rectangle's left edge: they do not move when it does.
    let mut from = ((left - height) / DISTANCE).floor() * DISTANCE;
    let mut polygons: Vec<Polygon> = Vec::new();
    while from < right {
        let (begin, end) = (from.max(left), (from + height).min(right - WIDTH));
        if end - begin >= 1.0 {
            let y = |x: f32| bottom - (x - from);
            polygons.push(vec![(begin, y(begin)), (end, y(end)), (end + WIDTH, y(end)), (begin + WIDTH, y(begin))]);
        }
        from += DISTANCE;
    }
    Shape::polygons(polygons.iter().map(Vec::as_slice))
}

/// A row of dashes at the bottom.
pub(super) fn dashes(plot: &Plot, (left, right): (f32, f32)) -> Shape {
    /// Distance of two dashes, and the length of one.
    const DISTANCE: f32 = 4.0;
    const LENGTH: f32 = 2.0;
    let bottom = plot.bottom as f32;
    let begins = (0..).map(|nth| left + nth as f32 * DISTANCE).take_while(|begin| begin + LENGTH <= right);
    let dash = |x: f32| vec![(x, bottom - 1.0), (x + LENGTH, bottom - 1.0), (x + LENGTH, bottom), (x, bottom)];
    let polygons: Vec<Polygon> = begins.map(dash).collect();
    Shape::polygons(polygons.iter().map(Vec::as_slice))
}

/// Adds the corners of a line that goes through the columns of a run at their heights. Equal neighbours share two corners.
fn step_through(corners: &mut Polygon, plot: &Plot, run: Range<usize>, heights: impl Iterator<Item = f32>) {
    let mut last = None;
    for (index, y) in run.clone().zip(heights) {
        if last != Some(y) {
            let x = plot.x(index);
            corners.extend(last.map(|last| (x, last)));
            corners.push((x, y));
            last = Some(y);
        }
    }
    corners.extend(last.map(|last| (plot.x(run.end), last)));
}

/// The longest ranges in which each index `is_in`.
fn runs(count: usize, is_in: impl Fn(usize) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = (next..count).find(|&index| is_in(index))?;
        next = (start..count).find(|&index| !is_in(index)).unwrap_or(count);
        Some(start..next)
    })
}
