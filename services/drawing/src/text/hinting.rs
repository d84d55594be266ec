//! Fits outlines to the pixel grid, as the instructions in a font's file would if they were run.
//!
//! Strokes that run straight up or straight across are found by their edges. They are moved so that an edge lies on a
//! pixel's, and take whole pixels where that is nearly their width anyway. The heights all letters share (baseline,
//! x-height, capitals) become whole pixels. What lies between two edges is stretched along with them.

use ab_glyph::{Outline, OutlineCurve, Point, Rect, point};

/// Widest stroke, in ems. What is wider is a bowl, not a stroke.
const WIDEST_STROKE: f32 = 0.2;
/// Shortest edge, in ems, that is worth fitting.
const SHORTEST_EDGE: f32 = 0.05;
/// How far curves reach beyond the height of flat letters, in ems, at most.
const OVERSHOOT: f32 = 0.02;
/// The same in pixels: in type so large that this is more, it is meant to be seen.
const OVERSHOOT_PIXELS: f32 = 0.75;
/// An edge may lean by this much and still be straight.
const LEAN: f32 = 1.0 / 6.0;
/// Straight pieces that stand for one curve.
const CURVE_PIECES: usize = 12;
/// Strokes whose width is within this share of the usual one get the usual one.
const USUAL_WIDTH_TOLERANCE: f32 = 0.25;
/// A stroke's width is rounded to whole pixels if it is at most so much off.
const ROUNDED_WIDTH: f32 = 0.34;

/// A direction along which positions are fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Left to right: moves upright strokes.
    Across,
    /// Bottom to top: moves level strokes.
    Up,
}

impl Axis {
    fn along(self, at: Point) -> f32 {
        match self {
            Axis::Across => at.x,
            Axis::Up => at.y,
        }
    }

    fn beside(self, at: Point) -> f32 {
        match self {
            Axis::Across => at.y,
            Axis::Up => at.x,
        }
    }
}

/// What is common to a font's letters, in font units.
#[derive(Clone, Debug)]
pub(crate) struct Guides {
    pub(crate) em: f32,
    /// The heights at which flat letters begin and end; empty for a font that is not to be fitted.
    pub(crate) zones: Vec<f32>,
    /// The usual width of upright strokes.
    pub(crate) upright: Option<f32>,
    /// The usual width of level strokes.
    pub(crate) level: Option<f32>,
}

/// A straight or nearly straight side of a stroke.
#[derive(Clone, Copy, Debug)]
struct Edge {
    at: f32,
    from: f32,
    to: f32,
    /// Whether ink begins here, seen along the axis; else it ends.
    begins: bool,
}

#[derive(Clone, Copy, Debug)]
struct Stroke {
    low: f32,
    high: f32,
}

/// The widths of an outline's strokes, in font units.
pub(crate) fn strokes(outline: &Outline, axis: Axis, em: f32) -> Vec<f32> {
    pair(&edges(outline, axis, em), em).iter().map(|stroke| stroke.high - stroke.low).collect()
}

/// Scales an outline to pixels by `factor`.
pub(crate) fn scale(mut outline: Outline, factor: f32) -> Outline {
    map(&mut outline, |at| point(at.x * factor, at.y * factor));
    outline
}

/// Scales an outline to pixels by `factor`, and fits it.
pub(crate) fn fit(mut outline: Outline, factor: f32, guides: &Guides) -> Outline {
    if guides.zones.is_empty() {
        return scale(outline, factor);
    }
    let across = knots(&outline, Axis::Across, factor, guides);
    let up = knots(&outline, Axis::Up, factor, guides);
    map(&mut outline, |at| point(between(&across, at.x, factor), between(&up, at.y, factor)));
    outline
}

fn map(outline: &mut Outline, to: impl Fn(Point) -> Point) {
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
    // Fonts measure upwards, so that the top left corner is the least.
    outline.bounds = Rect { min: point(min.x, max.y), max: point(max.x, min.y) };
}

