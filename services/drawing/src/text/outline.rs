//! Geometry of glyph outlines.

use ab_glyph::{Outline, OutlineCurve, Point, Rect, point};

/// Straight pieces that a curve is divided into.
const CURVE_PIECES: usize = 12;

/// Scales an outline to pixels by `factor`.
pub(super) fn scale(mut outline: Outline, factor: f32) -> Outline {
    map(&mut outline, |at| point(at.x * factor, at.y * factor));
    outline
}

/// Moves every point of an outline, and recomputes its bounds.
pub(super) fn map(outline: &mut Outline, to: impl Fn(Point) -> Point) {
    let (mut min, mut max) = (point(f32::MAX, f32::MAX), point(f32::MIN, f32::MIN));
    let mut moved = |at: &mut Point| {
        *at = to(*at);
        (min.x, min.y) = (min.x.min(at.x), min.y.min(at.y));
        (max.x, max.y) = (max.x.max(at.x), max.y.max(at.y));
    };
    for curve in &mut outline.curves {
        match curve {
            OutlineCurve::Line(a, b) => [a, b].into_iter().for_each(&mut moved),
            OutlineCurve::Quad(a, b, c) => [a, b, c].into_iter().for_each(&mut moved),
            OutlineCurve::Cubic(a, b, c, d) => [a, b, c, d].into_iter().for_each(&mut moved),
        }
    }
    // Fonts measure upwards: the top left corner has the largest y.
    outline.bounds = Rect { min: point(min.x, max.y), max: point(max.x, min.y) };
}

/// Returns a curve's first and last points.
pub(super) fn ends(curve: &OutlineCurve) -> [Point; 2] {
    match *curve {
        OutlineCurve::Line(a, z) | OutlineCurve::Quad(a, _, z) | OutlineCurve::Cubic(a, _, _, z) => [a, z],
    }
}

/// Returns the outline's closed contours, divided into straight pieces.
pub(super) fn contours(outline: &Outline) -> Vec<Vec<(Point, Point)>> {
    let mut contours: Vec<Vec<(Point, Point)>> = Vec::new();
    for curve in &outline.curves {
        let [first, _] = ends(curve);
        let continues = contours.last().and_then(|contour| contour.last()).is_some_and(|(_, last)| *last == first);
        if !continues {
            contours.push(Vec::new());
        }
        let Some(contour) = contours.last_mut() else { continue };
        let pieces = if matches!(curve, OutlineCurve::Line(..)) { 1 } else { CURVE_PIECES };
        let mut from = first;
        for piece in 1..=pieces {
            let to = point_on(curve, piece as f32 / pieces as f32);
            contour.push((from, to));
            from = to;
        }
    }
    contours
}

/// Returns the point at parameter `t`, from 0 to 1, of a Bézier curve (de Casteljau's algorithm).
fn point_on(curve: &OutlineCurve, t: f32) -> Point {
    let mix = |a: Point, b: Point| point(a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * t);
    match *curve {
        _ if t == 1.0 => ends(curve)[1],
        OutlineCurve::Line(a, b) => mix(a, b),
        OutlineCurve::Quad(a, b, c) => mix(mix(a, b), mix(b, c)),
        OutlineCurve::Cubic(a, b, c, d) => mix(mix(mix(a, b), mix(b, c)), mix(mix(b, c), mix(c, d))),
    }
}
