//! Finds the stems of glyphs: straight vertical or horizontal strokes, by their two edges.

use ab_glyph::{Outline, Point};

use super::outline::contours;

/// Widest stem, in ems. Anything wider is a bowl.
const WIDEST_STEM: f32 = 0.2;
/// Shortest edge, in ems, that is worth hinting.
const SHORTEST_EDGE: f32 = 0.05;
/// Steepest slope at which an edge still counts as straight.
const SLOPE: f32 = 1.0 / 6.0;
/// Two edges make a stem if they overlap by more than this share of the shorter one.
const OVERLAP: f32 = 0.3;

/// A direction along which positions are hinted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Left to right: moves vertical stems.
    Horizontal,
    /// Bottom to top: moves horizontal stems.
    Vertical,
}

impl Axis {
    pub(super) fn along(self, at: Point) -> f32 {
        match self {
            Axis::Horizontal => at.x,
            Axis::Vertical => at.y,
        }
    }

    fn across(self, at: Point) -> f32 {
        match self {
            Axis::Horizontal => at.y,
            Axis::Vertical => at.x,
        }
    }
}

/// A straight or nearly straight side of a stem.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// Position along the axis.
    pub(super) at: f32,
    /// Extent across the axis.
    from: f32,
    to: f32,
    /// Whether the glyph's inside begins here, seen along the axis; otherwise it ends here.
    pub(super) begins: bool,
}

/// Positions of a stem's two edges along the axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stem {
    pub(super) low: f32,
    pub(super) high: f32,
}

/// Returns the widths of an outline's stems, in font units.
pub(super) fn stem_widths(outline: &Outline, axis: Axis, em: f32) -> Vec<f32> {
    stems(&edges(outline, axis, em), em).iter().map(|stem| stem.high - stem.low).collect()
}

/// Pairs each edge where the inside begins with the nearest one after it where the inside ends.
pub(super) fn stems(edges: &[Edge], em: f32) -> Vec<Stem> {
    let mut stems: Vec<Stem> = Vec::new();
    for low in edges.iter().filter(|edge| edge.begins) {
        let facing = |high: &&Edge| {
            let overlap = low.to.min(high.to) - low.from.max(high.from);
            !high.begins
                && high.at > low.at
                && high.at - low.at <= WIDEST_STEM * em
                && overlap > OVERLAP * (low.to - low.from).min(high.to - high.from)
        };
        let Some(high) = edges.iter().filter(facing).min_by(|a, b| a.at.total_cmp(&b.at)) else { continue };
        stems.push(Stem { low: low.at, high: high.at });
    }
    stems.sort_by(|a, b| a.low.total_cmp(&b.low));
    // Of overlapping stems the first is kept: pulled two ways, neither would be sharp.
    let mut kept: Vec<Stem> = Vec::new();
    for stem in stems {
        if kept.last().is_none_or(|last| stem.low > last.high) {
            kept.push(stem);
        }
    }
    kept
}

/// Returns the edges of an outline across an axis.
pub(super) fn edges(outline: &Outline, axis: Axis, em: f32) -> Vec<Edge> {
    let contours = contours(outline);
    let area: f32 = contours.iter().flatten().map(|(a, b)| a.x * b.y - b.x * a.y).sum();
    // TrueType's outer contours run clockwise, PostScript's counter-clockwise. The other axis mirrors either.
    let clockwise = (area < 0.0) == (axis == Axis::Horizontal);
    let mut edges = Vec::new();
    for contour in contours {
        let slope = |(a, b): (Point, Point)| {
            let (along, across) = (axis.along(b) - axis.along(a), axis.across(b) - axis.across(a));
            (across != 0.0 && along.abs() <= across.abs() * SLOPE).then_some((across > 0.0, along.abs() / across.abs()))
        };
        let direction = |piece| slope(piece).map(|(forward, _)| forward);
        // Rotates the contour so that no run of pieces is cut at the contour's first point.
        let start = (0..contour.len()).find(|&index| {
            let before = contour[(index + contour.len() - 1) % contour.len()];
            direction(before) != direction(contour[index])
        });
        let rotated: Vec<(Point, Point)> =
            contour.iter().cycle().skip(start.unwrap_or(0)).take(contour.len()).copied().collect();
        for run in rotated.chunk_by(|a, b| direction(*a) == direction(*b)) {
            let Some(forward) = direction(run[0]) else { continue };
            let ends = [axis.across(run[0].0), axis.across(run[run.len() - 1].1)];
            let (from, to) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            let straightest = run.iter().min_by(|a, b| {
                let slope_of = |piece| slope(piece).map_or(f32::MAX, |(_, slope)| slope);
                slope_of(**a).total_cmp(&slope_of(**b))
            });
            if let Some((a, b)) = straightest.filter(|_| to - from >= SHORTEST_EDGE * em) {
                let at = (axis.along(*a) + axis.along(*b)) / 2.0;
                edges.push(Edge { at, from, to, begins: forward == clockwise });
            }
        }
    }
    edges
}