/// Where positions along the axis go: font units and pixels, both ascending.
fn knots(outline: &Outline, axis: Axis, factor: f32, guides: &Guides) -> Vec<(f32, f32)> {
    let edges = edges(outline, axis, guides.em);
    let zone = |at: f32| match axis {
        Axis::Across => None,
        Axis::Up => zone(at, factor, guides).map(|height| (height * factor).round()),
    };
    let usual = match axis {
        Axis::Across => guides.upright,
        Axis::Up => guides.level,
    };
    let mut knots: Vec<(f32, f32)> = Vec::new();
    for stroke in pair(&edges, guides.em) {
        let width = width((stroke.high - stroke.low) * factor, usual.map(|usual| usual * factor));
        let (low, high) = match (zone(stroke.low), zone(stroke.high)) {
            (Some(low), _) => (low, low + width),
            (None, Some(high)) => (high - width, high),
            (None, None) => {
                let low = ((stroke.low + stroke.high) / 2.0 * factor - width / 2.0).round();
                (low, low + width)
            }
        };
        knots.extend([(stroke.low, low), (stroke.high, high)]);
    }
    // A lone edge, or the tip of a slanting stroke, reaches its zone too.
    let along = || outline.curves.iter().flat_map(ends).map(|at| axis.along(at));
    let tips = [along().min_by(f32::total_cmp), along().max_by(f32::total_cmp)];
    let lone = edges.iter().map(|edge| edge.at).chain(tips.into_iter().flatten());
    for (at, height) in lone.filter_map(|at| Some((at, zone(at)?))) {
        if knots.iter().all(|(known, _)| (known - at).abs() > 0.5) {
            knots.push((at, height));
        }
    }
    knots.sort_by(|a, b| a.0.total_cmp(&b.0));
    for index in 1..knots.len() {
        knots[index].1 = knots[index].1.max(knots[index - 1].1);
    }
    knots
}

fn zone(at: f32, factor: f32, guides: &Guides) -> Option<f32> {
    let slack = f32::min(OVERSHOOT * guides.em, OVERSHOOT_PIXELS / factor);
    guides
        .zones
        .iter()
        .copied()
        .filter(|zone| (zone - at).abs() <= slack)
        .min_by(|a, b| (a - at).abs().total_cmp(&(b - at).abs()))
}

fn width(natural: f32, usual: Option<f32>) -> f32 {
    let width = match usual {
        Some(usual) if (natural - usual).abs() <= usual * USUAL_WIDTH_TOLERANCE => usual,
        _ => natural,
    };
    let whole = width.round();
    if (width - whole).abs() <= ROUNDED_WIDTH { whole.max(1.0) } else { width.max(1.0) }
}

/// A position in pixels: outside the knots it moves with the nearest one.
fn between(knots: &[(f32, f32)], at: f32, factor: f32) -> f32 {
    let above = knots.partition_point(|(from, _)| *from <= at);
    match (above.checked_sub(1).map(|index| knots[index]), knots.get(above)) {
        (None, None) => at * factor,
        (Some((from, to)), None) => to + (at - from) * factor,
        (None, Some((from, to))) => to + (at - from) * factor,
        (Some((from, to)), Some((next_from, next_to))) => to + (at - from) / (next_from - from) * (next_to - to),
    }
}

/// Pairs each edge where ink begins with the nearest one beyond where it ends.
fn pair(edges: &[Edge], em: f32) -> Vec<Stroke> {
    let mut strokes: Vec<Stroke> = Vec::new();
    for low in edges.iter().filter(|edge| edge.begins) {
        let facing = |high: &&Edge| {
            let overlap = low.to.min(high.to) - low.from.max(high.from);
            !high.begins
                && high.at > low.at
                && high.at - low.at <= WIDEST_STROKE * em
                && overlap > 0.3 * (low.to - low.from).min(high.to - high.from)
        };
        let Some(high) = edges.iter().filter(facing).min_by(|a, b| a.at.total_cmp(&b.at)) else { continue };
        strokes.push(Stroke { low: low.at, high: high.at });
    }
    strokes.sort_by(|a, b| a.low.total_cmp(&b.low));
    // Of strokes that overlap the first is kept: pulled two ways, neither would be sharp.
    let mut kept: Vec<Stroke> = Vec::new();
    for stroke in strokes {
        if kept.last().is_none_or(|last| stroke.low > last.high) {
            kept.push(stroke);
        }
    }
    kept
}

/// The edges of an outline across an axis.
fn edges(outline: &Outline, axis: Axis, em: f32) -> Vec<Edge> {
    let contours = contours(outline);
    let area: f32 = contours.iter().flatten().map(|(a, b)| a.x * b.y - b.x * a.y).sum();
    // TrueType draws ink clockwise, PostScript the other way round; looking along the other axis mirrors either.
    let clockwise = (area < 0.0) == (axis == Axis::Across);
    let mut edges = Vec::new();
    for contour in contours {
        let lean = |(a, b): (Point, Point)| {
            let (along, beside) = (axis.along(b) - axis.along(a), axis.beside(b) - axis.beside(a));
            (beside != 0.0 && along.abs() <= beside.abs() * LEAN).then_some((beside > 0.0, along.abs() / beside.abs()))
        };
        let direction = |piece| lean(piece).map(|(ahead, _)| ahead);
        // A run that passes the contour's first point must not be cut there.
        let start = (0..contour.len()).find(|&index| {
            let before = contour[(index + contour.len() - 1) % contour.len()];
            direction(before) != direction(contour[index])
        });
        let turned: Vec<(Point, Point)> =
            contour.iter().cycle().skip(start.unwrap_or(0)).take(contour.len()).copied().collect();
        for run in turned.chunk_by(|a, b| direction(*a) == direction(*b)) {
            let Some(ahead) = direction(run[0]) else { continue };
            let ends = [axis.beside(run[0].0), axis.beside(run[run.len() - 1].1)];
            let (from, to) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            let straightest = run.iter().min_by(|a, b| {
                let lean_of = |piece| lean(piece).map_or(f32::MAX, |(_, lean)| lean);
                lean_of(**a).total_cmp(&lean_of(**b))
            });
            if let Some((a, b)) = straightest.filter(|_| to - from >= SHORTEST_EDGE * em) {
                let at = (axis.along(*a) + axis.along(*b)) / 2.0;
                edges.push(Edge { at, from, to, begins: ahead == clockwise });
            }
        }
    }
    edges
}

/// The outline's closed contours as straight pieces.
fn contours(outline: &Outline) -> Vec<Vec<(Point, Point)>> {
    let mut contours: Vec<Vec<(Point, Point)>> = Vec::new();
    for curve in &outline.curves {
        let [first, _] = ends(curve);
        let goes_on = contours.last().and_then(|contour| contour.last()).is_some_and(|(_, last)| *last == first);
        if !goes_on {
            contours.push(Vec::new());
        }
        let Some(contour) = contours.last_mut() else { continue };
        let pieces = if matches!(curve, OutlineCurve::Line(..)) { 1 } else { CURVE_PIECES };
        let mut from = first;
        for piece in 1..=pieces {
            let to = on(curve, piece as f32 / pieces as f32);
            contour.push((from, to));
            from = to;
        }
    }
    contours
}

fn ends(curve: &OutlineCurve) -> [Point; 2] {
    match *curve {
        OutlineCurve::Line(a, z) | OutlineCurve::Quad(a, _, z) | OutlineCurve::Cubic(a, _, _, z) => [a, z],
    }
}

/// The point a share of the way along a curve.
fn on(curve: &OutlineCurve, share: f32) -> Point {
    let mix = |a: Point, b: Point| point(a.x + (b.x - a.x) * share, a.y + (b.y - a.y) * share);
    match *curve {
        _ if share == 1.0 => ends(curve)[1],
        OutlineCurve::Line(a, b) => mix(a, b),
        OutlineCurve::Quad(a, b, c) => mix(mix(a, b), mix(b, c)),
        OutlineCurve::Cubic(a, b, c, d) => mix(mix(mix(a, b), mix(b, c)), mix(mix(b, c), mix(c, d))),
    }
}

#[cfg(test)]
mod tests {
    use ab_glyph::{Font, FontArc};

    use super::*;
    use crate::text::typeface::Typeface;

    fn typeface() -> (FontArc, Typeface) {
        let font = FontArc::try_from_slice(dejavu::sans::regular()).unwrap();
        (font.clone(), Typeface::new(font).unwrap())
    }

    fn fitted(character: char, em: f32) -> Outline {
        let (font, typeface) = typeface();
        typeface.fitted(font.glyph_id(character), em).unwrap()
    }

    fn positions(outline: &Outline, axis: Axis, em: f32) -> Vec<(f32, bool)> {
        edges(outline, axis, em).iter().map(|edge| (edge.at, edge.begins)).collect()
    }

    #[test]
    fn strokes_are_found_by_their_edges() {
        let (font, _) = typeface();
        let outline = |character| font.outline(font.glyph_id(character)).unwrap();
        let em = font.units_per_em().unwrap();
        assert_eq!(strokes(&outline('l'), Axis::Across, em).len(), 1);
        assert_eq!(strokes(&outline('n'), Axis::Across, em).len(), 2);
        assert_eq!(strokes(&outline('m'), Axis::Across, em).len(), 3);
        assert_eq!(strokes(&outline('E'), Axis::Up, em).len(), 3);
        assert_eq!(strokes(&outline('v'), Axis::Across, em).len(), 0);
        for (width, expected) in strokes(&outline('o'), Axis::Across, em).iter().zip([190.0, 190.0]) {
            assert!((width - expected).abs() < 20.0, "{width}");
        }
    }

    #[test]
    fn upright_strokes_lie_on_pixels() {
        for em in [10.0, 11.0, 13.7, 16.5, 22.0, 33.0] {
            for character in "nlHhimdpb1".chars() {
                let outline = fitted(character, em);
                for (at, _) in positions(&outline, Axis::Across, em).iter().filter(|(_, begins)| *begins).take(1) {
                    assert!((at - at.round()).abs() < 0.02, "{character} at {em}: {at}");
                }
            }
        }
    }

    #[test]
    fn letters_stand_on_the_baseline_and_end_at_whole_pixels() {
        for em in [10.0, 11.0, 13.7, 16.5, 22.0, 33.0] {
            for character in "xzoneHEO0123456789".chars() {
                let bounds = fitted(character, em).bounds;
                for (edge, name) in [(bounds.min.y, "top"), (bounds.max.y, "bottom")] {
                    assert!((edge - edge.round()).abs() < 0.02, "{name} of {character} at {em}: {edge}");
                }
                assert!(bounds.max.y.abs() < 0.02, "{character} at {em} stands at {}", bounds.max.y);
            }
        }
    }

    #[test]
    fn fitting_moves_nothing_by_more_than_a_pixel() {
        let (font, typeface) = typeface();
        for em in [8.2, 11.0, 19.0, 47.0] {
            for character in ('!'..='~').chain('а'..='я').chain('α'..='ω') {
                let id = font.glyph_id(character);
                let (plain, fitted) = (typeface.scaled(id, em).unwrap(), typeface.fitted(id, em).unwrap());
                for (before, after) in plain.curves.iter().flat_map(ends).zip(fitted.curves.iter().flat_map(ends)) {
                    let moved = (before.x - after.x).abs().max((before.y - after.y).abs());
                    assert!(moved <= 1.1, "{character} at {em} by {moved}");
                }
            }
        }
    }
}
